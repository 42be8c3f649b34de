# SPDX-License-Identifier: Apache-2.0
"""Labels are texts that people and programs find containers by, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.supervisor.conftest import Client
    from tests.support.bundle import Bundle

pytestmark = requires("root")


def test_a_label_starts_no_program(client: Client, bundle: Bundle, tmp_path: Path) -> None:
    """CVE-2026-53488: labels of an image named a program, which the supervisor started as root."""
    ran = tmp_path / "ran"
    uri = f"binary:///usr/bin/touch?{ran}="
    names = ("containerd.io/restart.loguri", "io.containerd.restart.loguri", "log", "restart")
    bundle.args("args").write()
    labels = dict.fromkeys(names, uri)
    client.call("container.run", id="a", bundle=str(bundle.path), labels=labels)
    client.call("container.wait", id="a")
    assert client.call("container.inspect", id="a")["labels"] == labels
    assert "args" in client.call("container.logs", id="a")[0]["log"]
    assert not ran.exists()
