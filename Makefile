# SPDX-License-Identifier: GPL-3.0-or-later
# The doors for people: everything here is one call of meson, ninja or a script. `./setup TARGET` also installs
# what the target needs. N= and SEED= reach the tests: longer runs, other dice.
BUILD = build
PREFIX = /usr/local
export N SEED

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX) --buildtype=debugoptimized

# Debian packages for building and testing; needs root when some are missing.
deps:
	deps/install build demo test

demo: $(BUILD)/build.ninja
	ninja -C $(BUILD) isomorph
	tests/demo/demo $(BUILD)

check:
	tests/run check

check-long:
	tests/run check-long

# Beside the programs it replaces; needs root. What came of it: bench/README.md.
bench: all
	BUILD=$(BUILD) bench/run

# clang-tidy over the whole tree, settings in .clang-tidy.
tidy: all
	run-clang-tidy -quiet -p $(BUILD) "$(CURDIR)/src/.*\.c"

install: all
	meson install -C $(BUILD) --no-rebuild
	[ -n "$(DESTDIR)" ] || [ "$$(id -u)" -ne 0 ] || ldconfig

uninstall:
	ninja -C $(BUILD) uninstall

clean:
	rm -rf $(BUILD) build-gcc build-clang build-tsan build-m32

.PHONY: all deps demo check check-long bench tidy install uninstall clean
