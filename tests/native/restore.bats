#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph restore: images back onto disks and files, all of them or what differs.

load native

# used_alike IMAGE DISK: data and zero bytes of the image are what DISK holds
used_alike() {
	reader stream "$1" >stream.img
	reader extents "$1" >extents
	python3 - stream.img "$2" extents <<-'PY'
		import sys
		image, disk = open(sys.argv[1], 'rb'), open(sys.argv[2], 'rb')
		for line in open(sys.argv[3]):
		    offset, size, kind = line.split()
		    if kind in ('data', 'zero'):
		        image.seek(int(offset)), disk.seek(int(offset))
		        assert image.read(int(size)) == disk.read(int(size)), line
	PY
}

# unused_of IMAGE DISK: the bytes of DISK where the image has unused extents
unused_of() {
	reader extents "$1" | grep ' unused$' | while read -r offset size _; do
		tail -c +$((offset + 1)) "$2" | head -c "$size"
	done
}

@test "to a new file, to an existing one, through pipes" {
	head -c 3500001 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	isomorph restore -q disk.zst new.img
	cmp new.img disk.img
	head -c 3500001 /dev/zero >old.img
	isomorph restore -q --yes disk.zst old.img
	cmp old.img disk.img
	isomorph restore -q --yes - piped.img <disk.zst
	cmp piped.img disk.img
	run -2 isomorph restore -q --yes disk.img other.img
	[[ $output == *"is no isomorph image"* ]]
}

@test "a pipe that ends too early is no disk" {
	head -c 3500001 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	end=$(python3 -c 'import struct, sys; d = open("disk.zst", "rb").read(); n = struct.unpack_from("<I", d, len(d) - 9)[0]; print(sum(struct.unpack_from("<I", d, len(d) - 9 - 12 * n + 12 * i)[0] for i in range(3)))')
	for length in 5000 "$end" 3000000; do
		run -1 isomorph restore -q --yes - "cut$length.img" < <(head -c "$length" disk.zst)
		[ ! -e "cut$length.img" ]
		run -1 isomorph write -q --yes - "cut$length.img" < <(head -c "$length" disk.zst)
		[ ! -e "cut$length.img" ]
		head -c "$length" disk.zst >cut.zst
		run -1 isomorph restore -q --yes cut.zst "cut$length.img"
		[[ $output == *"is no complete image"* ]]
	done
}

@test "to disks: as large, larger, too small" {
	gpt disk.img 32
	isomorph capture -q --all disk.img disk.zst
	for size in 32 40; do
		head -c "${size}M" /dev/urandom >target$size.img
		loop target$size.img
		isomorph restore -q --yes disk.zst "$loop"
		cmp -n $((32 << 20)) target$size.img disk.img
	done
	head -c 31M /dev/urandom >small.img
	before=$(sha256sum <small.img)
	loop small.img
	run -5 isomorph restore -q --yes disk.zst "$loop"
	[ "$(sha256sum <small.img)" = "$before" ]
}

@test "--unused: keep leaves old data, zero makes zeros, discard leaves no promise; used bytes are exact always" {
	gpt disk.img 32
	isomorph capture -q disk.img disk.zst
	for how in keep zero discard; do
		head -c 32M /dev/urandom >target.img
		cp target.img old.img
		isomorph restore -q --yes --unused $how disk.zst target.img
		used_alike disk.zst target.img
		case $how in
		keep) cmp <(unused_of disk.zst target.img) <(unused_of disk.zst old.img) ;;
		zero) cmp <(zstd -dcq disk.zst) target.img ;;
		esac
		dd if=target.img of=ext4.out bs=1M skip=9 count=16 status=none
		e2fsck -fn ext4.out
	done
	run -2 isomorph restore -q --yes --unused maybe disk.zst target.img
}

@test "--delta writes what differs and nothing else" {
	head -c 8000000 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	cp disk.img target.img
	isomorph restore --json --yes --delta disk.zst target.img >same.json
	[ "$(python3 -c 'import json; print(json.load(open("same.json"))["targets"][0]["changed"])')" = False ]
	printf x | dd of=target.img bs=1 seek=5000000 conv=notrunc status=none
	isomorph restore --json --yes --delta disk.zst target.img >one.json
	[ "$(python3 -c 'import json; print(json.load(open("one.json"))["targets"][0]["written"] < 4000000)')" = True ]
	cmp target.img disk.img
}

@test "killed while it restores: the target is not whole, --delta finishes it" {
	head -c 12000000 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	head -c 12000000 /dev/zero | tr '\0' x >target.img
	ISOMORPH_FAULTY="$PWD/target.img=write-bps=4000000" "$isomorph" restore -q --yes disk.zst target.img &
	sleep 1
	kill -9 $!
	wait $! || true
	run ! cmp -s target.img disk.img
	[ -z "$(head -c 512 target.img | tr -d '\0')" ]
	isomorph restore -q --yes --delta disk.zst target.img
	cmp target.img disk.img
}

@test "a damaged chunk: refused, its place named, the target never looks whole" {
	head -c 6000000 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	printf '\1\2\3\4' | dd of=disk.zst bs=1 seek=3333333 conv=notrunc status=none
	run -1 isomorph restore -q --yes disk.zst target.img
	[[ $output == *"is damaged"* ]]
	[[ $output == *"from byte 3145728"* ]]
	[ ! -e target.img ]
}
