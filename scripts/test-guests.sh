#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: test-guests.sh [PYTEST ARGUMENT...]
# What CI has time for of `make test-vm`: the tests of cgroups and mounts in a guest with pure
# cgroup v2, and those of the systemd driver in one with systemd, side by side.
set -euo pipefail
cd "$(dirname "$0")/.."

in_v2=(
    tests/integration/test_cgroups_driver.py
    tests/integration/test_cgroups_v2.py
    tests/integration/test_delegation.py
    tests/integration/test_device_filter.py
    tests/integration/test_exec_cgroup.py
    tests/integration/test_mounts.py
    tests/integration/test_pause.py
    tests/integration/test_resources_v2.py
    tests/shim/test_life.py
)
tests/vm/setup.sh    # once, not by both at the same time
log=$(mktemp)
trap 'rm -f "$log"' EXIT
scripts/test-vm.sh --systemd -- tests/integration/test_systemd_driver.py \
    tests/shim/test_systemd.py tests/supervisor/test_systemd.py "$@" >"$log" 2>&1 &
systemd=$!
failed=0
echo "== cgroup v2"
scripts/test-vm.sh -- "${in_v2[@]}" "$@" || failed=$?
wait "$systemd" || failed=$?
echo "== cgroup v2, systemd"
cat "$log"
exit "$failed"
