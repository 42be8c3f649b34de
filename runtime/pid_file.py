# SPDX-License-Identifier: Apache-2.0
"""The pid file: how engines learn which process to watch."""

from __future__ import annotations

import os

from spec.errors import OrlopError


def write(path: str, pid: int) -> None:
    """The pid in decimal and nothing else, for readers that wait for the name to appear.

    Raises OrlopError; then nothing is left. The file is always a new one: where others may write
    to the directory, a link in its place would lead elsewhere.
    """
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}")
    try:
        try:
            os.unlink(part)  # of a runtime that was killed
        except FileNotFoundError:
            pass
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)
            os.rename(part, path)
        except OSError:
            os.unlink(part)
            raise
    except OSError as error:
        raise OrlopError(f"pid file {path}: {error.strerror}") from error
