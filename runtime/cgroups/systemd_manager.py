# SPDX-License-Identifier: Apache-2.0
"""What the systemd driver asks of systemd, by its D-Bus interface (org.freedesktop.systemd1(5)).

systemd's private socket comes first: there is no bus daemon between, which may be slow or, early
at boot, not there. Every call has a limit of time.
"""

from __future__ import annotations

import os

from runtime.cgroups import dbus
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cgroups.dbus_wire import Variant

    Properties = Sequence[tuple[str, Variant]]

SYSTEM, USER = "system", "user"
BOOTED = "/run/systemd/system"
"""Exists where systemd is pid 1 (sd_booted(3))."""

JOB_SECONDS = 30.0
"""How long a job may take, such as the making of a scope: what runc waits."""

NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"
UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_INTERFACE = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_MATCH = f"type='signal',sender='{_NAME}',interface='{_INTERFACE}',member='JobRemoved'"


class JobFailed(OrlopError):
    """A job ended with another result than "done"."""


class Manager:
    """A connection to systemd: the machine's, or the caller's own (kind "user").

    Raises OrlopError when nobody answers. Methods raise dbus.CallFailed, dbus.Timeout and
    dbus.Unreachable, which are OrlopErrors; those that wait for a job JobFailed, too.
    """

    __slots__ = ("_connection", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._connection = _connect(kind)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def start_transient(self, unit: str, properties: Properties) -> None:
        """Make and start a unit that is no file's; returns when it is active."""
        job = self._call("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", properties, [])
        self._wait(unit, job)

    def stop(self, unit: str) -> None:
        """Stop a unit, and wait until it is inactive. One that isn't there is stopped."""
        try:
            job = self._call("StopUnit", "ss", unit, "replace")
        except dbus.CallFailed as error:
            if error.name != NO_SUCH_UNIT:
                raise
            return
        self._wait(unit, job)

    def reset_failed(self, unit: str) -> None:
        """Let a unit that failed be forgotten. One that isn't there is forgotten."""
        try:
            self._call("ResetFailedUnit", "s", unit)
        except dbus.CallFailed as error:
            if error.name != NO_SUCH_UNIT:
                raise

    def set_properties(self, unit: str, properties: Properties) -> None:
        """Change a unit's properties until the next boot."""
        self._call("SetUnitProperties", "sba(sv)", unit, True, properties)  # noqa: FBT003

    def attach(self, unit: str, sub: str, pid: int) -> None:
        """Move a process into a unit's cgroup, or into the one at `sub` ("/a") below it.

        systemd may do so where the caller may not: from one session of a user to another.
        """
        self._call("AttachProcessesToUnit", "ssau", unit, sub, [pid])

    def version(self) -> int:
        """Return systemd's version: the number at the start of "252.38-1~deb12u1"."""
        text = str(self._get("Version")).lstrip("v")
        digits = text[: len(text) - len(text.lstrip("0123456789"))]
        return int(digits or 0)

    def cgroup(self) -> str:
        """Return the manager's own cgroup, below which its units are; "" for the root."""
        return str(self._get("ControlGroup")).rstrip("/")

    def _get(self, name: str) -> object:
        arguments = ("Get", "ss", _INTERFACE, name)
        (variant,) = self._connection.call(_NAME, _PATH, _PROPERTIES, *arguments)
        return variant.value  # type: ignore[attr-defined] # Get returns a variant

    def _call(self, member: str, signature: str, *arguments: object) -> list[object]:
        return self._connection.call(_NAME, _PATH, _INTERFACE, member, signature, *arguments)

    def _wait(self, unit: str, job: list[object]) -> None:
        """Wait for the signal that tells a job's result: id, path, unit, result."""
        path = job[0]
        signal = self._connection.wait_signal("JobRemoved", lambda body: path in body)
        result = signal[3]
        if result != "done":
            raise JobFailed(f"the job for {unit} ended with result {result!r}")


def require(kind: str) -> None:
    """Raise OrlopError where this host's init is not systemd."""
    if kind == SYSTEM and not os.path.isdir(BOOTED):
        raise OrlopError(
            "the systemd cgroup driver needs systemd as the host's init, which it is not",
            hint="leave out --systemd-cgroup (for Docker: native.cgroupdriver=cgroupfs)",
        )


def _connect(kind: str) -> dbus.Connection:
    require(kind)
    first: OrlopError | None = None
    for address, bus in _addresses(kind):
        try:
            connection = dbus.Connection(address, bus=bus, seconds=JOB_SECONDS)
        except dbus.Unreachable as error:
            first = first or error
            continue
        if bus:
            # On the private socket signals come without being asked for.
            connection.call(dbus.BUS, dbus.BUS_PATH, dbus.BUS, "AddMatch", "s", _MATCH)
            connection.call(_NAME, _PATH, _INTERFACE, "Subscribe")
        return connection
    if kind == SYSTEM:
        raise OrlopError(f"systemd doesn't answer: {first}")
    raise OrlopError(
        f"the user's systemd doesn't answer: {first or 'XDG_RUNTIME_DIR is not set'}",
        hint="start it (loginctl enable-linger), and set XDG_RUNTIME_DIR",
    )


def _addresses(kind: str) -> list[tuple[str, bool]]:
    """Sockets to try, each with whether a message bus is there."""
    if kind == SYSTEM:
        return [("/run/systemd/private", False), ("/run/dbus/system_bus_socket", True)]
    found = []
    directory = os.environ.get("XDG_RUNTIME_DIR", "")
    if directory:
        found.append((f"{directory}/systemd/private", False))
    given = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    found += [(address, True) for address in bus_addresses(given)]
    if directory and not given:
        found.append((f"{directory}/bus", True))
    return found


def bus_addresses(text: str) -> list[str]:
    """Return the unix sockets of a D-Bus address list (D-Bus Specification, "Server Addresses").

    `unix:path=/run/user/1/bus;unix:abstract=x,guid=0`; other transports are left out.
    """
    found = []
    for address in text.split(";"):
        transport, _, rest = address.partition(":")
        pairs = dict(pair.partition("=")[::2] for pair in rest.split(","))
        if transport != "unix":
            continue
        if "path" in pairs:
            found.append(_unescaped(pairs["path"]))
        elif "abstract" in pairs:
            found.append("\0" + _unescaped(pairs["abstract"]))
    return found


def _unescaped(value: str) -> str:
    first, *parts = value.split("%")
    try:
        return first + "".join(chr(int(part[:2], 16)) + part[2:] for part in parts)
    except ValueError:
        return value
