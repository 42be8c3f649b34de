# SPDX-License-Identifier: Apache-2.0
"""AppArmor profiles for a test, loaded into the kernel and removed again."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Iterator

#: No file below /work can be made.
_TEXT = """
profile %s flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  network,
  mount,
  deny /work/** wl,
}
"""


@contextlib.contextmanager
def loaded(*names: str) -> Iterator[None]:
    """The profiles of these names; skips the test where their compiler is not installed."""
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
    if parser is None:
        pytest.skip("apparmor_parser is not installed")
    text = "".join(_TEXT % name for name in names)
    for action in ("--replace", "--remove"):
        command = [parser, "--skip-cache", "--quiet", action]
        subprocess.run(command, input=text, text=True, check=True, timeout=limit(30))
        if action == "--replace":
            yield
