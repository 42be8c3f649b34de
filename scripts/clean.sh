#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Removes what .gitignore lists: nothing that was written by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf .venv .run build dist ./*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
rm -f native/orlop native/orlop-init native/_*.c native/*.so native/*.o native/init/*.o spec/_*_check.py
find . -name __pycache__ -type d -prune -exec rm -rf {} +
