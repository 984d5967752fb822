#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph capture: what zstd and a second reader make of the images, and that they are the disk.

load native

@test "a GPT disk, every sector: zstd gives it back, the second reader proves it, the source is only read" {
	gpt disk.img 32
	before=$(sha256sum <disk.img)
	isomorph capture -q --all disk.img disk.zst
	[ "$(sha256sum <disk.img)" = "$before" ]
	same_as disk.zst disk.img
	zstd -lq disk.zst
	[ ! -e disk.zst.part ]
	[ "$(field disk.zst mode)" = all ]
}

@test "sizes from one byte to odd ones around chunks" {
	for size in 1 511 512 4095 4096 4097 65536 1048575 1048576 1048577 3145729 5000001; do
		head -c "$size" /dev/urandom >disk.img
		rm -f disk.zst
		isomorph capture -q --all disk.img disk.zst
		same_as disk.zst disk.img
	done
}

@test "sparse gigabytes with a few bytes in them, and the same bytes without holes: one root, one extent list" {
	truncate -s 3G disk.img
	printf x | dd of=disk.img bs=1 seek=1234567890 conv=notrunc status=none
	isomorph capture -q --all --no-verify disk.img disk.zst
	zstd -dcq disk.zst | cmp - disk.img
	[ "$(stat -c %s disk.zst)" -lt 1000000 ]
	[ "$(reader extents disk.zst | wc -l)" -eq 3 ]
	truncate -s 5000001 holes.img
	printf x | dd of=holes.img bs=1 seek=2000000 conv=notrunc status=none
	cp --sparse=never holes.img full.img
	isomorph capture -q --all holes.img holes.zst
	isomorph capture -q --all full.img full.zst
	[ "$(field holes.zst tree)" = "$(field full.zst tree)" ]
	diff <(reader extents holes.zst) <(reader extents full.zst)
}

@test "all zeros, all random, all one byte" {
	truncate -s 4194305 zeros.img
	head -c 4194305 /dev/urandom >random.img
	head -c 4194305 /dev/zero | tr '\0' '\377' >ones.img
	for kind in zeros random ones; do
		isomorph capture -q --all $kind.img $kind.zst
		same_as $kind.zst $kind.img
	done
}

@test "every level and number of threads: the same root" {
	gpt disk.img 32
	for how in "--level 1" "--level 3 --threads 1" "--level 9 --threads 3" "--level 19 --threads 2"; do
		rm -f disk.zst
		# shellcheck disable=SC2086
		isomorph capture -q --all $how disk.img disk.zst
		same_as disk.zst disk.img
		[ "${root:-$(field disk.zst tree)}" = "$(field disk.zst tree)" ]
		root=$(field disk.zst tree)
	done
	run -2 isomorph capture -q --level 20 disk.img other.zst
	run -2 isomorph capture -q --level 0 disk.img other.zst
}

@test "used blocks only: the rest is zero in the stream, and unused in the list" {
	gpt disk.img 32
	yes 'what was deleted' | dd of=disk.img bs=4096 seek=6000 count=1 iflag=fullblock conv=notrunc status=none
	isomorph capture -q disk.img disk.zst
	reader check disk.zst
	[ "$(field disk.zst mode)" = used ]
	reader extents disk.zst | grep -q ' unused$'
	reader stream disk.zst >stream.img
	reader extents disk.zst >extents
	python3 - disk.img stream.img extents <<-'PY'
		import sys
		disk, stream = (open(p, 'rb').read() for p in sys.argv[1:3])
		for line in open(sys.argv[3]):
		    offset, size, kind = line.split()
		    a, b = int(offset), int(offset) + int(size)
		    assert stream[a:b] == (disk[a:b] if kind == 'data' else bytes(b - a)), line
		assert b == len(disk) == len(stream)
	PY
	dd if=stream.img of=ext4.out bs=1M skip=9 count=16 status=none
	e2fsck -fn ext4.out
	debugfs -R 'dump /random random.out' ext4.out 2>/dev/null
	cmp random.out tree/random
}

@test "one partition: an image of it alone, from its first byte" {
	gpt disk.img 32
	isomorph capture -q --all --partition 2 disk.img two.zst
	dd if=disk.img of=two.img bs=1M skip=9 count=16 status=none
	same_as two.zst two.img
	[ "$(field two.zst partition)" -eq 2 ]
	[ "$(field two.zst partition_offset)" -eq $((9 << 20)) ]
	isomorph capture -q --partition 2 disk.img used.zst
	reader check used.zst
	run -2 isomorph capture -q --partition 7 disk.img seven.zst
	[[ $output == *"has no partition 7"* ]]
	[ ! -e seven.zst ]
}

