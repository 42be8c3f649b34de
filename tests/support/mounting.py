# SPDX-License-Identifier: Apache-2.0
"""Edits of a bundle's `mounts`, and directories of the host to mount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle


def add(bundle: Bundle, destination: str, kind: str, source: str | Path, *options: str) -> None:
    """Append an element of `mounts`."""
    mount: dict[str, Any] = {"destination": destination, "type": kind, "source": str(source)}
    bundle.spec["mounts"].append({**mount, "options": list(options)})


def drop_dev(bundle: Bundle) -> None:
    """Leave the mounts of /dev and below it out."""
    mounts = bundle.spec["mounts"]
    bundle.spec["mounts"] = [m for m in mounts if m["destination"].split("/")[1] != "dev"]


def make_source(parent: Path) -> Path:
    """A directory of the host with a file."""
    directory = parent / "source"
    directory.mkdir()
    (directory / "file").write_text("from the host\n")
    return directory
