# SPDX-License-Identifier: Apache-2.0
"""As much of rtnetlink(7) as moving a network device takes: links, addresses, a change of both.

Python has the socket and no messages for it; a library for the whole family would be imported by
every start. A socket speaks for the network namespace in which it was made, for good.
"""

from __future__ import annotations

import _socket
import os
from _struct import Struct

from native import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, changed flags
_ADDRESS = Struct("=BBBBI")  # struct ifaddrmsg: family, prefix, flags, scope, index
_ATTRIBUTE = Struct("=HH")  # struct rtattr: length, type
_INTEGER = Struct("=i")
_UNSIGNED = Struct("=I")

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLM_F_EXCL, _NLM_F_CREATE = 0x200, 0x400
_NLM_F_DUMP_INTR, _NLM_F_ACK_TLVS = 0x10, 0x200
_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_GETADDR = 16, 18, 20, 22
_IFLA_IFNAME, _IFLA_NET_NS_FD = 3, 28
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS, _IFA_RT_PRIORITY = 1, 2, 4, 8, 9
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_IFF_UP = 1
_BUFFER = 1 << 18  # a link with many virtual functions is longer than a page

IFA_F_PERMANENT = 0x80
RT_SCOPE_UNIVERSE = 0
#: What a user may say of an address: nodad, home, mngtmpaddr, noprefixroute, autojoin
#: (ip-address(8)).
_GIVEN_FLAGS = 0x02 | 0x10 | 0x100 | 0x200 | 0x400


class Link:
    """A network device: its index and name in one namespace, and whether it is up."""

    __slots__ = ("index", "name", "up")

    def __init__(self, index: int, name: str, *, up: bool) -> None:
        self.index = index
        self.name = name
        self.up = up


class Address:
    """An address of a link, in the form in which another link can be given it.

    flags: IFA_F_*. scope: RT_SCOPE_*. attributes: those of rtnetlink(7) that belong to the address
    and not to the link (a label has the link's name in it).
    """

    __slots__ = ("attributes", "family", "flags", "prefix", "scope")

    def __init__(
        self, family: int, prefix: int, flags: int, scope: int, attributes: dict[int, bytes]
    ) -> None:
        self.family = family
        self.prefix = prefix
        self.flags = flags
        self.scope = scope
        self.attributes = attributes

    def text(self) -> str:
        """As ip-address(8) takes it."""
        data = self.attributes.get(_IFA_LOCAL) or self.attributes[_IFA_ADDRESS]
        return f"{_socket.inet_ntop(self.family, data)}/{self.prefix}"

    def message(self, index: int) -> bytes:
        """The RTM_NEWADDR that gives it to a link."""
        kept = (_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_RT_PRIORITY)
        attributes = {name: self.attributes[name] for name in kept if name in self.attributes}
        attributes[_IFA_FLAGS] = _UNSIGNED.pack(self.flags & _GIVEN_FLAGS)
        head = _ADDRESS.pack(self.family, self.prefix, 0, self.scope, index)
        return head + pack_attributes(attributes)


