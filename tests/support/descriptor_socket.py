# SPDX-License-Identifier: Apache-2.0
"""A socket where the runtime hands over a descriptor, as conmon and containerd's shim listen."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tests.support.waiting import readable

if TYPE_CHECKING:
    from pathlib import Path


class DescriptorSocket:
    """Listens at `path`. All that was sent is in `payload` and `fds`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.payload = b""
        self.fds: list[int] = []

    def accept(self) -> int:
        """The descriptor, once whoever sent it has hung up."""
        readable(self.listener.fileno(), 20, "the runtime to connect")
        connection, _ = self.listener.accept()
        with connection:
            while True:
                readable(connection.fileno(), 20, "the descriptor")
                data, fds, _, _ = socket.recv_fds(connection, 4096, 8)
                self.fds += fds
                if not data:
                    return self.fds[0]
                self.payload += data

    def close(self) -> None:
        """Close the socket, and what came."""
        self.listener.close()
        for fd in self.fds:
            os.close(fd)
