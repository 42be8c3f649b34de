#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: archive.sh FILE PYTHON PACKAGES DIRECTORY...
# Compiles the modules of the command line into FILE, by scripts/archive.py, which see. The code has no
# columns for tracebacks: a tenth of it that is never looked at.
set -euo pipefail

interpreter=$("$2" -c 'import os, sys; print(os.path.realpath(sys.executable))')
"$interpreter" -ISB -X no_debug_ranges "$(dirname "$0")/archive.py" "$1.new" "${@:3}"
mv "$1.new" "$1"
