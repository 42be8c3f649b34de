# SPDX-License-Identifier: Apache-2.0
"""The runtimes that an engine is given, by the path of a program or as a shim of containerd's."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.engines.room import ENVIRONMENT


class Runtime(NamedTuple):
    """A runtime by its name and the absolute path of its program."""

    name: str
    path: Path


def orlop() -> Runtime:
    """The one under test: of this tree."""
    return Runtime("orlop", Path(sys.executable).with_name("orlop"))


def runc() -> Runtime:
    """The distribution's, whose answers are the ones that are expected."""
    found = shutil.which("runc", path=ENVIRONMENT["PATH"])
    assert found is not None, "runc is not installed (make test-engines)"
    return Runtime("runc", Path(found))


#: What containerd runs to have a shim of ours: of this tree.
SHIM = Path(sys.executable).with_name("containerd-shim-orlop-v1")

#: `ctr run --runtime`, and a RuntimeClass's `runtime_type`.
SHIM_TYPE = "io.containerd.orlop.v1"


def shim() -> Runtime:
    """Our shim, under the name that engines know it by; nothing executes the path."""
    return Runtime("shim", SHIM)


#: On tests whose `runtime` is to be plugged in every way: a command line, or our shim.
EVERY_WAY = pytest.mark.parametrize("runtime", ["orlop", "shim", "runc"], indirect=True)

#: On tests of what a shim does: ours, and containerd's, whose answers are the ones expected.
BOTH_SHIMS = pytest.mark.parametrize("runtime", ["shim", "runc"], indirect=True)


class ShimPath:
    """A directory for the front of an engine's PATH, with our shim under a name.

    Beside it a `runc` that refuses, and keeps a record of what it was asked: an engine over our
    shim has nothing to ask of one, but for its version.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._record = directory / "calls"
        directory.mkdir()
        self._record.touch()
        (directory / name).symlink_to(SHIM)
        self.runc = directory / "runc"
        self.runc.write_text(f'#!/bin/sh\necho "$*" >>{self._record}\necho "no runc" >&2\nexit 9\n')
        self.runc.chmod(0o755)
        self.environment = {"PATH": f"{directory}:{ENVIRONMENT['PATH']}"}

    def runc_calls(self) -> list[str]:
        """What runc was asked, but for what it is."""
        calls = self._record.read_text().splitlines()
        return [call for call in calls if call not in ("--version", "features")]
