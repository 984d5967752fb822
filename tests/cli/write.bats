#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph write: what is on the target afterwards, what is said, and the exit status.

load common

# holds FILE DISK: the image, old data behind it, zeros in the last MiB of DISK (whose old content is disk.img.old).
holds() {
	local size end
	size=$(stat -c %s "$1")
	end=$(($(blockdev --getsize64 "$2" 2>/dev/null || stat -c %s "$2") - 1048576))
	cmp -n "$size" "$1" "$2"
	if [ "$size" -lt 1048576 ]; then # what was wiped of the first MiB stays zero
		zeros "$2" "$size" $((1048576 - size))
		size=1048576
	fi
	if [ "$size" -lt "$end" ]; then
		cmp -n $((end - size)) -i "$size" disk.img.old "$2"
		zeros "$2" "$end" 1048576
	fi
}

@test "sizes that are no whole sectors, on 512-byte sectors" {
	a_disk 24M
	for size in 1 511 512 513 4095 4097 1048575 1048576 1048577 20000000; do
		noise disk.img.old 24M old
		cat disk.img.old >"$disk"
		noise image "$size"
		run -0 --separate-stderr "$iso" write --yes --json image "$disk"
		[ "$(json_get 'doc["targets"][0]["verified"]')" = True ]
		[ "$(json_get 'doc["size"]')" = "$size" ]
		holds image "$disk"
	done
}

@test "sizes that are no whole sectors, on 4096-byte sectors" {
	a_disk 24M --sector-size 4096
	for size in 1 512 4095 4096 4097 1048575 1048577 20000000; do
		noise disk.img.old 24M old
		cat disk.img.old >"$disk"
		noise image "$size"
		run -0 "$iso" write --yes image "$disk"
		says "verified by reading it back"
		holds image "$disk"
	done
}

@test "sizes that are no whole sectors, in place into a file and into a new one" {
	for size in 1 511 513 1048575 1048577 3000001; do
		noise image "$size"
		noise disk.img.old 5000001 old
		cp disk.img.old old
		run -0 "$iso" write --yes image old
		holds image old
		[ "$(stat -c %s old)" = 5000001 ]
		rm -f new
		run -0 "$iso" write image new
		cmp image new
	done
}

@test "exactly the size of the disk; one byte more is refused and changes nothing" {
	a_disk 4M
	noise image 4M
	run -0 "$iso" write --yes image "$disk"
	cmp image "$disk"
	noise image $((4 * 1048576 + 1)) other
	before=$(sum "$disk")
	run -5 "$iso" write --yes image "$disk"
	says "too small"
	[ "$(sum "$disk")" = "$before" ]
	run -5 "$iso" write --yes image disk.img
	cp disk.img file
	run -5 "$iso" write --yes image file
	cmp disk.img file
}

@test "a stream that turns out too long leaves the target wiped, exit 1" {
	a_disk 4M
	noise image $((4 * 1048576 + 1))
	run -1 bash -c 'cat image | "$0" write --yes - "$1"' "$iso" "$disk"
	says "too small"
	zeros "$disk" 0 1048576
}

@test "an empty image is refused, the target unchanged" {
	a_disk 4M
	: >image
	before=$(sum "$disk")
	run -1 "$iso" write --yes image "$disk"
	says "empty"
	run -1 bash -c '"$0" write --yes - "$1" <image' "$iso" "$disk"
	[ "$(sum "$disk")" = "$before" ]
	run -1 "$iso" write image new
	[ ! -e new ]
	[ ! -e new.part ]
}

@test "from standard input, from a FIFO, from a loop device" {
	noise image 5000000
	a_disk 16M
	run -0 bash -c 'cat image | "$0" write --yes - "$1"' "$iso" "$disk"
	cmp -n 5000000 image "$disk"
	mkfifo fifo
	cat image >fifo &
	run -0 "$iso" write fifo from-fifo
	cmp image from-fifo
	target=$disk
	noise source 4M source
	loop source --read-only
	run -0 "$iso" write --yes "$disk" "$target"
	cmp -n 4194304 source "$target"
	[ "$(sum source)" = "$(sum "$disk")" ]
}

@test "a sparse source: its holes are zeros on the target, and holes in a new file" {
	truncate -s 64M image
	noise part 300000
	dd if=part of=image bs=4096 seek=1000 conv=notrunc status=none
	a_disk 64M
	run -0 "$iso" write --yes image "$disk"
	cmp image "$disk"
	run -0 "$iso" write image new
	cmp image new
	[ "$(stat -c %b new)" -lt 40000 ]
}

@test "the last MiB of a larger target is wiped; --keep-tail leaves it" {
	noise image 3000000
	noise disk.img.old 8M old
	a_disk 8M
	run -0 "$iso" write --yes --keep-tail image "$disk"
	cmp -i 3000000 disk.img.old "$disk"
	run -0 "$iso" write --yes image "$disk"
	holds image "$disk"
}

