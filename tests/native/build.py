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


FUZZ_TARGET = Path(__file__).with_name("fuzz_target.c")


CLIENT = ROOT / "native" / "client"
CLIENT_TARGET = Path(__file__).with_name("client_target.c")


def sources() -> list[Path]:
    """The C files of orlop-init."""
    return sorted(INIT.glob("*.c"))


def _built(name: str, command: list[str], inputs: list[Path]) -> Path:
    """build/tests/NAME-HASH. Safe where several workers build at once."""
    digest = hashlib.sha256(repr(command).encode())
    for file in inputs:
        digest.update(file.read_bytes())
    program = ROOT / "build" / "tests" / f"{name}-{digest.hexdigest()[:16]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        part = program.with_name(f"{program.name}.{os.getpid()}")
        subprocess.run([*command, "-o", str(part)], check=True, timeout=120)
        part.replace(program)
    return program


def _headers() -> list[Path]:
    return [*sorted(INIT.glob("*.h")), ROOT / "native" / "plan.h"]


def sanitized_init(compiler: str = "gcc") -> Path:
    """The init as a program."""
    files = [*sources(), OPTIONS]
    return _built("init", [compiler, *FLAGS, *map(str, files)], [*files, *_headers()])


def fuzz_target(*, clang: str = "") -> Path:
    """The init in a kernel of the fuzzer's: with libFuzzer, or a program that runs files."""
    files = [*(f for f in sources() if f.name not in ("deputy.c", "start.c")), FUZZ_TARGET]
    flags = [*FLAGS, "-Dsyscall=fuzz_kernel"]
    if clang:
        flags = [f.replace("=address,", "=fuzzer,address,") for f in flags]
    else:
        flags += ["-DSTANDALONE", str(OPTIONS)]
    inputs = [*files, OPTIONS, *_headers()]
    return _built("fuzz", [clang or "gcc", *flags, *map(str, files)], inputs)


def client_target(*, clang: str = "") -> Path:
    """The native `orlop` without a planner, an init or hooks: as `fuzz_target`."""
    files = [*(CLIENT / name for name in ("channel.c", "children.c")), CLIENT_TARGET]
    names = ("posix_spawn", "waitpid", "orlop_spawn")
    flags = [*FLAGS, *(f"-D{name}=fuzz_{name}" for name in names)]
    if clang:
        flags = [f.replace("=address,", "=fuzzer,address,") for f in flags]
    else:
        flags += ["-DSTANDALONE", str(OPTIONS)]
    headers = [*CLIENT.glob("*.h"), *(ROOT / "native" / "host").glob("*.h")]
    command = [clang or "gcc", *flags, *map(str, files)]
    return _built("client", command, [*files, OPTIONS, *sorted(headers)])
