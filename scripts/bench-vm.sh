#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: bench-vm.sh [ARGUMENT OF make bench...]
# `make bench` in a guest with pure cgroup v2: User Mode Linux, or QEMU=1. Such a guest is many times
# slower, by what depends on the call: ratios there are of that guest. What it writes is lost with it,
# what it prints is not.
set -euo pipefail
cd "$(dirname "$0")/.."

vm=(--fast)
[ "${QEMU:-}" != 1 ] || vm=()
tests/vm/setup.sh
# What the benchmark would build is built here, where it takes no time.
.venv/bin/python -c 'from tests.support import probe; probe.build()'
exec tests/vm/run_in_vm.py "${vm[@]}" --env PYTHONDONTWRITEBYTECODE=1 -- .venv/bin/python -m bench "$@"