@test "a new file is NAME.part until it is verified; an existing one is written in place" {
	noise image 4M
	run -0 "$iso" write image new
	[ ! -e new.part ]
	cmp image new
	inode=$(stat -c %i new)
	noise image 3M other
	run -0 "$iso" write --yes image new
	[ "$(stat -c %i,%s new)" = "$inode,4194304" ]
	cmp -n 3145728 image new
	ISOMORPH_FAULTY="$PWD/second=flip@2M" run -1 "$iso" write image second
	[ ! -e second ]
	[ -e second.part ]
	says ".part"
	run -0 "$iso" write image second
	[ ! -e second.part ]
	cmp image second
}

@test "--no-verify says that nothing was verified" {
	noise image 2M
	run -0 "$iso" write --no-verify image new
	says "NOT verified"
	says_not "by reading it back"
	rm new
	run -0 --separate-stderr "$iso" write --no-verify --json image new
	[ "$(json_get 'doc["targets"][0]["verified"], doc["targets"][0]["read_back"]')" = "(False, 'none')" ]
}

@test "--json is one document on standard output: done, failed, refused, misused" {
	noise image 3M
	a_disk 8M
	run -0 --separate-stderr "$iso" write --yes --json image "$disk"
	[ "$(json_get 'doc["version"], doc["verb"], doc["exit"], doc["size"], doc["error"]')" = "(1, 'write', 0, 3145728, None)" ]
	[ "$(json_get 'doc["targets"][0]["path"]')" = "$disk" ]
	[ "$(json_get 'doc["targets"][0]["written"], doc["targets"][0]["state"]')" = "(3145728, 'complete')" ]
	ISOMORPH_FAULTY="$disk=flip@2000000" run -1 --separate-stderr "$iso" write --yes --json image "$disk"
	[ "$(json_get 'doc["exit"], doc["targets"][0]["mismatch"]["offset"], doc["targets"][0]["mismatch"]["kind"]')" = "(1, 2000000, 'bit flips')" ]
	[ "$(json_get 'doc["targets"][0]["verified"], doc["error"]["offset"]')" = "(False, 2000000)" ]
	truncate -s 9M image
	run -5 --separate-stderr "$iso" write --yes --json image "$disk"
	[ "$(json_get 'doc["exit"], doc["error"]["where"]')" = "(5, '$disk')" ]
	run -2 --separate-stderr "$iso" write --yes --json no-such-image "$disk"
	[ "$(json_get 'doc["exit"], doc["error"]["where"]')" = "(2, 'no-such-image')" ]
	run -2 --separate-stderr "$iso" write --json --no-such-option image "$disk"
	[ "$(json_get 'doc["exit"], "no-such-option" in doc["error"]["message"]')" = "(2, True)" ]
	run -2 --separate-stderr "$iso" write image --json
	[ "$(json_get 'doc["exit"]')" = 2 ]
	truncate -s 3M image
	run -2 --separate-stderr "$iso" write --json image "$disk"
	[ "$(json_get 'doc["exit"], "--yes" in doc["error"]["message"]')" = "(2, True)" ]
}

@test "--progress=json is one event a line, the phases in their order, one last event" {
	noise image 8M
	a_disk 8M
	ISOMORPH_FAULTY="$disk=write-bps=8M,read-bps=8M" run -0 "$iso" write --yes --quiet --progress=json image "$disk"
	/usr/bin/python3 - "$output" <<-'EOP'
		import json, sys
		order = ['waiting', 'checking', 'probing', 'wiping', 'writing', 'flushing', 'verifying', 'first-mib', 'last-block', 'done']
		events = [json.loads(l) for l in sys.argv[1].splitlines()]
		phases = [order.index(e['targets'][0]['phase']) for e in events if e['event'] == 'progress']
		assert phases == sorted(phases), phases
		assert {order.index('wiping'), order.index('writing'), order.index('verifying')} <= set(phases), phases
		assert phases.count(order.index('done')) == 1, phases
		percent = [e['targets'][0]['percent'] for e in events]
		assert percent == sorted(percent) and percent[-1] == 100 and all(p < 100 for p in percent[:-1]), percent
	EOP
}

@test "--dry-run changes nothing and needs no answer" {
	noise image 3M
	a_disk 8M
	before=$(sum "$disk")
	run -0 "$iso" write --dry-run image "$disk"
	says "from  image (raw, 3.0 MiB)"
	says "$disk"
	[ "$(sum "$disk")" = "$before" ]
	run -0 "$iso" write --dry-run image new
	[ ! -e new ]
	[ ! -e new.part ]
	run -0 --separate-stderr "$iso" write --dry-run --json --delta --undo kept image "$disk"
	[ "$(json_get 'doc["plan"]["size"], doc["plan"]["targets"][0]["path"]')" = "(3145728, '$disk')" ]
	[ ! -e kept ]
	[ "$(sum "$disk")" = "$before" ]
}

