# SPDX-License-Identifier: Apache-2.0
"""A logging program that a `binary://` URI names (containerd core/runtime/v2/logging).

It reads the process's stdout as its descriptor 3 and stderr as 4, and closes 5, or writes to it,
when it is ready. Its environment is CONTAINER_ID and CONTAINER_NAMESPACE, and no more.
"""

from __future__ import annotations

import os
import select

from shim import ttrpc
from shim.ttrpc import RpcError

_READY_MS = 10_000


class Logger:
    """A logger that is not started yet. writers: by number, what the process writes to."""

    def __init__(self, uri: str) -> None:
        """Make its pipes. Raises RpcError, OSError."""
        self._scheme, _, rest = uri.partition("://")
        path, _, query = rest.partition("?")
        if not path.startswith("/"):
            raise RpcError(ttrpc.INVALID_ARGUMENT, f"logger {uri}: no absolute path")
        self._path = unquote(path)
        self._words = [
            unquote(word.replace("+", " "))
            for pair in sorted(query.split("&"))
            for word in pair.split("=", 1)
            if word
        ]
        self._readers = [-1, -1]
        self.writers = {1: -1, 2: -1}
        for number in (1, 2):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self._readers[number - 1], self.writers[number] = reader, writer

    def descriptors(self) -> list[int]:
        """What a worker needs to start it."""
        return self._readers

    def start(self, container_id: str, namespace: str) -> int:
        """Start it, and wait until it is ready; returns its pid. Raises RpcError, OSError."""
        ready, theirs = os.pipe2(os.O_CLOEXEC)
        # Out of the way of 3, 4 and 5, which are about to be overwritten.
        sources = [_high(fd) for fd in (*self._readers, theirs)]
        os.close(theirs)
        actions = [(os.POSIX_SPAWN_DUP2, fd, 3 + index) for index, fd in enumerate(sources)]
        env = {"CONTAINER_ID": container_id, "CONTAINER_NAMESPACE": namespace}
        argv = [self._path, *self._words]
        pid = os.posix_spawn(
            self._path, argv, env, file_actions=actions, setsigdef=[13, 25], setsigmask=[]
        )
        for fd in sources:
            os.close(fd)
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        answered = bool(poll.poll(_READY_MS))
        if not answered or (not os.read(ready, 1) and self._scheme == "binary-v2"):
            os.kill(pid, 9)
            raise RpcError(ttrpc.UNKNOWN, f"logger {self._path}: it does not get ready")
        os.close(ready)
        return pid

    def close(self) -> None:
        """Close the shim's ends."""
        for fd in (*self._readers, *self.writers.values()):
            if fd >= 0:
                os.close(fd)
        self._readers = [-1, -1]
        self.writers = {1: -1, 2: -1}


def _high(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def unquote(text: str) -> str:
    """A text of a URI without its percent signs (RFC 3986); urllib would cost its import."""
    first, *others = text.split("%")
    parts = [first.encode("utf-8", "surrogateescape")]
    for other in others:
        try:
            parts.append(bytes([int(other[:2], 16)]) + other[2:].encode("utf-8", "surrogateescape"))
        except ValueError:
            parts.append(b"%" + other.encode("utf-8", "surrogateescape"))
    return b"".join(parts).decode("utf-8", "surrogateescape")
