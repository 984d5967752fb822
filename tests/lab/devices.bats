#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# What is known of real disks (USB, SATA, NVMe, 4Kn), and what is done to them beside writing: unmounting, taking a
# member out of a set, the new partitions, eject and power-off.

load lab

setup_file() {
	truncate -s 64M "$BATS_FILE_TMPDIR"/{nvme,sata,small,four}
	noise 4096 >"$BATS_FILE_TMPDIR/image"
	MODULES=nvme,ahci,raid1 lab_start \
		-drive if=none,id=n,format=raw,file="$BATS_FILE_TMPDIR/nvme" -device nvme,drive=n,serial=NVME-1 \
		-device ahci,id=ahci -drive if=none,id=s,format=raw,file="$BATS_FILE_TMPDIR/sata" \
		-device ide-hd,drive=s,bus=ahci.0,serial=SATA-1,model=Lab\ Disk \
		-drive if=none,id=r,format=raw,readonly=on,file="$BATS_FILE_TMPDIR/small" \
		-device scsi-hd,drive=r,bus=scsi.0,serial=RO-1 \
		-drive if=none,id=f,format=raw,file="$BATS_FILE_TMPDIR/four" \
		-device scsi-hd,drive=f,bus=scsi.0,serial=FOUR-1,logical_block_size=4096,physical_block_size=4096
	guest 'head -c 1048576 /dev/urandom >/tmp/image'
}

teardown_file() {
	lab_end
}

# of SERIAL: its device node.
of() {
	devices | python3 -c '
import json, sys
print(*[d["path"] for d in json.load(sys.stdin)["devices"] if d["serial"] == sys.argv[1]])' "$1"
}

devices() {
	guest 'isomorph devices --json'
}

# fact SERIAL EXPRESSION: of the disk d.
fact() {
	devices | python3 -c '
import json, sys
d, = [d for d in json.load(sys.stdin)["devices"] if d["serial"] == sys.argv[1]]
print(eval(sys.argv[2]))' "$1" "$2"
}

# refused DISK WORDS [OPTION]...: exit 5, these words, and not a byte changed.
refused() {
	local disk=$1 words=$2 before
	shift 2
	before=$(guest "sha256sum <$disk")
	run guest "isomorph write --as raw --yes $* /tmp/image $disk 2>&1"
	echo "$output"
	[ "$status" = 5 ]
	[[ $output == *"$words"* ]]
	[ "$(guest "sha256sum <$disk")" = "$before" ]
}

written() {
	run guest "isomorph write --as raw --yes $* /tmp/image $disk 2>&1"
	echo "$output"
	[ "$status" = 0 ]
	guest "cmp -n 1048576 /tmp/image $disk"
}

@test "disks are known by what they are" {
	plug STICK1 "$BATS_FILE_TMPDIR/image"
	[ "$(fact STICK1 'd["bus"], d["removable"], d["fixed"], d["size"], d["protected"]')" = \
		"('usb', True, False, 4096, None)" ]
	[ "$(fact STICK1 'd["path"]')" = "$disk" ]
	unplug STICK1
	[ "$(fact NVME-1 'd["bus"], d["fixed"], d["path"]')" = "('nvme', True, '/dev/nvme0n1')" ]
	[ "$(fact SATA-1 'd["bus"], d["model"], d["sector_size"]')" = "('ata', 'Lab Disk', 512)" ]
	[ "$(fact RO-1 'd["read_only"], d["protected"]')" = "(True, 'is read-only')" ]
	[ "$(fact FOUR-1 'd["bus"], d["sector_size"], d["physical_size"]')" = "('scsi', 4096, 4096)" ]
}

@test "--unmount lets go of a mounted partition, but not of the image on it" {
	disk=$(of NVME-1)
	guest "echo '2048,32768' | sfdisk -q $disk; mkfs.ext4 -q ${disk}p1; mount -t ext4 ${disk}p1 /mnt"
	[ "$(fact NVME-1 'd["partitions"][0]["path"], d["partitions"][0]["fs_type"]')" = "('/dev/nvme0n1p1', 'ext4')" ]
	refused "$disk" "is mounted at /mnt (/dev/nvme0n1p1)"
	guest 'cp /tmp/image /mnt/image'
	run guest "isomorph write --as raw --yes --unmount /mnt/image $disk 2>&1"
	[ "$status" = 5 ]
	[[ $output == *"carries /mnt/image"* ]]
	written --unmount
	run guest "mountpoint -q /mnt || [ -e ${disk}p1 ]"
	[ "$status" != 0 ]
}

@test "a stopped array still names its members" {
	disk=$(of SATA-1)
	guest "echo '2048,65536' | sfdisk -q $disk
		mdadm -C /dev/md7 -l1 -n2 --run --assume-clean --metadata=1.2 ${disk}1 missing"
	refused "$disk" "is in use by md7"
	refused "${disk}1" "is in use by md7" --partition-target
	guest 'mdadm --stop /dev/md7'
	refused "$disk" "holds a member of a set of several disks (${disk}1: linux_raid_member)"
	written --replace-members
}

@test "the new table's partitions are there when the job is done" {
	disk=$(of SATA-1)
	guest "rm -f /tmp/table; truncate -s 8M /tmp/table; printf '2048,2048\n6144,2048\n' | sfdisk -q /tmp/table
		isomorph write --as raw --yes /tmp/table $disk; [ -b ${disk}1 ] && [ -b ${disk}2 ]"
	guest "isomorph write --as raw --yes /tmp/image $disk; ! [ -e ${disk}1 ]"
}

@test "a stick that is powered off is gone, and whole" {
	truncate -s 8M "$BATS_TEST_TMPDIR/stick"
	plug OFF1 "$BATS_TEST_TMPDIR/stick"
	guest "isomorph write --as raw --yes --power-off /tmp/image $disk"
	[ -z "$(of OFF1)" ]
	unplug OFF1
	[ "$(head -c $MiB "$BATS_TEST_TMPDIR/stick" | sha256sum)" = "$(guest 'sha256sum </tmp/image')" ]
}

@test "an ejected stick has no medium" {
	truncate -s 8M "$BATS_TEST_TMPDIR/stick"
	plug EJ1 "$BATS_TEST_TMPDIR/stick"
	guest "isomorph write --as raw --yes --eject /tmp/image $disk"
	run guest "isomorph write --as raw --yes /tmp/image $disk 2>&1"
	[ "$status" = 5 ]
	[[ $output == *"has no medium"* ]]
	unplug EJ1
}
