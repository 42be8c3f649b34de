#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds in place: the native part, the schemas compiled to Python, the launchers in .venv/bin.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python native/build.py
.venv/bin/python -m spec.compile_schema
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
launcher() { # MODULE NAME
    scripts/launcher.sh "$1" .venv/bin/python "$PWD" "$site" >".venv/bin/$2.new"
    chmod 755 ".venv/bin/$2.new"
    mv ".venv/bin/$2.new" ".venv/bin/$2"
}

launcher runtime.cli orlop-cold
launcher shim.bootstrap containerd-shim-orlop-v1
launcher supervisor.cli orlopd
launcher orlopctl.cli orlopctl
cp native/orlop .venv/bin/orlop.new
chmod 755 .venv/bin/orlop.new
mv .venv/bin/orlop.new .venv/bin/orlop
touch .venv/.built
