# SPDX-License-Identifier: Apache-2.0
"""A warm template: one process with everything imported, of which shims are forks.

Starting an interpreter and its imports are most of the time that a shim takes to start, and what
is imported before the fork is one copy in memory for all shims. Whoever wants shims starts it, with
a connected SOCK_SEQPACKET socket as descriptor 3: `containerd-shim-orlop-v1 -template TEXT`, where
the text makes room for a shim's own arguments, as people see them.

A request is one message: marshal's form of (namespace, socket's path, events), and the listening
socket as descriptor. There is no answer: who connects to the listening socket sees whether a shim
is there. One shim is always forked ahead, and takes the next request itself. The template ends with
the connection; its shims don't.
"""

from __future__ import annotations

import _signal
import _socket
import marshal
import os
import select
import sys

from runtime.rehearsal import rehearse as rehearse_runtime
from shim import memory, pool
from shim.daemon import Daemon
from shim.launch import serve
from shim.preload import preload
from shim.rehearsal import rehearse, rehearse_beginning
from shim.title import Title

_SIZE = 65536
_SPACE = _socket.CMSG_SPACE(4)
_CHANNEL = 3


def run() -> int:
    """Have a shim ready until the other end is closed; returns the exit status."""
    import prctl  # noqa: F401 - so that a shim has it

    preload()
    # The kernel reaps them: nobody asks how a shim ended (waitpid(2), "Notes").
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    title = Title()
    rehearse()
    rehearse_runtime()
    channel = _socket.socket(fileno=_CHANNEL)
    memory.share()
    workers = pool.start(title)
    copies = memory.Copies()
    while True:
        taken = _fork(channel, title, workers, copies)
        try:
            if not (_until_taken(channel, taken) and _until_wanted(channel, taken, copies)):
                return 0
        finally:
            os.close(taken)


def _fork(
    channel: _socket.socket, title: Title, workers: _socket.socket, copies: memory.Copies
) -> int:
    """Fork a shim that waits for its request, and the reading end of a pipe.

    The shim writes to it when it has a request, and closes it when the next shim may be prepared;
    the first ones tell before that which pages they have copied.
    Where there is no room for a process, the next request is dropped, whose sender will see it.
    """
    while True:
        taken, held = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError as error:
            os.close(taken)
            os.close(held)
            sys.stderr.write(f"containerd-shim-orlop-v1: fork: {error.strerror}\n")
            data, listener = _receive(channel)
            listener.close()
            if not data:
                sys.exit(0)
            continue
        if pid:
            os.close(held)
            return taken
        os.close(taken)
        _be_shim(channel, held, title, workers, copies)


def _until_taken(channel: _socket.socket, taken: int) -> bool:
    """Wait until the idle shim has a request, or was killed. False: the other end is closed."""
    poll = select.poll()
    poll.register(taken, select.POLLIN)
    poll.register(channel.fileno(), 0)
    ready = dict(poll.poll())
    return channel.fileno() not in ready


def _until_wanted(channel: _socket.socket, taken: int, copies: memory.Copies) -> bool:
    """Wait until a shim has been busy enough, or there is another request. False: as above.

    What it does now is waited for; to prepare the next one meanwhile takes a processor from it.
    """
    if not os.read(taken, 1):
        return True  # killed
    poll = select.poll()
    poll.register(taken, 0)
    poll.register(channel.fileno(), select.POLLIN)
    ready = dict(poll.poll())
    if taken in ready and (told := os.read(taken, _SIZE)):
        copies.add(told)
    events = ready.get(channel.fileno(), 0)
    return bool(events & select.POLLIN) or not events


def _receive(channel: _socket.socket) -> tuple[bytes, _socket.socket]:
    """The next request and its socket; no bytes where the other end is closed."""
    data, control, _, _ = channel.recvmsg(_SIZE, _SPACE, _socket.MSG_CMSG_CLOEXEC)
    for _, _, rights in control:
        return data, _socket.socket(fileno=int.from_bytes(rights[:4], sys.byteorder))
    return b"", channel


def _be_shim(
    channel: _socket.socket,
    held: int,
    title: Title,
    workers: _socket.socket,
    copies: memory.Copies,
) -> None:
    """The child's life."""
    status = 1
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        os.setsid()
        copies.make()
        if not _is_asked(channel):
            rehearse_beginning()
        daemon = Daemon(workers, held)
        if not copies.are_known:
            daemon.on_way = lambda: memory.tell_copies(held)
        data, listener = _receive(channel)
        if data:
            _say_taken(held)
            channel.close()
            namespace, path, events = marshal.loads(data)  # noqa: S302 - from our own parent
            title.change("-namespace", namespace, "-socket", path)
            serve(listener, namespace, events, path, daemon=daemon)
        status = 0
    finally:
        os._exit(status)


def _say_taken(held: int) -> None:
    try:
        os.write(held, b"!")
    except BrokenPipeError:
        pass  # the template has ended since, as our master has


def _is_asked(channel: _socket.socket) -> bool:
    """Whether somebody waits for a shim already."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    return bool(poll.poll(0))
