# SPDX-License-Identifier: Apache-2.0
"""Where in its container's cgroup an exec's process starts: there, or below as `--cgroup` says.

On cgroup v2 a container may share out controllers among cgroups that it made below its own, as
systemd or dockerd in a container do. Its own takes no processes then (EBUSY; cgroups(7), "no
internal processes"), and the process goes where the container's init went; so do runc and crun.
"""

from __future__ import annotations

import errno
import os

from runtime.errors import PlanFailed, UsageError
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.cgroups.cgroup import Cgroup, Sub

_FULL = (errno.EBUSY, errno.EOPNOTSUPP, errno.ENODEV, errno.ENOENT)
"""clone3 says: shares out controllers, is in a threaded subtree, is gone; open(2) says: is gone."""


def parse(words: Sequence[str]) -> Sub:
    """Return the values of `--cgroup`: one `PATH`, or `CONTROLLER[,CONTROLLER...]:PATH` each.

    Raises UsageError.
    """
    if len(words) == 1 and ":" not in words[0]:
        return words[0]
    subs: dict[str, str] = {}
    for word in words:
        names, colon, path = word.partition(":")
        if not colon:
            raise UsageError(
                f"--cgroup {word!r}: a controller and a colon must precede the path",
                hint="one path for all controllers needs none, and is the only one",
            )
        for name in names.split(","):
            if not name:
                raise UsageError(f"--cgroup {word!r}: a controller's name is missing")
            if name in subs:
                raise UsageError(f"--cgroup {word!r}: controller {name!r} is there twice")
            subs[name] = path
    return subs or ""


class Place:
    """Descriptors of the cgroup to start in.

    clone_fd: for CLONE_INTO_CGROUP (v2's hierarchy), or -1. join_fds: by the name of the hierarchy,
    for the init to join. followed: it is where the init is, after the container's own had no room.
    """

    __slots__ = ("_init", "_sub", "clone_fd", "followed", "join_fds")

    def __init__(self, cgroup: Cgroup | None, sub: Sub, init: int, *, late: bool = False) -> None:
        """init: pid of the container's. late: the process joins, and is not cloned into it.

        Raises OrlopError, OSError.
        """
        self.clone_fd = -1
        self.join_fds: dict[str, int] = {}
        self.followed = False
        self._sub = sub
        self._init = init
        if cgroup is None or cgroup.mode == "none":
            if sub:
                raise UsageError("--cgroup: the container has no cgroup")
            return
        if not isinstance(sub, str):
            _check_controllers(cgroup, sub)
        try:
            self._open(cgroup, late=late)
        except FileNotFoundError as error:
            if not sub and cgroup.mode == "v2":
                self._open_inits()
                return
            text = f"add a process to cgroup {error.filename}: no such file or directory"
            raise OrlopError(text, hint="--cgroup names one that exists" if sub else "") from error

    def _open(self, cgroup: Cgroup, *, late: bool) -> None:
        fd = None if late else cgroup.clone_fd(self._sub)
        cloned = fd is not None
        self.clone_fd = -1 if fd is None else fd
        fds = cgroup.join_fds(self._sub, cloned=cloned)
        self.join_fds = dict(zip(cgroup.hierarchies(cloned=cloned), fds, strict=True))

    def _open_inits(self) -> None:
        """Open the cgroup that the init is in now, wherever that is."""
        self.followed = True
        from runtime.cgroups import files, host

        unified = host.detect().unified
        content = files.read(f"/proc/{self._init}/cgroup")
        members = [each for each in host.parse_memberships(content) if each.controllers == ("",)]
        if unified is None or not members:
            raise OrlopError("the container's init is in no cgroup")
        path = unified.mountpoint + host.within(members[0].path, unified.root)
        self.clone_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def follow_init(self, error: PlanFailed) -> bool:
        """Go where the init is, if `error` says that there is no room here; False: no such error.

        Not from a place that was asked for. Raises OSError.
        """
        if self._sub or self.clone_fd < 0 or error.operation != "spawn":
            return False
        if error.step != "clone3" or error.errno not in _FULL:
            return False
        os.close(self.clone_fd)
        self.clone_fd = -1
        self._open_inits()
        return True

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self.clone_fd, *self.join_fds.values()):
            if fd >= 0:
                os.close(fd)
        self.clone_fd = -1
        self.join_fds = {}


def _check_controllers(cgroup: Cgroup, subs: Mapping[str, str]) -> None:
    if cgroup.mode == "v2":
        raise UsageError(
            "--cgroup: controllers have no cgroups of their own on cgroup v2", hint="give a path"
        )
    directories: dict[str, str] = {}
    paths = cgroup.paths()
    for controller, sub in subs.items():
        if controller not in paths:
            text = f"--cgroup: the container is in no cgroup of controller {controller!r}"
            raise UsageError(text, hint="there are " + ", ".join(sorted(filter(None, paths))))
        if directories.setdefault(paths[controller], sub) != sub:
            text = f"--cgroup: controller {controller!r} is in one hierarchy with another"
            raise UsageError(text, hint="give them the same path")
