#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# --delta writes the blocks that differ, no more; --undo gives back every byte of it.

bats_require_minimum_version 1.5.0

setup() {
	iso=${ISOMORPH:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/isomorph}
	cd "$BATS_TEST_TMPDIR"
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
