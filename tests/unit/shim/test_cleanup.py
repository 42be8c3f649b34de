# SPDX-License-Identifier: Apache-2.0
"""`delete` of several containers of one shim that was killed, at the same time."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from shim import cleanup, messages
from shim.bootstrap import Flags

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_socket_may_be_removed_by_another_containers_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Just after this one has found that nobody listens there."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (tmp_path / "address").write_text(f"unix://{path}")

    def is_served(asked: str) -> bool:
        os.unlink(asked)
        return False

    monkeypatch.setattr(cleanup, "is_served", is_served)
    words = ["-namespace", "n", "-id", "c", "-bundle", str(tmp_path), "delete"]
    assert cleanup.delete(Flags(words)) == 0
    assert messages.DELETED.decode(capfdbinary.readouterr().out)["exit_status"] == 137
