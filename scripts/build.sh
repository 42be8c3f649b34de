#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds in place: the native part, the schemas compiled to Python, the launcher .venv/bin/orlop.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python native/build.py
.venv/bin/python -m spec.compile_schema
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
scripts/launcher.sh .venv/bin/python "$PWD" "$site" >.venv/bin/orlop-cold.new
cp native/orlop .venv/bin/orlop.new
chmod 755 .venv/bin/orlop.new .venv/bin/orlop-cold.new
mv .venv/bin/orlop-cold.new .venv/bin/orlop-cold
mv .venv/bin/orlop.new .venv/bin/orlop
touch .venv/.built
