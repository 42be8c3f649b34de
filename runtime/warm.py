# SPDX-License-Identifier: Apache-2.0
"""One call of the command line, done for the program that the user called (native/client).

The worker has the caller's descriptors, directory, umask and environment, and the same rights, or
refuses. What must be the caller's child, the caller starts. The worker ends with its caller: as a
cold runtime does when it is killed.
"""

from __future__ import annotations

import _signal
import _socket
import fcntl
import os
import select
import sys
from _struct import Struct

from native import plan, syscalls
from native.memory_file import memory_file
from runtime import caller
from runtime.host import read_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.caller import Spawned

lib = plan.lib
OP = Struct("=II6q")
ANSWER = Struct("=qi52s")
_CREDENTIALS = Struct("=iII")  # struct ucred
_FDS_SPACE = _socket.CMSG_SPACE(4 * (lib.CALL_MOST_FDS + 2)) + _socket.CMSG_SPACE(12)
#: Ours are from here on while the caller's get their own numbers below.
OUT_OF_THE_WAY = 512
_STATUS = (
    "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
    "Seccomp",
)  # fmt: skip
_NO_FILTER = "0"
#: How long a worker waits for the end of a process in the foreground (ms): it takes memory.
_SOON = 1000
_LEAST_FDS = 2  # the request and the working directory


class Surroundings:
    """What a result could depend on beside the call itself: the same here and there, or refused.

    program: the path of the program that people call.
    """

    __slots__ = ("facts", "program")

    def __init__(self, program: str, facts: dict[str, object]) -> None:
        self.program = program
        self.facts = facts

    @classmethod
    def of(cls, process: str, program: str) -> Surroundings:
        """Of a process, by its directory in /proc. Raises OSError."""
        facts: dict[str, object] = {}
        for line in read_small(f"{process}/status").splitlines():
            name, _, value = line.partition(":")
            if name in _STATUS:
                facts[name] = value.split()
        for name in os.listdir(f"{process}/ns"):
            facts[name] = os.readlink(f"{process}/ns/{name}")
        root = os.stat(f"{process}/root")
        facts["root"] = (root.st_dev, root.st_ino)
        try:
            facts["label"] = read_small(f"{process}/attr/current")
        except OSError:
            facts["label"] = ""  # no security module
        return cls(program, facts)

    def difference(self, other: Surroundings) -> str:
        """The name of what differs, "" for nothing. Filters of two processes can't be compared."""
        if self.program != other.program:
            return "program"
        for name, value in self.facts.items():
            if other.facts.get(name) != value:
                return name
        return "" if self.facts.get("Seccomp") == [_NO_FILTER] else "Seccomp"


class Program:
    """What a planner's workers do.

    path: of the program that people call. main: does a command line, and returns its status.
    adopt: has the worker get what it takes of the calling process, by its pid, before it is in its
    place; returns why it can't, or "".
    """

    __slots__ = ("adopt", "main", "path")

    def __init__(
        self,
        path: str,
        main: Callable[[Sequence[str]], int],
        adopt: Callable[[int, Sequence[str]], str] = lambda *_: "",
    ) -> None:
        self.path = path
        self.main = main
        self.adopt = adopt


class Request:
    """What the caller sent. fds: number there -> descriptor here."""

    __slots__ = ("directory", "environment", "fds", "program", "umask", "words")

    def __init__(self, content: bytes, fds: Sequence[int]) -> None:
        """Raises ValueError, IndexError: not a request of this version."""
        texts = content.split(b"\0")
        if int(texts[0]) != lib.CALL_PROTOCOL:
            raise ValueError(texts[0])
        self.program = os.fsdecode(texts[1])
        self.umask = int(texts[2])
        at = 3
        lists = []
        for _ in range(3):
            count = int(texts[at])
            lists.append(texts[at + 1 : at + 1 + count])
            at += 1 + count
        numbers, words, variables = lists
        self.directory = fds[0]
        self.fds = dict(zip(map(int, numbers), fds[1:], strict=True))
        self.words = [os.fsdecode(word) for word in words]
        self.environment = {
            os.fsdecode(name): os.fsdecode(value)
            for name, mark, value in (entry.partition(b"=") for entry in variables)
            if name and mark
        }


