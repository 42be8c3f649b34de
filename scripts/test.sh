#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: test.sh [PYTEST ARGUMENT...]
# The suite on all processors. `load` keeps both busy: container tests take very unequal times.
set -euo pipefail
cd "$(dirname "$0")/.."

exec .venv/bin/python -m pytest -q -n auto --dist load "$@"
