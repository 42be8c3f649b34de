#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: launcher.sh MODULE PYTHON PACKAGES [DEPENDENCIES]
# Prints a program that is MODULE's main(): `orlop` is runtime.cli's, the shim shim.bootstrap's. The
# packages are in the directory PACKAGES, what they depend on in DEPENDENCIES.
#
# -I -S: neither the environment (engines start runtimes with an empty one), nor the working
# directory (an untrusted bundle), nor site decide what is imported, and a start saves the time
# that site takes. The interpreter is the one behind the virtual environment, by its full name:
# as fast as the environment's link to it (both 12.4 ms in the median of 150), short enough for
# a #! line however deep the environment lies, and executable by every user.
set -euo pipefail

"$2" - "$1" "${@:3}" <<'PY'
import os
import sys

interpreter = os.path.realpath(sys.executable)
module, packages, *dependencies = sys.argv[1:]
print(f"#!{interpreter} -IS")
print("import sys")
# In front: python311.zip and the standard library need not be searched for our modules.
print(f"sys.path.insert(0, {packages!r})")
for directory in dependencies:
    print(f"sys.path.append({directory!r})")
print(f"from {module} import main")
print("sys.exit(main())")
PY