class Connection:
    """The channel to the caller (native/client/protocol.h).

    is_left: the caller has all that it was to have.
    """

    __slots__ = ("is_left", "socket")

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket
        self.is_left = False

    def tell(
        self,
        kind: int,
        numbers: Sequence[int] = (),
        fds: Sequence[int] = (),
        table: Sequence[int] = (),
    ) -> None:
        """Send one operation. Raises OSError."""
        padded = [*numbers, *(0 for _ in range(lib.CALL_NUMBERS - len(numbers)))]
        data = OP.pack(kind, len(table), *padded)
        data += b"".join(index.to_bytes(4, sys.byteorder, signed=True) for index in table)
        control = []
        if fds:
            payload = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
            control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, payload)]
        self.socket.sendmsg([data], control)

    def leave(self, kind: int, numbers: Sequence[int]) -> None:
        """Send the last operation: the caller's end is no end of ours any more. Raises OSError."""
        _signal.signal(_signal.SIGIO, _signal.SIG_IGN)
        self.is_left = True
        self.tell(kind, numbers)

    def is_readable(self, milliseconds: int) -> bool:
        """Wait for a message, or the caller's end."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(milliseconds))

    def ask(
        self,
        kind: int,
        numbers: Sequence[int] = (),
        fds: Sequence[int] = (),
        table: Sequence[int] = (),
    ) -> tuple[int, int]:
        """Have an operation done: its value, and the descriptor that came with it, or -1.

        Raises OSError, with the call that failed there as its text.
        """
        self.tell(kind, numbers, fds, table)
        return self.answer()

    def answer(self) -> tuple[int, int]:
        """The answer to what was told last. Raises as `ask` does."""
        data, control, _, _ = self.socket.recvmsg(ANSWER.size, _FDS_SPACE, _socket.MSG_CMSG_CLOEXEC)
        if not data:
            _end_with_caller()
        value, error, step = ANSWER.unpack(data)
        received = _received(control)[1]
        if error:
            text = step.partition(b"\0")[0].decode()
            raise OSError(error, f"{text}: {os.strerror(error)}")
        return value, received[0] if received else -1


def _received(control: Sequence[tuple[int, int, bytes]]) -> tuple[int, list[int]]:
    """The sender's pid as the kernel knows it (-1: not told), and the descriptors."""
    pid, fds = -1, []
    for level, kind, payload in control:
        if level != _socket.SOL_SOCKET:
            continue
        if kind == _socket.SCM_CREDENTIALS:
            pid = _CREDENTIALS.unpack(payload[: _CREDENTIALS.size])[0]
        elif kind == _socket.SCM_RIGHTS:
            whole = len(payload) - len(payload) % 4
            fds += [
                int.from_bytes(payload[at : at + 4], sys.byteorder) for at in range(0, whole, 4)
            ]
    return pid, fds


def _end_with_caller(*_: object) -> None:
    os.kill(os.getpid(), _signal.SIGKILL)


class RemoteForeground:
    """runtime.foreground.Foreground, in the caller."""

    def __init__(self, connection: Connection, *, subreaper: bool) -> None:
        self._connection = connection
        connection.ask(lib.CALL_FOREGROUND, [subreaper])

    def attach(self, master: int) -> None:
        """See Foreground."""
        try:
            self._connection.ask(lib.CALL_TERMINAL, fds=[master])
        finally:
            os.close(master)

    def restore(self) -> None:
        """See Foreground: the caller does it when it ends."""

    def wait(self, pid: int, notify: None = None, removal: Sequence[str] = ()) -> int:  # noqa: ARG002
        """Leave the process to the caller, which knows its status: 0 here.

        When it has ended soon, the rest is done here. Otherwise this worker is gone, and the caller
        makes a call of `removal`. notify: None; whoever has a NOTIFY_SOCKET does it cold.
        """
        sys.stdout.flush()
        if not removal:
            self._connection.leave(lib.CALL_SERVE, [pid, 0])
            return 0
        words = _texts(["orlop", *removal])
        self._connection.tell(lib.CALL_SERVE, [pid, len(removal) + 1], [words])
        os.close(words)
        if not self._connection.is_readable(_SOON):
            os._exit(0)
        self._connection.socket.recv(1)
        return 0


def _texts(texts: Sequence[str]) -> int:
    """A file of these texts, each with its NUL."""
    return memory_file("orlop-texts", b"".join(os.fsencode(text) + b"\0" for text in texts))


