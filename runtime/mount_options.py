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
#: Words without a meaning for the mount API, accepted as mount(8) and runc do: `loud` and `silent`
#: are about the kernel's log, where fsopen(2) writes nothing.
IGNORED = frozenset({"defaults", "loud", "silent", "noiversion"})
#: What no call can do to a whole tree: the flags belong to file systems, not to mounts.
NOT_RECURSIVE = frozenset({"rsync", "rasync", "rdirsync", "rmand", "rnomand"})
_LEGACY = {
    syscalls.MOUNT_ATTR_RDONLY: syscalls.MS_RDONLY,
    syscalls.MOUNT_ATTR_NOSUID: syscalls.MS_NOSUID,
    syscalls.MOUNT_ATTR_NODEV: syscalls.MS_NODEV,
    syscalls.MOUNT_ATTR_NOEXEC: syscalls.MS_NOEXEC,
    syscalls.MOUNT_ATTR_NOATIME: syscalls.MS_NOATIME,
    syscalls.MOUNT_ATTR_STRICTATIME: syscalls.MS_STRICTATIME,
    syscalls.MOUNT_ATTR_NODIRATIME: syscalls.MS_NODIRATIME,
    syscalls.MOUNT_ATTR_NOSYMFOLLOW: 256,  # MS_NOSYMFOLLOW, linux/mount.h
}
_MS_I_VERSION = 1 << 23
#: Superblock words as flags of mount(2), linux/mount.h.
_LEGACY_WORDS = {"sync": 16, "dirsync": 128, "lazytime": 1 << 25, "mand": 64}
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
    because the words did not name it. rset, rclear: of the whole tree. propagation: MS_* flags of
    the last such word, 0 for none; earlier: of those before it. data: words for the file system.
    bind, recursive, remount, copy_up, copy_symlink, source_nofollow, target_nofollow: as named.
    idmap: "", "idmap" or "ridmap". i_version: SB_I_VERSION. words: for people. pointer: JSON
    pointer of the options.
    """

    __slots__ = (
        "_places",
        "bind",
        "clear",
        "copy_symlink",
        "copy_up",
        "data",
        "earlier",
        "i_version",
        "idmap",
        "pointer",
        "propagation",
        "rclear",
        "recursive",
        "remount",
        "rset",
        "set",
        "source_nofollow",
        "target_nofollow",
        "words",
    )

    def __init__(self, pointer: str = "") -> None:
        self.set = self.clear = self.rset = self.rclear = self.propagation = 0
        self.bind = self.recursive = self.remount = self.i_version = False
        self.copy_up = self.copy_symlink = False
        self.source_nofollow = self.target_nofollow = False
        self.idmap = ""
        self.pointer = pointer
        self.earlier: list[int] = []
        self.data: list[str] = []
        self.words: list[str] = []
        self._places: dict[str, int] = {}

    @property
    def soft_clear(self) -> int:
        """What a remount clears unasked: with any attribute given, all others go."""
        return self.unnamed if self.set or self.clear else 0

    @property
    def unnamed(self) -> int:
        """Attributes that no word names; access times are left as they are (mount(2))."""
        return _REPLACED & ~self.set & ~self.clear

    def legacy_flags(self) -> int:
        """The same attributes, and the file system's flags, as flags of mount(2)."""
        flags = sum(flag for attribute, flag in _LEGACY.items() if self.set & attribute)
        flags |= sum(flag for word, flag in _LEGACY_WORDS.items() if word in self.data)
        return flags | (_MS_I_VERSION if self.i_version else 0)

    def refuse(self, word: str, message: str, hint: str = "") -> Unsupported:
        """The error of an option that can't be had on this mount, with the option's place."""
        place = f"{self.pointer}/{self._places[word]}" if word in self._places else self.pointer
        return Unsupported(f"mount option {word!r} {message}", pointer=place, hint=hint)

    def add(self, word: str, index: int) -> None:
        """One more word; it wins over earlier ones."""
        self._places[word] = index
        if word in ATTRIBUTES:
            self.set, self.clear = _apply(self.set, self.clear, ATTRIBUTES[word])
        elif word in RECURSIVE:
            self.rset, self.rclear = _apply(self.rset, self.rclear, RECURSIVE[word])
        elif word in PROPAGATION:
            # mount(8) applies them one by one: after `slave`, `shared` makes a slave that is shared
            self.earlier += [self.propagation] if self.propagation else []
            self.propagation = PROPAGATION[word]
        elif word in _SWITCHES:
            setattr(self, _SWITCHES[word], True)
            self.recursive = self.recursive or word == "rbind"
        elif word in ID_MAPPED:
            self.idmap = word
        elif word in NOT_RECURSIVE:
            hint = f"{word[1:]} is a flag of file systems, not of mounts"
            raise self.refuse(word, "can't be applied to a tree of mounts", hint)
        elif word not in IGNORED:
            self.data.append(word)


#: word -> member of Options that it sets
_SWITCHES = {
    "bind": "bind",
    "rbind": "bind",
    "remount": "remount",
    "iversion": "i_version",
    "tmpcopyup": "copy_up",
    "copy-symlink": "copy_symlink",
    "src-nofollow": "source_nofollow",
    "dest-nofollow": "target_nofollow",
}
ID_MAPPED = ("idmap", "ridmap")
#: Words of runtimes, beside the tables above.
EXTENSIONS = (*_SWITCHES, *ID_MAPPED)


def parse(words: Sequence[str], pointer: str) -> Options:
    """Options of the mount at `pointer`; later words win. Raises Unsupported."""
    options = Options(f"{pointer}/options")
    options.words = [word for word in words if word not in IGNORED]
    for index, word in enumerate(words):
        options.add(word, index)
    return options


def check_bind(options: Options) -> None:
    """Raise Unsupported for words that mean nothing to a bind mount: none is ignored silently.

    Flags of the superblock are passed over, as mount(8), runc and the kernel do.
    """
    for word in options.data:
        if word not in SUPERBLOCK:
            raise options.refuse(word, "is for a file system, and a bind mount makes none")
    if options.copy_up:
        raise options.refuse("tmpcopyup", "is for a tmpfs")
    if options.copy_symlink and (options.source_nofollow or options.target_nofollow):
        raise options.refuse("copy-symlink", "excludes src-nofollow and dest-nofollow")


def check_filesystem(options: Options, kind: str) -> None:
    """Raise Unsupported for words that a file system of type `kind` can't have."""
    if options.copy_up and kind != "tmpfs":
        raise options.refuse("tmpcopyup", "is for a tmpfs")
    for word, given in (
        ("copy-symlink", options.copy_symlink),
        ("src-nofollow", options.source_nofollow),
        (options.idmap, bool(options.idmap)),
    ):
        if given:
            raise options.refuse(word, "is for bind mounts")


def _apply(set_: int, clear: int, change: tuple[int, int]) -> tuple[int, int]:
    """Add one word's change; a word takes back what an earlier one said of the same attribute."""
    to_set, to_clear = change
    if to_clear == _ATIME:
        return set_ & ~_ATIME | to_set, clear | _ATIME
    return set_ & ~to_clear | to_set, clear & ~to_set | to_clear