@test "from standard input, to standard output" {
	head -c 2500001 /dev/urandom >disk.img
	isomorph capture -q --all - in.zst <disk.img
	same_as in.zst disk.img
	isomorph capture -q --all disk.img - >out.zst
	same_as out.zst disk.img
	isomorph capture -q --all - - <disk.img | zstd -dcq | cmp - disk.img
	run -2 isomorph capture -q - used.zst <disk.img
}

@test "an empty pipe is no disk" {
	run isomorph capture -q --all - empty.zst </dev/null
	[ "$status" -ne 0 ]
	[ ! -e empty.zst ]
}

@test "a compressed source is captured as the disk that it holds" {
	head -c 3000000 /dev/urandom >disk.img
	xz -0k disk.img
	gzip -1k disk.img
	isomorph capture -q --all disk.img.xz xz.zst
	same_as xz.zst disk.img
	isomorph capture -q --all disk.img.gz gz.zst
	same_as gz.zst disk.img
	isomorph capture -q --all xz.zst again.zst
	same_as again.zst disk.img
}

@test "any range by the seek table alone" {
	head -c 2000000 /dev/urandom >disk.img
	head -c 2000000 /dev/zero >>disk.img
	head -c 1234567 /dev/urandom >>disk.img
	isomorph capture -q --all disk.img disk.zst
	for range in "0 1" "1048575 2" "5234566 1" "1999990 3000000" "0 5234567" "3145728 1048576"; do
		# shellcheck disable=SC2086
		set -- $range
		reader range disk.zst "$1" "$2" | cmp - <(tail -c +$(($1 + 1)) disk.img | head -c "$2")
	done
}

@test "disks of 512 and 4096 byte sectors, from a loop device" {
	for sector in 512 4096; do
		truncate -s 48M disk$sector.img
		loop disk$sector.img $sector
		printf 'label: gpt\n,16M,L\n' | sfdisk -q "$loop"
		dd if=/dev/urandom of="$loop" bs=1M seek=2 count=3 conv=notrunc,fsync status=none
		isomorph capture -q --all "$loop" disk$sector.zst
		same_as disk$sector.zst disk$sector.img
		[ "$(field disk$sector.zst sector)" -eq $sector ]
	done
}

@test "an existing image is never replaced" {
	head -c 100000 /dev/urandom >disk.img
	isomorph capture -q --all disk.img disk.zst
	before=$(sha256sum <disk.zst)
	run -5 isomorph capture -q --all disk.img disk.zst
	[ "$(sha256sum <disk.zst)" = "$before" ]
	echo precious >notes.txt
	run -5 isomorph capture -q --all disk.img notes.txt
	[ "$(cat notes.txt)" = precious ]
	run -2 isomorph capture -q --all disk.img /dev/no-such-disk
}

@test "no room for the image: said, exit 1, nothing that looks whole" {
	[ "$(id -u)" -eq 0 ] || skip "mounting needs root"
	mkdir small
	mount -t tmpfs -o size=3M none small || skip "no tmpfs to be had"
	head -c 9000000 /dev/urandom >disk.img
	run isomorph capture -q --all disk.img small/disk.zst
	ls -l small
	[ ! -e small/disk.zst ] || { umount small; false; }
	umount small
	[ "$status" -eq 1 ]
	[[ $output == *"No space left"* ]]
	[[ $output == *"the same command goes on"* ]]
}

@test "unreadable sectors: found to the sector, zeros in the stream, bad in the list, exit 4" {
	head -c 5000000 /dev/urandom >disk.img
	ISOMORPH_FAULTY="disk.img=read-error@1500000+1000,read-error@4999000" run -4 isomorph capture -q --all disk.img disk.zst
	[[ $output == *"could not be read"* ]]
	[[ $output == *"at byte 1499648"* ]]
	[ "$(reader extents disk.zst | grep ' bad$')" = "$(printf '1499648 1536 bad\n4998656 1024 bad')" ]
	cp disk.img want.img
	dd if=/dev/zero of=want.img bs=512 seek=2929 count=3 conv=notrunc status=none
	dd if=/dev/zero of=want.img bs=512 seek=9763 count=2 conv=notrunc status=none
	same_as disk.zst want.img
}
