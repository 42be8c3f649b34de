#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds in place: the native part, the schemas compiled to Python, the launchers in .venv/bin.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python native/build.py
.venv/bin/python -m spec.compile_schema
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
launcher() { # NAME [--archive FILE] MODULE
    scripts/launcher.sh "${@:2}" .venv/bin/python "$PWD" "$site" >".venv/bin/$1.new"
    chmod 755 ".venv/bin/$1.new"
    mv ".venv/bin/$1.new" ".venv/bin/$1"
}

for program in orlop shim; do
    scripts/archive.sh ".venv/$program.modules" "$program" .venv/bin/python "$PWD" "$PWD" "$site"
done
launcher orlop-cold --archive "$PWD/.venv/orlop.modules" --short runtime.cli
launcher containerd-shim-orlop-v1-cold --archive "$PWD/.venv/shim.modules" shim.bootstrap
launcher orlopd supervisor.cli
launcher orlopctl orlopctl.cli
for program in orlop containerd-shim-orlop-v1; do # one program, which goes by its name
    cp native/orlop ".venv/bin/$program.new"
    chmod 755 ".venv/bin/$program.new"
    mv ".venv/bin/$program.new" ".venv/bin/$program"
done
touch .venv/.built
