#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph erase: no signature is left, nothing else is touched.

load common

# partitioned: $disk with a DOS table and two file systems, which the kernel knows.
partitioned() {
	noise disk.img 64M old
	printf 'label: dos\n2048,40960,83\n,,7\n' | sfdisk -q disk.img
	mkfs.ext4 -q -F -E offset=1048576 disk.img 20M
	loop disk.img
	partx -a "$disk"
	mkfs.vfat -n WORK "${disk}p2" >/dev/null
}

@test "the ends of the disk and of its partitions are zero, the rest is as it was" {
	partitioned
	cp "$disk" before
	run -0 "$iso" erase --yes "$disk"
	says "is blank, verified"
	[ -z "$(blkid -p -o value -s TYPE "$disk" || true)" ]
	[ -z "$(wipefs "$disk")" ]
	zeros "$disk" 0 1048576
	zeros "$disk" 1048576 1048576
	zeros "$disk" $((20971520)) 2097152
	zeros "$disk" $((63 * 1048576)) 1048576
	cmp -n $((18 * 1048576)) -i 2097152 before "$disk"
	cmp -n $((40 * 1048576)) -i $((23 * 1048576)) before "$disk"
	[ ! -e "${disk}p1" ]
}

@test "a disk with something mounted is refused; so is one that is held" {
	partitioned
	mkdir mnt
	mount "${disk}p1" mnt
	later mount "$PWD/mnt"
	before=$(sum "$disk")
	run -5 "$iso" erase --yes "$disk"
	says "$PWD/mnt"
	[ "$(sum "$disk")" = "$before" ]
}

@test "a tiny disk, a file, a disk that is blank already" {
	noise file 100000 old
	run -0 "$iso" erase --yes file
	cmp file <(head -c 100000 /dev/zero)
	a_disk 1M
	run -0 "$iso" erase --yes "$disk"
	zeros "$disk" 0 1048576
	run -0 "$iso" erase --yes "$disk"
}

@test "no disk, two disks, a disk that is not there, a new file: exit 2" {
	run -2 "$iso" erase --yes
	run -2 "$iso" erase --yes a b
	run -2 "$iso" erase --yes /dev/isomorph-no-such-disk
	run -2 "$iso" erase --yes no-such-file
	[ ! -e no-such-file ]
	[ ! -e no-such-file.part ]
}

@test "a disk that keeps its old data is caught" {
	a_disk 8M
	ISOMORPH_FAULTY="$disk=stale@0" run -1 "$iso" erase --yes "$disk"
	says "reads back different"
}
