# SPDX-License-Identifier: Apache-2.0
"""start: the user's program runs in a created container (runtime.md#start).

No lock is held while the init works, or a hook runs.
"""

from __future__ import annotations

import _socket
import errno
import os

from runtime import state, steps
from runtime.container import Container, refusal
from runtime.errors import WrongStatus
from runtime.kill import end_all, wait_end
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.notify_socket import NotifySocket


_MOST = 4096  # bytes of a message, and more


class Starting:
    """A start between its word to the init and the init's answer."""

    __slots__ = ("_connection", "_container")

    def __init__(self, container: Container, connection: _socket.socket) -> None:
        self._container = container
        self._connection = connection

    def fileno(self) -> int:
        """Can be read from once `finish` need not wait (select(2))."""
        return self._connection.fileno()

    @property
    def descriptors(self) -> list[int]:
        """What a forked process needs to call `finish`."""
        return [self._connection.fileno(), self._container.directory.fd]

    @property
    def is_over(self) -> bool:
        """Whether the program runs and `finish` takes no time: no hooks, and no failure to end."""
        if self._container.record.hooks.get("poststart"):
            return False
        try:
            return not self._connection.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except OSError:
            return False

    def close(self) -> None:
        """Leave it to a forked process."""
        self._connection.close()
        self._container.close()

    def finish(self, on_running: Callable[[], None] | None = None) -> None:
        """Wait until execve succeeded, then run poststart hooks; to be called once.

        If a hook fails, the container is killed. on_running: called before them.

        Raises WrongStatus, PlanFailed.
        """
        try:
            steps.begin("wait for execve")
            _wait(self._connection, self._container)
            if on_running is not None:
                on_running()
            steps.begin("poststart hooks")
            _run_poststart(self._container)
        finally:
            self.close()


def begin(
    root: str, container_id: str, notify: NotifySocket | None = None, *, patient: bool = True
) -> Starting:
    """Give the init its word. notify: begins to listen before the program can say anything.

    patient: wait where another verb is at work on the container.

    Raises WrongStatus; BlockingIOError where not patient.
    """
    steps.begin("connect to the init")
    container = Container.open(root, container_id)
    try:
        container.lock(patient=patient)
        container.require("start")
        if notify is not None:
            notify.listen(container)
        connection = _connect(container)
        try:
            _go(connection, container.directory.fd)
            container.unlock()
        except BaseException:
            connection.close()
            raise
        return Starting(container, connection)
    except BaseException:
        container.close()
        raise


def start(root: str, container_id: str, notify: NotifySocket | None = None) -> None:
    """Start the user's program in a created container; returns once execve succeeded.

    Raises WrongStatus, PlanFailed.
    """
    begin(root, container_id, notify).finish()


def _connect(container: Container) -> _socket.socket:
    """Connect to the waiting init.

    It listens to nobody but who created the container, so that root, who may start everyone's,
    connects as the owner.
    """
    name = f"/proc/self/fd/{container.directory.fd}/{state.SOCKET}"
    user, owner = os.geteuid(), container.record.owner
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        if user != owner:
            os.seteuid(owner)
        try:
            connection.connect(name)
        finally:
            if user != owner:
                os.seteuid(user)
    except OSError as error:
        connection.close()
        if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
            raise
        init = container.record.init
        if init is None or not init.is_alive():
            raise refusal("start", container.record.id, "stopped") from error
        _forget(container.directory.fd)  # of a start that was killed once the init had its word
        raise refusal("start", container.record.id, "running") from error
    return connection


def _go(connection: _socket.socket, directory: int) -> None:
    """Let the program run, and then take the socket's name away: it can be started once.

    In this order a container that is shown as running does run, or will.
    """
    try:
        connection.send(b"g")
    except (ConnectionResetError, BrokenPipeError):
        raise WrongStatus("cannot start a container that has stopped") from None
    _forget(directory)


def _forget(directory: int) -> None:
    try:
        os.unlink(state.SOCKET, dir_fd=directory)
    except FileNotFoundError:
        return


def _wait(connection: _socket.socket, container: Container) -> None:
    """Until execve succeeded. Raises PlanFailed, WrongStatus."""
    try:
        data = connection.recv(_MOST)
    except (ConnectionResetError, BrokenPipeError):
        raise WrongStatus("cannot start a container that has stopped") from None
    if data:
        _wait_end(container)
        from native.plan import Message
        from runtime import explain

        raise explain.failure(Message(data))


def _wait_end(container: Container) -> None:
    """An init that has said what failed ends: whoever is told of that finds it stopped."""
    try:
        pidfd = container.pidfd()
    except OrlopError:
        return  # it has ended
    try:
        wait_end(pidfd)
    except OrlopError:
        return  # stuck in the kernel: what failed is still what is to be told
    finally:
        os.close(pidfd)


def _run_poststart(container: Container) -> None:
    poststart = container.record.hooks.get("poststart", [])
    if not poststart:
        return
    from runtime import hooks

    text = jsontext.dumps(state.oci_state(container.record, "running"))
    try:
        hooks.run("poststart", poststart, text, container.record.bundle)
    except OrlopError:
        end_all(container)
        raise
