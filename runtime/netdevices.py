# SPDX-License-Identifier: Apache-2.0
"""`linux.netDevices`: devices of the runtime's network namespace go to the container's.

config-linux.md#network-devices. They are never moved back: when the namespace ends, the kernel
moves physical ones to the initial namespace and destroys virtual ones (network_namespaces(7)).
Only a move that fails is undone, so that the failed create leaves the host as it was.
"""

from __future__ import annotations

import errno
import os

from runtime.rtnetlink import IFA_F_PERMANENT, RT_SCOPE_UNIVERSE, Link, Netlink
from spec.describe import pointer_step
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.rtnetlink import Address
    from spec.types import LinuxNetDevice

_OWN = "/proc/thread-self/ns/net"


def move(devices: Mapping[str, LinuxNetDevice], namespace: str) -> None:
    """Move devices to the network namespace at this path, with their addresses, and bring them up.

    Raises OrlopError with the device's pointer; then each is where it was, as it was.
    """
    fds = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (_OWN, namespace)]
    connections: list[Netlink] = []
    try:
        if os.path.samestat(os.fstat(fds[0]), os.fstat(fds[1])):
            text = "the container's network namespace is the runtime's own"
            raise OrlopError(
                text, pointer="/linux/netDevices", hint="the devices are there already"
            )
        connections.append(Netlink())
        connections.append(Netlink(fds[1]))
        _Removal(connections[0], fds[0], connections[1], fds[1]).run(devices)
    finally:
        for connection in connections:
            connection.close()
        for fd in fds:
            os.close(fd)


class _Moved:
    """A device that has left: how it was, what it had, and which it is now."""

    __slots__ = ("addresses", "before", "now")

    def __init__(self, before: Link, addresses: list[Address], now: Link) -> None:
        self.before = before
        self.addresses = addresses
        self.now = now


class _Removal:
    """The move of all devices from one namespace to another; or of none."""

    def __init__(self, host: Netlink, host_fd: int, inside: Netlink, inside_fd: int) -> None:
        self.host = host
        self.host_fd = host_fd
        self.inside = inside
        self.inside_fd = inside_fd
        self.moved: list[_Moved] = []

    def run(self, devices: Mapping[str, LinuxNetDevice]) -> None:
        """Look first whether all can be moved, then move them."""
        links = self._find(devices)
        for name, device in devices.items():
            try:
                self._move(links[name], device.get("name") or name)
            except OSError as error:
                left = self._undo()
                raise _failure(name, error, left) from error

    def _find(self, devices: Mapping[str, LinuxNetDevice]) -> dict[str, Link]:
        here = {link.name: link for link in self.host.links().values()}
        there = {link.name for link in self.inside.links().values()}
        for name, device in devices.items():
            target = device.get("name") or name
            where = f"/linux/netDevices/{pointer_step(name)}"
            if name not in here:
                text = f"network device {name}: not in the runtime's network namespace"
                raise OrlopError(text, pointer=where)
            if target in there:
                text = f"network device {name}: the container's network namespace has a {target}"
                hint = "name a template such as eth%d, and the kernel finds a free name"
                raise OrlopError(text, pointer=where, hint=hint)
        return {name: here[name] for name in devices}

    def _move(self, link: Link, target: str) -> None:
        # Before the device goes down, which takes its IPv6 addresses from it.
        addresses = [a for a in self.host.addresses(link.index) if _is_kept(a)]
        before = set(self.inside.links())
        try:
            self.host.move(link.index, self.inside_fd, target)
        except OSError:
            # The kernel renames after the move: a name that is taken by then stops it in between.
            if link.index not in self.host.links():
                self.moved.append(_Moved(link, addresses, self._arrived(before, link.name)))
            raise
        now = self._arrived(before, target)
        self.moved.append(_Moved(link, addresses, now))
        _configure(self.inside, now, addresses, up=True)

    def _arrived(self, before: set[int], target: str) -> Link:
        """The device that is new: its index may be another one, and a template tells no name.

        Raises OSError where somebody has moved it on already.
        """
        new = [link for link in self.inside.links().values() if link.index not in before]
        first, template, last = target.partition("%d")
        for link in new:
            name = link.name
            if name == target or (template and name.startswith(first) and name.endswith(last)):
                return link
        raise OSError(errno.ENODEV, f"{target} is not where it was moved to")

    def _undo(self) -> list[str]:
        """Bring back what was moved. Returns the names of those that stay where they are."""
        left = []
        for moved in reversed(self.moved):
            try:
                self.inside.move(moved.now.index, self.host_fd, moved.before.name)
                links = self.host.links().values()
                back = next(link for link in links if link.name == moved.before.name)
                _configure(self.host, back, moved.addresses, up=moved.before.up)
            except (OSError, StopIteration):
                left.append(moved.before.name)
        return left


def _is_kept(address: Address) -> bool:
    """Permanent and global (RFC 3549): others are the network's, or the kernel makes them anew."""
    return bool(address.flags & IFA_F_PERMANENT) and address.scope == RT_SCOPE_UNIVERSE


def _configure(netlink: Netlink, link: Link, addresses: list[Address], *, up: bool) -> None:
    for address in addresses:
        try:
            netlink.add_address(link.index, address)
        except OSError as error:
            text = f"address {address.text()}: {error.strerror}"
            raise OSError(error.errno, text) from error
    if up:
        netlink.set_up(link.index)


def _failure(name: str, error: OSError, left: list[str]) -> OrlopError:
    hint = ""
    if left:
        hint = f"left in the container's network namespace: {', '.join(left)}"
    elif error.errno == errno.EINVAL:
        hint = "the kernel keeps devices of this kind in their namespace, the loopback for one"
    where = f"/linux/netDevices/{pointer_step(name)}"
    return OrlopError(f"network device {name}: {error.strerror}", pointer=where, hint=hint)