class RemoteCaller(caller.Caller):
    """The program that the user called."""

    def __init__(self, connection: Connection, pid: int) -> None:
        self._connection = connection
        self._pid = pid
        self.proc = f"/proc/{pid}"

    @property
    def pid(self) -> int:
        """See Caller."""
        return self._pid

    def environment(self) -> dict[str, str]:
        """See Caller: the worker has the caller's."""
        return dict(os.environ)

    def spawn(
        self,
        executable: int,
        fds: Sequence[int],
        base: int,
        clone_flags: int,
        cgroup: int,
        flags: int,
    ) -> Spawned:
        """See Caller."""
        sent = [executable, *([cgroup] if cgroup >= 0 else [])]
        table = []
        for fd in fds:
            table.append(len(sent) if fd >= 0 else -1)
            if fd >= 0:
                sent.append(fd)
        self._connection.tell(lib.CALL_SPAWN, [clone_flags, flags, base, cgroup >= 0], sent, table)
        return self._connection.answer

    def run(
        self,
        path: str,
        args: list[str],
        env: dict[str, str],
        directory: str,
        stdio: Sequence[int],
    ) -> int:
        """See Caller."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            where = os.open(directory, flags)
        except OSError:
            where = os.open(".", flags)
        texts = -1
        try:
            variables = [f"{name}={value}" for name, value in env.items()]
            texts = _texts([path, *args, *variables])
            numbers = [len(args), len(variables)]
            return self._connection.ask(lib.CALL_RUN, numbers, [texts, where, *stdio])[0]
        finally:
            os.close(where)
            if texts >= 0:
                os.close(texts)

    def wait(self, pid: int) -> int:
        """See Caller."""
        return self._connection.ask(lib.CALL_WAIT, [pid])[0]

    def foreground(self, *, subreaper: bool) -> RemoteForeground:  # type: ignore[override]
        """See Caller."""
        return RemoteForeground(self._connection, subreaper=subreaper)


class Calls:
    """What a planner of the command line does (runtime.worker). tell: told what becomes of each."""

    def __init__(self, program: Program, tell: Callable[[str], None]) -> None:
        self._program = program
        self._tell = tell
        self._ours = Surroundings.of("/proc/self", program.path)

    def accept(self, listener: _socket.socket) -> _socket.socket:
        """Wait for a program that connects."""
        descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        return _socket.socket(fileno=descriptor)

    def serve(self, channel: _socket.socket) -> bool:
        """Do its call; False where this process is of no use for another.

        Ends this process when the caller ends before the call.
        """
        connection = Connection(channel)
        channel.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
        pid = _peer(channel)
        pidfd = os.pidfd_open(pid)
        connection.tell(lib.CALL_HELLO, [lib.CALL_PROTOCOL])
        request = _receive(channel, pid)
        # The pidfd is older than the caller's message: nobody else can have had the pid since.
        difference = _difference(self._ours, self._program, request, pid)
        difference = difference or ("its end" if _has_ended(pidfd) else "")
        if request is None or difference:
            self._tell(f"pid {pid}: to be done cold for {difference}")
            connection.tell(lib.CALL_COLD)
            return False
        self._tell(f"pid {pid}: a call of {len(request.words)} words")
        os.close(pidfd)
        connection = Connection(_take_over(channel, request))
        caller.current = RemoteCaller(connection, pid)
        end_with(connection.socket)
        connection.tell(lib.CALL_ACCEPT)
        status = self._program.main(request.words)
        if not connection.is_left:
            # Who reads what the caller wrote waits for the end of all copies of its descriptors.
            syscalls.close_range(0, OUT_OF_THE_WAY - 1)
            connection.leave(lib.CALL_EXIT, [status])
        connection.socket.close()
        return status == 0


def _difference(ours: Surroundings, program: Program, request: Request | None, pid: int) -> str:
    """Why the call is not to be done here, "" for no reason."""
    if request is None:
        return "its form"
    try:
        difference = ours.difference(Surroundings.of(f"/proc/{pid}", request.program))
        return difference or program.adopt(pid, request.words)
    except (FileNotFoundError, ProcessLookupError):
        return "its end"


def _peer(socket: _socket.socket) -> int:
    """The pid of whoever connected; of our own user, as the socket's mode says already."""
    data = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(data)[0]
    return pid


def _receive(socket: _socket.socket, pid: int) -> Request | None:
    """The request; None for one that is not the peer's own, or that is of another version."""
    _, control, _, _ = socket.recvmsg(1, _FDS_SPACE, _socket.MSG_CMSG_CLOEXEC)
    sender, fds = _received(control)
    if sender != pid or len(fds) < _LEAST_FDS:
        return None
    content = os.pread(fds[0], os.fstat(fds[0]).st_size, 0)
    try:
        request = Request(content, fds[1:])
    except (ValueError, IndexError):
        return None
    return request if all(number < OUT_OF_THE_WAY for number in request.fds) else None


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _take_over(socket: _socket.socket, request: Request) -> _socket.socket:
    """The caller's descriptors under their numbers, its directory, umask and environment.

    Nothing else stays open but the channel, which is returned, out of their way.
    """

    def away(fd: int) -> int:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY)

    channel = _socket.socket(fileno=away(socket.fileno()))
    socket.detach()
    moved = {number: away(fd) for number, fd in request.fds.items()}
    os.fchdir(request.directory)
    syscalls.close_range(0, OUT_OF_THE_WAY - 1)
    for number, fd in moved.items():
        os.dup2(fd, number)
        os.close(fd)
    os.umask(request.umask)
    for name in [name for name in os.environ if name not in request.environment]:
        del os.environ[name]
    for name, value in request.environment.items():
        if os.environ.get(name) != value:  # mostly the same, call after call
            os.environ[name] = value
    return channel


def end_with(channel: _socket.socket) -> None:
    """End when the caller does: SIGIO comes with what it sends, and with its end (fcntl(2)).

    Until SIGIO is ignored again.
    """

    def look(*_: object) -> None:
        try:
            if not channel.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT):
                _end_with_caller()
        except BlockingIOError:
            pass

    _signal.signal(_signal.SIGIO, look)
    fcntl.fcntl(channel, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(channel, fcntl.F_GETFL)
    fcntl.fcntl(channel, fcntl.F_SETFL, flags | os.O_ASYNC)
    look()
