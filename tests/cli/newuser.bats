#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# What somebody meets who has never used it: no operands, the wrong ones, no root, a question.

load common

# at_terminal INPUT COMMAND...: runs it at a terminal of its own, types INPUT; exit status of the command.
at_terminal() {
	local input=$1
	shift
	/usr/bin/python3 - "$input" "$@" <<-'EOP'
		import os, pty, sys
		typed, argv = sys.argv[1].encode().decode('unicode_escape').encode(), sys.argv[2:]
		pid, fd = pty.fork()
		if pid == 0:
		    os.execvp(argv[0], argv)
		os.write(fd, typed)
		out = b''
		while True:
		    try:
		        part = os.read(fd, 4096)
		    except OSError:
		        break
		    if not part:
		        break
		    out += part
		sys.stdout.write(out.decode(errors='replace').replace('\r', ''))
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	EOP
}

# as_nobody COMMAND...: without root, with a copy of the program that nobody may run.
as_nobody() {
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/.."
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

@test "isomorph alone says what it is for in a dozen lines" {
	run -0 "$iso"
	[ "${#lines[@]}" -le 12 ]
	says "isomorph write"
	says "isomorph verify"
	run -0 "$iso" --version
	run -0 "$iso" --help
	run -0 "$iso" write --help
	says "Usage: isomorph write"
}

@test "a misspelt command or option: the nearest one, exit 2" {
	run -2 "$iso" wirte image disk
	says "did you mean 'write'?"
	run -2 "$iso" write --detla image disk
	says "did you mean '--delta'?"
	run -2 "$iso" xyzzy
	says_not "did you mean"
}

@test "no target: what could be meant, why the others are passed over, exit 2 where nobody can be asked" {
	noise image 1M
	a_disk 2M
	before=$(sum "$disk")
	run -2 "$iso" write image
	says "No target is named"
	says "$disk"
	[ "$(sum "$disk")" = "$before" ]
}

@test "a partition is said with its whole disk's name; --partition-target writes it and no more" {
	noise image 3M
	noise disk.img 32M old
	printf 'label: dos\n2048,20480,83\n' | sfdisk -q disk.img
	loop disk.img
	partx -a "$disk"
	cp "$disk" before
	run -2 "$iso" write --yes image "${disk}p1"
	says "the disk is $disk"
	cmp before "$disk"
	run -0 "$iso" write --yes --partition-target image "${disk}p1"
	cmp -n 3145728 image "${disk}p1"
	cmp -n 1048576 before "$disk"
	cmp -i $((22529 * 512)) before "$disk"
}

@test "a name under /dev that is not there, a folder, an image that is not there: exit 2, no file made" {
	noise image 1M
	run -2 "$iso" write --yes image /dev/isomorph-no-such-disk
	says "does not exist"
	[ ! -e /dev/isomorph-no-such-disk ]
	[ ! -e /dev/isomorph-no-such-disk.part ]
	mkdir folder
	run -2 "$iso" write --yes image folder
	run -2 "$iso" write --yes folder new
	says "is a directory"
	run -2 "$iso" write --yes missing new
	run -2 "$iso" write --yes image no/such/folder/new
	run -2 "$iso" write --yes image /dev/null
	run -2 "$iso" write --yes image /dev/zero
	run -2 "$iso" write --yes /dev/zero new
	ln -s turn round
	ln -s round turn
	run "$iso" write --yes image turn
	[ "$status" -ge 1 ]
	[ "$status" -le 5 ]
	run -2 "$iso" write image "$(printf 'n%.0s' {1..255})"
	[ ! -e new ]
}

@test "without root: the same command with sudo, as it can be pasted" {
	noise "an image's" 1M
	a_disk 2M
	before=$(sum "$disk")
	run -1 as_nobody "$iso" write --yes "an image's" "$disk"
	says "sudo "
	says "write --yes 'an image'\\''s' $disk"
	[ "$(sum "$disk")" = "$before" ]
}

@test "nobody can be asked: exit 2 and nothing changed without --yes" {
	noise image 1M
	a_disk 2M
	before=$(sum "$disk")
	run -2 "$iso" write image "$disk" </dev/null
	says "--yes"
	[ "$(sum "$disk")" = "$before" ]
}

@test "at a terminal nothing is preselected: an empty answer, n, and the end of input change nothing" {
	noise image 1M
	a_disk 2M
	before=$(sum "$disk")
	for typed in '\n' 'n\n' 'yeah\n' '\x04'; do
		run -130 at_terminal "$typed" "$iso" write image "$disk"
		says "Overwrite $disk?"
		says "Nothing was changed"
		[ "$(sum "$disk")" = "$before" ]
	done
	run -130 at_terminal '\n' "$iso" write --quiet image "$disk"
	says "what will be lost"
	run -0 at_terminal 'y\n' "$iso" write image "$disk"
	cmp -n 1048576 image "$disk"
}

@test "names and labels cannot play with the terminal" {
	noise image 1M
	name=$(printf 'a\033[2J\nisomorph: done\x9b\377 %%s %%n')
	cp image "$name"
	run -0 "$iso" write "$name" "$name.new"
	cmp image "$name.new"
	[[ $output != *$'\033'* ]]
	! grep -q '^isomorph: done' <<<"$output" || false
	run -0 --separate-stderr "$iso" write --json --progress=json --yes "$name" "$name.new"
	json_get 'doc["exit"]'
	run -2 "$iso" write "$name.missing" x
	[[ $output != *$'\033'* ]]
	truncate -s 8M fs
	mkfs.ext4 -q -L "$(printf 'x\033[31mred')" fs
	loop fs
	run -0 "$iso" write --yes image "$disk"
	[[ $output != *$'\033'* ]]
}

# bats test_tags=plain
@test "memory has a bound: 128 MiB and 16 for each target, whatever the size and the format" {
	mkdir ram
	mount -t tmpfs -o size=1400M none ram
	later mount "$PWD/ram"
	seq 1 100000000 | head -c 256M >ram/image
	xz -0 -T2 --block-size=16M <ram/image >image.xz
	zstd -q -1 ram/image -o image.zst
	gzip -1 <ram/image >image.gz
	for name in image.xz image.zst image.gz; do
		for n in 1 4; do
			[ "$name,$n" != image.gz,4 ] || continue
			targets=()
			for ((i = 0; i < n; i++)); do
				targets+=("ram/t$i")
			done
			rm -f ram/t?
			/usr/bin/python3 - "$((131072 + 16384 * n))" "$iso" write --quiet --no-verify "$name" "${targets[@]}" <<-'EOP'
				import resource, subprocess, sys
				subprocess.run(sys.argv[2:], check=True)
				peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
				assert peak <= int(sys.argv[1]), f'{sys.argv[2:]} took {peak} KiB, more than {sys.argv[1]}'
			EOP
			cmp ram/image ram/t0
		done
	done
}
