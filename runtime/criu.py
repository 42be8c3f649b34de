# SPDX-License-Identifier: Apache-2.0
"""CRIU as a child process: one request, its notifications on the way, one answer.

`criu swrk FD` speaks protocol buffers on a socket (criu.org/RPC, images/rpc.proto), and not its
command line, because only here a restored process becomes the caller's child (rst_sibling), and
only here the caller is told when namespaces are there (hooks), when a terminal's master is
(orphan_pts_master), and which pid the container got before it runs (the state is on disk first).
"""

from __future__ import annotations

import _signal
import _socket
import os
import sys

from runtime import protobuf
from runtime.errors import Unsupported
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from runtime.protobuf import Fields

    #: called with the notification's name, its pid, and a descriptor or -1, which it then owns
    Notify = Callable[[str, int, int], None]

#: criu_req_type
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
#: external pid namespaces and the notification status-ready came with it (criu.org/Download/criu)
MINIMUM = (3, 15)
#: criu_features
MEM_TRACK, LAZY_PAGES = 1, 2
_FEATURES = {MEM_TRACK: "memory tracking (CONFIG_MEM_SOFT_DIRTY)", LAZY_PAGES: "lazy pages"}
# members of criu_req and criu_resp
_TYPE, _OPTS, _SUCCESS_GIVEN, _KEEP_OPEN, _ASKED = 1, 2, 3, 4, 5
_SUCCESS, _RESTORED, _NOTIFICATION, _ERRNO, _FEATURES_GIVEN, _ERRMSG, _VERSION = (
    2,
    4,
    5,
    7,
    8,
    9,
    10,
)
_MESSAGE_SIZE = 65536
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class CriuFailed(OrlopError):
    """CRIU answered that it could not; errno: its number for why, 0 where it has none."""

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


def find() -> str:
    """Path of the criu program, "" where there is none: in PATH, or where Debian has it."""
    path = os.environ.get("PATH", os.defpath)
    for folder in f"{path}:{_SBIN}".split(":"):
        program = os.path.join(folder, "criu")
        if os.path.isfile(program) and os.access(program, os.X_OK):
            return program
    return ""


