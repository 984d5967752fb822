#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# Never the wrong disk (DESIGN 4.1), on a kernel with real holders: every refusal is exit 5 with --yes given, says why,
# and leaves the stick as it was.

load lab

setup_file() {
	lab_start
	noise $((2 * MiB)) image >"$LAB/vm-$VM/job/image.raw"
}

teardown_file() {
	lab_end
}

setup() {
	stick=$BATS_TEST_TMPDIR/stick
	id=G$BATS_TEST_NUMBER
	new_stick "$stick" $((16 * MiB))
	plug "$id" "$stick"
}

teardown() {
	guest "dmsetup remove_all; mdadm --stop --scan; swapoff -a; umount /mnt; losetup -D; kill \$(pidof sleep); true" 2>/dev/null
	unplug "$id"
}

# one_partition: the stick gets a DOS table with one partition.
one_partition() {
	guest "echo 2048,,83 | sfdisk -q $disk && [ -b ${disk}1 ]"
}

# refused WORDS [IMAGE [TARGET [OPTION]...]]: isomorph refuses, says WORDS (a regular expression), and changed no byte.
refused() {
	local words=$1 image=${2:-/job/image.raw} target=${3:-$disk} before

	before=$(fingerprint "$stick")
	run guest "isomorph write --yes ${*:4} $image $target"
	echo "$output"
	[ "$status" = 5 ]
	[[ $output =~ $words ]]
	[ "$(fingerprint "$stick")" = "$before" ]
}

# accepted: the same command once the reason is gone, so that the refusal was for that reason.
accepted() {
	guest "isomorph write --yes /job/image.raw $disk"
	same_prefix "$LAB/vm-$VM/job/image.raw" "$stick"
}

@test "a mounted partition, even read-only" {
	one_partition
	guest "mkfs.ext4 -q ${disk}1 && mount -t ext4 -o ro,noload ${disk}1 /mnt"
	refused 'mounted'
	refused '/mnt'
	guest 'umount /mnt'
	accepted
}

@test "a mounted file system on the whole disk, written to while isomorph looks" {
	guest "mkfs.ext4 -q $disk && mount -t ext4 $disk /mnt && cp /job/image.raw /mnt/keep && sync"
	run guest "isomorph write --yes /job/image.raw $disk"
	echo "$output"
	[ "$status" = 5 ]
	[[ $output =~ mounted ]]
	# The file system goes on writing by itself, so not a hash: it is whole, and so is the file in it.
	guest 'cmp /mnt/keep /job/image.raw && umount /mnt'
	e2fsck -fn "$stick"
	accepted
}

@test "mounted in another mount namespace only" {
	one_partition
	guest "mkfs.ext4 -q ${disk}1"
	vm bg "$VM" "unshare -m sh -c 'mount --make-rprivate / && mount -t ext4 -o ro,noload ${disk}1 /mnt && touch /job/there && sleep 60'"
	guest 'for i in $(seq 100); do [ -e /job/there ] && break; usleep 50000; done; ! grep /mnt /proc/self/mounts'
	refused 'mounted|in use'
	guest 'kill $(pidof sleep)'
}

@test "swap" {
	one_partition
	guest "mkswap -q ${disk}1 && swapon ${disk}1"
	refused 'swap'
	guest "swapoff ${disk}1"
	accepted
}

@test "a device-mapper holder" {
	guest "dmsetup create held --table \"0 1024 linear $disk 2048\""
	refused 'held|dm-|device.mapper|in use'
	guest 'dmsetup remove held'
	accepted
}

@test "a device-mapper holder of a partition" {
	one_partition
	guest "dmsetup create held --table \"0 1024 linear ${disk}1 0\""
	refused 'held|dm-|device.mapper|in use'
}

@test "a member of a running md array" {
	guest "mdadm --create /dev/md7 --run --metadata=1.2 --level=1 --raid-devices=2 $disk missing 2>&1 && mdadm --readonly /dev/md7"
	refused 'md7|md array|RAID|in use'
}

@test "a loop device over it" {
	guest "losetup --direct-io=off /dev/loop5 $disk"
	refused 'loop5|in use'
	guest 'losetup -d /dev/loop5'
	accepted
}

