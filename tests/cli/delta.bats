#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# write --delta: only what differs is written, and the result is proven like any other.

load common

@test "an equal disk is read, proven, and not written to" {
	noise image 9000001
	a_disk 16M
	run -0 "$iso" write --yes image "$disk"
	run -0 --separate-stderr "$iso" write --yes --delta --json image "$disk"
	[ "$(json_get 'doc["targets"][0]["written"], doc["targets"][0]["equal"], doc["targets"][0]["changed"]')" = "(0, 9000001, False)" ]
	[ "$(json_get 'doc["targets"][0]["verified"], doc["targets"][0]["read_back"]')" = "(True, 'direct')" ]
	losetup -d "$disk" && loop disk.img --read-only
	run -5 "$iso" write --yes --delta image "$disk"
}

@test "differences at the start, in the middle, at the end, behind the image" {
	noise image 9000001
	a_disk 16M
	run -0 "$iso" write --yes image "$disk"
	for at in 0 600 1048575 1048576 5000000 9000000 16000000 16777215; do
		printf '\125' | dd of="$disk" bs=1 seek=$at conv=notrunc status=none
		run -0 --separate-stderr "$iso" write --yes --delta --json image "$disk"
		cmp -n 9000001 image "$disk"
		zeros "$disk" 15728640 1048576
		[ "$(json_get 'doc["targets"][0]["changed"]')" = True ]
		[ "$(json_get 'doc["targets"][0]["written"] < 4 << 20')" = True ]
	done
}

@test "onto a disk of old data, onto a file, from a stream, with no image byte equal" {
	noise image 9000001
	a_disk 16M
	run -0 "$iso" write --yes --delta image "$disk"
	cmp -n 9000001 image "$disk"
	noise file 12M old
	run -0 bash -c 'cat image | "$0" write --yes --delta - file' "$iso"
	cmp -n 9000001 image file
	noise image 12M other
	run -0 "$iso" write --yes --delta image file
	cmp image file
}

@test "it goes on where a failed write stopped" {
	noise image 12M
	a_disk 12M
	ISOMORPH_FAULTY="$disk=gone@7M" run -1 "$iso" write --yes image "$disk"
	says "to go on: the same command with --delta"
	run -0 --separate-stderr "$iso" write --yes --delta --json image "$disk"
	[ "$(json_get 'doc["targets"][0]["equal"] > 2 << 20')" = True ]
	cmp image "$disk"
}

@test "what is found equal is verified too: a medium that forgets later is caught" {
	noise image 6M
	a_disk 8M
	run -0 "$iso" write --yes image "$disk"
	ISOMORPH_FAULTY="$disk=flip@3000000" run -1 "$iso" write --yes --delta image "$disk"
	says "bit flips"
	says "byte 3000000"
}

@test "the new file of --delta is as without" {
	noise image 3000001
	run -0 "$iso" write --delta image new
	cmp image new
	[ ! -e new.part ]
}

# change FILE: other bytes in three places, one of them just before the last MiB.
change() {
	for at in 1050000 3000001 $((size - 1048576 - 3000)); do
		printf 'changed here' | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
	done
}

@test "undo-piece-that-reaches-into-the-last-mib: undo of a delta on a disk that is no multiple of a MiB" {
	size=$((7 * 1048576 + 66048))
	head -c $size /dev/urandom >old
	cp old new
	cp old target
	change new
	run -0 "$iso" write --as raw --yes --quiet --delta --undo kept new target
	cmp new target
	run -0 "$iso" undo --yes --quiet kept target
	cmp old target
}

@test "delta writes only the blocks that differ, besides both ends" {
	size=$((32 * 1048576))
	head -c $size /dev/urandom >old
	cp old new
	cp old target
	change new
	run -0 --separate-stderr "$iso" write --as raw --yes --quiet --json --delta new target
	cmp new target
	written=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["targets"][0]["written"])' <<<"$output")
	[ "$written" -le $((3 * 1048576 + 3 * 8192)) ]
	[ "$written" -ge 8192 ]
}
