#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# Bad news is exact, done means on the medium, a half-written target never looks whole (DESIGN 4.2, 4.3, 4.6, 4.7): sticks
# that are pulled, lose power, refuse a sector, lie about what they stored, or stop answering.

load lab

# machine: boots it, also again after a power cut, with an NVMe disk and an SD card.
machine() {
	vm start "$VM" -drive "if=none,id=nvme,format=raw,file=$BATS_FILE_TMPDIR/nvme" -device nvme,serial=NV1,drive=nvme \
		-drive "if=none,id=sd,format=raw,file=$BATS_FILE_TMPDIR/sd" -device sdhci-pci -device sd-card,drive=sd
	guest 'modprobe -a nvme sdhci_pci mmc_block dm_mod dm_flakey'
	share "$BATS_FILE_TMPDIR/image.raw"
	share "$BATS_FILE_TMPDIR/small.raw"
}

setup_file() {
	truncate -s 32M "$BATS_FILE_TMPDIR/nvme" "$BATS_FILE_TMPDIR/sd"
	noise $((24 * MiB)) image >"$BATS_FILE_TMPDIR/image.raw"
	head -c $((4 * MiB)) "$BATS_FILE_TMPDIR/image.raw" >"$BATS_FILE_TMPDIR/small.raw"
	"$lab_root/tests/lab/guest" "$LAB" "$ISOMORPH"
	machine
}

teardown_file() {
	lab_end
}

setup() {
	vm alive "$VM" || machine
	image=$BATS_FILE_TMPDIR/image.raw
	stick=$BATS_TEST_TMPDIR/stick
	id=F$BATS_TEST_NUMBER
	new_stick "$stick" $((32 * MiB))
	cp "$stick" "$BATS_TEST_TMPDIR/before"
}

teardown() {
	guest 'dmsetup remove_all --force; umount /mnt; true' >/dev/null 2>&1 || true
	unplug "$id" 2>/dev/null || true
}

# in_middle: waits until the write of the image has got as far as 6 MiB on the stick.
in_middle() {
	wait_written "$stick" $((6 * MiB)) "$BATS_TEST_TMPDIR/before"
}

# mapped TABLE: a device-mapper disk /dev/mapper/bad over the plugged stick.
mapped() {
	guest "printf '%s\n' '$1' | dmsetup create bad"
	sectors=$(guest 'blockdev --getsz /dev/mapper/bad')
	[ "$sectors" -gt 0 ]
}

# fails WORDS TARGET [OPTION...]: the small image cannot be written there: exit 1, saying WORDS.
fails() {
	run guest "timeout 120 isomorph write --yes ${*:3} /job/small.raw $2"
	echo "$output"
	[ "$status" = 1 ]
	[[ $output =~ $1 ]]
}

@test "pulled in the middle: not done, the device is gone, and nothing on it looks whole" {
	plug_slow "$id" "$stick" 4000000
	job=$(vm bg "$VM" "timeout 100 isomorph write --yes /job/image.raw $disk")
	in_middle
	qmp device_del id="$id"
	run vm wait "$VM" "$job"
	echo "$output"
	[ "$status" = 1 ]
	[[ $output =~ (gone|removed|unplugged|disappeared|no longer) ]]
	[[ ! $output =~ "No space left" ]]
	is_wiped "$stick"
}

@test "power cut in the middle: does not boot; the same command with --delta finishes" {
	plug_slow "$id" "$stick" 4000000
	vm bg "$VM" "isomorph write --yes /job/image.raw $disk"
	in_middle
	vm kill "$VM"
	is_wiped "$stick"
	run -1 "$lab_root/tests/lab/boot" --firmware bios --seconds 15 "$stick"
	machine
	plug "$id" "$stick"
	guest "isomorph write --yes --delta /job/image.raw $disk"
	unplug "$id"
	same_prefix "$image" "$stick"
}

@test "a killed program: the stick is wiped, --delta finishes" {
	plug_slow "$id" "$stick" 4000000
	job=$(vm bg "$VM" "isomorph write --yes /job/image.raw $disk")
	in_middle
	guest 'kill -9 $(pidof isomorph)'
	run -137 vm wait "$VM" "$job"
	slow_down "$id" 0
	guest "isomorph write --yes --delta /job/image.raw $disk"
	unplug "$id"
	same_prefix "$image" "$stick"
}

@test "interrupted by the user: exit 130, the stick is wiped" {
	plug_slow "$id" "$stick" 4000000
	job=$(vm bg "$VM" "isomorph write --yes /job/image.raw $disk")
	in_middle
	guest 'kill -TERM $(pidof isomorph)'
	run -130 vm wait "$VM" "$job"
	unplug "$id"
	is_wiped "$stick"
}

@test "a sector that cannot be written: the offset is named" {
	vm_blockdev "{\"driver\":\"blkdebug\",\"node-name\":\"node-$id\",\"image\":{\"driver\":\"file\",\"filename\":\"$stick\"},
		\"inject-error\":[{\"event\":\"none\",\"iotype\":\"write\",\"errno\":5,\"sector\":5120,\"once\":false}]}"
	plug_node "$id" "node-$id"
	fails 2621440 "$disk"
	unplug "$id"
	is_wiped "$stick"
}