@test "the image lies on the disk, in a mounted file system" {
	one_partition
	guest "mkfs.ext4 -q ${disk}1 && mount -t ext4 ${disk}1 /mnt && cp /job/image.raw /mnt/ && umount /mnt && mount -t ext4 -o ro,noload ${disk}1 /mnt"
	refused 'image|mounted' /mnt/image.raw
	refused 'image|carries|mounted' /mnt/image.raw "$disk" --unmount
	guest 'cmp /mnt/image.raw /job/image.raw'
}

@test "the image is a partition of the disk, nothing being mounted" {
	one_partition
	refused '' "${disk}1"
}

@test "the image lies on the disk, behind a loop device on a dm device" {
	guest "dmsetup create carrier --table \"0 8192 linear $disk 2048\" && losetup /dev/loop4 /dev/mapper/carrier"
	refused '' /dev/loop4
}

@test "source and target are the same disk" {
	refused 'same' "$disk"
}

@test "the disk is one sector too small" {
	head -c $((16 * MiB)) /dev/zero >"$LAB/vm-$VM/job/fits.raw"
	head -c $((16 * MiB + 512)) /dev/zero >"$LAB/vm-$VM/job/too-big.raw"
	refused '16777216|too small|smaller' /job/too-big.raw
	guest "isomorph write --yes /job/fits.raw $disk"
	same_prefix "$LAB/vm-$VM/job/fits.raw" "$stick"
}

@test "a write-protected stick" {
	unplug "$id"
	vm_blockdev "{\"driver\":\"raw\",\"read-only\":true,\"node-name\":\"node-$id\",
		\"file\":{\"driver\":\"file\",\"read-only\":true,\"filename\":\"$stick\"}}"
	plug_node "$id" "node-$id"
	refused 'read-only|write.protect'
}

@test "an image with 512-byte tables for a disk of 4096-byte sectors" {
	truncate -s 8M "$BATS_TEST_TMPDIR/gpt.raw"
	printf 'label: gpt\n2048,4096\n' | sfdisk -q "$BATS_TEST_TMPDIR/gpt.raw"
	share "$BATS_TEST_TMPDIR/gpt.raw"
	new_stick "$BATS_TEST_TMPDIR/4kn" $((16 * MiB))
	vm_blockdev "$(json_file "node-big$id" "$BATS_TEST_TMPDIR/4kn")"
	qmp device_add driver=scsi-hd id="big$id" bus=scsi.0 scsi-id=5 drive="node-big$id" \
		logical_block_size=4096 physical_block_size=4096
	big=$(guest "for i in \$(seq 100); do d=\$(ls -d /sys/class/scsi_device/*:0:5:0/device/block/* 2>/dev/null) && break
		usleep 30000; done; echo /dev/\${d##*/}")
	before=$(fingerprint "$BATS_TEST_TMPDIR/4kn")
	run guest "isomorph write --yes /job/gpt.raw $big"
	unplug "big$id"
	echo "$output"
	[ "$status" = 5 ]
	[[ $output =~ sector ]]
	[ "$(fingerprint "$BATS_TEST_TMPDIR/4kn")" = "$before" ]
}

@test "another stick is in the port when the user says yes" {
	other=$BATS_TEST_TMPDIR/other
	new_stick "$other" $((16 * MiB))
	before=$(fingerprint "$stick")$(fingerprint "$other")
	guest 'rm -f /tmp/answer && mkfifo /tmp/answer'
	job=$(vm bg "$VM" "script -qec 'isomorph write /job/image.raw $disk' /tmp/asked </tmp/answer")
	# Opens the answer's pipe and holds it until the answer is due.
	vm bg "$VM" 'exec 9>/tmp/answer; for i in $(seq 600); do [ -e /tmp/now ] && break; usleep 50000; done; rm -f /tmp/now; echo y >&9; sleep 1; echo yes >&9; sleep 2'
	guest "for i in \$(seq 200); do [ -s /tmp/asked ] && break; usleep 50000; done; sleep 1; cat /tmp/asked"
	named=$disk
	unplug "$id"
	id=${id}x
	plug "$id" "$other"
	[ "$disk" = "$named" ]
	guest 'touch /tmp/now'
	run vm wait "$VM" "$job"
	echo "$output"
	[ "$status" = 5 ]
	[ "$(fingerprint "$stick")$(fingerprint "$other")" = "$before" ]
}