@test "the plan says what is lost, the report what was done" {
	noise image 3M
	truncate -s 16M disk.img
	mkfs.vfat -n HOLIDAYS disk.img >/dev/null
	loop disk.img
	run -0 "$iso" write --yes image "$disk"
	says 'HOLIDAYS'
	says "vfat"
	says "becomes zero"
	says "$disk holds image: 3.0 MiB, verified by reading it back"
	run -0 "$iso" write --yes --quiet image "$disk"
	[ -z "$output" ]
}

@test "four targets get the same; the same one twice is exit 2" {
	noise image 6000000
	for i in 1 2 3 4; do
		noise "d$i" 8M "$i"
		loop "d$i"
		disks+=("$disk")
	done
	run -0 "$iso" write --yes image "${disks[@]}"
	for d in "${disks[@]}"; do
		cmp -n 6000000 image "$d"
		says "$d holds image"
	done
	before=$(sum "$disk")
	noise image 6000000 other
	run -2 "$iso" write --yes image "$disk" "$disk"
	says "twice"
	ln -s "$disk" link
	run -2 "$iso" write --yes image "$disk" link
	ln d1 hard
	cp image f1
	ln f1 f2
	run -5 "$iso" write --yes image f1 f2
	[ "$(sum "$disk")" = "$before" ]
}

@test "one of four targets fails half-way: three are done and verified, one is reported, exit 1" {
	noise image 12M
	for i in 1 2 3 4; do
		noise "d$i" 16M "$i"
		loop "d$i"
		disks+=("$disk")
	done
	ISOMORPH_FAULTY="${disks[2]}=gone@6M" run -1 --separate-stderr "$iso" write --yes --json image "${disks[@]}"
	[ "$(json_get '[t["exit"] for t in doc["targets"]]')" = "[0, 0, 1, 0]" ]
	[ "$(json_get '[t["verified"] for t in doc["targets"]]')" = "[True, True, False, True]" ]
	for i in 0 1 3; do
		cmp -n 12582912 image "${disks[i]}"
		says "${disks[i]} holds image"
	done
	says "${disks[2]} is unfinished"
	zeros "${disks[2]}" 0 1048576
}

@test "a target that lies on the source's disk, or is the source, is refused" {
	noise image 4M
	before=$(sum image)
	run -5 "$iso" write --yes image image
	[ "$(sum image)" = "$before" ]
	loop image
	run -5 "$iso" write --yes "$disk" "$disk"
	run -5 "$iso" write --yes "$disk" image
	[ "$(sum image)" = "$before" ]
	truncate -s 32M fs.img
	mkfs.ext4 -q fs.img
	loop fs.img
	mkdir mnt
	mount "$disk" mnt
	later mount "$PWD/mnt"
	cp image mnt/
	run -5 "$iso" write --yes mnt/image "$disk"
	run -5 "$iso" write --yes image "$disk"
	says "mounted"
	cmp image mnt/image
}

@test "--sha256: a wrong one touches nothing; a stream's wrong one never looks whole" {
	noise image 3M
	a_disk 8M
	before=$(sum "$disk")
	run -0 "$iso" write --yes --sha256 "$(sha256sum <image | cut -c1-64)" image "$disk"
	cmp -n 3145728 image "$disk"
	noise disk.img 8M old
	wrong=$(printf '0%.0s' {1..64})
	run -1 "$iso" write --yes --sha256 "$wrong" image "$disk"
	says "SHA-256"
	[ "$(sum "$disk")" = "$before" ]
	run -1 bash -c 'cat image | "$0" write --yes --sha256 "$2" - "$1"' "$iso" "$disk" "$wrong"
	says "SHA-256"
	zeros "$disk" 0 1048576
	run -2 "$iso" write --yes --sha256 12 image "$disk"
	run -2 "$iso" write --yes --sha256 "${wrong/0/g}" image "$disk"
}

@test "a read-only disk is refused, exit 5" {
	noise image 1M
	noise disk.img 2M old
	loop disk.img --read-only
	run -5 "$iso" write --yes image "$disk"
	says "read-only"
}

@test "a disk that is mounted for writing is no source: a copy of it would be of no moment" {
	truncate -s 16M source.img
	mkfs.ext4 -q source.img
	source=$(losetup --find --show source.img)
	later loop "$source"
	a_disk 32M
	before=$(sum "$disk")
	mkdir -p mounted
	later mount "$PWD/mounted"
	mount "$source" mounted
	run -5 "$iso" write --yes --as raw "$source" "$disk"
	[[ $output == *"is mounted at"* ]]
	umount mounted
	[ "$(sum "$disk")" = "$before" ]
	run -0 "$iso" write --yes --as raw "$source" "$disk"
	cmp -n 16777216 "$source" "$disk"
}