@test "a region that gives errors: the first bad byte is named" {
	plug "$id" "$stick"
	mapped "0 4096 linear $disk 0
4096 64 error
4160 61376 linear $disk 4160"
	fails 2097152 /dev/mapper/bad
}

@test "writes that are acknowledged and dropped: verify says old data, and where" {
	plug "$id" "$stick"
	mapped "0 65536 flakey $disk 0 0 3600 1 drop_writes"
	fails 'differs|different' /dev/mapper/bad
	[[ $output =~ (old|not (been )?(stored|written)|wip|zero) ]]
}

@test "one byte of a write is stored wrong: verify says where" {
	plug "$id" "$stick"
	mapped "0 4096 linear $disk 0
4096 8 flakey $disk 4096 0 3600 5 corrupt_bio_byte 32 w 7 0
4104 61432 linear $disk 4104"
	fails 'at byte 2097183' /dev/mapper/bad
	[[ $output =~ bit ]]
}

@test "a stick that lies about its size: the addresses wrap around" {
	plug "$id" "$stick"
	mapped "0 4096 linear $disk 0
4096 4096 linear $disk 0
8192 57344 linear $disk 8192"
	fails 'wrap|fake|differs' /dev/mapper/bad
}

@test "a stick that stops answering: said, and given up after --stall-timeout" {
	plug_slow "$id" "$stick" 4000000
	job=$(vm bg "$VM" "timeout 100 isomorph write --yes --stall-timeout 4 /job/image.raw $disk")
	in_middle
	slow_down "$id" 1
	start=$SECONDS
	run vm wait "$VM" "$job"
	slow_down "$id" 0
	echo "$output"
	[ "$status" = 1 ]
	[ $((SECONDS - start)) -lt 60 ]
	[[ $output =~ (stall|answer|respond) ]]
}

@test "a mapped disk that is suspended: given up after --stall-timeout, nothing hangs" {
	plug "$id" "$stick"
	mapped "0 65536 linear $disk 0"
	job=$(vm bg "$VM" 'timeout 100 isomorph write --yes --stall-timeout 4 /job/image.raw /dev/mapper/bad')
	guest 'for i in $(seq 100); do cat /sys/block/dm-0/stat | { read -r a b c d e f sectors rest; [ $sectors -gt 8192 ]; } && break; usleep 20000; done
		dmsetup suspend --noflush --nolockfs bad'
	start=$SECONDS
	LIMIT=60 run vm wait "$VM" "$job"
	echo "$output"
	guest 'dmsetup resume bad'
	[ "$status" = 1 ]
	[ $((SECONDS - start)) -lt 60 ]
}

@test "two sticks, one is pulled: the other is whole, and the status says that not all is done" {
	local other=$BATS_TEST_TMPDIR/other first

	new_stick "$other" $((32 * MiB))
	plug "${id}b" "$other"
	first=$disk
	plug_slow "$id" "$stick" 4000000
	job=$(vm bg "$VM" "timeout 100 isomorph write --yes /job/image.raw $first $disk")
	in_middle
	qmp device_del id="$id"
	run vm wait "$VM" "$job"
	echo "$output"
	unplug "${id}b"
	[ "$status" = 1 ]
	same_prefix "$image" "$other"
}

@test "no space left for a new file: exit 1, and no file that looks complete" {
	guest 'mount -t tmpfs -o size=2m none /mnt'
	run guest 'isomorph write --yes /job/small.raw /mnt/new.img; s=$?; ls /mnt; exit $s'
	echo "$output"
	[ "$status" = 1 ]
	[[ $output =~ [Ss]pace ]]
	[[ ! $output =~ new.img$ ]]
}

@test "a disk of 4096-byte sectors and an image that ends inside one" {
	head -c $((3 * MiB + 777)) "$image" >"$LAB/vm-$VM/job/odd.raw"
	vm_blockdev "$(json_file "node-$id" "$stick")"
	qmp device_add driver=scsi-hd id="$id" bus=scsi.0 scsi-id=6 drive="node-$id" \
		logical_block_size=4096 physical_block_size=4096
	disk=$(guest 'for i in $(seq 100); do d=$(ls -d /sys/class/scsi_device/*:0:6:0/device/block/* 2>/dev/null) && break
		usleep 30000; done; echo /dev/${d##*/}')
	guest "isomorph write --yes /job/odd.raw $disk"
	unplug "$id"
	same_prefix "$LAB/vm-$VM/job/odd.raw" "$stick"
	# What lay behind the image's last byte in its sector is still there.
	cmp -i $((3 * MiB + 777)) -n 1000 "$stick" "$BATS_TEST_TMPDIR/before"
}

@test "an NVMe disk and an SD card" {
	guest 'isomorph write --yes /job/small.raw /dev/nvme0n1; isomorph write --yes /job/small.raw /dev/mmcblk0'
	same_prefix "$BATS_FILE_TMPDIR/small.raw" "$BATS_FILE_TMPDIR/nvme"
	same_prefix "$BATS_FILE_TMPDIR/small.raw" "$BATS_FILE_TMPDIR/sd"
}
