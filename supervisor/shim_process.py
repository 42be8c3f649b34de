# SPDX-License-Identifier: Apache-2.0
"""Shims as processes: starting one, and removing what a dead one left."""

from __future__ import annotations

import asyncio
import marshal
import os
import signal
import socket
import subprocess

from shim import messages
from spec.errors import OrlopError

NAMESPACE = "orlopd"
_LISTENER = 3  # shim.bootstrap
_BACKLOG = 16


_NULL = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
]
#: Room for a shim's own arguments, which are shown in place of the template's (shim.template).
_ROOM = "." * 200


class Shims:
    """Starts shims: forked from a warm template, executed where that is not there."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._template: socket.socket | None = None
        self.warm_up()

    def warm_up(self) -> None:
        """Start the template; it ends with us, or with `close`. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)  # noqa: FBT003 - takes no keyword
            words = [self._program, "-template", _ROOM]
            _spawn(words, theirs.fileno())
        self._template = ours

    def start(self, path: str) -> None:
        """Start a shim that listens at `path`, in a session of its own. Raises OSError.

        The socket listens before the shim is there, so that a connection can be made at once.
        """
        try:
            os.unlink(path)  # of a shim that was killed
        except FileNotFoundError:
            pass
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(_BACKLOG)
            if not self._fork(path, listener):
                words = [self._program, "-namespace", NAMESPACE, "-socket", path]
                _spawn(words, listener.fileno())

    def _fork(self, path: str, listener: socket.socket) -> bool:
        """Ask the template; False where it has died, which starts another, or is too busy."""
        request = marshal.dumps((NAMESPACE, path, ""))
        try:
            if self._template is None:
                return False
            socket.send_fds(self._template, [request], [listener.fileno()])
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            self.warm_up()
            return False
        return True

    def close(self) -> None:
        """End the template; shims live on."""
        if self._template is not None:
            self._template.close()
            self._template = None


def _spawn(words: list[str], descriptor: int) -> None:
    """Execute the shim's program with a descriptor as its third, in a session of its own."""
    pid = os.posix_spawn(
        words[0],
        words,
        {"PATH": os.environ.get("PATH", os.defpath), "TTRPC_ADDRESS": ""},
        file_actions=[*_NULL, (os.POSIX_SPAWN_DUP2, descriptor, _LISTENER)],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
    )
    _reap(pid)


def _reap(pid: int) -> None:
    """Wait for a child, when it has ended."""
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(pid)

    def ended() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        os.waitpid(pid, 0)

    loop.add_reader(pidfd, ended)


async def clean_up(program: str, container_id: str, bundle: str) -> int:
    """Remove a container whose shim is gone, ending it; its exit status. Raises OrlopError."""
    process = await asyncio.create_subprocess_exec(
        program, "-namespace", NAMESPACE, "-id", container_id, "-bundle", bundle, "delete",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    if process.returncode:
        text = err.decode(errors="replace").strip()
        raise OrlopError(f"removing what the shim of {container_id} left: {text}")
    return int(messages.DELETED.decode(out)["exit_status"])
