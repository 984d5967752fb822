#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# A capture that was killed goes on: the same image in the end, and nothing kept that is not on the disk any more.

load native

# big: a sparse disk of more than one group of 1024 chunks, with some data in each
big() {
	truncate -s 1300M disk.img
	for at in 5 700 1000 1030 1200 1290; do
		head -c 3000001 /dev/urandom | dd of=disk.img bs=1M seek=$at conv=notrunc iflag=fullblock status=none
	done
}

# begin SECONDS: a capture that is killed after so long; it would take about three seconds
begin() {
	ISOMORPH_FAULTY="disk.img=read-bps=8000000" "$isomorph" capture -q --all --no-verify disk.img disk.zst &
	local pid=$!
	sleep "$1"
	kill -9 $pid 2>/dev/null || true
	wait $pid || true
}

# until_checkpoint: (ALL="": what is in use) an unfinished image that holds at least one checkpoint
until_checkpoint() {
	ISOMORPH_FAULTY="disk.img=read-bps=8000000" "$isomorph" capture -q ${ALL---all} --no-verify disk.img disk.zst &
	local pid=$!
	for ((i = 0; i < 400; i++)); do
		[ "$(stat -c %s disk.zst.part 2>/dev/null || echo 0)" -gt 10000000 ] && break
		sleep 0.02
	done
	kill -9 $pid
	wait $pid || true
	[ ! -e disk.zst ]
	[ -s disk.zst.part ]
}

@test "killed behind a checkpoint: the same command goes on, and the image is the one that it would have been" {
	big
	isomorph capture -q --all --no-verify disk.img whole.zst
	until_checkpoint
	run -0 isomorph capture --all disk.img disk.zst
	[[ $output == *"goes on with an unfinished image: its first 1073741824 bytes"* ]]
	[[ $output == *"verified by reading it back"* ]]
	[ ! -e disk.zst.part ]
	[ "$(reader tree disk.zst)" = "$(reader tree whole.zst)" ]
	diff <(reader extents disk.zst) <(reader extents whole.zst)
	isomorph verify -q disk.zst
	zstd -dcq disk.zst | cmp - disk.img
}

@test "the same of a capture of what is in use; one whose file system was written to meanwhile is refused" {
	truncate -s 1300M disk.img
	printf 'label: gpt\n,1030M,L\n,200M,L\n' | sfdisk -q disk.img
	mkdir -p one two
	head -c 8000000 /dev/urandom >one/file
	head -c 6000000 /dev/urandom >two/file
	truncate -s 1030M one.part
	truncate -s 200M two.part
	mkfs.ext4 -q -F -d one one.part
	mkfs.ext4 -q -F -d two two.part
	dd if=one.part of=disk.img bs=1M seek=1 conv=notrunc,sparse status=none
	dd if=two.part of=disk.img bs=1M seek=1031 conv=notrunc,sparse status=none
	isomorph capture -q --no-verify disk.img whole.zst
	ALL="" until_checkpoint
	cp disk.zst.part kept.zst.part
	run -0 isomorph capture disk.img disk.zst
	[[ $output == *"its first 1073741824 bytes"* ]]
	[ "$(reader tree disk.zst)" = "$(reader tree whole.zst)" ]
	diff <(reader extents disk.zst) <(reader extents whole.zst)
	isomorph verify -q disk.zst
	debugfs -w -R 'rm file' two.part 2>/dev/null
	dd if=two.part of=disk.img bs=1M seek=1031 conv=notrunc status=none
	run -5 isomorph capture -q disk.img kept.zst
	[[ $output == *"has been written to since"* ]]
}

@test "a byte of the part that is kept has changed on the disk: refused, and the byte is named; --restart begins anew" {
	big
	until_checkpoint
	before=$(sha256sum <disk.zst.part)
	printf '\1' | dd of=disk.img bs=1 seek=734567890 conv=notrunc status=none
	run -5 isomorph capture -q --all disk.img disk.zst
	[[ $output == *"differs from what the unfinished image holds"* ]]
	[[ $output == *"at byte 734567890"* ]]
	[ ! -e disk.zst ]
	isomorph capture -q --all --restart disk.img disk.zst
	isomorph verify -q disk.zst disk.img
}

@test "an unfinished image that was damaged meanwhile is not gone on with" {
	big
	until_checkpoint
	printf '\252\125\252' | dd of=disk.zst.part bs=1 seek=1500000 conv=notrunc status=none
	run isomorph capture -q --all disk.img disk.zst
	if [ "$status" -eq 0 ]; then # the frame before which it was cut back
		zstd -dcq disk.zst | cmp - disk.img
	else
		[ "$status" -eq 1 ]
		[[ $output == *"is damaged"* ]]
		[ ! -e disk.zst ]
	fi
}

@test "an unfinished image of another disk, of another kind, or something else: refused, untouched" {
	big
	until_checkpoint
	before=$(sha256sum <disk.zst.part)
	head -c 5000000 /dev/urandom >other.img
	run -5 isomorph capture -q --all other.img disk.zst
	[[ $output == *"of another size"* ]]
	run -5 isomorph capture -q disk.img disk.zst
	[[ $output == *"--all"* ]]
	[ "$(sha256sum <disk.zst.part)" = "$before" ]
	head -c 10000 /dev/urandom >thing.zst.part
	before=$(sha256sum <thing.zst.part)
	run -5 isomorph capture -q --all other.img thing.zst
	[[ $output == *"is no unfinished image"* ]]
	[ "$(sha256sum <thing.zst.part)" = "$before" ]
	isomorph capture -q --all --restart other.img thing.zst
	same_as thing.zst other.img
}

@test "killed N times at random: in the end the root is that of an uninterrupted capture" {
	n=$((${N:-1} * 10))
	big
	isomorph capture -q --all --no-verify disk.img whole.zst
	root=$(reader tree whole.zst)
	echo "# N=$n SEED=$SEED"
	RANDOM=$((SEED % 32768))
	for ((k = 0; k < n; k++)); do
		begin "$((RANDOM % 2)).$((RANDOM % 10))"
		[ -e disk.zst ] && { rm disk.zst; continue; }
		echo "# kill $k fell at $(stat -c %s disk.zst.part 2>/dev/null || echo 0) bytes"
		if ((k % 5 == 4)); then
			isomorph capture -q --all --no-verify disk.img disk.zst
			[ "$(reader tree disk.zst)" = "$root" ]
			rm disk.zst
		fi
	done
	[ -e disk.zst ] || isomorph capture -q --all disk.img disk.zst
	[ "$(reader tree disk.zst)" = "$root" ]
	isomorph verify -q disk.zst disk.img
}
