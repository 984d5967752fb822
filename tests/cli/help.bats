#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# isomorph help: which guide page fits, how it looks in a terminal.

bats_require_minimum_version 1.5.0

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	isomorph=${ISOMORPH:-$root/build/isomorph}
}

@test "isomorph help lists the pages, finds one by words, says when none fits" {
	run -0 "$isomorph" help
	for page in "$root"/doc/guide/*.md; do
		name=$(basename "$page" .md)
		[ "$name" = README ] || [[ $output == *"  $name "*"$(sed -n '1s/^# //p' "$page")"* ]]
	done
	run -0 "$isomorph" help bootabel usb
	[ "${lines[0]}" = "Make a bootable USB stick from an ISO" ]
	run -0 "$isomorph" help download
	[ "${lines[0]}" = "Check a stick or a download" ]
	run -0 "$isomorph" help check-a-stick-or-a-download
	[ "${lines[0]}" = "Check a stick or a download" ]
	run -2 --separate-stderr "$isomorph" help xyzzyqq
	[ -z "$output" ]
}

@test "isomorph help shows no markup" {
	for page in "$root"/doc/guide/*.md; do
		name=$(basename "$page" .md)
		[ "$name" != README ] || continue
		"$isomorph" help "$name" >"$BATS_TEST_TMPDIR/page"
		run -1 grep -nE '<!--|```|\*\*|\]\(|^#+ [A-Z]' "$BATS_TEST_TMPDIR/page"
		run -1 grep -nE '^.{100}' <(grep -v '^    ' "$BATS_TEST_TMPDIR/page")
	done
}

@test "isomorph help of a command that no page is about is its --help" {
	diff <("$isomorph" help erase) <("$isomorph" erase --help)
	run -0 "$isomorph" help verify
	[ "${lines[0]}" = "Check a stick or a download" ]
}

@test "isomorph help --json is one document with every page" {
	run -0 "$isomorph" help --json
	[ "$(python3 -c 'import json, sys; print(len(json.load(sys.stdin)["pages"]))' <<<"$output")" = \
		"$(($(ls "$root"/doc/guide/*.md | wc -l) - 1))" ]
	"$isomorph" help --json usb | python3 -c 'import json, sys; assert "stick" in json.load(sys.stdin)["pages"][0]["text"]'
}

@test "words of any length and kind are only words" {
	long=$(printf 'x%.0s' {1..5000})
	run -2 --separate-stderr "$isomorph" help "$long"
	run -0 "$isomorph" help "$long" usb
	run -2 --separate-stderr "$isomorph" help ''
	run -2 --separate-stderr "$isomorph" help '!§$%&/()'
	run -2 --separate-stderr "$isomorph" help $'\033[2J'
	run -0 "$isomorph" help how do I make a bootable USB stick
	[ "${lines[0]}" = "Make a bootable USB stick from an ISO" ]
}
