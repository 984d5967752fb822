# SPDX-License-Identifier: GPL-3.0-or-later
# What the tests of images share: the program, the second reader, disks.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_TMPDIR"
	PATH=$PATH:/usr/sbin:/sbin
	isomorph=${ISOMORPH:-$BATS_TEST_DIRNAME/../../build/isomorph}
	SEED=${SEED:-$(date +%s)}
	echo "# SEED=$SEED" >&2
	LOOPS=()
}

teardown() {
	for loop in "${LOOPS[@]}"; do
		losetup -d "$loop" 2>/dev/null || true
	done
}

isomorph() {
	"$isomorph" "$@"
}

reader() {
	python3 "$BATS_TEST_DIRNAME/read_image.py" "$@"
}

# field IMAGE KEY: of the second reader's summary, which is only there when every sum is right
field() {
	reader check "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"
}

# same_as IMAGE DISK: both readers of the stream agree with the disk, every sum is right
same_as() {
	zstd -tq "$1"
	zstd -dcq "$1" | cmp - "$2"
	[ "$(field "$1" sha256)" = "$(sha256sum <"$2" | cut -d' ' -f1)" ]
	[ "$(field "$1" size)" -eq "$(stat -Lc %s "$2")" ]
}

# loop FILE [SECTOR]: $loop is a loop device of ours on it
loop() {
	[ "$(id -u)" -eq 0 ] || skip "loop devices need root"
	loop=$(losetup --show -f --sector-size "${2:-512}" "$1") || skip "no loop device to be had"
	LOOPS+=("$loop")
}

# gpt FILE MIB: a GPT disk with an EFI system partition (FAT) and an ext4, both with files
gpt() {
	truncate -s "$2M" "$1"
	printf 'label: gpt\n,8M,U\n,16M,L\n' | sfdisk -q "$1"
	truncate -s 8M fat.part
	mkfs.vfat -F 12 fat.part >/dev/null
	mkdir -p tree
	head -c 700000 /dev/urandom >tree/random
	yes some text | head -c 300000 >tree/text
	truncate -s 16M ext4.part
	mkfs.ext4 -q -F -d tree ext4.part
	dd if=fat.part of="$1" bs=1M seek=1 conv=notrunc status=none
	dd if=ext4.part of="$1" bs=1M seek=9 conv=notrunc status=none
}
