# SPDX-License-Identifier: Apache-2.0
"""NOTIFY_SOCKET: a container tells the service manager that started it READY=1 (sd_notify(3)).

The manager's own socket is out of the container's reach, and the manager listens to its service's
main process. So the container gets a socket of ours, in a directory bound read-only at /run/notify,
and we pass on that it is ready, and nothing else; as runc does.
"""

from __future__ import annotations

import _socket
import os
import select
import sys

from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.container import Container
    from runtime.state import Directory
    from spec.types import Spec

VARIABLE = "NOTIFY_SOCKET"
_DIRECTORY = "notify"
_NAME = "notify.sock"
_INSIDE = "/run/notify"
_DATAGRAM = 65536
_BARRIER_MS = 30_000  # as long as runc; a manager before systemd 246 doesn't know the barrier


def prepare(spec: Spec, directory: Directory) -> Spec:
    """Make the socket's directory; returns the spec with its mount and its variable.

    The socket is there from `start` on. Raises OSError.
    """
    os.mkdir(_DIRECTORY, dir_fd=directory.fd)
    os.chmod(f"/proc/self/fd/{directory.fd}/{_DIRECTORY}", 0o755)  # noqa: S103 - to be entered
    env = [*spec["process"].get("env", []), f"{VARIABLE}={_INSIDE}/{_NAME}"]
    mount = {
        "destination": _INSIDE,
        "type": "bind",
        "source": os.path.join(os.path.abspath(directory.root), directory.id, _DIRECTORY),
        "options": ["bind", "nosuid", "noexec", "nodev", "ro"],
    }
    mounts = [*spec.get("mounts", []), mount]
    return {**spec, "process": {**spec["process"], "env": env}, "mounts": mounts}  # type: ignore[typeddict-item]


class NotifySocket:
    """Where one container says that it is ready. `start` lets it listen."""

    def __init__(self, manager: str) -> None:
        """manager: the service manager's socket, "@" first where it is abstract (unix(7))."""
        self._manager = "\0" + manager[1:] if manager.startswith("@") else manager
        self._socket: _socket.socket | None = None
        self._pid = 0
        self._pidfd = -1

    def listen(self, container: Container) -> None:
        """Make the socket; the container's lock is held. Raises OrlopError, NotRunning.

        A container that was created without NOTIFY_SOCKET has no place for it, and does not know.
        """
        directory = f"/proc/self/fd/{container.directory.fd}/{_DIRECTORY}"
        init = container.record.init
        if init is None or not os.path.isdir(directory):
            return
        path = f"{directory}/{_NAME}"
        if os.path.lexists(path):
            os.unlink(path)  # of a start that was killed
        self._pid, self._pidfd = init.pid, container.pidfd()
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        self._socket.bind(path)
        os.chmod(path, 0o777)  # noqa: S103 - for whoever the program is in there

    def fileno(self) -> int:
        """The socket's descriptor, -1 where the container has none."""
        return -1 if self._socket is None else self._socket.fileno()

    def wait(self) -> None:
        """Until the container is ready, which is passed on, or has ended. Raises OrlopError."""
        if self._socket is None:
            return
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._socket.fileno() in ready:
                if self.forward(self._pid, barrier=True):
                    return
            elif self._pidfd in ready:
                return

    def forward(self, main: int, *, barrier: bool) -> bool:
        """Read one datagram and pass it on if it says ready. Returns whether it does.

        main: the pid that the manager is to watch. barrier: wait until the manager has seen it all,
        for a caller that ends: it has to find out who that was. Raises OrlopError.
        """
        assert self._socket is not None  # noqa: S101 - for the type checker: something came
        lines = self._socket.recv(_DATAGRAM).split(b"\n")
        ready = [line for line in lines if line.startswith(b"READY=")]
        if not ready:
            return False
        try:
            self._tell(ready[0], main, barrier=barrier)
        except OSError as error:
            raise OrlopError(f"{VARIABLE}: {error.strerror or error}") from error
        return True

    def _tell(self, ready: bytes, main: int, *, barrier: bool) -> None:
        manager = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            manager.connect(self._manager)
            manager.send(ready + b"\n")
            manager.send(f"MAINPID={main}\n".encode())
            if barrier:
                _wait_for_barrier(manager)
        finally:
            manager.close()


def _wait_for_barrier(manager: _socket.socket) -> None:
    """sd_notify_barrier(3): the manager closes the descriptor once it has read all before it."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        rights = writer.to_bytes(4, sys.byteorder)
        try:
            control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
            manager.sendmsg([b"BARRIER=1"], control)
        finally:
            os.close(writer)
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.poll(_BARRIER_MS)
    finally:
        os.close(reader)