class Service:
    """One `criu swrk`. To be used with `with`: at the end no criu process is left.

    stdio: its standard descriptors, which a restored container inherits. passed: further ones that
    it gets by their numbers here. enter: called in the new process before it becomes criu.
    """

    def __init__(
        self,
        *,
        stdio: Sequence[int] = (0, 1, 2),
        passed: Sequence[int] = (),
        enter: Callable[[], None] | None = None,
    ) -> None:
        self._stdio = stdio
        self._passed = passed
        self._enter = enter
        self._channel: _socket.socket | None = None
        self.pid = 0
        self.version = (0, 0)

    def __enter__(self) -> Self:
        """Start it, and ask for its version. Raises Unsupported, OrlopError."""
        program = find()
        if not program:
            hint = "install the package criu, and have it in PATH"
            raise Unsupported("checkpoint and restore need criu, which is not there", hint=hint)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self._channel = ours
        try:
            self._spawn(program, theirs)
            self._check_version(program)
        except BaseException:
            self.close(kill=True)
            raise
        finally:
            theirs.close()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """End it: it leaves by itself when its socket is closed; a failed one may be stuck."""
        self.close(kill=kind is not None)

    def _spawn(self, program: str, channel: _socket.socket) -> None:
        """Fork: criu may have to be in a mount namespace of its own, where the caller is not."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if not self.pid:
            self._become(program, channel.fileno(), writer)
        os.close(writer)
        try:
            said = b""
            while data := os.read(reader, _MESSAGE_SIZE):
                said += data
        finally:
            os.close(reader)
        if said:
            message, pointer, hint = said.decode("utf-8", "surrogateescape").split("\0")
            raise OrlopError(message, pointer=pointer, hint=hint)

    def _become(self, program: str, channel: int, writer: int) -> None:
        """The child: becomes criu, or says why not."""
        try:
            # Python's own dispositions, and the foreground's mask, are not for criu.
            for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
                _signal.signal(number, _signal.SIG_DFL)
            if self._enter is not None:
                self._enter()
            _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
            for number, fd in enumerate([os.dup(fd) for fd in self._stdio]):
                os.dup2(fd, number)
            for fd in (*self._passed, channel):
                os.set_inheritable(fd, True)  # noqa: FBT003 - as it is
            os.execv(program, ["criu", "swrk", str(channel)])  # noqa: S606 - no shell is wanted
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent raises it
            said = [str(error), "", ""]
            if isinstance(error, OrlopError):
                said = [error.message, error.pointer, error.hint]
            os.write(writer, "\0".join(said).encode("utf-8", "surrogateescape"))
        finally:
            os._exit(127)

    def _check_version(self, program: str) -> None:
        answer = self._ask([(_TYPE, VERSION), (_KEEP_OPEN, True)])
        version = protobuf.decode(protobuf.octets(answer, _VERSION))
        self.version = (protobuf.integer(version, 1), protobuf.integer(version, 2))
        if self.version < MINIMUM:
            found, wanted = (".".join(map(str, pair)) for pair in (self.version, MINIMUM))
            raise Unsupported(f"{program} is version {found}, {wanted} or newer is needed")

    def require(self, feature: int) -> None:
        """Raise Unsupported unless criu and the kernel have MEM_TRACK or LAZY_PAGES."""
        asked = protobuf.encode([(feature, True)])
        answer = self._ask([(_TYPE, FEATURE_CHECK), (_KEEP_OPEN, True), (_ASKED, asked)])
        given = protobuf.decode(protobuf.octets(answer, _FEATURES_GIVEN))
        if not protobuf.integer(given, feature):
            raise Unsupported(f"criu or this kernel lacks {_FEATURES[feature]}")

    def request(self, kind: int, options: bytes, notify: Notify) -> int:
        """Ask for a dump, a pre-dump or a restore. Returns the pid of what was restored, else 0.

        A notification that raises makes criu undo what it did; then that error is raised. Raises
        CriuFailed.
        """
        self._send([(_TYPE, kind), (_OPTS, options)])
        failure: BaseException | None = None
        while True:
            try:
                answer, fd = self._receive()
            except CriuFailed:
                if failure is not None:
                    raise failure from None
                raise
            if protobuf.integer(answer, _TYPE) != NOTIFY:
                break
            try:
                _deliver(answer, fd, notify)
            except BaseException as error:  # noqa: BLE001 - raised when criu has undone its work
                failure = failure or error
            self._send([(_TYPE, NOTIFY), (_SUCCESS_GIVEN, failure is None)])
        if failure is not None:
            raise failure
        _check(answer)
        return protobuf.integer(protobuf.decode(protobuf.octets(answer, _RESTORED)), 1)

    def _ask(self, fields: Sequence[tuple[int, int | bytes]]) -> Fields:
        self._send(fields)
        answer, _ = self._receive()
        _check(answer)
        return answer

    def _send(self, fields: Sequence[tuple[int, int | bytes]]) -> None:
        assert self._channel is not None  # noqa: S101 - for the type checker: it was started
        try:
            self._channel.send(protobuf.encode(fields))
        except OSError as error:
            raise CriuFailed(f"criu is gone: {error.strerror}") from error

    def _receive(self) -> tuple[Fields, int]:
        """An answer, and the descriptor that came with it, -1 for none. Raises CriuFailed."""
        assert self._channel is not None  # noqa: S101 - as above
        try:
            data, control, _, _ = self._channel.recvmsg(
                _MESSAGE_SIZE, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise CriuFailed(f"criu is gone: {error.strerror}") from error
        fd = -1
        for level, kind, payload in control:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                fd = int.from_bytes(payload[:4], sys.byteorder, signed=True)
        if not data:
            raise CriuFailed("criu ended without an answer")
        try:
            return protobuf.decode(data), fd
        except protobuf.Malformed as error:
            raise CriuFailed(f"criu's answer can't be read: {error}") from error

    def close(self, *, kill: bool) -> None:
        """Close the socket, and wait for its end."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self.pid:
            try:
                if kill:
                    os.kill(self.pid, 9)  # our child, not waited for: the pid is its own
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self.pid = 0


def _deliver(answer: Fields, fd: int, notify: Notify) -> None:
    notification = protobuf.decode(protobuf.octets(answer, _NOTIFICATION))
    notify(protobuf.text(notification, 1), protobuf.integer(notification, 2), fd)


def _check(answer: Fields) -> None:
    if protobuf.integer(answer, _SUCCESS):
        return
    number = protobuf.integer(answer, _ERRNO)
    text = protobuf.text(answer, _ERRMSG).strip()
    reason = text or (os.strerror(number) if number else "no reason given")
    raise CriuFailed(reason, number)
