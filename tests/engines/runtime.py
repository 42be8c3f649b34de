# SPDX-License-Identifier: Apache-2.0
"""The runtimes that an engine is given."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.cli import VERBS
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


def needs_command(name: str) -> pytest.MarkDecorator:
    """Mark a test whose engine calls a command that orlop is still to get."""
    lacking = name not in VERBS
    return pytest.mark.skipif(lacking, reason=f"the engine calls `orlop {name}`, which is to come")
