# SPDX-License-Identifier: Apache-2.0
# No logic here: scripts/ has it. Stamps in .venv/ keep what is set up from being set up again.
PREFIX ?= /usr/local
SHELL := /bin/bash
export PREFIX DESTDIR PYTHON

BUILD_INPUTS := $(wildcard native/*.py native/*.h native/init/*.[ch] native/host/*.[ch] native/client/*.[ch] spec/compile_schema.py spec/schemas/*.json)

help: ## explain the targets
	@scripts/help.sh Makefile

run: .venv/.built ## set up what is missing, then start a container and show what it sees
	@scripts/demo.sh

test: .venv/.tools .venv/.built ## set up what is missing, then the suite, linters and types included (all but the engines)
	@scripts/test.sh --ignore=tests/engines $(ARGS)

test-unit: .venv/.tools .venv/.built ## the tests that need no root
	@scripts/test.sh tests/unit $(ARGS)

test-engines: .venv/.engines .venv/.built ## Docker, containerd, Podman and buildah, of the distribution's packages, drive orlop
	@MUST_RUN="$${MUST_RUN:+$$MUST_RUN,}buildah,containerd,docker,ip,newuidmap,podman,runc,slirp4netns,tini" scripts/test.sh tests/engines $(ARGS)

test-warm: .venv/.tools .venv/.built ## the container and shim tests once more, each call done by a warm planner
	@WARM=1 scripts/test.sh tests/integration tests/shim $(ARGS)

test-vm: .venv/.tools .venv/.built ## the cgroup and container tests in a guest with pure cgroup v2 (MODE=--systemd, QEMU=1)
	@scripts/test-vm.sh $(MODE) -- $(ARGS)

faults: .venv/.tools .venv/.built ## kill orlopd, shims and inits at random for long (FAULTS_SECONDS=600, FAULTS_SEED=)
	@FAULTS_SECONDS="$${FAULTS_SECONDS:-600}" scripts/test.sh tests/supervisor/test_faults.py -n 0 -rP $(ARGS)

load: .venv/.tools .venv/.built ## orlopd under load for long, with its latencies (LOAD_SECONDS=300, LOAD_CONTAINERS=500)
	@LOAD_SECONDS="$${LOAD_SECONDS:-300}" LOAD_CONTAINERS="$${LOAD_CONTAINERS:-500}" scripts/test.sh tests/supervisor/test_load.py -n 0 $(ARGS)

test-guests: .venv/.tools .venv/.built ## of test-vm what takes minutes only: cgroups and mounts on v2, and the systemd driver
	@scripts/test-guests.sh $(ARGS)

build: .venv/.built ## the native part, the compiled schemas, the development launcher .venv/bin/orlop

lint: .venv/.tools .venv/.built ## ruff, mypy, shellcheck and the C compiler's warnings
	@scripts/test.sh tests/unit/test_linters.py $(ARGS)

bench: .venv/.engines .venv/.built ## this project beside runc, crun, containerd, Docker and Podman, in one run (ARGS=--quick)
	@.venv/bin/python -m bench $(ARGS)

bench-vm: .venv/.tools .venv/.built ## the same in a guest with pure cgroup v2, of the command line alone (ARGS=--rounds 4, QEMU=1)
	@scripts/bench-vm.sh --only commandline $(ARGS)

fuzz: .venv/.tools .venv/.built ## plans that a coverage-guided fuzzer makes (FUZZ_SECONDS=300)
	@scripts/fuzz.sh

analyze: .venv/.tools .venv/.built ## cppcheck, clang-tidy, gcc -fanalyzer and bandit
	@scripts/setup.sh fuzz
	@MUST_RUN=clang-tidy,cppcheck,bandit scripts/test.sh tests/native/test_compilers.py tests/unit/test_linters.py $(ARGS)

fmt: .venv/.tools ## format the Python sources
	@.venv/bin/ruff format -q .
	@.venv/bin/ruff check -q --fix-only .

install: .venv/.built ## a private environment in PREFIX/lib/orlop, its command in PREFIX/bin (PREFIX=/usr/local, DESTDIR=)
	@scripts/install.sh

uninstall: ## remove what install made
	@scripts/uninstall.sh

clean: ## remove the environment and everything built
	@scripts/clean.sh

.venv/.ready: pyproject.toml scripts/setup.sh
	@scripts/setup.sh run

.venv/.tools: .venv/.ready
	@scripts/setup.sh test

.venv/.engines: .venv/.tools
	@scripts/setup.sh engines

.venv/.built: .venv/.ready scripts/build.sh scripts/launcher.sh scripts/archive.py scripts/archive.sh runtime/archived.py $(BUILD_INPUTS)
	@scripts/build.sh

.PHONY: help run test faults load test-unit test-engines test-warm test-vm test-guests build lint bench bench-vm fuzz analyze fmt install uninstall clean
