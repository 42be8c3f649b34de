# SPDX-License-Identifier: Apache-2.0
"""The pid file: how engines learn which process to watch."""

from __future__ import annotations

import os

from spec.errors import OrlopError


def write(path: str, pid: int) -> None:
    """The pid in decimal and nothing else, for readers that wait for the name to appear."""
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(part, path)
    except OSError as error:
        raise OrlopError(f"pid file {path}: {error.strerror}") from error
