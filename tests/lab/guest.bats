#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# The lab itself: what the other files rely on does what they believe.

load lab

setup_file() {
	lab_start
}

teardown_file() {
	lab_end
}

@test "the guest runs commands side by side and gives back output and status" {
	run guest 'echo out; exit 7'
	[ "$status" = 7 ]
	[ "$output" = out ]
	job=$(vm bg "$VM" 'sleep 3; echo late')
	run guest 'echo soon'
	[ "$output" = soon ]
	run vm wait "$VM" "$job"
	[ "$output" = late ]
}

@test "a stick's bytes are the file's bytes, in both directions" {
	stick=$BATS_TEST_TMPDIR/stick
	new_stick "$stick" $((4 * MiB))
	plug A1 "$stick"
	[ "$(guest "sha256sum <$disk | cut -d' ' -f1")" = "$(fingerprint "$stick")" ]
	noise $((4 * MiB)) new >"$BATS_TEST_TMPDIR/new"
	share "$BATS_TEST_TMPDIR/new"
	guest "dd if=/job/new of=$disk bs=1M oflag=direct conv=fsync status=none"
	unplug A1
	cmp "$stick" "$BATS_TEST_TMPDIR/new"
}

@test "a stick that is pulled is gone" {
	new_stick "$BATS_TEST_TMPDIR/stick" $MiB
	plug B1 "$BATS_TEST_TMPDIR/stick"
	unplug B1
	run guest "[ -e $disk ]"
	[ "$status" = 1 ]
}

@test "the program under test runs there" {
	guest 'isomorph --version'
}

@test "the guest's shell has the tools the tests call, not busybox's look-alikes" {
	guest 'dd --version | grep coreutils; cmp --version | grep GNU; losetup --version | grep util-linux'
	guest 'modprobe -a dm_flakey raid1 loop xfs btrfs udf isofs vfat fuse scsi_debug'
}
