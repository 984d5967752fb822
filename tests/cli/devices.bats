#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph devices: the list for people and as JSON, and what it says of loop devices made here.

bats_require_minimum_version 1.5.0

setup() {
	dir=$(mktemp -d)
	loops=()
}

teardown() {
	for m in "$dir"/mnt*; do
		if mountpoint -q "$m"; then umount "$m"; fi
	done
	for l in "${loops[@]}"; do
		partx -d "$l" 2>/dev/null || true
		losetup -d "$l"
	done
	rm -rf "$dir"
}

need_root() {
	[ "$(id -u)" -eq 0 ] && [ -w /dev/loop-control ] || skip "needs root and loop devices"
}

# The loop device is in $disk.
attach() {
	truncate -s "$2" "$dir/$1"
	disk=$(losetup "${@:3}" -f --show "$dir/$1")
	loops+=("$disk")
	partx -d "$disk" 2>/dev/null || true
}

# Of the JSON list, the value of a Python expression over the disk d.
of_disk() {
	"$ISOMORPH" devices --json | python3 -c '
import json, sys
doc = json.load(sys.stdin)
assert (doc["version"], doc["verb"], doc["exit"]) == (1, "devices", 0)
d = {d["path"]: d for d in doc["devices"]}[sys.argv[1]]
print(eval(sys.argv[2]))' "$disk" "$1"
}

@test "the list goes to stdout, exit 0, and has no operands" {
	run -0 "$ISOMORPH" devices
	run -2 "$ISOMORPH" devices /dev/null
	[[ $output == *"takes no operand"* ]]
	run -0 "$ISOMORPH" devices --help
}

@test "JSON sizes and sectors are the kernel's" {
	need_root
	attach disk 12345856 -b 4096
	[ "$(of_disk 'd["size"]')" = "$(blockdev --getsize64 "$disk")" ]
	[ "$(of_disk 'd["sector_size"]')" = 4096 ]
	[ "$(of_disk 'd["bus"]')" = loop ]
	[ "$(of_disk 'd["fixed"]')" = False ]
	[ "$(of_disk 'd["protected"]')" = None ]
	[ "$(of_disk 'd["diskseq"]')" = "$(cat /sys/block/"${disk#/dev/}"/diskseq)" ]
}

@test "partitions and file systems without partition nodes, as sfdisk and mkfs made them" {
	need_root
	attach disk 64M
	sfdisk -q "$disk" <<-'END' || true
		label: gpt
		start=2048, size=32768, name="first one"
		start=40960, size=16384
	END
	partx -d "$disk" 2>/dev/null || true
	mkfs.vfat -n STICK --offset 2048 "$disk" 16384 >/dev/null
	[ "$(of_disk 'd["table"]')" = gpt ]
	[ "$(of_disk '[(p["number"], p["offset"], p["size"], p["path"]) for p in d["partitions"]]')" = \
		"[(1, 1048576, 16777216, None), (2, 20971520, 8388608, None)]" ]
	[ "$(of_disk '[d["partitions"][0][k] for k in ("fs_type", "label", "part_label")]')" = \
		"['vfat', 'STICK', 'first one']" ]
	run -0 "$ISOMORPH" devices
	[[ $output == *'1  vfat "STICK", 16.0 MiB'* ]]
}

@test "a partition's mount protects its disk and no other" {
	need_root
	attach other 8M
	other=$disk
	attach disk 64M
	sfdisk -q "$disk" <<<"start=2048, size=65536" || true
	partx -d "$disk" 2>/dev/null || true
	partx -a "$disk"
	mkfs.ext4 -q "${disk}p1"
	mkdir "$dir/mnt one"
	mount "${disk}p1" "$dir/mnt one"
	[ "$(of_disk 'd["partitions"][0]["mounts"]')" = "['$dir/mnt one']" ]
	[ "$(of_disk 'd["protected"]')" = "is mounted at $dir/mnt one (${disk}p1)" ]
	run -0 "$ISOMORPH" devices
	[[ $output == *"protected: it is mounted at $dir/mnt one"* ]]
	umount "$dir/mnt one"
	[ "$(of_disk 'd["protected"]')" = None ]
	disk=$other
	[ "$(of_disk 'd["protected"]')" = None ]
}

@test "what is not attached is not listed; read-only is said" {
	need_root
	attach disk 8M -r
	[ "$(of_disk 'd["protected"], d["read_only"]')" = "('is read-only', True)" ]
	losetup -d "$disk"
	loops=()
	if [ -z "$(losetup -n -O BACK-FILE "$disk")" ]; then
		run -1 of_disk 'd'
	fi
}

@test "a label cannot write to the terminal" {
	need_root
	attach disk 16M
	mkfs.ext4 -q -L $'\e[31mred' "$disk"
	run -0 "$ISOMORPH" devices
	[[ $output == *'?[31mred'* ]]
	[[ $output != *$'\e'* ]]
}
