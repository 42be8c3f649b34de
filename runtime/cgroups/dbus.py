# SPDX-License-Identifier: Apache-2.0
"""A D-Bus connection: calls one method after the other, and waits for signals; never for ever.

The other end is a message bus, or a program itself, as systemd is on its private socket: then
there is no bus to greet, signals come without being asked for, and a start waits for nobody else.
"""

from __future__ import annotations

import _socket
import time
from _struct import Struct

from runtime.cgroups import dbus_wire as wire
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cgroups.dbus_wire import Message

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
CALL_SECONDS = 25.0
"""How long a reply may take: what other implementations of D-Bus wait."""

_TIMEVAL = Struct("@ll")
_LINE = 512


class Unreachable(OrlopError):
    """Nobody answers at the address."""


class Timeout(OrlopError):
    """No answer within the time."""


class CallFailed(OrlopError):
    """The method returned an error. name: as in `org.freedesktop.DBus.Error.AccessDenied`."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class Connection:
    """A connection to `address`: a socket's path, or a name in the abstract namespace after a NUL.

    bus: whether a message bus listens there. Raises Unreachable, Timeout.
    """

    def __init__(self, address: str, *, bus: bool, seconds: float = CALL_SECONDS) -> None:
        self._serial = 0
        self._signals: list[Message] = []
        self._buffer = b""
        self._seconds = seconds
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self._connect(address)
            self._authenticate()
            if bus:
                self.call(BUS, BUS_PATH, BUS, "Hello")
        except OSError as error:
            self.close()
            shown = address.replace("\0", "@")
            raise Unreachable(f"connect to {shown}: {error.strerror or 'timed out'}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _connect(self, address: str) -> None:
        # A blocking connect with a limit: with O_NONBLOCK, a listener whose queue is full is an
        # error (EAGAIN, unix(7)) instead of a reason to wait.
        limit = _TIMEVAL.pack(int(self._seconds), 0)
        self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, limit)
        self._socket.connect(address)

    def _authenticate(self) -> None:
        """EXTERNAL, without saying who we are: the kernel tells (SO_PEERCRED).

        In a user namespace our own uid would not be the one that the other end sees. All at once,
        BEGIN too: systemd forgets a message that it reads together with BEGIN until it gets more.
        The answers are "DATA" and "OK" (from systemd before 247, twice "OK").
        """
        deadline = time.monotonic() + self._seconds
        self._send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", deadline)
        first = self._line(deadline)
        last = self._line(deadline) if first.startswith((b"DATA", b"OK ")) else first
        if not last.startswith(b"OK "):
            raise Unreachable(f"the other end refuses this user: {last.decode(errors='replace')}")

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *given: object,
    ) -> list[object]:
        """Call a method; returns what it returns. Raises CallFailed, Timeout, Unreachable."""
        self._serial += 1
        serial = self._serial
        fields = {
            wire.PATH: path,
            wire.INTERFACE: interface,
            wire.MEMBER: member,
            wire.DESTINATION: destination,
        }
        deadline = time.monotonic() + self._seconds
        try:
            self._send(wire.pack_call(serial, fields, signature, given), deadline)
            while True:
                message = self._receive(deadline)
                if message.fields.get(wire.REPLY_SERIAL) == serial:
                    break
                if message.kind == wire.SIGNAL:
                    self._signals.append(message)
        except TimeoutError as error:
            raise Timeout(f"{member}: no answer within {self._seconds:.0f} seconds") from error
        except OSError as error:
            raise Unreachable(f"{member}: {error.strerror}") from error
        arguments = _arguments(message)
        if message.kind == wire.ERROR:
            name = str(message.fields.get(wire.ERROR_NAME, ""))
            raise CallFailed(f"{member}: {arguments[0] if arguments else name}", name)
        return arguments

    def wait_signal(self, member: str, wanted: Callable[[list[object]], bool]) -> list[object]:
        """Return the arguments of the first signal that is `wanted`, also of those come already.

        Raises Timeout, Unreachable.
        """
        deadline = time.monotonic() + self._seconds
        try:
            while True:
                while self._signals:
                    signal = self._signals.pop(0)
                    if signal.fields.get(wire.MEMBER) != member:
                        continue
                    arguments = _arguments(signal)
                    if wanted(arguments):
                        return arguments
                message = self._receive(deadline)
                if message.kind == wire.SIGNAL:
                    self._signals.append(message)
        except TimeoutError as error:
            raise Timeout(f"{member}: not within {self._seconds:.0f} seconds") from error
        except OSError as error:
            raise Unreachable(f"{member}: {error.strerror}") from error

    def _send(self, data: bytes, deadline: float) -> None:
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(data)

    def _receive(self, deadline: float) -> Message:
        try:
            self._fill(wire.FIXED_PART, deadline)
            size = wire.length(self._buffer)
            self._fill(size, deadline)
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return wire.unpack(data)
        except ValueError as error:
            raise _garbled(error) from error

    def _line(self, deadline: float) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _LINE:
                raise Unreachable("the other end doesn't speak D-Bus")
            self._fill(len(self._buffer) + 1, deadline)
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _fill(self, size: int, deadline: float) -> None:
        """Read until the buffer has `size` bytes. Raises OSError."""
        while len(self._buffer) < size:
            self._socket.settimeout(_left(deadline))
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError(104, "the other end closed the connection")
            self._buffer += data


def _arguments(message: Message) -> list[object]:
    try:
        return message.arguments()
    except ValueError as error:
        raise _garbled(error) from error


def _garbled(error: ValueError) -> Unreachable:
    return Unreachable(f"the other end doesn't speak D-Bus: {error}")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
