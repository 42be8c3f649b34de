# SPDX-License-Identifier: Apache-2.0
"""Descriptors that travel with a plan, opened by whoever has the right to."""

from __future__ import annotations

import _socket
import os

from runtime import state
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native.plan import Plan
    from runtime.cgroups.cgroup import Cgroup
    from runtime.trees import Trees


class Table:
    """Open descriptors by the names that operations use; `close` ends them all."""

    __slots__ = ("numbers", "trees")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.trees: Trees | None = None

    def _trees(self) -> Trees:
        if self.trees is None:
            from runtime.trees import Trees

            self.trees = Trees()
        return self.trees

    def open(self, made: Plan, directory: int, cgroup: Cgroup, *, cloned: bool) -> None:
        """Open everything that the plan names. Raises OrlopError with the operation's pointer.

        directory: the container's state directory. cgroup: made already. cloned: the init is
        cloned into v2's part of it.
        """
        joined = [name for name in made.descriptors() if name.startswith("cgroup/")]
        if joined:
            self.numbers.update(zip(joined, cgroup.join_fds(cloned=cloned), strict=True))
        for op in made.ops:
            if not op.fd or op.fd in self.numbers:
                continue
            kind = op.fd.partition("/")[0]
            if kind == "ns":
                self.numbers[op.fd] = _namespace(str(op.strings[0]), op.pointer)
            elif kind == "tree":
                self.numbers[op.fd] = self._trees().open(op)
            elif kind == "resctrl":
                self.numbers[op.fd] = open_tasks(str(op.strings[0]))
            elif kind == "proc":
                self.numbers[op.fd] = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            elif kind == "listener":
                self.numbers[op.fd] = _listener(directory)

    def close(self) -> None:
        """Close them; the init has its own copies."""
        for fd in self.numbers.values():
            os.close(fd)
        self.numbers.clear()
        if self.trees is not None:
            self.trees.close()


def _namespace(path: str, pointer: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        text = f"namespace {path}: {error.strerror}"
        raise OrlopError(text, pointer=f"{pointer}/path") from error


def open_tasks(directory: str) -> int:
    """`tasks` of a resctrl group, by the directory that the operation names."""
    from runtime import intelrdt

    return intelrdt.open_tasks(directory)


def _listener(directory: int) -> int:
    """The socket where the init waits; by descriptor: a state root may have any length."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{state.SOCKET}")
        listener.listen(1)
        return listener.detach()
    except BaseException:
        listener.close()
        raise


def preserved_fds(count: int) -> list[int]:
    """Descriptors 3 to 2+count, all of which the caller must have passed on. Raises OrlopError.

    One that is close-on-exec did not come from the caller: it is our own, and must not get into a
    container (CVE-2024-21626).
    """
    fds = list(range(3, 3 + count))
    for fd in fds:
        try:
            inherited = os.get_inheritable(fd)
        except OSError:
            inherited = False
        if not inherited:
            text = f"unable to stat preserved-fd {fd} (of {count} fds): bad file descriptor"
            raise OrlopError(text)
    return fds
