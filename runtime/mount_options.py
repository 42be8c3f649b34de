# SPDX-License-Identifier: Apache-2.0
"""Mount options: from the words of config.json to what the mount system calls take.

runtime-spec 1.3.0 config.md#linux-mount-options; words that are no option of mount(8) belong to the
file system and go to it as they are.
"""

from __future__ import annotations

from native import syscalls
from runtime.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ATIME = syscalls.MOUNT_ATTR__ATIME
#: word -> (attributes to set, attributes to clear)
ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (syscalls.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, syscalls.MOUNT_ATTR_RDONLY),
    "nosuid": (syscalls.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, syscalls.MOUNT_ATTR_NOSUID),
    "nodev": (syscalls.MOUNT_ATTR_NODEV, 0),
    "dev": (0, syscalls.MOUNT_ATTR_NODEV),
    "noexec": (syscalls.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, syscalls.MOUNT_ATTR_NOEXEC),
    "noatime": (syscalls.MOUNT_ATTR_NOATIME, _ATIME),
    "atime": (syscalls.MOUNT_ATTR_RELATIME, _ATIME),
    "relatime": (syscalls.MOUNT_ATTR_RELATIME, _ATIME),
    "norelatime": (syscalls.MOUNT_ATTR_RELATIME, _ATIME),
    "strictatime": (syscalls.MOUNT_ATTR_STRICTATIME, _ATIME),
    "nostrictatime": (syscalls.MOUNT_ATTR_RELATIME, _ATIME),
    "nodiratime": (syscalls.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, syscalls.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (syscalls.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, syscalls.MOUNT_ATTR_NOSYMFOLLOW),
}
#: mount_setattr(2) with AT_RECURSIVE: the same words with an r in front.
RECURSIVE = {"r" + word: value for word, value in ATTRIBUTES.items()}
PROPAGATION = {
    "private": syscalls.MS_PRIVATE,
    "rprivate": syscalls.MS_PRIVATE | syscalls.MS_REC,
    "shared": syscalls.MS_SHARED,
    "rshared": syscalls.MS_SHARED | syscalls.MS_REC,
    "slave": syscalls.MS_SLAVE,
    "rslave": syscalls.MS_SLAVE | syscalls.MS_REC,
    "unbindable": syscalls.MS_UNBINDABLE,
    "runbindable": syscalls.MS_UNBINDABLE | syscalls.MS_REC,
}
#: Flags of the superblock, understood for every file system (fs/fs_context.c of the kernel).
SUPERBLOCK = frozenset({"sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"})
#: Words without a meaning for the kernel, accepted as mount(8) and runc do.
IGNORED = frozenset(
    {"defaults", "loud", "silent", "iversion", "noiversion", "acl", "noacl", "remount"}
)
_LEGACY = {
    syscalls.MOUNT_ATTR_RDONLY: syscalls.MS_RDONLY,
    syscalls.MOUNT_ATTR_NOSUID: syscalls.MS_NOSUID,
    syscalls.MOUNT_ATTR_NODEV: syscalls.MS_NODEV,
    syscalls.MOUNT_ATTR_NOEXEC: syscalls.MS_NOEXEC,
    syscalls.MOUNT_ATTR_NOATIME: syscalls.MS_NOATIME,
    syscalls.MOUNT_ATTR_STRICTATIME: syscalls.MS_STRICTATIME,
    syscalls.MOUNT_ATTR_NODIRATIME: syscalls.MS_NODIRATIME,
}
_REPLACED = (
    syscalls.MOUNT_ATTR_RDONLY
    | syscalls.MOUNT_ATTR_NOSUID
    | syscalls.MOUNT_ATTR_NODEV
    | syscalls.MOUNT_ATTR_NOEXEC
    | syscalls.MOUNT_ATTR_NODIRATIME
    | syscalls.MOUNT_ATTR_NOSYMFOLLOW
)


class Options:
    """Parsed options of one mount.

    set, clear: MOUNT_ATTR_* of the mount itself; soft_clear: cleared where the kernel lets us,
    because the words did not name it. rset, rclear: of the whole tree. propagation: MS_* flags,
    0 for none. data: words for the file system. bind, recursive, copy_up, source_nofollow,
    target_nofollow: as named. words: for people.
    """

    __slots__ = (
        "bind",
        "clear",
        "copy_up",
        "data",
        "propagation",
        "rclear",
        "recursive",
        "rset",
        "set",
        "source_nofollow",
        "target_nofollow",
        "words",
    )

    def __init__(self) -> None:
        self.set = self.clear = self.rset = self.rclear = self.propagation = 0
        self.bind = self.recursive = self.copy_up = False
        self.source_nofollow = self.target_nofollow = False
        self.data: list[str] = []
        self.words: list[str] = []

    @property
    def soft_clear(self) -> int:
        """What a remount clears unasked: with any attribute given, all others go."""
        if not self.set and not self.clear:
            return 0
        return _REPLACED & ~self.set & ~self.clear

    def legacy_flags(self) -> int:
        """The same attributes as flags of mount(2)."""
        return sum(flag for attribute, flag in _LEGACY.items() if self.set & attribute)


#: word -> member of Options that it sets
_SWITCHES = {
    "bind": "bind",
    "rbind": "bind",
    "tmpcopyup": "copy_up",
    "src-nofollow": "source_nofollow",
    "dest-nofollow": "target_nofollow",
}


def parse(words: Sequence[str], pointer: str) -> Options:
    """Options of one mount; later words win. Raises Unsupported, with the word's pointer."""
    options = Options()
    options.words = [word for word in words if word not in IGNORED]
    for index, word in enumerate(words):
        if word in ATTRIBUTES:
            options.set, options.clear = _apply(options.set, options.clear, ATTRIBUTES[word])
        elif word in RECURSIVE:
            options.rset, options.rclear = _apply(options.rset, options.rclear, RECURSIVE[word])
        elif word in PROPAGATION:
            options.propagation = PROPAGATION[word]
        elif word in _SWITCHES:
            setattr(options, _SWITCHES[word], True)
            options.recursive = options.recursive or word == "rbind"
        elif word in ("idmap", "ridmap"):
            message = f"mount option {word!r} is not supported yet"
            raise Unsupported(message, pointer=f"{pointer}/options/{index}")
        elif word not in IGNORED:
            options.data.append(word)
    return options


def _apply(set_: int, clear: int, change: tuple[int, int]) -> tuple[int, int]:
    """Add one word's change; a word takes back what an earlier one said of the same attribute."""
    to_set, to_clear = change
    if to_clear == _ATIME:
        return set_ & ~_ATIME | to_set, clear | _ATIME
    return set_ & ~to_clear | to_set, clear & ~to_set | to_clear
