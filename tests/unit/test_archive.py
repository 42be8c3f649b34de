# SPDX-License-Identifier: Apache-2.0
"""The archive of compiled modules: used, and never instead of a source that is another by now."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cffi
import pytest

ROOT = Path(__file__).parents[2]
INTERPRETER = Path(sys.executable).resolve()
PACKAGES = ("native", "runtime", "spec")
#: Ends a launcher: which of our modules came from where.
REPORT = """
import importlib.util
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in ("native", "runtime", "spec"):
        loader = type(getattr(module.__spec__, "loader", None)).__name__
        path = getattr(module, "__file__", None)  # a cffi library has none
        print(name, loader, path, getattr(module, "VERSION", ""))
"""


class Copy:
    """A copy of the packages, with an archive and a launcher of its own."""

    def __init__(self, directory: Path) -> None:
        self.packages = directory / "packages"
        for name in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.packages / name, ignore=ignored)
        self.archive = directory / "modules"
        site = Path(cffi.__file__).parents[1]
        places = [str(self.packages), str(self.packages), str(site)]
        script = ROOT / "scripts" / "archive.sh"
        subprocess.run([script, self.archive, "orlop", INTERPRETER, *places], check=True)
        launcher = [ROOT / "scripts" / "launcher.sh", "--archive", self.archive, "--short"]
        command = [*launcher, "runtime.cli", INTERPRETER, self.packages, site]
        self.launcher = subprocess.run(
            list(map(str, command)), check=True, capture_output=True, text=True
        ).stdout

    def imported(self, *modules: str) -> dict[str, tuple[str, str]]:
        """After these imports: by module, what loaded it and its VERSION, if it has one."""
        lines = "".join(f"import {module}\n" for module in modules)
        program = self.launcher.replace("os._exit(main())", lines + REPORT)
        assert program != self.launcher
        done = subprocess.run(
            [INTERPRETER, "-ISB", "-c", program], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found = {}
        for line in done.stdout.splitlines():
            name, loader, path, version = line.split(" ")
            if path != "None":
                assert path.startswith(str(self.packages))
            found[name] = (loader, version)
        return found


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy that nothing was done to."""
    return Copy(tmp_path)


def test_what_is_in_the_archive_is_not_looked_for_elsewhere(copy: Copy) -> None:
    found = copy.imported("runtime.commands.create", "runtime.cgroups.cgroupfs_v1")
    others = {name for name, (loader, _) in found.items() if loader == "SourceFileLoader"}
    assert {"runtime.create", "spec.bundle", "runtime.cgroups.unified"} <= set(found)
    assert others == set()


def test_a_source_that_changed_is_compiled_anew(copy: Copy) -> None:
    source = copy.packages / "runtime" / "version.py"
    assert copy.imported("runtime.version")["runtime.version"][0] == "Archive"
    source.write_text("VERSION = 'another'\nCOMMIT = ''\n")
    found = copy.imported("runtime.features")
    assert found["runtime.version"] == ("SourceFileLoader", "another")
    assert found["runtime.features"][0] == "Archive"


def test_a_source_that_is_gone_is_not_there(copy: Copy) -> None:
    (copy.packages / "runtime" / "version.py").unlink()
    with pytest.raises(AssertionError, match=r"No module named 'runtime\.version'"):
        copy.imported("runtime.version")


def test_an_archive_of_another_interpreter_is_left_alone(copy: Copy) -> None:
    from importlib.util import MAGIC_NUMBER

    content = copy.archive.read_bytes()
    assert content.count(MAGIC_NUMBER) == 1
    copy.archive.write_bytes(content.replace(MAGIC_NUMBER, b"\0\0\r\n"))
    assert copy.imported("runtime.create")["runtime.create"][0] == "SourceFileLoader"


def test_tracebacks_name_the_source(copy: Copy) -> None:
    program = copy.launcher.replace(
        "os._exit(main())", "import runtime.options\nruntime.options.parse((), [None])"
    )
    done = subprocess.run(
        [INTERPRETER, "-ISB", "-c", program], capture_output=True, text=True, check=False
    )
    assert f'File "{copy.packages}/runtime/options.py", line ' in done.stderr
