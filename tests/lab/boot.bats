#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# What isomorph writes boots: real ISOs (tests/lab/images says whose) are written to USB sticks in the guest, then each
# stick is started by BIOS, UEFI or Secure Boot firmware.

load lab

setup_file() {
	lab_start
	"$lab_root/tests/lab/images" "$LAB" ${ISOMORPH_LONG:+long} >&2
}

teardown_file() {
	lab_end
}

setup() {
	images=$LAB/images
	stick=$BATS_TEST_TMPDIR/stick
}

# write_to_stick IMAGE [NAME]: a stick full of old data gets the image, by isomorph, in the guest; pulled out
# afterwards, it holds exactly the image and behind it what it held before, or zeros where old signatures were.
write_to_stick() {
	local name=${2:-${1##*/}} id=W$BATS_TEST_NUMBER

	new_stick "$stick" $((96 * MiB))
	plug "$id" "$stick"
	[ -n "$2" ] || share "$1"
	guest "isomorph write --yes /job/$name $disk"
	unplug "$id"
	same_prefix "$1" "$stick"
}

starts() {
	"$lab_root/tests/lab/boot" "$@" "$stick"
}

@test "grub-rescue's ISO: BIOS starts GRUB; UEFI, for which it has nothing, refuses" {
	write_to_stick "$images/grub-rescue.iso"
	starts --firmware bios --expect 'GNU GRUB'
	run -1 starts --firmware uefi
	[[ $output == *'"refused": "failed to load'* ]]
}

@test "iPXE's isolinux hybrid: BIOS starts isolinux and iPXE" {
	write_to_stick "$images/ipxe.iso"
	starts --firmware bios --expect 'iPXE initialising devices'
}

@test "memtest86+: BIOS and UEFI start it, Secure Boot refuses what nobody signed" {
	write_to_stick "$images/memtest-x64.iso"
	starts --firmware bios --expect 'Memtest86\+'
	starts --firmware uefi
	run -1 starts --firmware secure
	[[ $output == *'Access Denied'* ]]
}

@test "memtest86+ for 32 bits: BIOS starts it, 64-bit UEFI has nothing to start" {
	write_to_stick "$images/memtest-ia32.iso"
	starts --firmware bios --expect 'Memtest86\+'
	run -1 starts --firmware uefi
	[[ $output == *'Not Found'* ]]
}

@test "Debian's signed shim, GRUB and installer: start with Secure Boot enforced" {
	write_to_stick "$images/secure.iso"
	starts --firmware secure --seconds 240 --expect 'EFI stub: UEFI Secure Boot is enabled'
}

@test "a stick that was not written does not boot: the check can say no" {
	truncate -s 16M "$stick"
	run -1 starts --firmware bios --seconds 20
	run -1 starts --firmware uefi --seconds 20
}

@test "packed and split images give the same stick as the plain one" {
	local job=$LAB/vm-$VM/job iso=$images/grub-rescue.iso

	cd "$job"
	cp -L "$iso" plain.iso
	xz -k plain.iso
	zstd -q plain.iso
	gzip -k plain.iso
	bzip2 -k plain.iso
	/usr/bin/python3 -m zipfile -c plain.zip plain.iso
	split -b 2000000 -a 3 --numeric-suffixes=1 plain.iso part.iso.
	for name in plain.iso.xz plain.iso.zst plain.iso.gz plain.iso.bz2 plain.zip part.iso.001; do
		echo "$name"
		write_to_stick "$iso" "$name"
	done
	starts --firmware bios --expect 'GNU GRUB'
}

@test "the kernel sees the new partitions as soon as the write is done" {
	new_stick "$stick" $((96 * MiB))
	plug P1 "$stick"
	share "$images/secure.iso"
	guest "ls /sys/block/${disk##*/}/${disk##*/}2" && return 1
	guest "isomorph write --yes /job/secure.iso $disk && ls -d /sys/block/${disk##*/}/${disk##*/}2"
	unplug P1
}

# bats test_tags=long
@test "a whole live system from Debian's live-build: Secure Boot starts it from the stick" {
	[ -e "$images/live.iso" ] || skip "live-build did not run: it needs root and the package live-build"
	new_stick "$stick" $((600 * MiB))
	plug L1 "$stick"
	share "$images/live.iso"
	guest "isomorph write --yes /job/live.iso $disk"
	unplug L1
	same_prefix "$images/live.iso" "$stick"
	starts --firmware bios --key ret --seconds 300
	starts --firmware secure --key ret --seconds 300
}
