# A thin front to meson and ninja; plain `make` shows what there is.
#
# BUILD          where to build (build)
# PREFIX         for `make install` (/usr/local); DESTDIR as everywhere
# FUZZ_SECONDS   how long `make fuzz` and `make test` run each target (30)
# TESTS          what `make test` and `make soak` hand to pytest (all of tests/integration)

BUILD ?= build
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 30
TESTS ?= tests/integration

export BUILD FUZZ_SECONDS TESTS

.PHONY: help setup build run run-fleet test soak bench fuzz coverage proof valgrind sanitize tsan check format deb install fresh clean profile

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install what building and running need, where it is missing
	@scripts/setup build

build: setup ## build/mired and build/mirectl
	@scripts/build $(BUILD)

run: build ## the demo: a mail server on port 2525 to play with
	@demo/start $(BUILD)

run-fleet: build ## a fleet to play with: three members and a Redis of their own
	@demo/fleet $(BUILD)

test: ## everything that must pass before a change lands: unit, sanitizers, integration
	@scripts/test

soak: ## the long tests: hours of attack in minutes
	@scripts/soak

bench: build ## measure against the budgets, next to HAProxy and Postfix
	@scripts/setup bench
	@bench/run $(BUILD)

profile: build ## draw a flame graph of each main path into docs/profiles (root)
	@scripts/setup bench
	@bench/profile $(BUILD)

fuzz: ## each fuzz target for FUZZ_SECONDS
	@scripts/fuzz

coverage: ## which lines the unit tests and the seeds of the fuzz targets run
	@scripts/coverage

proof: ## Frama-C over the tarpit and the SMTP parsers: no undefined behaviour, no hold above the maximum
	@scripts/proof

valgrind: ## the fast integration tests under valgrind, or with PART=1/10 a tenth of all
	@scripts/valgrind

sanitize: ## the whole integration suite under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/sanitize

tsan: ## the tests of what has threads, under ThreadSanitizer
	@scripts/tsan

check: ## clang-format, clang-tidy, cppcheck, and the form of the commits
	@scripts/check

format: ## put every C file into the project's layout
	@scripts/setup check
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

deb: ## a Debian package, in build/deb, checked by lintian
	@scripts/setup build deb
	@scripts/deb

install: build ## into PREFIX, below DESTDIR
	@meson configure $(BUILD) --prefix=$(PREFIX) && meson install -C $(BUILD)

fresh: ## prove that a clean clone runs and passes on a fresh Debian 12, and builds on 13 (root, 15 minutes)
	@scripts/setup fresh
	@scripts/fresh-root
	@SUITE=trixie scripts/fresh-root unit

clean: ## remove what building and running made
	rm -rf build build-asan build-o3 build-clang build-coverage build-fuzz build-tsan build-valgrind demo/run
