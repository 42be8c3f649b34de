# SPDX-License-Identifier: Apache-2.0
"""Sockets where the caller waits for one descriptor: the terminal's master, or a pidfd.

The protocol is runc's (docs/terminals.md there): one message with one descriptor, and a payload
that says what it is.
"""

from __future__ import annotations

import _socket
import os
import stat
import sys

from spec.errors import OrlopError


class DescriptorSocket:
    """A connection to such a socket, made first, so that a wrong path fails early."""

    def __init__(self, path: str, name: str, payload: bytes) -> None:
        """Connect. name: what messages call the socket. Raises OrlopError."""
        self._payload = payload
        try:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise OrlopError(f"{name} {path}: not a socket")
            self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            try:
                self._socket.connect(path)
            except OSError:
                self._socket.close()
                raise
        except OSError as error:
            text = f"{name} {path}: {error.strerror or error}"
            raise OrlopError(text, hint="whoever calls must listen there") from error

    def send(self, fd: int) -> None:
        """Hand over the descriptor, and close both."""
        try:
            rights = fd.to_bytes(4, sys.byteorder)
            control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
            self._socket.sendmsg([self._payload], control)
        finally:
            os.close(fd)
            self.close()

    def close(self) -> None:
        """Close the connection; whoever listens is not left waiting for a descriptor."""
        self._socket.close()
