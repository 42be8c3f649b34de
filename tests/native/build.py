# SPDX-License-Identifier: Apache-2.0
"""The init built for tests: on a libc, with the address and undefined behaviour sanitizers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INIT = ROOT / "native" / "init"
OPTIONS = Path(__file__).with_name("sanitizer_options.c")
FLAGS = [
    "-DORLOP_HOSTED",
    "-std=gnu11",
    "-g",
    "-O1",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]
#: What a process says when a sanitizer ended it; its exit status is 99 too.
COMPLAINTS = ("Sanitizer", "runtime error:")


def sources() -> list[Path]:
    """The C files of orlop-init."""
    return sorted(INIT.glob("*.c"))


def sanitized_init(compiler: str = "gcc") -> Path:
    """build/tests/init-HASH. Safe where several workers build at once."""
    inputs = [*sources(), *sorted(INIT.glob("*.h")), ROOT / "native" / "plan.h", OPTIONS]
    digest = hashlib.sha256(repr((compiler, FLAGS)).encode())
    for file in inputs:
        digest.update(file.read_bytes())
    program = ROOT / "build" / "tests" / f"init-{digest.hexdigest()[:16]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        part = program.with_name(f"{program.name}.{os.getpid()}")
        command = [compiler, *FLAGS, "-o", part, *sources(), OPTIONS]
        subprocess.run(list(map(str, command)), check=True, timeout=120)
        part.replace(program)
    return program
