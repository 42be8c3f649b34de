# SPDX-License-Identifier: Apache-2.0
"""`linux.resources.devices`: which devices may be used (config-linux.md, "Allowed Device list").

The rules are evaluated here to what they mean in the end, a default and its exceptions, because
the v1 controller, given them one by one, does nothing at all when a rule would make a hole in a
wider one. Such a list is refused.
"""

from __future__ import annotations

from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from spec.types import LinuxDeviceCgroup

ANY = -1
"""Every major or minor number."""

DEFAULT_ALLOWED = (
    ("c", ANY, ANY, "m"),  # a device node that can't be opened is harmless
    ("b", ANY, ANY, "m"),
    ("c", 1, 3, "rwm"),  # /dev/null
    ("c", 1, 5, "rwm"),  # /dev/zero
    ("c", 1, 7, "rwm"),  # /dev/full
    ("c", 1, 8, "rwm"),  # /dev/random
    ("c", 1, 9, "rwm"),  # /dev/urandom
    ("c", 5, 0, "rwm"),  # /dev/tty
    ("c", 5, 2, "rwm"),  # /dev/ptmx
    ("c", 136, ANY, "rwm"),  # /dev/pts/*, and so the container's /dev/console
    ("c", 10, 200, "rwm"),  # /dev/net/tun: engines rely on it, as runc found when it left it out
)
"""What every container may use, whatever its rules say: as runc 1.5, after those.

The machine's console, character device 5:1, is not on it: a container's /dev/console is a
pseudo-terminal.
"""

_MAX_NUMBER = (1 << 32) - 1  # what cgroup v1 and v2 compare with
_BITS = {"r": 1, "w": 2, "m": 4}
_ALL = 7


class DeviceAccess:
    """A default and its exceptions.

    default_allow: whether what no exception matches may be used. exceptions: access bits (r 1, w
    2, m 4) by type ("b" or "c"), major and minor number (or ANY).
    """

    __slots__ = ("default_allow", "exceptions")

    def __init__(self) -> None:
        self.default_allow = False
        self.exceptions: dict[tuple[str, int, int], int] = {}

    @property
    def allows_all(self) -> bool:
        """Whether any device may be used in any way."""
        return self.default_allow and not self.exceptions

    def lines(self) -> list[str]:
        """Return the exceptions as devices.allow and devices.deny of v1 take them (devices.rst)."""
        return [
            f"{kind} {_shown(major)}:{_shown(minor)} {_letters(bits)}"
            for (kind, major, minor), bits in self.exceptions.items()
        ]

    def apply(self, *, allow: bool, device: tuple[str, int, int], access: str) -> None:
        """Take one rule into account. Raises ValueError when it would make a hole in a wider one.

        device: type ("a", "b", "c"), major and minor number.
        """
        kind, major, minor = device
        bits = 0
        for letter in access:
            bits |= _BITS[letter]
        if kind == "a" and (major, minor) == (ANY, ANY) and bits == _ALL:
            self.default_allow = allow
            self.exceptions.clear()
            return
        for each in "bc" if kind == "a" else kind:
            key = (each, major, minor)
            if allow != self.default_allow:
                self.exceptions[key] = self.exceptions.get(key, 0) | bits
            else:
                self._except_no_more(key, bits)

    def _except_no_more(self, key: tuple[str, int, int], bits: int) -> None:
        for other, had in list(self.exceptions.items()):
            if not had & bits or not _overlap(key, other):
                continue
            if not _covers(key, other):
                verb = "denied" if self.default_allow else "allowed"
                raise ValueError(
                    f"can't make an exception within {_text(other, had)}, {verb} before"
                )
            if left := had & ~bits:
                self.exceptions[other] = left
            else:
                del self.exceptions[other]


def evaluate(rules: Sequence[LinuxDeviceCgroup], pointer: str) -> DeviceAccess:
    """Return what the rules, in their order and with the default ones after them, allow.

    pointer: of the list, for errors. Raises OrlopError.
    """
    access = DeviceAccess()
    for index, rule in enumerate(rules):
        at = f"{pointer}/{index}"
        device = (rule.get("type") or "a", _number(rule, "major", at), _number(rule, "minor", at))
        try:
            access.apply(allow=rule["allow"], device=device, access=rule.get("access") or "rwm")
        except ValueError as error:
            raise OrlopError(str(error), pointer=at) from error
    for kind, major, minor, letters in DEFAULT_ALLOWED:
        try:
            access.apply(allow=True, device=(kind, major, minor), access=letters)
        except ValueError as error:
            text = f"a device that every container has: {error}"
            raise OrlopError(text, pointer=pointer) from error
    return access


def _number(rule: LinuxDeviceCgroup, name: str, pointer: str) -> int:
    value = rule.get(name)
    if value is None:
        return ANY
    number = int(str(value))
    if number > _MAX_NUMBER:
        text = f"{number} is no device number: the largest is {_MAX_NUMBER}"
        raise OrlopError(text, pointer=f"{pointer}/{name}")
    return number


def _overlap(one: tuple[str, int, int], other: tuple[str, int, int]) -> bool:
    return one[0] == other[0] and all(
        a == b or ANY in (a, b) for a, b in zip(one[1:], other[1:], strict=True)
    )


def _covers(wide: tuple[str, int, int], narrow: tuple[str, int, int]) -> bool:
    return all(a in (ANY, b) for a, b in zip(wide[1:], narrow[1:], strict=True))


def _shown(number: int) -> str:
    return "*" if number == ANY else str(number)


def _letters(bits: int) -> str:
    return "".join(letter for letter, bit in _BITS.items() if bits & bit)


def _text(key: tuple[str, int, int], bits: int) -> str:
    return f"'{key[0]} {_shown(key[1])}:{_shown(key[2])} {_letters(bits)}'"
