#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# The manual and the completion say what --help says: every command, every option, nothing else.

bats_require_minimum_version 1.5.0

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	isomorph=${ISOMORPH:-$root/build/isomorph}
}

# verbs: as `isomorph --help` lists them.
verbs() {
	"$isomorph" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# help_options VERB: "--yes" and "-y" a line each, sorted.
help_options() {
	"$isomorph" "$1" --help | grep -oE '^  (-., |    )--[a-z0-9-]+' | grep -oE -- '--?[a-z][a-z0-9-]*' | sort -u
}

# man_options VERB: the same out of the OPTIONS of its page.
man_options() {
	sed -n 's/^\.It Fl //p' "$root/man/isomorph-$1.1" | sed 's/ Ar .*//; s/ , Fl /\n/g' | sed 's/^/-/' | sort -u
}

# complete WORD...: what the completion offers for the last WORD.
complete_words() (
	# shellcheck source=/dev/null
	source "$root/completions/isomorph"
	COMP_WORDS=(isomorph "$@")
	COMP_CWORD=$#
	_isomorph
	printf '%s\n' "${COMPREPLY[@]}"
)

@test "there are commands to compare" {
	[ "$(verbs | wc -l)" -ge 6 ]
	help_options write | grep -qx -- --yes
	help_options write | grep -qx -- -y
	[ "$(help_options write | wc -l)" -gt 20 ]
}

@test "every command has a manual page, every page a command, and isomorph(1) names them all" {
	diff <(verbs | sort) <(cd "$root/man" && printf '%s\n' isomorph-*.1 | sed 's/^isomorph-//; s/\.1$//' | sort)
	diff <(verbs | sort) <(sed -n 's/^\.It Xr isomorph-\([a-z]*\) 1$/\1/p' "$root/man/isomorph.1" | sort)
	for verb in $(verbs); do
		grep -q "'isomorph-$verb.1'" "$root/man/meson.build"
	done
}

@test "the manual page of each command explains exactly the options of its --help" {
	for verb in $(verbs); do
		diff <(help_options "$verb") <(man_options "$verb") || {
			echo "isomorph-$verb.1: < is only in --help, > only in the page"
			false
		}
	done
}

@test "options that take an argument take one in the manual too" {
	for verb in $(verbs); do
		diff <("$isomorph" "$verb" --help | grep -oE '^  .{3} --[a-z0-9-]+ [A-Z]+ ' | sed 's/^ *//; s/ *$//; s/^-., //' | sort) \
			<(sed -n 's/^\.It Fl \(-.*\) Ar \(.*\)/-\1 \2/p' "$root/man/isomorph-$verb.1" | sort)
	done
}

@test "mandoc finds nothing to say about the pages" {
	# which other pages a system has is not our concern
	mandoc -T lint "$root"/man/*.1 2>/dev/null | grep -v 'referenced manual not found' >"$BATS_TEST_TMPDIR/lint" || true
	diff /dev/null "$BATS_TEST_TMPDIR/lint"
	echo '.Xx' >"$BATS_TEST_TMPDIR/bad.1"
	run ! mandoc -T lint "$BATS_TEST_TMPDIR/bad.1"
}

@test "the exit statuses of isomorph --help are those of isomorph(1) and the README" {
	said=$("$isomorph" --help | sed -n '/^Exit status:/,$p' | tr '\n' ' ' | grep -oE '(: |, )[0-9]+ ' | tr -dc '0-9\n' | sort)
	[ -n "$said" ]
	diff <(echo "$said") <(sed -n '/EXIT STATUS/,/EXAMPLES/s/^\.It \([0-9]*\)$/\1/p' "$root/man/isomorph.1" | sort)
	diff <(echo "$said") <(sed -n 's/^| \([0-9]*\) |.*/\1/p' "$root/README.md" | sort)
}

@test "the README's table is the list of commands" {
	diff <(verbs | sort) <(sed -n 's/^| `isomorph \([a-z]*\).*/\1/p' "$root/README.md" | sort)
}

@test "links between the documents lead somewhere" {
	cd "$root"
	for page in README.md HACKING.md doc/*.md doc/guide/*.md; do
		for link in $(grep -oE '\]\([^)# ]+' "$page" | cut -c3- | grep -v '://'); do
			# made by the long run
			[ "$link" = check-long.md ] || [ -e "$(dirname "$page")/$link" ] || {
				echo "$page: $link"
				false
			}
		done
	done
}

@test "the completion offers exactly the commands and the options of --help" {
	diff <(verbs | sort) <(complete_words '' | grep -v '^-' | sort)
	for verb in $(verbs); do
		diff <(help_options "$verb") <(complete_words "$verb" - | sort)
	done
}

@test "the completion finishes words, files and values of options" {
	cd "$BATS_TEST_TMPDIR"
	touch "an image.iso" other.iso
	[ "$(complete_words ver)" = verify ]
	[ "$(complete_words write --no-b)" = --no-bmap ]
	[ "$(complete_words write a)" = "an image.iso" ]
	[ "$(complete_words write --checksums oth)" = other.iso ]
	[ "$(complete_words write --progress j)" = json ]
	[ "$(complete_words write --progress = pl)" = plain ]
	[ "$(complete_words write --progress =)" = "$(printf 'auto\nplain\njson\nnone')" ]
	[ -z "$(complete_words write --sha256 o)" ]
	[ "$(complete_words inspect --sha256 o)" = other.iso ]
}

@test "the completion offers the disks that are there" {
	disk=$(for d in /sys/block/*; do [ "$(cat "$d/size")" = 0 ] || echo "/dev/${d##*/}"; done | head -1)
	[ -n "$disk" ] || skip "no disk at all"
	complete_words erase /dev/ | grep -qx "$disk"
	complete_words write x.iso /dev/ | grep -qx "$disk"
}

@test "isomorph alone prints ten lines, and every command in them exists" {
	run -0 "$isomorph"
	[ "$(wc -l <<<"$output")" -le 10 ]
	for verb in $(grep -oE 'isomorph [a-z]+' <<<"$output" | cut -d' ' -f2 | grep -vx writes); do
		verbs | grep -qx "$verb"
	done
}
