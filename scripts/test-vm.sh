#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: test-vm.sh [--systemd|--hybrid] [--] [PYTEST ARGUMENT...]
# Boots a guest with pure cgroup v2 once, and runs the tests marked v2 in it (with --systemd: those
# marked systemd, too, with systemd as pid 1; with --hybrid: those alone, and cgroup v1 beside v2).
# User Mode Linux; QEMU=1 takes QEMU, slower, with cpuset and two processors.
set -euo pipefail
cd "$(dirname "$0")/.."

vm=(--fast)
marks=v2
must_run=root,cgroup2
slowness=10
if [ "${QEMU:-}" = 1 ]; then
    vm=()
    slowness=40
fi
if [ "${1:-}" = --systemd ]; then
    vm+=(--systemd)
    marks='v2 or systemd'
    shift
elif [ "${1:-}" = --hybrid ]; then
    vm+=(--systemd --hybrid)
    marks=systemd
    must_run=root
    shift
fi
[ "${1:-}" != -- ] || shift

tests/vm/setup.sh
# What the tests would build is built here, where it takes no time.
.venv/bin/python -c 'from tests.support import probe; probe.build()'
# -p no:cacheprovider: the tree is read-only, below an overlay that is lost.
exec tests/vm/run_in_vm.py "${vm[@]}" --env "MUST_RUN=$must_run" --env RUNTIME \
    --env "ORLOP_TEST_SLOWNESS=$slowness" --env PYTHONDONTWRITEBYTECODE=1 -- \
    .venv/bin/python -m pytest -q -p no:cacheprovider -m "$marks" "$@"
