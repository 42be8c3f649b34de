# SPDX-License-Identifier: Apache-2.0
"""What a verb imports: a start costs 10 ms of Python as it is, and each of these adds as much.

The real launcher runs a real container's verbs, and tells at its exit what was imported. On
`sys.modules`, never on time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, waiting
from tests.support.bundle import Bundle
from tests.support.cli import ENVIRONMENT
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = requires("root")

LAUNCHER = Path(sys.executable).with_name("orlop-cold")
#: Runs the launcher as its interpreter would, then writes the names of what was imported.
DRIVER = """
import os, sys
launcher, report = sys.argv[1:3]
del sys.argv[1:3]
os._exit = sys.exit
status = 0
try:
    with open(launcher) as file:
        text = file.read()
    exec(compile(text, launcher, "exec"))
except SystemExit as end:
    status = end.code
with open(report, "w") as file:
    file.write("\\n".join(sys.modules))
sys.exit(status)
"""
#: The design's "Speed and memory": what makes a start slow. Their parts (`email.*`) are meant too.
SLOW = (
    *("argparse", "ast", "asyncio", "cffi", "collections", "concurrent", "contextlib", "copy"),
    *("ctypes", "dataclasses", "email", "enum", "functools", "getopt", "gettext", "hashlib"),
    *("http", "importlib.metadata", "importlib.resources", "inspect", "json", "jsonschema"),
    *("logging", "multiprocessing", "optparse", "pathlib", "pickle", "platform", "pprint"),
    *("random", "re", "referencing", "selectors", "shutil", "signal", "site", "socket", "string"),
    *("struct", "subprocess", "tempfile", "textwrap", "threading", "traceback", "typing"),
    *("unittest", "urllib", "uuid", "warnings", "weakref", "zipfile"),
)
VERBS = ("create", "state", "list", "exec", "start", "kill", "delete")


class Verbs:
    """A container that goes through its verbs, and what each of them imported."""

    def __init__(self, directory: Path, cgroup: str) -> None:
        self.directory = directory
        self.bundle = Bundle(directory / "bundle", cgroup)
        self.bundle.args("sleep").write()

    def run(self, verb: str, *argv: str) -> set[str]:
        """Run a verb of container `c` as the launcher's first line says; what it imported."""
        report = self.directory / f"modules-{verb}"
        flags = LAUNCHER.read_text().splitlines()[0].split()[1:]
        command = [sys.executable, *flags, "-c", DRIVER, str(LAUNCHER), str(report)]
        with (self.directory / "errors").open("w+") as errors:
            result = subprocess.run(
                [*command, "--root", f"{self.directory}/state", verb, *argv],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                check=False,
                timeout=waiting.limit(30),
            )
            errors.seek(0)
            assert result.returncode == 0, errors.read()
        return set(report.read_text().splitlines())

    def life(self) -> dict[str, set[str]]:
        """From create to delete."""
        found = {"create": self.run("create", "--bundle", str(self.bundle.path), "c")}
        found["exec"] = self.run("exec", "c", "/bin/probe", "true")
        for verb in ("state", "start"):
            found[verb] = self.run(verb, "c")
        found["list"] = self.run("list")
        (init,) = hierarchies.processes(self.bundle.cgroup)
        pidfd = waiting.pidfd(init)
        found["kill"] = self.run("kill", "c", "KILL")
        waiting.readable(pidfd, 20, "the init's end")
        os.close(pidfd)
        found["delete"] = self.run("delete", "c")
        return found


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """By verb: the modules that were imported at its end."""
    cgroup = f"/orlop-test-{os.getpid()}-budget"
    verbs = Verbs(tmp_path_factory.mktemp("budget"), f"{cgroup}/1")
    try:
        yield verbs.life()
    finally:
        verbs.run("delete", "--force", "c")
        hierarchies.remove(cgroup)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_imports_nothing_slow(imported: dict[str, set[str]], verb: str) -> None:
    slow = {name for name in imported[verb] for part in SLOW if f"{name}.".startswith(f"{part}.")}
    assert sorted(slow) == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_modules_of_other_verbs_stay_out(imported: dict[str, set[str]], verb: str) -> None:
    commands = {name for name in imported[verb] if name.startswith("runtime.commands.")}
    own = {f"runtime.commands.{verb}", "runtime.commands.creating"}
    assert f"runtime.commands.{verb}" in commands
    assert commands <= own


def test_a_valid_configuration_is_checked_without_its_schemas(
    imported: dict[str, set[str]],
) -> None:
    assert "spec._config_check" in imported["create"]
    explaining = {"spec.explain", "spec.jsonfault", "spec.jsonplace", "spec.schema_files"}
    assert imported["create"] & explaining == set()


def test_verbs_that_make_nothing_know_no_plan(imported: dict[str, set[str]]) -> None:
    making = {"native.plan", "runtime.compile", "runtime.create", "runtime.launch", "spec.bundle"}
    for verb in ("state", "list", "start", "kill", "delete"):
        assert imported[verb] & making == set()
    assert "runtime.create" not in imported["exec"]


def test_only_create_knows_what_limits_are(imported: dict[str, set[str]]) -> None:
    names = ("device_rules", "resources_v1", "resources_v2", "setting")
    limits = {f"runtime.cgroups.{name}" for name in names}
    for verb in set(VERBS) - {"create"}:
        assert imported[verb] & limits == set()
    assert imported["create"] & limits


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_has_the_modules_of_a_terminal(imported: dict[str, set[str]], verb: str) -> None:
    assert not {"termios", "runtime.console", "prctl"} & imported[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_what_nobody_asked_for_is_not_there(imported: dict[str, set[str]], verb: str) -> None:
    """No timeline, no help, no man pages: they cost a start nothing."""
    asked = ("timeline", "picture", "manual", "surface", "usage", "manpage", "completion", "check")
    assert not {name for name in imported[verb] for a in asked if name.startswith(f"runtime.{a}")}
