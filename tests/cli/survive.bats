#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# What hangs, fails or is slow in one place must cost nothing in another: no job waits for ever, and
# no target is called whole that is not.

bats_require_minimum_version 1.5.0

setup() {
	iso=${ISOMORPH:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/isomorph}
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	[ -z "${loop:-}" ] || losetup -d "$loop"
}

# field EXPRESSION: of the JSON document in $output
field() {
	python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1], {"d": d}))' "$1" <<<"$output"
}

@test "verify-of-a-quite-different-medium: it ends after many differences, and does not wait for the rest" {
	truncate -s 600M image medium
	python3 - <<-'PY'
		with open('medium', 'r+b') as f:
		    for at in range(600):
		        f.seek(at << 20)
		        f.write(b'x')
	PY
	run -3 timeout 60 "$iso" verify --quiet image medium
	[[ $output == *"differs at byte 0 "* ]]
}

@test "capture-with-many-processors: threads never hold all buffers while the reader waits for one" {
	head -c 40M /dev/urandom >disk
	run -0 timeout 60 "$iso" capture --all --quiet --threads 16 disk image.zst
	zstd -dcq image.zst | cmp - disk
}

@test "stalled-target-from-a-pipe: what hangs in its device keeps no buffers from the others" {
	head -c 60M /dev/urandom >image
	export ISOMORPH_FAULTY="$PWD/bad=stall@20M+1M"
	run -1 --separate-stderr timeout 60 "$iso" write --as raw --yes --quiet --json --stall-timeout 1 - bad good <image
	[ "$(field '[t["exit"] for t in d["targets"]]')" = '[1, 0]' ]
	cmp image good
}

@test "stalled-target-of-a-file: the others do not even wait for the time-out" {
	head -c 60M /dev/urandom >image
	export ISOMORPH_FAULTY="$PWD/bad=stall@20M+1M"
	run -1 --separate-stderr timeout 60 "$iso" write --as raw --yes --quiet --json --stall-timeout 8 image bad good
	[ "$(field '[t["exit"] for t in d["targets"]]')" = '[1, 0]' ]
	[ "$(field 'd["targets"][1]["seconds"] < 6')" = True ]
	cmp image good
}

@test "device-that-hangs-after-an-error: the time-out holds for second tries too" {
	head -c 30M /dev/urandom >image
	export ISOMORPH_FAULTY="$PWD/bad=freeze@20M"
	run -1 --separate-stderr timeout 60 "$iso" write --as raw --yes --quiet --json --stall-timeout 1 image bad good
	[ "$(field '[t["exit"] for t in d["targets"]]')" = '[1, 0]' ]
	cmp image good
}

@test "bad-sector-seen-by-a-slow-target-alone: it reads for itself, and what it could not read is told" {
	head -c 60M /dev/urandom >image
	export ISOMORPH_FAULTY="image=read-error@58M+4096;$PWD/slow=write-bps=4M;$PWD/gone=gone@28M+1M"
	run -1 --separate-stderr timeout 90 "$iso" write --as raw --yes --quiet --json --no-verify image slow gone
	[ "$(field 'd["error"]["message"]')" = 'could not be read: 4096 bytes in all are zeros in the copy' ]
	[ "$(field 'd["error"]["offset"]')" = $((58 * 1048576)) ]
}

@test "verify-of-an-image-with-bad-places: they are nobody's bytes, so they are not compared" {
	head -c 8M /dev/urandom >disk
	ISOMORPH_FAULTY="disk=read-error@3M+4096" run -4 "$iso" capture --all --quiet disk image.zst
	run -0 "$iso" verify --quiet image.zst disk
	printf x | dd of=disk bs=1 seek=$((3 * 1048576 + 4096)) conv=notrunc status=none
	run -3 "$iso" verify --quiet image.zst disk
}

@test "delta-where-nothing-differs: it is flushed all the same, and the report says how it was read" {
	head -c 8M /dev/urandom >image
	cp image target
	export ISOMORPH_FAULTY="$PWD/target=flush-ms=700"
	run -0 --separate-stderr "$iso" write --as raw --yes --quiet --json --delta image target
	[ "$(field 'd["targets"][0]["seconds"] >= 0.7')" = True ]
	[ "$(field 'd["targets"][0]["changed"], d["targets"][0]["verified"]')" = '(False, True)' ]
	[ "$(field 'd["targets"][0]["read_back"] in ("direct", "dropped")')" = True ]
}

@test "undo-file-of-another-target: what it keeps is of that one, so it is refused" {
	head -c 8M /dev/urandom >image
	head -c 8M /dev/urandom >one
	head -c 8M /dev/urandom >two
	cp two before
	ISOMORPH_FAULTY="$PWD/one=write-error@4M+1M" run -1 "$iso" write --as raw --yes --quiet --undo kept image one
	run -5 "$iso" write --as raw --yes --quiet --undo kept image two
	[[ $output == *"is the undo file of another target"* ]]
	cmp two before
}

@test "undo-with-discard: what is discarded cannot be given back, so that is a usage error" {
	head -c 8M /dev/urandom >disk
	"$iso" capture --all --quiet disk image.zst
	run -2 "$iso" restore --yes --quiet --undo kept --unused discard image.zst disk
	[[ $output == *"--undo cannot give back what is discarded"* ]]
}

@test "delta-with-discard: the ends are blank before what is unused goes" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	truncate -s 32M disk
	mkfs.ext4 -q disk
	"$iso" capture --quiet disk image.zst
	loop=$(losetup -f --show disk)
	head -c 1M /dev/urandom | dd of="$loop" bs=1M seek=20 conv=fsync status=none
	run -0 --separate-stderr "$iso" restore --yes --quiet --json --delta --unused discard image.zst "$loop"
	losetup -d "$loop"
	loop=
	[ "$(field 'd["targets"][0]["changed"]')" = True ]
	run -0 "$iso" verify --quiet image.zst disk
}

@test "slow-target-beside-a-fast-one: it does not set the pace when the source can be read anywhere" {
	head -c 60M /dev/urandom >image
	truncate -s 60M slow.img fast.img
	ISOMORPH_FAULTY="$PWD/slow.img=write-bps=20M" run -0 --separate-stderr "$iso" write --yes --as raw \
		--progress=json image slow.img fast.img
	cmp image slow.img
	cmp image fast.img
	printf '%s\n' "$stderr" | /usr/bin/python3 -c '
import json, sys
events = [json.loads(line) for line in sys.stdin if line.startswith("{\"event\":\"progress\"")]
ahead = [e for e in events if e["targets"][1]["phase"] == "done" and e["targets"][0]["phase"] == "writing"]
assert ahead, "the fast one was never done while the slow one was written"
assert ahead[0]["targets"][0]["percent"] < 40, ahead[0]'
}
