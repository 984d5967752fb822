#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph inspect: what it says of images made by other tools, to people and as JSON.
bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_TMPDIR"
	PATH=$PATH:/usr/sbin:/sbin
}

inspect() {
	"$ISOMORPH" inspect "$@"
}

# field FILE PYTHON: an expression over the JSON document d
field() {
	inspect --json "$1" | python3 -c "import json, sys; d = json.load(sys.stdin); print($2)"
}

make_cd() {
	mkdir -p tree
	head -c 2048 /dev/urandom >tree/boot.img
	xorriso -as mkisofs -quiet -V CD -o cd.iso -b boot.img -no-emul-boot -boot-load-size 4 tree
}

make_disk() {
	truncate -s 40M disk.img
	printf 'label: gpt\n,10M,U,*\nname=root,size=20M\n' | sfdisk -q disk.img
	truncate -s 20M fs.img
	mkfs.ext4 -q -F -L rootfs fs.img
	dd if=fs.img of=disk.img bs=1M seek=11 conv=notrunc,sparse status=none
}

@test "a disk image: table, file systems, sizes" {
	make_disk
	run -0 inspect disk.img
	[[ $output == *"kind           disk"* ]]
	[[ $output == *"table          gpt, sectors of 512 bytes"* ]]
	[[ $output == *"EFI system"* ]]
	[[ $output == *'ext4 "rootfs"'* ]]
	[[ $output == *"write          as 'raw'"* ]]
	[ "$(field disk.img 'd["size"]')" -eq $((40 << 20)) ]
	start=$(sfdisk --json disk.img | python3 -c 'import json, sys; print(json.load(sys.stdin)["partitiontable"]["partitions"][1]["start"])')
	[ "$(field disk.img 'd["table"]["partitions"][1]["offset"]')" -eq $((start * 512)) ]
	[ "$(field disk.img 'd["table"]["partitions"][1]["file_system"]["uuid"]')" = "$(blkid -p -s UUID -o value fs.img)" ]
}

@test "the same disk image packed: read from start to end, its size told once it is hashed" {
	make_disk
	gzip -k disk.img
	run -0 inspect disk.img.gz
	[[ $output == *"not known before it is read to its end"* ]]
	[[ $output == *"table          gpt"* ]]
	run -0 inspect --sha256 disk.img.gz
	[[ $output == *"$(sha256sum <disk.img | cut -d' ' -f1)"* ]]
	[[ $output == *"(41943040 bytes)"* ]]
	[ "$(inspect --json - <disk.img | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["random"], d["table"]["partitions"][1]["name"])')" = "False root" ]
}

@test "an ISO that boots from a disc alone: write would refuse it, and the words say why" {
	make_cd
	run -0 inspect cd.iso
	[[ $output == *"ISO for discs"* ]]
	[[ $output == *"boots as disc  BIOS"* ]]
	[[ $output == *"boots as disk  nothing"* ]]
	[[ $output == *"refused without --as raw: a plain copy would not boot"* ]]
	[ "$(field cd.iso 'd["advice"]["as"]')" = files ]
}

@test "an ISO cut off: both sizes are named" {
	mkdir tree
	head -c 3M /dev/urandom >tree/data
	xorriso -as mkisofs -quiet -V DATA -o data.iso tree
	size=$(stat -c %s data.iso)
	truncate -s 1M data.iso
	run -0 inspect data.iso
	[[ $output == *"says that it has"*"the image has only 1048576"* ]]
	[ "$(field data.iso 'd["media"]["iso"]["missing"]')" -gt 2000000 ]
	[ "$(field data.iso 'd["media"]["iso"]["volume_size"]')" -le "$size" ]
}

@test "an ISO cut off on its way through a pipe: write fails, and the target does not look whole" {
	mkdir tree
	head -c 3M /dev/urandom >tree/data
	xorriso -as mkisofs -quiet -V DATA -o data.iso tree
	truncate -s 8M target.img
	run -0 bash -c '"$ISOMORPH" write --yes - target.img <data.iso'
	cmp -n "$(stat -c %s data.iso)" data.iso target.img
	run -1 bash -c 'head -c 2M data.iso | "$ISOMORPH" write --yes - target.img'
	[[ $output == *"is cut off"* ]]
	run -1 cmp -n 65536 data.iso target.img
	run -0 bash -c 'head -c 2M data.iso | "$ISOMORPH" write --yes --as raw - target.img'
	cmp -n $((2 << 20)) data.iso target.img
}

@test "a name from the image cannot talk to the terminal" {
	truncate -s 10M evil.img
	printf 'label: gpt\nsize=4M,name="a\033[31mb"\n' | sfdisk -q evil.img
	run -0 inspect evil.img
	[[ $output != *$'\033'* ]]
	[[ $output == *'a?[31mb'* ]]
}

@test "the source is only read" {
	make_disk
	before=$(sha256sum disk.img)
	chmod 400 disk.img
	run -0 inspect --sha256 disk.img
	[ "$(sha256sum disk.img)" = "$before" ]
}

@test "what is wrong: exit status, words, JSON document" {
	run -2 inspect
	run -2 inspect a b
	run -2 inspect missing.img
	[[ $output == *missing.img* ]]
	run -2 --separate-stderr inspect --json missing.img
	[ "$(python3 -c 'import json, sys; d = json.loads(sys.argv[1]); print(d["exit"])' "$output")" -eq 2 ]
}

@test "an image whose partitions go on behind its end is cut off: write refuses it, --as raw copies what there is" {
	make_disk
	truncate -s 20M disk.img
	truncate -s 64M stick.img
	before=$(sha256sum <stick.img)
	run -1 "$ISOMORPH" write --yes disk.img stick.img
	[[ $output == *'cut off: its partition 2 ends at byte'* ]]
	[[ $output == *'--as raw'* ]]
	[ "$(sha256sum <stick.img)" = "$before" ]
	run -0 "$ISOMORPH" write --yes --as raw disk.img stick.img
	cmp -n 20971520 disk.img stick.img
}
