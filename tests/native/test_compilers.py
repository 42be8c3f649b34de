# SPDX-License-Identifier: Apache-2.0
"""What compilers say about the init beyond the warnings of the build."""

from __future__ import annotations

import platform
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from native.build import WARNINGS, init_flags
from tests.native.build import sources
from tests.support.waiting import limit

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
#: -fanalyzer: descriptors that it can't follow through an interface of plain numbers.
ANALYZER = ["-fanalyzer", "-Wno-analyzer-fd-leak"]


def compile_each(compiler: str, *flags: str) -> str:
    """Compile every file; everything that the compiler says."""
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    said = ""
    for source in sources():
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
    flags = ["-std=gnu11", "-O1", "-DORLOP_HOSTED", *WARNINGS, *ANALYZER]
    assert compile_each("gcc", *flags) == ""


def test_clang_warns_of_nothing() -> None:
    flags = [f for f in init_flags(platform.machine()) if f not in GCC_ONLY]
    assert compile_each("clang", *flags, "-Weverything", *QUIET) == ""


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
