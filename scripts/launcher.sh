#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: launcher.sh MODULE PYTHON PACKAGES [DEPENDENCIES]
#        launcher.sh --archive FILE [--short] MODULE PYTHON PACKAGES [DEPENDENCIES]
# Prints a program that is MODULE's main(): `orlop` is runtime.cli's, the shim shim.bootstrap's. The
# packages are in the directory PACKAGES, what they depend on in DEPENDENCIES. With --archive it imports
# from FILE (scripts/archive.py); with --short, too, it is made for a short life.
#
# -I -S: neither the environment (engines start runtimes with an empty one), nor the working
# directory (an untrusted bundle), nor site decide what is imported, and a start saves the time
# that site takes. The interpreter is the one behind the virtual environment, by its full name:
# as fast as the environment's link to it (both 12.4 ms in the median of 150), short enough for
# a #! line however deep the environment lies, and executable by every user.
set -euo pipefail

archive=
if [ "$1" = --archive ]; then
    archive=$2
    shift 2
fi
short=
if [ "$1" = --short ]; then
    short=yes
    shift
fi

"$2" - "$archive" "$short" "$1" "${@:3}" <<'PY'
import os
import sys

interpreter = os.path.realpath(sys.executable)
archive, short, module, packages, *dependencies = sys.argv[1:]
print(f"#!{interpreter} -IS")
print("import sys")
# In front: python311.zip and the standard library need not be searched for our modules.
print(f"sys.path.insert(0, {packages!r})")
for directory in dependencies:
    print(f"sys.path.append({directory!r})")
if short:
    print("import gc, os")
    print("gc.set_threshold(200000)  # a call ends before that many objects")
if archive:
    print(f"""\
from marshal import loads
with open({archive!r}, "rb", 0) as file:
    exec(loads(file.read(int(file.read(8), 16))))
    begin(file, {archive!r})""")
print(f"from {module} import main")
# An interpreter that takes itself apart takes 3 ms for it, and there is nothing left to be done.
print("os._exit(main())" if short else "sys.exit(main())")
PY
