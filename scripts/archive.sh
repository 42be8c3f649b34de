#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: archive.sh FILE PROGRAM PYTHON PACKAGES DIRECTORY...
# Compiles the modules of PROGRAM (orlop, shim) into FILE, by scripts/archive.py, which see. The code has no
# columns for tracebacks: a tenth of it that is never looked at.
set -euo pipefail

interpreter=$("$3" -c 'import os, sys; print(os.path.realpath(sys.executable))')
"$interpreter" -ISB -X no_debug_ranges "$(dirname "$0")/archive.py" "$1.new" "$2" "${@:4}"
mv "$1.new" "$1"
