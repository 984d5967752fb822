# SPDX-License-Identifier: GPL-3.0-or-later
# What the tests of the command line share: images, loop devices, and that nothing stays behind.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are for the tests; bats sets output, stderr

bats_require_minimum_version 1.5.0

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	iso=${ISOMORPH:-$root/build/isomorph}
	build=${ISOMORPH_BUILD:-$(dirname "$iso")}
	export LC_ALL=C.UTF-8
	unset ISOMORPH_FAULTY
	[ "$(id -u)" = 0 ] || skip "loop devices need root"
	cd "$BATS_TEST_TMPDIR" || return
}

# What was mounted, attached or started goes away, in the other order, after a failure too.
teardown() {
	cd / || return
	local kind what
	[ -e "$BATS_TEST_TMPDIR/.undo" ] || return 0
	while read -r kind what; do
		case $kind in
		pid) kill -KILL "$what" 2>/dev/null ;;
		mount) fusermount3 -qu "$what" || umount -l "$what" ;;
		loop) partx -d "$what" 2>/dev/null; losetup -d "$what" ;;
		esac
	done < <(tac "$BATS_TEST_TMPDIR/.undo") || true
}

# later KIND WHAT: for teardown.
later() {
	echo "$1 $2" >>"$BATS_TEST_TMPDIR/.undo"
}

# noise FILE SIZE [SEED]: bytes that no two places share, the same for the same seed.
noise() {
	openssl enc -aes-128-ctr -pass "pass:${3:-noise}" -nosalt -pbkdf2 -iter 1 -in /dev/zero 2>/dev/null |
		head -c "$2" >"$1"
}

# loop FILE [OPTION...]: $disk is a loop device on it.
loop() {
	local file=$1
	shift
	disk=$(losetup --find --show "$@" "$file")
	later loop "$disk"
}

# a_disk SIZE [OPTION...]: $disk, a loop device on the file disk.img, which is full of old data.
a_disk() {
	noise disk.img "$1" old
	shift
	loop disk.img "$@"
}

sum() {
	sha256sum <"$1"
}

# json_get EXPRESSION: Python, over the one JSON document `doc` that is in $output.
json_get() {
	/usr/bin/python3 -c 'import json, sys; doc = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$output" "$1"
}

# says TEXT: somewhere in what was said on stderr, or on both when they were not taken apart.
says() {
	[[ $output$'\n'${stderr:-} == *"$1"* ]] || {
		echo "not said: $1"
		echo "$output"
		echo "${stderr:-}"
		return 1
	}
}

says_not() {
	[[ $output$'\n'${stderr:-} != *"$1"* ]] || {
		echo "said: $1"
		return 1
	}
}

# zeros FILE OFFSET LEN: that part of it is zero.
zeros() {
	cmp -n "$3" -i "$2:0" "$1" /dev/zero
}
