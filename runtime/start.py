# SPDX-License-Identifier: Apache-2.0
"""start: the user's program runs in a created container (runtime.md#start).

No lock is held while the init works, or a hook runs.
"""

from __future__ import annotations

import _socket
import errno
import os

from native.plan import MESSAGE, Message
from runtime import explain, hooks, state, steps
from runtime.container import Container
from runtime.errors import WrongStatus
from runtime.kill import end_all
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def start(root: str, container_id: str, on_running: Callable[[], None] | None = None) -> None:
    """Start the user's program in a created container; returns once execve succeeded.

    Then poststart hooks run; if one fails, the container is killed. on_running: called before
    them. Raises WrongStatus, PlanFailed.
    """
    steps.begin("connect to the init")
    container = Container.open(root, container_id)
    try:
        container.lock()
        container.require("start")
        connection = _connect(container.directory.fd)
        container.unlock()
        try:
            steps.begin("wait for execve")
            _go(connection)
        finally:
            connection.close()
        if on_running is not None:
            on_running()
        steps.begin("poststart hooks")
        _run_poststart(container)
    finally:
        container.close()


def _connect(directory: int) -> _socket.socket:
    """Connect to the waiting init, and take its name away: it can be started once."""
    name = f"/proc/self/fd/{directory}/{state.SOCKET}"
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        connection.connect(name)
        os.unlink(state.SOCKET, dir_fd=directory)
    except OSError as error:
        connection.close()
        if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
            raise WrongStatus("cannot start a container that has stopped") from error
        raise
    return connection


def _go(connection: _socket.socket) -> None:
    try:
        connection.send(b"g")
        data = connection.recv(MESSAGE.size)
    except (ConnectionResetError, BrokenPipeError):
        raise WrongStatus("cannot start a container that has stopped") from None
    if data:
        raise explain.failure(Message(data))


def _run_poststart(container: Container) -> None:
    poststart = container.record.hooks.get("poststart", [])
    if not poststart:
        return
    text = jsontext.dumps(state.oci_state(container.record, "running"))
    try:
        hooks.run("poststart", poststart, text, container.record.bundle)
    except OrlopError:
        end_all(container)
        raise
