#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# Media that lie, break, fill, vanish or hang: each is caught, and named with its offset and its kind.

load common

# a_disk_and_image: an image of 8 MiB, and $disk of 16 full of what is in `old`.
a_disk_and_image() {
	noise image 8M
	noise old 16M old
	a_disk 16M
}

# caught FAULT TEXT...: writing with it fails, says each TEXT, and leaves a disk that does not look whole.
caught() {
	local fault=$1 text
	shift
	cat old >"$disk"
	ISOMORPH_FAULTY="$disk=$fault" run -1 "$iso" write --yes image "$disk"
	for text in "$@"; do
		says "$text"
	done
	says "$disk is unfinished"
	says_not "$disk holds"
	! cmp -s -n 1048576 image "$disk" || return 1
	zeros "$disk" 0 512
}

@test "writes that are acknowledged and lost" {
	a_disk_and_image
	caught stale@3000000+4096 "old data" "byte 3000000"
	zeros "$disk" 0 1048576
	caught stale@1048576+1M "byte 1048576"
	caught stale@8388096+512 "byte 8388096"
}

@test "a lost write of the first MiB, of the first block" {
	a_disk_and_image
	ISOMORPH_FAULTY="$disk=stale@700000+512" run -1 "$iso" write --yes image "$disk"
	says "byte 700000"
	ISOMORPH_FAULTY="$disk=stale@0+512" run -1 "$iso" write --yes image "$disk"
	says "byte 0"
	! cmp -s -n 8388608 image "$disk" || false
}

@test "bit flips, zeros, 0xFF" {
	a_disk_and_image
	caught flip@5555555 "bit flips" "byte 5555555"
	caught zeros@4000000+200000 "zeros" "byte 4000"
	caught ones@4000000+200000 "0xFF" "byte 4000000"
	caught flip@100 "bit flips" "byte 100"
	caught flip@8388607 "byte 8388607"
}

@test "a stick that is smaller than it says: addresses wrap" {
	noise image 12M
	noise disk.img 16M old
	loop disk.img
	ISOMORPH_FAULTY="$disk=wrap=4M" run -1 "$iso" write --yes image "$disk"
	says "wrap-around"
	says "smaller than it claims"
	! cmp -s -n 1048576 image "$disk" || false
}

@test "write errors and read errors" {
	a_disk_and_image
	caught write-error@5000000 "cannot write" "sector 9765"
	caught read-error@5000000 "cannot read back" "sector 9765"
	for at in 0 600000; do # then it cannot even be wiped
		ISOMORPH_FAULTY="$disk=write-error@$at" run -1 "$iso" write --yes image "$disk"
		says "cannot write"
		says "could not be made blank"
	done
}

@test "full: no space, on a disk and in a new file" {
	a_disk_and_image
	ISOMORPH_FAULTY="$disk=full@6M" run -1 "$iso" write --yes --keep-tail image "$disk"
	says "No space left"
	says "byte 6291456"
	ISOMORPH_FAULTY="$disk=full@15M" run -1 "$iso" write --yes image "$disk"
	says "byte 15728640"
	says "could not be made blank"
	ISOMORPH_FAULTY="$PWD/new=full@6M" run -1 "$iso" write image new
	says "No space left"
	[ ! -e new ]
	mkdir small
	mount -t tmpfs -o size=5M none small
	later mount "$PWD/small"
	run -1 "$iso" write image small/new
	says "full"
	[ ! -e small/new ]
}

@test "gone in the middle, gone while it is verified" {
	a_disk_and_image
	caught gone@6M "the device is gone" "byte 6291456"
	truncate -s 16M other.img
	loop other.img
	# the last write of all before it, so that verifying finds it gone
	ISOMORPH_FAULTY="$disk=read-error@0+16M" run -1 "$iso" write --yes image "$disk"
	says "cannot read back"
}

@test "short reads when it is read back" {
	a_disk_and_image
	caught short@5000000 "byte 5000000"
}

@test "a stall ends with its target's time-out; the other targets are done" {
	noise image 8M
	for i in 1 2 3; do
		noise "d$i" 8M "$i"
		loop "d$i"
		disks+=("$disk")
	done
	SECONDS=0
	ISOMORPH_FAULTY="${disks[1]}=stall@4M" run -1 --separate-stderr \
		"$iso" write --yes --json --stall-timeout 2 image "${disks[@]}"
	[ "$SECONDS" -le 7 ]
	[ "$(json_get '[t["exit"] for t in doc["targets"]]')" = "[0, 1, 0]" ]
	says "${disks[1]}: does not answer any more"
	cmp image "${disks[0]}"
	cmp image "${disks[2]}"
	! cmp -s -n 1048576 image "${disks[1]}" || false
}

@test "without verifying, a lost write is not claimed to be there" {
	a_disk_and_image
	ISOMORPH_FAULTY="$disk=stale@5000000" run -0 "$iso" write --yes --no-verify image "$disk"
	says "NOT verified"
	run -3 "$iso" verify image "$disk"
	says "differs at byte 5000000"
}

# bad_fs FAULT OFFSET LENGTH [nodirect]: $bad, a file of 16 MiB of old data on a file system that is not to be trusted.
bad_fs() {
	[ -x "$build/tests/cli/fusebad" ] || skip "libfuse3 is missing"
	[ -c /dev/fuse ] || skip "/dev/fuse is missing"
	rm -rf store
	mkdir -p bad
	noise store 16M old
	"$build/tests/cli/fusebad" bad "$PWD/store" "$@"
	later mount "$PWD/bad"
	bad=$PWD/bad/disk
}

@test "a file system that stores well is believed" {
	noise image 12M
	bad_fs drop 0 0
	run -0 "$iso" write --yes image "$bad"
	cmp -n 12582912 image store
	fusermount3 -u bad
	bad_fs drop 0 0 nodirect
	run -0 --separate-stderr "$iso" write --yes --json image "$bad"
	[ "$(json_get 'doc["targets"][0]["verified"], doc["targets"][0]["read_back"]')" = "(True, 'dropped')" ]
	cmp -n 12582912 image store
}

@test "the page cache cannot fake it: what others read from the cache is whole, the medium is not" {
	noise image 12M
	for how in "" nodirect; do
		for fault in "drop 5000000 4096" "flip 7000000 1" "late 9000000 26" "drop 1048576 1" "flip 12582911 1"; do
			# shellcheck disable=SC2086
			bad_fs $fault $how
			dd if=image of="$bad" bs=1M conv=notrunc status=none
			cmp -n 12582912 image "$bad"
			# shellcheck disable=SC2086
			set -- $fault
			run -1 "$iso" write --yes image "$bad"
			says "reads back different"
			says "byte $2"
			run -3 "$iso" verify image "$bad"
			fusermount3 -u bad
		done
	done
}

@test "verify and --delta do not believe the page cache either" {
	noise image 12M
	for how in "" nodirect; do
		# shellcheck disable=SC2086
		bad_fs drop 5000000 4096 $how
		dd if=image of="$bad" bs=1M conv=notrunc status=none
		cmp -n 12582912 image "$bad"
		run -3 "$iso" verify image "$bad"
		says "differs at byte 5000000"
		dd if=image of="$bad" bs=1M conv=notrunc status=none
		run -1 "$iso" write --yes --delta image "$bad"
		says "byte 5000000"
		fusermount3 -u bad
	done
}
