#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# The doors of the house: ./setup, deps/ and the runner's own honesty.

bats_require_minimum_version 1.5.0

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
	mkdir "$BATS_TEST_TMPDIR/bin"
}

# fake NAME SCRIPT: a program of that name first in the PATH.
fake() {
	printf '#!/bin/sh\n%s\n' "$2" >"$BATS_TEST_TMPDIR/bin/$1"
	chmod +x "$BATS_TEST_TMPDIR/bin/$1"
}

@test "setup without root and with packages missing says the sudo command, touches nothing, exit 2" {
	fake id 'echo 1000'
	fake dpkg-query 'exit 1'
	fake apt-get "echo called >$BATS_TEST_TMPDIR/apt"
	run -2 "$root/setup" check N=3
	[[ $output == *"sudo ./setup check N=3"* ]]
	[[ $output == *" meson"* && $output == *" qemu-system-x86"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/apt" ]
}

@test "setup as root installs what is missing, asks nothing, no recommended packages" {
	fake id 'echo 0'
	fake dpkg-query 'case "$*" in *meson*) exit 1;; esac; echo "ii "'
	fake apt-get "echo \"\$DEBIAN_FRONTEND \$*\" >>$BATS_TEST_TMPDIR/apt"
	fake make "echo make \"\$@\""
	run -0 "$root/setup" check
	[ "${lines[-1]}" = "make check" ]
	grep -q '^noninteractive .* update$' "$BATS_TEST_TMPDIR/apt"
	grep -q '^noninteractive .*DPkg::Lock::Timeout=.* install --no-install-recommends .* meson$' "$BATS_TEST_TMPDIR/apt"
}

@test "setup with everything there calls no apt-get" {
	fake dpkg-query 'echo "ii "'
	fake apt-get "echo called >$BATS_TEST_TMPDIR/apt"
	fake make 'echo make "$@"'
	run -0 "$root/setup" check-long SEED=7
	[ "$output" = "make check-long SEED=7" ]
	[ ! -e "$BATS_TEST_TMPDIR/apt" ]
}

@test "every package in deps/ is one that Debian has" {
	wanted=$(cat "$root"/deps/build "$root"/deps/demo "$root"/deps/test* | sed 's/#.*//' | xargs -n1 | sort -u)
	# shellcheck disable=SC2086 # a list of words
	known=$(apt-cache --no-all-versions show $wanted | sed -n 's/^Package: //p' | sort -u)
	diff <(echo "$wanted") <(echo "$known")
}

# a_tree: a copy of the runner in a tree with one meson project that has nothing but what the test adds.
a_tree() {
	mkdir -p "$BATS_TEST_TMPDIR/tree/tests/part"
	cp "$root/tests/run" "$BATS_TEST_TMPDIR/tree/tests/run"
	cd "$BATS_TEST_TMPDIR/tree"
	echo "project('empty', 'c')" >meson.build
}

# a_bats_file <TEXT: with %test for @test, which bats would take for a test of this file.
a_bats_file() {
	sed 's/^%/@/' >tests/part/a.bats
}

@test "the runner counts passed, failed and skipped cases, and fails" {
	a_tree
	a_bats_file <<-'EOF'
		%test "good" { true; }
		%test "bad" { false; }
		%test "later" { skip "no reason"; }
	EOF
	run -1 tests/run check part
	[ "${lines[-1]}" = "1 passed, 1 failed, 1 skipped" ]
}

@test "the runner counts a test that never reported as failed" {
	a_tree
	a_bats_file <<-'EOF'
		%test "good" { true; }
		%test "falls over" { kill -9 $$; }
	EOF
	run -1 tests/run check part
	[[ ${lines[-1]} == "1 passed, 1 failed" ]]
}

@test "the runner fails when nothing ran" {
	a_tree
	run -1 tests/run check no-such-suite
	[ "${lines[-1]}" = "0 passed, 0 failed" ]
}

@test "the runner counts meson tests, and a build that fails once" {
	a_tree
	cat >meson.build <<-'EOF'
		project('two', 'c')
		test('yes', find_program('true'), suite: 'unit')
		test('no', find_program('false'), suite: 'unit')
	EOF
	run -1 tests/run check 'build (gcc)' 'unit (gcc)'
	[ "${lines[-1]}" = "2 passed, 1 failed" ]
	echo "executable('x', 'missing.c')" >>meson.build
	run -1 tests/run check 'build (gcc)' 'unit (gcc)'
	[ "${lines[-1]}" = "0 passed, 1 failed" ]
}
