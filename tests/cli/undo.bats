#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# write --undo FILE and isomorph undo: the old disk comes back, byte for byte, or not at all.

load common

@test "the old disk comes back byte for byte, its last MiB too" {
	noise image 9000001
	for options in "" --keep-tail --no-verify --delta; do
		a_disk 16M
		old=$(sum "$disk")
		# shellcheck disable=SC2086
		run -0 "$iso" write --yes $options --undo kept image "$disk"
		cmp -n 9000001 image "$disk"
		run -0 "$iso" undo --yes kept "$disk"
		says "again what it was"
		[ "$(sum "$disk")" = "$old" ]
		rm kept
		losetup -d "$disk"
	done
}

@test "a disk in large sectors, an odd file, a small one" {
	noise image 3000001
	a_disk 8M --sector-size 4096
	old=$(sum "$disk")
	run -0 "$iso" write --yes --undo kept image "$disk"
	run -0 "$iso" undo --yes kept "$disk"
	[ "$(sum "$disk")" = "$old" ]
	for size in 1 100 513 1048577 5000001; do
		noise file "$size" old
		cp file file.old
		noise image $(((size + 1) / 2))
		run -0 "$iso" write --yes --undo "kept$size" image file
		run -0 "$iso" undo --yes "kept$size" file
		cmp file.old file
	done
}

@test "an equal image keeps nothing and changes nothing" {
	noise image 3M
	a_disk 3M
	run -0 "$iso" write --yes image "$disk"
	old=$(sum "$disk")
	run -0 "$iso" write --yes --undo kept image "$disk"
	[ "$(sum "$disk")" = "$old" ]
	run -2 "$iso" undo --yes kept "$disk"
	says "keeps nothing"
}

@test "refused, exit 5, when something else has written since; nothing is changed then" {
	noise image 9000001
	a_disk 16M
	run -0 "$iso" write --yes --undo kept image "$disk"
	for at in 10 2000000 9000000 16777215; do
		cp disk.img before
		printf '\125' | dd of="$disk" bs=1 seek=$at conv=notrunc,fsync status=none
		now=$(sum "$disk")
		run -5 "$iso" undo --yes kept "$disk"
		says "has changed since"
		[ "$(sum "$disk")" = "$now" ]
		dd if=before of="$disk" bs=1 skip=$at seek=$at count=1 conv=notrunc,fsync status=none
	done
	run -0 "$iso" undo --yes kept "$disk"
}

@test "a write that failed half-way is undone" {
	noise image 12M
	for faults in gone@5M write-error@9M full@7M; do
		a_disk 16M
		old=$(sum "$disk")
		ISOMORPH_FAULTY="$disk=$faults" run -1 "$iso" write --yes --undo kept image "$disk"
		[ "$(sum "$disk")" != "$old" ]
		run -0 "$iso" undo --yes kept "$disk"
		[ "$(sum "$disk")" = "$old" ]
		rm kept
		losetup -d "$disk"
	done
}

@test "an interrupted write with --undo goes on with the same command, and is undone afterwards" {
	noise image 12M
	a_disk 16M
	old=$(sum "$disk")
	ISOMORPH_FAULTY="$disk=gone@8M" run -1 "$iso" write --yes --undo kept image "$disk"
	run -0 "$iso" write --yes --undo kept image "$disk"
	cmp -n 12582912 image "$disk"
	run -0 "$iso" undo --yes kept "$disk"
	[ "$(sum "$disk")" = "$old" ]
}

@test "an interrupted undo is begun again" {
	noise image 12M
	a_disk 16M
	old=$(sum "$disk")
	run -0 "$iso" write --yes --undo kept image "$disk"
	ISOMORPH_FAULTY="$disk=gone@8M" run -1 "$iso" undo --yes kept "$disk"
	zeros "$disk" 0 1048576
	run -0 "$iso" undo --yes kept "$disk"
	[ "$(sum "$disk")" = "$old" ]
}

@test "the undo file of a finished job, of another disk, no undo file, a damaged one" {
	noise image 3M
	a_disk 8M
	run -0 "$iso" write --yes --undo kept image "$disk"
	first=$(sum kept)
	noise image 3M other
	run -5 "$iso" write --yes --undo kept image "$disk"
	says "finished job"
	noise other.img 9M other
	run -5 "$iso" undo --yes kept other.img
	run -5 "$iso" write --yes --undo image image other.img
	run -2 "$iso" undo --yes image "$disk"
	says "not an undo file"
	run -2 "$iso" write --yes kept "$disk"
	says "undo file"
	[ "$(sum kept)" = "$first" ]
	now=$(sum "$disk")
	for at in 9 200 5000 1000000; do
		cp kept broken
		printf '\125\252' | dd of=broken bs=1 seek=$at conv=notrunc status=none
		run "$iso" undo --yes broken "$disk"
		[ "$status" -ne 0 ]
		[ "$status" -lt 126 ]
		[ "$(sum "$disk")" = "$now" ]
	done
}

@test "an undo file on the target is refused" {
	truncate -s 32M fs.img
	mkfs.ext4 -q fs.img
	loop fs.img
	mkdir mnt
	mount "$disk" mnt
	later mount "$PWD/mnt"
	noise image 3M
	run -5 "$iso" write --yes --unmount --undo mnt/kept image "$disk"
	[ ! -s mnt/kept ]
	run -5 "$iso" write --yes --undo fs.img image "$disk"
}

@test "an undo file that cannot be written stops the job before anything is lost" {
	noise image 12M
	noise file 16M old
	old=$(sum file)
	mkdir small
	mount -t tmpfs -o size=3M none small
	later mount "$PWD/small"
	run -1 "$iso" write --yes --undo small/kept image file
	says "No space left"
	run -0 "$iso" undo --yes small/kept file
	[ "$(sum file)" = "$old" ]
}

@test "a disk that began like a file of another program comes back too" {
	a_disk 4M
	printf 'QFI\373\0\0\0\3' | dd of="$disk" conv=notrunc,fsync status=none
	old=$(sum "$disk")
	noise image 2M
	run -0 "$iso" write --yes --undo kept image "$disk"
	run -0 "$iso" undo --yes kept "$disk"
	[ "$(sum "$disk")" = "$old" ]
}

@test "two targets with --undo are exit 2" {
	noise image 1M
	run -2 "$iso" write --yes --undo kept image a b
	[ ! -e kept ]
}

@test "what was erased with --undo comes back" {
	truncate -s 16M disk.img
	mkfs.vfat -n PICTURES disk.img >/dev/null
	loop disk.img
	old=$(sum "$disk")
	run -0 "$iso" erase --yes --undo kept "$disk"
	[ "$(sum "$disk")" != "$old" ]
	run -0 "$iso" undo --yes kept "$disk"
	[ "$(sum "$disk")" = "$old" ]
}
