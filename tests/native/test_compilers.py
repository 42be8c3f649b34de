# SPDX-License-Identifier: Apache-2.0
"""What compilers say about the init beyond the warnings of the build."""

from __future__ import annotations

import itertools
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from native.build import WARNINGS, init_flags
from tests.native.build import sources
from tests.support.features import requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.slow
#: -fanalyzer: descriptors that it can't follow through an interface of plain numbers.
ANALYZER = ["-fanalyzer", "-Wno-analyzer-fd-leak"]


def native_sources() -> list[Path]:
    """The C files that run with privilege: of the init, of what starts it, of `orlop`."""
    native = sources()[0].parents[1]
    others = (sorted((native / name).glob("*.c")) for name in ("client", "host"))
    return [*sources(), *itertools.chain.from_iterable(others)]


def compile_each(compiler: str, *flags: str, files: Sequence[Path]) -> str:
    """Compile these files; everything that the compiler says."""
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    said = ""
    for source in files:
        result = subprocess.run(
            [compiler, *flags, "-c", "-o", "/dev/null", str(source)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=limit(120),
        )
        said += result.stdout
    return said


def test_gcc_analyzer_finds_nothing() -> None:
    flags = ["-std=gnu11", "-O1", *WARNINGS, *ANALYZER]
    assert compile_each("gcc", *flags, "-DORLOP_HOSTED", files=sources()) == ""
    others = [file for file in native_sources() if file not in sources()]
    assert compile_each("gcc", *flags, files=others) == ""


def test_clang_warns_of_nothing() -> None:
    flags = [f for f in init_flags(platform.machine()) if f not in GCC_ONLY]
    assert compile_each("clang", *flags, "-Weverything", *QUIET, files=sources()) == ""


#: Options that clang doesn't know, and warnings of style.
GCC_ONLY = frozenset({"-fno-tree-loop-distribute-patterns", "-Wvla-larger-than=4096", "-static"})
QUIET = [
    "-Wno-unused-command-line-argument",
    "-Wno-unknown-warning-option",
    "-Wno-unsafe-buffer-usage",
    "-Wno-declaration-after-statement",
    "-Wno-padded",
    "-Wno-cast-qual",
    "-Wno-switch-default",
    "-Wno-disabled-macro-expansion",
    "-Wno-reserved-identifier",
    "-Wno-gnu-zero-variadic-macro-arguments",
    "-Wno-sign-conversion",
    "-Wno-cast-align",
    "-Wno-pre-c11-compat",
    "-Wno-missing-field-initializers",
]


#: What an analyzer can't know, and what is not ours.
CPPCHECK = [
    "--enable=warning,performance,portability",
    "--error-exitcode=1",
    "--quiet",
    "--inline-suppr",
    "--std=c11",
    "-DORLOP_HOSTED",
    "--suppress=missingIncludeSystem",
    # mmap(2) returns an address or an error in one number.
    "--suppress=nullPointerArithmeticRedundantCheck",
    # "array + size - 1" is inside of it (path.c, fd_path).
    "--suppress=ctuPointerArith",
    # The kernel fills them, through numbers.
    "--suppress=uninitvar",
]
TIDY = [
    "-*",
    "clang-analyzer-*",
    "bugprone-*",
    "-bugprone-easily-swappable-parameters",  # (from, to), as the kernel has them
    "-bugprone-reserved-identifier",  # __stack_chk_guard is the compiler's name
    "-bugprone-suspicious-string-compare",  # memcmp as a condition
    "-bugprone-branch-clone",  # a comment in each branch says why
    "-bugprone-signed-char-misuse",  # strings are compared with ASCII only
    "-clang-analyzer-security.insecureAPI.*",  # memcpy_s is in no libc of Linux
    "-clang-analyzer-core.UndefinedBinaryOperatorResult",  # the kernel fills them
    "-clang-analyzer-core.NullDereference",  # a plan that can't be loaded ends the init
]


@requires("cppcheck")
def test_cppcheck_finds_nothing() -> None:
    command = ["cppcheck", *CPPCHECK, *map(str, native_sources())]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@requires("clang-tidy")
def test_clang_tidy_finds_nothing() -> None:
    checks = ["--quiet", f"--checks={','.join(TIDY)}", "--warnings-as-errors=*"]
    command = [
        "clang-tidy-14",
        *checks,
        *map(str, native_sources()),
        "--",
        "-std=gnu11",
        "-DORLOP_HOSTED",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_no_memory_of_the_shipped_init_is_both_written_and_executed() -> None:
    loads = [line.split() for line in _readelf("-lW").splitlines() if line.split()[:1] == ["LOAD"]]
    flags = [{letter for word in line[6:-1] for letter in word} for line in loads]
    assert flags == [{"R", "E"}, {"R", "W"}]


def test_the_shipped_init_is_built_with_a_stack_protector() -> None:
    """docs/security.md says which other flags it goes without, and why."""
    flags = init_flags(platform.machine())
    assert "-fstack-protector-strong" in flags
    assert {"-z,noexecstack", "-z,relro", "-z,now"} <= {
        f"{a},{b}" for f in flags for a, b in itertools.pairwise(f.split(","))
    }


def test_the_shipped_init_needs_nothing_at_run_time() -> None:
    """Static, no interpreter, no executable stack: it runs inside any root file system."""
    headers = _readelf("-lW")
    assert "INTERP" not in headers
    assert "DYNAMIC" not in headers
    (stack,) = [line for line in headers.splitlines() if "GNU_STACK" in line]
    assert "E" not in stack.split()[-2]


def _readelf(*flags: str) -> str:
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    path: Path = sources()[0].parent.parent / "orlop-init"
    command = ["readelf", *flags, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