class Netlink:
    """A connection to the kernel for one network namespace. Every failure is an OSError.

    Its text is the kernel's own explanation where there is one.
    """

    __slots__ = ("_sequence", "_socket")

    def __init__(self, namespace: int = -1) -> None:
        """Connect for a network namespace (a descriptor), or for the caller's own.

        The calling thread is in that namespace for the moment (setns(2) is per thread).
        """
        self._sequence = 0
        self._socket = _socket_in(namespace) if namespace >= 0 else _open_socket()
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def links(self) -> dict[int, Link]:
        """All devices of the namespace by index."""
        found = {}
        for body in self._ask(_RTM_GETLINK, _NLM_F_DUMP, _LINK.pack(0, 0, 0, 0, 0)):
            _, _, index, flags, _ = _LINK.unpack_from(body)
            name = unpack_attributes(body[_LINK.size :])[_IFLA_IFNAME]
            found[index] = Link(index, os.fsdecode(name.rstrip(b"\0")), up=bool(flags & _IFF_UP))
        return found

    def addresses(self, index: int) -> list[Address]:
        """The addresses of one device, of all families, in the kernel's order."""
        found = []
        for body in self._ask(_RTM_GETADDR, _NLM_F_DUMP, _ADDRESS.pack(0, 0, 0, 0, 0)):
            family, prefix, flags, scope, owner = _ADDRESS.unpack_from(body)
            if owner != index:
                continue
            attributes = unpack_attributes(body[_ADDRESS.size :])
            if _IFA_FLAGS in attributes:  # the header has room for eight of them
                (flags,) = _UNSIGNED.unpack(attributes[_IFA_FLAGS])
            found.append(Address(family, prefix, flags, scope, attributes))
        return found

    def move(self, index: int, namespace: int, name: str) -> None:
        """Move a device to another namespace (a descriptor) under a name, or a template with %d."""
        attributes = {
            _IFLA_IFNAME: os.fsencode(name) + b"\0",
            _IFLA_NET_NS_FD: _UNSIGNED.pack(namespace),
        }
        body = _LINK.pack(0, 0, index, 0, 0) + pack_attributes(attributes)
        self._ask(_RTM_NEWLINK, _NLM_F_ACK, body)

    def set_up(self, index: int) -> None:
        """Bring a device up."""
        self._ask(_RTM_NEWLINK, _NLM_F_ACK, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP))

    def add_address(self, index: int, address: Address) -> None:
        """Give a device an address that it has not."""
        flags = _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_EXCL
        self._ask(_RTM_NEWADDR, flags, address.message(index))

    def _ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Send one request; the bodies of the answer. A dump that changed meanwhile is repeated."""
        while True:
            self._sequence += 1
            size = _HEADER.size + len(body)
            header = _HEADER.pack(size, kind, flags | _NLM_F_REQUEST, self._sequence, 0)
            self._socket.send(header + body)
            answer = self._answer()
            if answer is not None:
                return answer

    def _answer(self) -> list[bytes] | None:
        """Everything up to the end of the answer; None: the kernel's tables changed meanwhile."""
        bodies: list[bytes] = []
        whole = True
        while True:
            for kind, flags, sequence, body in messages(self._socket.recv(_BUFFER)):
                if sequence != self._sequence:
                    continue
                whole = whole and not flags & _NLM_F_DUMP_INTR
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    _check(kind, flags, body)
                    return bodies if whole else None
                bodies.append(body)


def _check(kind: int, flags: int, body: bytes) -> None:
    """Raise the OSError that an NLMSG_ERROR or NLMSG_DONE tells of."""
    if len(body) < _INTEGER.size:
        return
    number = -_INTEGER.unpack_from(body)[0]
    if not number:
        return
    text = os.strerror(number)
    skipped = _INTEGER.size + (_HEADER.size if kind == _NLMSG_ERROR else 0)
    if flags & _NLM_F_ACK_TLVS:
        said = unpack_attributes(body[skipped:]).get(_NLMSGERR_ATTR_MSG, b"")
        if said:
            text += f" ({said.rstrip(bytes(1)).decode('utf-8', 'replace').rstrip('.')})"
    raise OSError(number, text)


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each message of one datagram (netlink(7))."""
    while len(data) >= _HEADER.size:
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data)
        if size < _HEADER.size:
            return
        yield kind, flags, sequence, data[_HEADER.size : size]
        data = data[_aligned(size) :]


def pack_attributes(attributes: dict[int, bytes]) -> bytes:
    """Attributes as they follow a message's head: each aligned to four bytes."""
    parts = []
    for name, value in attributes.items():
        size = _ATTRIBUTE.size + len(value)
        parts.append(_ATTRIBUTE.pack(size, name) + value + bytes(_aligned(size) - size))
    return b"".join(parts)


def unpack_attributes(data: bytes) -> dict[int, bytes]:
    """`pack_attributes` in reverse; of what is there twice, the last."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        size, name = _ATTRIBUTE.unpack_from(data)
        if size < _ATTRIBUTE.size:
            break
        found[name & _TYPE_MASK] = data[_ATTRIBUTE.size : size]
        data = data[_aligned(size) :]
    return found


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _open_socket() -> _socket.socket:
    kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
    return _socket.socket(_socket.AF_NETLINK, kind, _socket.NETLINK_ROUTE)


def _socket_in(namespace: int) -> _socket.socket:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        try:
            return _open_socket()
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNET)
    finally:
        os.close(own)
