#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-3.0-or-later
# make install, what a stranger's program needs to be built on the library, make uninstall.

bats_require_minimum_version 1.5.0

setup_file() {
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export root DEST=$BATS_FILE_TMPDIR/dest
	export BUILD_DIR=${ISOMORPH_BUILD:-$root/build}
	DESTDIR=$DEST meson install -C "$BUILD_DIR" --no-rebuild >"$BATS_FILE_TMPDIR/log"
	PREFIX=$(meson introspect "$BUILD_DIR" --buildoptions |
		python3 -c 'import json, sys; print([o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"][0])')
	export PREFIX
	PC=$(dirname "$(find "$DEST" -name isomorph.pc)")
	export PC
}

@test "program, library, headers, manual, completion and pkg-config file are installed" {
	for file in bin/isomorph include/isomorph/job.h share/man/man1/isomorph.1 \
		share/bash-completion/completions/isomorph; do
		[ -s "$DEST$PREFIX/$file" ]
	done
	for header in "$root"/include/isomorph/*.h; do
		cmp "$header" "$DEST$PREFIX/include/isomorph/${header##*/}"
	done
	diff <(cd "$root/man" && ls isomorph*.1) <(ls "$DEST$PREFIX/share/man/man1")
	[ -s "$PC/isomorph.pc" ]
	# the program finds its library under any prefix
	path=$(readelf -d "$DEST$PREFIX/bin/isomorph" | sed -n 's/.*R.*PATH.*\[\(.*\)\]/\1/p')
	[ "$DEST$path/pkgconfig" = "$PC" ]
}

@test "version.h, meson and the program agree on the version" {
	version=$(sed -n 's/^#define ISOMORPH_VERSION "\(.*\)"/\1/p' "$root/include/isomorph/version.h")
	[ "$(PKG_CONFIG_PATH=$PC pkg-config --modversion isomorph)" = "$version" ]
	[ "$("${ISOMORPH:-$root/build/isomorph}" --version)" = "isomorph $version" ]
}

@test "a C program is built against the installed library and plans a job with it" {
	cat >"$BATS_TEST_TMPDIR/plan.c" <<-'EOC'
		#include <stdio.h>
		#include <isomorph/device.h>
		#include <isomorph/inspect.h>
		#include <isomorph/job.h>
		#include <isomorph/version.h>

		int main(int argc, char **argv)
		{
			const char *targets[] = { argv[2] };
			struct ism_job_options options = { .verb = ISM_VERB_WRITE, .source = argv[1], .targets = targets,
				.n_targets = 1, .as = ISM_AS_RAW };
			struct ism_error err = { 0 };
			struct ism_job *job = NULL;

			if (argc != 3 || ism_job_new(&options, &job, &err) < 0) {
				fprintf(stderr, "%s\n", err.message ? err.message : "usage");
				return 1;
			}
			printf("%s %llu\n", ism_job_plan(job)->format, (unsigned long long)ism_job_plan(job)->size);
			ism_job_free(job);
			return 0;
		}
	EOC
	export PKG_CONFIG_PATH=$PC PKG_CONFIG_SYSROOT_DIR=$DEST
	# shellcheck disable=SC2046 # a list of words
	gcc -std=c17 -Wall -Wextra -Werror -o "$BATS_TEST_TMPDIR/plan" "$BATS_TEST_TMPDIR/plan.c" \
		$(pkg-config --cflags --libs isomorph)
	printf 'an image' >"$BATS_TEST_TMPDIR/image"
	gzip -k "$BATS_TEST_TMPDIR/image"
	export LD_LIBRARY_PATH=$PC/..
	[ "$("$BATS_TEST_TMPDIR/plan" "$BATS_TEST_TMPDIR/image" "$BATS_TEST_TMPDIR/new")" = "raw 8" ]
	run -0 "$BATS_TEST_TMPDIR/plan" "$BATS_TEST_TMPDIR/image.gz" "$BATS_TEST_TMPDIR/new"
	[[ $output == "gz "* ]]
}

@test "each public header stands alone" {
	for header in "$DEST$PREFIX"/include/isomorph/*.h; do
		echo "#include <isomorph/${header##*/}>" |
			gcc -std=c17 -Wall -Wextra -Werror -fsyntax-only -I "$DEST$PREFIX/include" -x c -
	done
}

@test "only public symbols leave the library" {
	run -1 bash -c "nm -D --defined-only '$PC/../libisomorph.so' | awk '{print \$3}' | grep -v '^ism_'"
}

@test "make uninstall removes all that make install put there" {
	[ -n "$(find "$DEST" -type f)" ]
	ninja -C "$BUILD_DIR" uninstall >"$BATS_TEST_TMPDIR/log"
	[ -z "$(find "$DEST" -type f -o -type l)" ]
}
