#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph verify: exit 0 for equal, 3 with the very first byte that differs, and nothing written.

load common

# first_difference A B: its byte, from 0, as cmp says it.
first_difference() {
	cmp "$1" "$2" | sed 's/.* byte \([0-9]*\),.*/\1/' | { read -r n; echo $((n - 1)); }
}

@test "equal: exit 0, nothing written, a longer medium is no difference" {
	noise image 9000001
	a_disk 16M
	dd if=image of="$disk" conv=notrunc,fsync status=none
	before=$(sum "$disk")
	run -0 "$iso" verify image "$disk"
	says "holds exactly"
	run -0 --separate-stderr "$iso" verify --json image "$disk"
	[ "$(json_get 'doc["verb"], doc["exit"], doc["targets"][0]["changed"], doc["targets"][0]["written"]')" = "('verify', 0, False, 0)" ]
	run -0 "$iso" verify image "$disk" image
	run -0 bash -c 'cat image | "$0" verify - "$1"' "$iso" "$disk"
	[ "$(sum "$disk")" = "$before" ]
}

@test "the first byte that differs is the one that cmp says" {
	noise image 9000001
	for at in 0 1 511 512 1048575 1048576 4194303 8999999 9000000; do
		cp image other
		printf '\125\252\125' | dd of=other bs=1 seek=$at conv=notrunc status=none
		cmp -s image other && continue
		byte=$(first_difference image other)
		run -3 "$iso" verify image other
		says "differs at byte $byte (sector $((byte / 512)))"
		run -3 --separate-stderr "$iso" verify --json image other
		[ "$(json_get 'doc["exit"], doc["targets"][0]["mismatch"]["offset"], doc["targets"][0]["mismatch"]["exact"]')" = "(3, $byte, True)" ]
	done
}

@test "of several differences the first one is said" {
	noise image 24M
	cp image other
	for at in 23000000 5000000 17000000 12000000; do
		printf '\125' | dd of=other bs=1 seek=$at conv=notrunc status=none
	done
	byte=$(first_difference image other)
	for _ in 1 2 3 4 5; do
		run -3 "$iso" verify image other
		says "differs at byte $byte "
	done
}

@test "the kind is said: zeros, 0xFF, bit flips, old data, address wrap-around" {
	noise image 8M
	cp image other
	dd if=/dev/zero of=other bs=1M seek=3 count=1 conv=notrunc status=none
	run -3 "$iso" verify image other
	says ": zeros"
	cp image other
	head -c 1M /dev/zero | tr '\0' '\377' | dd of=other bs=1M seek=3 conv=notrunc status=none
	run -3 "$iso" verify image other
	says ": 0xFF"
	cp image other
	byte=$(od -An -tu1 -j3000000 -N1 image)
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((byte ^ 16)))" | dd of=other bs=1 seek=3000000 conv=notrunc status=none
	run -3 "$iso" verify image other
	says "differs at byte 3000000 (sector 5859): bit flips"
	cp image other
	noise old 1M old
	dd if=old of=other bs=1M seek=3 conv=notrunc status=none
	run -3 "$iso" verify image other
	says ": old data"
}

@test "a medium that is too short, one that is missing, one that cannot be read" {
	noise image 3000001
	head -c 3000000 image >short
	run "$iso" verify image short
	[ "$status" = 3 ] || [ "$status" = 1 ]
	says "short"
	run -2 "$iso" verify image missing
	run -2 "$iso" verify
	run -2 "$iso" verify
	cp image bad
	ISOMORPH_FAULTY="$PWD/bad=read-error@2000000" run -1 "$iso" verify image bad
	says "sector 3906"
	mkdir folder
	run -2 "$iso" verify image folder
}

@test "two media, one of which differs: exit 3, each with its own verdict" {
	noise image 3M
	cp image a
	cp image b
	printf '\125' | dd of=b bs=1 seek=2000000 conv=notrunc status=none
	run -3 "$iso" verify image a b
	says "a holds exactly"
	says "b: differs at byte 2000000"
}

@test "a mounted or read-only medium may be verified: it is only read" {
	truncate -s 16M fs.img
	mkfs.ext4 -q fs.img
	cp fs.img image
	loop fs.img --read-only
	mkdir mnt
	mount -o ro,noload "$disk" mnt
	later mount "$PWD/mnt"
	run -0 "$iso" verify image "$disk"
}

@test "--sha256 of the image is checked too" {
	noise image 3M
	cp image same
	run -0 "$iso" verify --sha256 "$(sha256sum <image | cut -c1-64)" image same
	run -1 "$iso" verify --sha256 "$(printf '0%.0s' {1..64})" image same
}
