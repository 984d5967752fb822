#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# Arrows between the rooms point one way, as doc/architecture.md lists them; faces see the public headers only.

bats_require_minimum_version 1.5.0

setup() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$root"
}

# rooms: in their order.
rooms() {
	sed -n 's/^| `src\/\([a-z]*\)` |.*/\1/p' doc/architecture.md
}

@test "every room is in the list of doc/architecture.md, and every one in the list exists" {
	diff <(rooms | sort) <(for d in src/*/; do basename "$d"; done | sort)
}

@test "a room includes itself and rooms above it only" {
	above=
	for room in $(rooms); do
		above="$above $room"
		for used in $(grep -hoE '^#include "[a-z]+/' $(ls src/"$room"/*.[ch] | grep -vE '/(test|fuzz)_') | cut -d'"' -f2 | tr -d / | sort -u); do
			[[ " $above " == *" $used "* ]] || {
				echo "src/$room includes $used/"
				false
			}
		done
	done
}

@test "the command line includes no header of the library's inside" {
	run -1 grep -nE '^#include "[^"]*/' src/cli/*.c src/cli/*.h
}

@test "what doc/ says of files in the source is about files that exist" {
	for file in $(grep -ohE '`(src|tests|include|base|medium|device|format|table|fs|boot|engine)/[a-z_/]+\.(c|h|bats|py)`' doc/*.md | tr -d '`' | sort -u); do
		[ -e "$file" ] || [ -e "src/$file" ] || {
			echo "$file"
			false
		}
	done
}

@test "every source file names its licence" {
	# shellcheck disable=SC2046 # a list of words
	missing=$(grep -L 'SPDX-License-Identifier: GPL-3.0-or-later' \
		$(find src include tests man completions -name '*.[ch]' -o -name '*.py' -o -name '*.bats' -o -name '*.1' -o -path completions/isomorph) || true)
	[ -z "$missing" ] || {
		echo "$missing"
		false
	}
}
