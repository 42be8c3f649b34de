# SPDX-License-Identifier: Apache-2.0
"""Directories of a cgroup tree: made with those above, visited and removed with those below.

A container that may write its cgroups can nest them deeper than Python recurses, a path is long,
or descriptors last. So the tree below is walked with one descriptor, by names relative to it.
Symbolic links don't exist in cgroup file systems.
"""

from __future__ import annotations

import errno
import os

from runtime.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_BUSY = (errno.EBUSY, errno.ENOTEMPTY)
_ATTEMPTS = 8
#: The extended attribute of a cgroup that was made because one below was to be (Linux 5.7).
_MARK = "user.orlop.parent"


def make(path: str, mountpoint: str, made: list[str]) -> bool:
    """Make the directory `path` and what is missing between the mount point and it.

    made: gets the directories that were made, from the top, also when this fails. Returns whether
    `path` itself was made. Raises OSError.
    """
    for attempt in range(_ATTEMPTS):
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            return False
        except FileNotFoundError:
            # Missing, or removed again by another who undoes a failed start at this moment.
            parent = os.path.dirname(path)
            if parent == mountpoint or attempt == _ATTEMPTS - 1:
                raise
            if make(parent, mountpoint, made):
                _mark(parent)
        else:
            made.append(path)
            return True
    raise AssertionError("unreachable")


def missing_parents(path: str) -> int:
    """Return how many of the directories above `path` there are yet to be made."""
    count = 0
    while not os.path.exists(path := os.path.dirname(path)):
        count += 1
    return count


def undo(made: list[str]) -> None:
    """Remove what `make` made, as far as nobody uses it by now."""
    for path in reversed(made):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in (*_BUSY, errno.ENOENT):
                raise
    made.clear()


def remove(path: str) -> bool:
    """Remove a cgroup and those below it. Returns False when processes keep some of them.

    A cgroup that isn't there is removed. Raises OSError when it can't be, for another reason than
    processes.
    """
    if _rmdir(path, None):
        return True
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return True
    for fd, left in walk(top):
        if left is not None:
            _rmdir(left, fd)
    return _rmdir(path, None)


def remove_parents(path: str, count: int) -> None:
    """Remove the nearest `count` cgroups above one, up to the first in use. Raises OSError.

    And above them those that `make` made for another: who goes last takes them along. Who is killed
    between making one and marking it has not marked it: that is made up for where one is in use.
    """
    path, count = _remove_upwards(os.path.dirname(path), count)
    if count > 0:
        above = path
        for _ in range(count):
            _mark(above)
            above = os.path.dirname(above)
        _remove_upwards(path, count)  # who used it may have gone before it was marked


def _remove_upwards(path: str, count: int) -> tuple[str, int]:
    """The first that stays, and how many are left of `count`."""
    while (count > 0 or _is_marked(path)) and _rmdir(path, None):
        path, count = os.path.dirname(path), count - 1
    return path, count


def _mark(path: str) -> None:
    try:
        os.setxattr(path, _MARK, b"")
    except OSError:
        pass  # the caller's `made` has it; or it is gone, and made again by whoever needs it


def _is_marked(path: str) -> bool:
    try:
        os.getxattr(path, _MARK)
    except OSError:
        return False
    return True


def _rmdir(path: str, parent: int | None) -> bool:
    """Whether the directory is gone."""
    try:
        os.rmdir(path, dir_fd=parent)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        # A read-only mount says EROFS of what doesn't exist, too.
        if error.errno == errno.ENOENT or not _exists(path, parent):
            return True
        raise
    return True


def _exists(path: str, parent: int | None) -> bool:
    try:
        os.stat(path, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def process_ids(path: str, *, recursive: bool) -> list[int]:
    """Return the processes in a cgroup, and below it; one that is gone has none. Raises OSError.

    Those that aren't in the caller's pid namespace show up as 0 and are left out.
    """
    found: list[int] = []
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return found
    if not recursive:
        try:
            return _processes(top)
        finally:
            os.close(top)
    for fd, left in walk(top):
        if left is None:
            found += _processes(fd)
    return found


def _processes(directory: int) -> list[int]:
    try:
        fd = os.open("cgroup.procs", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in files.GONE:
            return []
        raise
    try:
        return [pid for pid in files.integers(files.read_fd(fd)) if pid > 0]
    except OSError as error:
        # A threaded cgroup's processes are listed in the domain above it (cgroup-v2.rst,
        # "Threads").
        if error.errno in (*files.GONE, errno.EOPNOTSUPP):
            return []
        raise
    finally:
        os.close(fd)


def walk(fd: int) -> Iterator[tuple[int, str | None]]:
    """Visit the cgroup `fd` and all below it; the descriptor is closed before the walk ends.

    Yields a descriptor of each cgroup when it is entered, with None; and, when a cgroup below was
    left, a descriptor of its parent with its name. The descriptors are good until the next step.
    """
    unvisited: list[list[str]] = []
    names: list[str] = []
    try:
        yield fd, None
        unvisited.append(_children(fd))
        while True:
            if unvisited[-1]:
                name = unvisited[-1].pop()
                try:
                    child = os.open(name, _DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    continue
                os.close(fd)
                fd = child
                names.append(name)
                yield fd, None
                unvisited.append(_children(fd))
                continue
            unvisited.pop()
            if not names:
                return
            parent = os.open("..", _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = parent
            yield fd, names.pop()
    except OSError as error:
        if error.errno not in files.GONE:
            raise
    finally:
        os.close(fd)


def _children(fd: int) -> list[str]:
    """The names of the cgroups in one; a directory of kernfs has a link more for each."""
    if os.fstat(fd).st_nlink == 2:  # noqa: PLR2004 - its name and its own "."
        return []
    with os.scandir(fd) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
