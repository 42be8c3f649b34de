# SPDX-License-Identifier: Apache-2.0
"""The runtimes that an engine is given."""

from __future__ import annotations

import functools
import shutil
import subprocess
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


@functools.cache
def _has_command(name: str) -> bool:
    answer = subprocess.run([orlop().path, name, "--help"], check=False, capture_output=True)
    return answer.returncode == 0


def needs_command(name: str) -> pytest.MarkDecorator:
    """Mark a test whose engine calls a command that orlop is still to get."""
    reason = f"the engine calls `orlop {name}`, which is to come"
    return pytest.mark.skipif(not _has_command(name), reason=reason)
