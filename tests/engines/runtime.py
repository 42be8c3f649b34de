# SPDX-License-Identifier: Apache-2.0
"""The runtimes that an engine is given."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

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
