#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# --verbose: the figures of each target; --quiet is stronger.

bats_require_minimum_version 1.5.0

setup() {
	isomorph=${ISOMORPH:-$BATS_TEST_DIRNAME/../../build/isomorph}
	cd "$BATS_TEST_TMPDIR"
	head -c 3M /dev/urandom >image
	cp image target
	printf ! | dd of=target bs=1 seek=2500000 conv=notrunc status=none
}

@test "--verbose tells what was written, equal, left out, and how it was read back" {
	run -0 "$isomorph" write --yes --verbose --delta image target
	# both ends are written whenever anything is
	[[ $output == *"/target: 2.0 MiB written, 1.0 MiB equal, 0 bytes left out, read back: "* ]]
	run -0 "$isomorph" verify -v image target
	[[ $output == *"/target: 0 bytes written, 3.0 MiB equal, 0 bytes left out, read back: d"* ]]
}

@test "without it, and with --quiet, there are no figures" {
	run -0 "$isomorph" write --yes image target
	[[ $output != *"left out"* ]]
	run -0 "$isomorph" write --yes --quiet --verbose image target
	[ -z "$output" ]
}
