#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph verify IMAGE, and what restore --damaged gets out of images that are not whole.

load native

# poke FILE OFFSET: four bytes of it become others
poke() {
	printf '\252\125\252\125' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# json FILE EXPRESSION
json() {
	python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"
}

# frames IMAGE: POSITION STORED LENGTH of each frame before the seek table
frames() {
	python3 - "$1" <<-'PY'
		import struct, sys
		d = open(sys.argv[1], 'rb').read()
		n = struct.unpack_from('<I', d, len(d) - 9)[0]
		at = 0
		for i in range(n):
		    stored, size, _ = struct.unpack_from('<III', d, len(d) - 9 - 12 * n + 12 * i)
		    print(at, stored, size)
		    at += stored
	PY
}

@test "a whole image is whole, native and packed and raw; the image is not changed" {
	head -c 5000001 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	before=$(sha256sum disk.zst)
	run -0 isomorph verify disk.zst
	[[ $output == *"disk.zst is whole"* ]]
	[ "$before" = "$(sha256sum disk.zst)" ]
	xz -0k disk.img
	gzip -1k disk.img
	bzip2 -1k disk.img
	lz4 -qk disk.img disk.img.lz4
	zstd -q -1 disk.img -o plain.zst
	zip -q disk.zip disk.img
	for image in disk.img disk.img.xz disk.img.gz disk.img.bz2 disk.img.lz4 plain.zst disk.zip; do
		run -0 isomorph verify "$image"
		[[ $output == *"$image is whole"* ]]
	done
	isomorph verify --json -q disk.zst >report.json
	[ "$(json report.json 'd["exit"], d["damaged"], d["targets"]')" = "(0, [], [])" ]
	run -2 isomorph verify
	run -2 isomorph verify - <disk.zst
}

@test "packed images that are cut off or changed are not whole" {
	head -c 3000001 /dev/urandom >disk.img
	xz -0k disk.img
	gzip -1k disk.img
	zstd -q -1 --check disk.img -o disk.img.zst
	for image in disk.img.xz disk.img.gz disk.img.zst; do
		cp "$image" bad
		poke bad 2000000
		run -1 isomorph verify bad
		head -c 2000000 "$image" >cut
		run -1 isomorph verify cut
	done
}

@test "an unreadable sector: not whole" {
	head -c 3000001 /dev/urandom >disk.img
	ISOMORPH_FAULTY="disk.img=read-error@1500000" run -1 isomorph verify disk.img
	[[ $output == *"could not be read"* ]]
	[[ $output == *"at byte 1499648"* ]]
}

@test "damaged chunks: each named, with the partition; restore refuses, --damaged restores the rest" {
	gpt disk.img 32
	head -c 4M /dev/urandom | dd of=disk.img bs=1M seek=26 conv=notrunc status=none
	isomorph capture -q --all disk.img disk.zst
	for i in 9 26 27 29; do
		read -r position stored _ < <(frames disk.zst | awk '$3' | sed -n $((i + 1))p)
		poke disk.zst $((position + stored / 2))
	done
	run -1 isomorph verify disk.zst
	[[ $output == *"lost: bytes 9437184 to 10485759 of the disk, partition 2"* ]]
	[[ $output == *"lost: bytes 27262976 to 29360127 of the disk"* ]]
	[[ $output == *"lost: bytes 30408704 to 31457279 of the disk"* ]]
	[ "$(grep -c '  lost:' <<<"$output")" -eq 3 ]
	isomorph verify --json -q disk.zst >report.json || [ $? -eq 1 ]
	[ "$(json report.json '[(r["offset"], r["length"], r["first_partition"]) for r in d["damaged"]]')" = "[(9437184, 1048576, 2), (27262976, 2097152, 0), (30408704, 1048576, 0)]" ]
	[ "$(json report.json 'd["damaged_bytes"]')" -eq $((4 << 20)) ]
	run -1 isomorph restore -q --yes disk.zst refused.img
	[ ! -e refused.img ]
	run -4 isomorph restore -q --yes --damaged disk.zst got.img
	[[ $output == *"lost: bytes 9437184 to 10485759"* ]]
	for i in 9 26 27 29; do
		dd if=/dev/zero of=disk.img bs=1M seek=$i count=1 conv=notrunc status=none
	done
	cmp got.img disk.img
}

@test "every frame of ours damaged in turn: never whole; the disk can be had all the same, but for a damaged header" {
	head -c 2500000 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	while read -r position stored length; do
		[ "$length" -eq 0 ] || continue
		cp disk.zst bad.zst
		poke bad.zst $((position + stored / 2))
		run -1 isomorph verify bad.zst
		rm -f got.img
		[ "$position" -eq 0 ] && expect=1 || expect=0
		run -$expect isomorph restore -q --yes --damaged bad.zst got.img
		[ $expect -eq 1 ] || cmp got.img disk.img
	done < <(frames disk.zst)
	size=$(stat -c %s disk.zst)
	for at in $((size - 3)) $((size - 8)) $((size - 30)); do
		cp disk.zst bad.zst
		poke bad.zst $at
		truncate -s "$size" bad.zst
		run -1 isomorph verify bad.zst
		run -1 isomorph restore -q --yes bad.zst none.img
	done
}

@test "cut off anywhere: never whole, --damaged gives what was there and zeros behind" {
	head -c 4500000 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	size=$(stat -c %s disk.zst)
	for length in 4096 5000 1200000 3000000 $((size - 1)) $((size - 500)); do
		head -c "$length" disk.zst >cut.zst
		run -1 isomorph verify cut.zst
		rm -f got.img
		run isomorph restore -q --yes --damaged cut.zst got.img
		[ "$(stat -c %s got.img)" -eq 4500000 ]
		if [ "$status" -eq 0 ]; then
			cmp got.img disk.img
		else
			[ "$status" -eq 4 ]
			whole=$(zstd -dcq cut.zst 2>/dev/null | wc -c)
			whole=$((whole / 1048576 * 1048576))
			cmp -n "$whole" got.img disk.img
			[ -z "$(tail -c +$((whole + 1)) got.img | tr -d '\0' | head -c 1)" ]
		fi
	done
}

@test "the same of an image whose size was not known when it was begun" {
	head -c 3500000 /dev/urandom >disk.img
	isomorph capture -q --all - disk.zst <disk.img
	run -0 isomorph verify disk.zst
	head -c $(($(stat -c %s disk.zst) - 300)) disk.zst >cut.zst
	run -1 isomorph verify cut.zst
	isomorph restore -q --yes --damaged cut.zst got.img
	cmp got.img disk.img
}

@test "N random damages: verify never calls whole what does not give the disk, and never crashes" {
	n=$((${N:-1} * 40))
	head -c 600000 /dev/urandom >disk.img
	head -c 900000 /dev/zero >>disk.img
	yes text | head -c 700000 >>disk.img
	isomorph capture -q --all disk.img disk.zst
	echo "# N=$n SEED=$SEED"
	python3 - "$isomorph" "$n" "$SEED" <<-'PY'
		import random, subprocess, sys
		program, n, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
		good, disk = open('disk.zst', 'rb').read(), open('disk.img', 'rb').read()
		rng = random.Random(seed)
		harmless = 0
		for i in range(n):
		    at, how = rng.randrange(len(good)), rng.choice(['cut', 'flip', 'bytes', 'block'])
		    bad = bytearray(good)
		    if how == 'cut':
		        del bad[at:]
		    elif how == 'flip':
		        bad[at] ^= 1 << rng.randrange(8)
		    else:
		        size = 8 if how == 'bytes' else 4096
		        bad[at:at + size] = rng.randbytes(len(bad[at:at + size]))
		    open('bad.zst', 'wb').write(bad)
		    r = subprocess.run([program, 'verify', '-q', 'bad.zst'], capture_output=True, text=True)
		    where = f'{how} at byte {at}, seed {seed}, damage {i}: {r.stderr}'
		    if r.returncode == 0:  # a bit that the decoder does not look at
		        assert how != 'cut', where
		        assert subprocess.run(['zstd', '-dcq', 'bad.zst'], capture_output=True).stdout == disk, where
		        harmless += 1
		    else:
		        assert r.returncode == 1 and 'byte' in r.stderr or 'no complete image' in r.stderr, where
		assert harmless <= n // 10, harmless
	PY
}
