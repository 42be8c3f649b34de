#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: test.sh [PYTEST ARGUMENT...]
# The suite on all processors. `load` keeps both busy: container tests take very unequal times.
#
# In CI, what fails beside others is tried once more on its own: a failure of the code fails again,
# one of a machine that was too busy is listed as such. By hand, every failure is one.
set -euo pipefail
cd "$(dirname "$0")/.."

pytest=(.venv/bin/python -m pytest -q)
status=0
"${pytest[@]}" -n auto --dist load "$@" || status=$?
if [ "$status" = 1 ] && [ "${CI:-}" = true ]; then
    echo "== failed beside other tests; once more, each on its own"
    exec "${pytest[@]}" -n 0 --last-failed --last-failed-no-failures none -rA "$@"
fi
exit "$status"
