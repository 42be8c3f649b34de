# SPDX-License-Identifier: Apache-2.0
"""Shims as processes: starting one, and removing what a dead one left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess

from shim import messages
from spec.errors import OrlopError

NAMESPACE = "orlopd"
_LISTENER = 3  # shim.bootstrap
_BACKLOG = 16


def start(program: str, path: str) -> None:
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
        fd = listener.fileno()
        pid = os.posix_spawn(
            program,
            [program, "-namespace", NAMESPACE, "-socket", path],
            {"PATH": os.environ.get("PATH", os.defpath), "TTRPC_ADDRESS": ""},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, fd, _LISTENER),
            ],
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
