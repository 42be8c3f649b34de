# SPDX-License-Identifier: Apache-2.0
"""Linters and type checkers as tests: `make test` is the one thing to run before a commit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.features import requires
from tests.support.waiting import limit

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
PACKAGES = ("native", "orlop", "orlopctl", "runtime", "shim", "spec", "supervisor", "tests")
#: Directories with sources of ours; what the build makes is in none of them or git-ignored.
SOURCES = (".ci", "bench", "scripts", *PACKAGES)
C_WARNINGS = [
    *("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wpointer-arith"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wformat=2", "-Wundef"),
    # The kernel's structures are filled by name; the rest of them is zero.
    "-Wno-missing-field-initializers",
]


def check(*command: str | Path) -> None:
    """Run a linter; its output is the failure."""
    result = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=limit(300),
    )
    if result.returncode != 0:
        pytest.fail(f"{command[0]}:\n{result.stdout}", pytrace=False)


def sources(*suffixes: str) -> list[Path]:
    """Our source files with one of the suffixes; "" for programs without one."""
    top = [ROOT / name for name in ("setup.py", "pyproject.toml", "Makefile", ".gitignore")]
    below = [f for d in SOURCES for f in (ROOT / d).rglob("*")]
    found = [f for f in [*top, *below] if f.is_file() and f.suffix in suffixes]
    return [f for f in found if not is_generated(f)]


def is_generated(file: Path) -> bool:
    """Whether the build makes it: orlop, orlop-init, native/_syscalls.c, spec/_config_check.py."""
    return file.name in ("orlop", "orlop-init") or bool(
        re.fullmatch(r"_[a-z]\w*\.(c|py)", file.name)
    )


def shell_scripts() -> list[Path]:
    """Programs whose first line names a shell."""
    return [f for f in sources(".sh", "") if f.read_bytes()[:64].split(b"\n")[0].endswith(b"sh")]


def c_flags(source: Path) -> list[str]:
    """How the file is compiled: the init is freestanding, the probe is not."""
    if (ROOT / "native" / "init") in source.parents:
        return ["-std=gnu11", "-ffreestanding"]
    return ["-std=gnu11"]


@requires("ruff")
def test_ruff_check() -> None:
    check(TOOLS / "ruff", "check", "--quiet", ".")


@requires("ruff")
def test_ruff_format() -> None:
    check(TOOLS / "ruff", "format", "--check", "--quiet", ".")


@requires("mypy")
def test_mypy_strict() -> None:
    packages = [p for p in PACKAGES if (ROOT / p).is_dir()]
    check(TOOLS / "mypy", "--no-error-summary", *packages, "setup.py")


@requires("shellcheck")
def test_shellcheck() -> None:
    scripts = shell_scripts()
    assert ROOT / ".ci" / "run" in scripts
    check("shellcheck", *scripts)


@requires("bandit")
def test_bandit_finds_nothing() -> None:
    """Medium severity and up; skipped: what ruff has as S103, S108, S302, with reasons in place."""
    packages = [p for p in PACKAGES if (ROOT / p).is_dir() and p != "tests"]
    check(TOOLS / "bandit", "--quiet", "--recursive", "-ll", "--skip", "B103,B108,B302", *packages)


@requires("cc")
@pytest.mark.parametrize("source", sources(".c"), ids=lambda f: str(f.relative_to(ROOT)))
def test_c_compiles_without_a_warning(source: Path) -> None:
    check("gcc", *C_WARNINGS, *c_flags(source), "-O1", "-c", "-o", "/dev/null", source)


def test_every_source_names_its_licence() -> None:
    files = sources(".py", ".pyi", ".c", ".h", ".sh", ".toml", "")
    bare = [
        str(f.relative_to(ROOT))
        for f in files
        if "SPDX-License-Identifier: Apache-2.0" not in f.read_text()[:200]
    ]
    assert len(files) > 10
    assert bare == []
