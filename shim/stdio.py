# SPDX-License-Identifier: Apache-2.0
"""A process's stdio as a master asks for it: paths of FIFOs, URIs, or nothing at all.

A process without a terminal gets plain pipes, never the master's FIFOs: those have two ends, and a
container could read what it wrote. With a terminal, its master's end is copied.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import termios

from shim import messages, ttrpc
from shim.copy import Copy, FdSink
from shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shim.attach import Attached
    from shim.log_file import FileSink
    from shim.logger import Logger
    from shim.loop import Loop
    from shim.tee import Tee

_TIOCGPTPEER = 0x5441  # ioctl_tty(2), Linux 4.13
_WINSIZE = struct.Struct("4H")


class Paths:
    """What the master wants. Each of stdin, stdout, stderr: a FIFO's path, a URI, or ""."""

    __slots__ = ("stderr", "stdin", "stdout", "terminal")

    def __init__(self, stdin: str, stdout: str, stderr: str, *, terminal: bool) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = terminal


class Stdio:
    """The stdio of one process, from before it starts until its output is copied.

    child: the descriptors that become the process's 0, 1 and 2; closed here by `started`.
    logger: the program that a binary:// URI names, to be started by the worker. log_uris: of files
    that are to be made by it.
    """

    def __init__(self, loop: Loop, paths: Paths, owner: tuple[int, int] = (0, 0)) -> None:
        """Open everything. Raises RpcError; then nothing is left open.

        owner: user and group of the pipes.
        """
        self._loop = loop
        self._paths = paths
        self._owner = owner
        self._input: Copy | None = None
        self._outputs: dict[int, Copy] = {}
        self._sinks: list[FdSink | FileSink | Tee] = []
        self._logs: list[FileSink] = []  # of stdout, then of stderr
        self.log_uris: list[str] = []
        self._keyboard: FdSink | None = None  # stdin of whoever attaches
        self._ends_input = False
        self._early: list[Attached] = []  # who waits for the terminal
        self._stdin = -1  # held, so that the end of input comes when the master says so
        self._terminal = -1
        self._slave = -1
        self._drained: Callable[[], None] | None = None
        self.logger: Logger | None = None
        self.child: list[int] = []
        try:
            self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                text = f"stdio {error.filename or ''}: {error.strerror}"
                raise RpcError(ttrpc.UNKNOWN, text) from error
            raise

    def _open(self) -> None:
        paths = self._paths
        if paths.stdout.startswith("binary"):
            from shim.logger import Logger

            self.logger = Logger(paths.stdout)
        if paths.terminal:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self.child = [null, os.dup(null), os.dup(null)]
            if paths.stdout:
                self._sinks.append(self._sink(paths.stdout, 1))
            return
        self.child.append(self._open_input(paths.stdin))
        for number, path in ((1, paths.stdout), (2, paths.stderr)):
            self.child.append(self._open_output(number, path))

    def _open_input(self, path: str) -> int:
        if not path:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        source = -1 if path == messages.ATTACHED else self._open_stdin(path)
        reader, writer = self._pipe(0)
        os.set_blocking(writer, False)
        self._feed(source, FdSink(self._loop, writer))
        return reader

    def _feed(self, source: int, sink: FdSink) -> None:
        if source < 0:
            self._keyboard = sink
        else:
            self._input = Copy(self._loop, source, sink)

    def _open_stdin(self, path: str) -> int:
        source = _open_fifo(path, os.O_RDONLY)
        self._stdin = _open_fifo(path, os.O_WRONLY)
        return source

    def _open_output(self, number: int, path: str) -> int:
        if not path:
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        if self.logger is not None:
            return os.dup(self.logger.writers[number])
        sink = self._sink(path, number)
        reader, writer = self._pipe(1)
        if sink.chunk > FdSink.chunk:
            _enlarge(reader, sink.chunk)
        self._add_output(number, Copy(self._loop, reader, sink))  # type: ignore[arg-type] # the same methods
        return writer

    def _sink(self, path: str, number: int) -> FdSink | FileSink | Tee:
        if path == messages.ATTACHED:
            from shim.tee import Tee

            return Tee(self._loop, None)
        if self.logger is not None:
            fd = os.dup(self.logger.writers[number])
            os.set_blocking(fd, False)
            return FdSink(self._loop, fd)
        if "://" in path:
            from shim.log_file import open_sink

            log = open_sink(self._loop, path, number)
            self._logs.append(log)
            self.log_uris.append(path)
            return log
        held = _open_fifo(path, os.O_RDONLY)
        try:
            return FdSink(self._loop, _open_fifo(path, os.O_WRONLY), held)
        except OSError:
            os.close(held)
            raise

    def _pipe(self, theirs: int) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        if self._owner != (0, 0):
            os.fchown(ends[theirs], *self._owner)
        return ends

    def _add_output(self, number: int, copy: Copy) -> None:
        copy.on_end = self._output_ended
        self._outputs[number] = copy

    @property
    def is_terminal(self) -> bool:
        """Whether the process gets a terminal."""
        return self._paths.terminal

    def attach(self, master: int) -> None:
        """The terminal of the process is there; owned from now on."""
        self._terminal = master
        os.set_blocking(master, False)
        # A slave of our own: a program that closes the terminal and opens it again, as systemd
        # does, is no end of the output. The end of the process is.
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        self._slave = fcntl.ioctl(master, _TIOCGPTPEER, flags)
        for sink in self._sinks:
            self._add_output(1, Copy(self._loop, os.dup(master), sink))  # type: ignore[arg-type] # as above
        self._sinks = []
        if self._paths.stdin:
            is_attached = self._paths.stdin == messages.ATTACHED
            source = -1 if is_attached else self._open_stdin(self._paths.stdin)
            self._feed(source, FdSink(self._loop, os.dup(master)))
        waiting, self._early = self._early, []
        for attached in waiting:
            self.connect(attached)

    def connect(self, attached: Attached) -> None:
        """Let somebody read output or write input. Owns their descriptors. Raises RpcError."""
        if self._paths.terminal and self._terminal < 0:
            self._early.append(attached)
            return
        try:
            self._connect_input(attached)
            for number, copy in self._outputs.items():
                self._connect_output(copy, attached.take(number))
        finally:
            attached.close()  # of a stream that has ended: its reader sees that

    def _connect_input(self, attached: Attached) -> None:
        source = attached.take(0)
        if source < 0:
            return
        if self._input is not None:
            self._input.settle()
        if self._keyboard is None or (self._input is not None and not self._input.ended):
            os.close(source)
            why = "is closed" if self._keyboard is None else "is written by somebody else"
            raise RpcError(ttrpc.FAILED_PRECONDITION, f"stdin {why}")
        self._ends_input = attached.ends_input
        self._input = Copy(self._loop, source, _Input(self, self._keyboard))  # type: ignore[arg-type] # the same methods

    def _connect_output(self, copy: Copy, fd: int) -> None:
        from shim.tee import Tee

        if fd < 0:
            return
        if copy.ended:
            os.close(fd)
            return
        if not isinstance(copy.sink, Tee):
            copy.sink = Tee(self._loop, copy.sink)  # type: ignore[assignment] # the same methods
        copy.sink.add(fd)  # type: ignore[attr-defined]

    def tell_log(self, tell: Callable[[int, int], None]) -> None:
        """Have the log tell where it ends by now: inode and size of its file; 0, 0: nobody knows.

        With what is half a line yet. It is stdout's log, if stderr has another.
        """
        for log in self._logs:
            log.flush()
        if self._logs:
            self._logs[0].place(tell)
        else:
            tell(0, 0)

    def input_ended(self) -> None:
        """Who wrote to stdin has gone."""
        if self._ends_input:
            self._end_input()

    def _end_input(self) -> None:
        keyboard, self._keyboard = self._keyboard, None
        if keyboard is not None:
            keyboard.close()

    def resize(self, width: int, height: int) -> None:
        """Give the terminal a size, in characters. Raises RpcError where there is none."""
        if self._terminal < 0:
            raise RpcError(ttrpc.FAILED_PRECONDITION, "the process has no terminal")
        size = _WINSIZE.pack(height & 0xFFFF, width & 0xFFFF, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def started(self) -> None:
        """The process has its descriptors: let go of ours."""
        for fd in self.child:
            os.close(fd)
        self.child = []
        if self.logger is not None:
            self.logger.close()

    def close_stdin(self) -> None:
        """End of input, once the master has closed its end too."""
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
        self._ends_input = True
        if self._input is None or self._input.ended:
            self._end_input()

    def exited(self) -> None:
        """The process has ended: a terminal has nothing more to say, a pipe may have."""
        if self._input is not None:
            self._input.close()
        self.close_stdin()
        if self._terminal >= 0:
            for copy in list(self._outputs.values()):
                copy.finish()

    def drain(self, seconds: float, done: Callable[[], None]) -> None:
        """Call `done` when all output is copied, or after so long: somebody may keep the pipe."""
        if self._has_drained():
            self.close()
            done()
            return

        def finish() -> None:
            if self._drained is not None:
                self._drained = None
                timer.cancel()
                self.close()
                done()

        def give_up() -> None:
            for copy in list(self._outputs.values()):
                copy.finish()  # what is in the pipe yet, if the reader takes it
            finish()

        timer = self._loop.later(seconds, give_up)
        self._drained = finish

    def _output_ended(self) -> None:
        if self._drained is not None and self._has_drained():
            self._drained()

    def _has_drained(self) -> bool:
        return all(copy.ended for copy in self._outputs.values())

    def close(self) -> None:
        """Close everything. May be called again."""
        self.started()
        self.close_stdin()
        for copy in (self._input, *self._outputs.values()):
            if copy is not None:
                copy.close()
        for sink in self._sinks:
            sink.close()
        self._sinks = []
        self._end_input()
        for attached in self._early:
            attached.close()
        self._early = []
        for fd in (self._slave, self._terminal):
            if fd >= 0:
                os.close(fd)
        self._slave = self._terminal = -1


class _Input:
    """The sink of whoever writes to stdin now: stdin goes on after them, unless they end it."""

    def __init__(self, stdio: Stdio, keyboard: FdSink) -> None:
        self._stdio = stdio
        self.chunk = keyboard.chunk
        self.write = keyboard.write
        self.when_ready = keyboard.when_ready

    def close(self) -> None:
        """No more of them."""
        self._stdio.input_ended()


def keep(stdio: Stdio) -> Sequence[int]:
    """The descriptors that a worker needs to start the process."""
    return [*stdio.child, *(stdio.logger.descriptors() if stdio.logger else ())]


def _enlarge(pipe: int, size: int) -> None:
    """Let a pipe hold more, as far as its user may (pipe(7), pipe-user-pages-soft)."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)
    except PermissionError:
        pass


def _open_fifo(path: str, mode: int) -> int:
    """Open one end; the reading end first, or there is nobody for the writing end (fifo(7)).

    A link is followed no more than where logs are: masters make FIFOs for us, and name them.
    """
    try:
        fd = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RpcError(ttrpc.INVALID_ARGUMENT, f"stdio {path}: not a fifo") from error
        raise
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise RpcError(ttrpc.INVALID_ARGUMENT, f"stdio {path}: not a fifo")
    return fd
