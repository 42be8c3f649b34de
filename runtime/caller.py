# SPDX-License-Identifier: Apache-2.0
"""The process on whose behalf the runtime works: parent of what it starts, and its surroundings.

Mostly this very process. In a warm planner's worker it is the program that the user called, which
starts the init and hooks itself, so that they are its children and inherit what is its own
(runtime.warm).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.foreground import Foreground

    Spawned = Callable[[], tuple[int, int]]


class Caller:
    """This process itself.

    pid: the caller's. proc: its directory in /proc. environment: its own, as hooks may inherit it.
    """

    @property
    def pid(self) -> int:
        """See the class."""
        return os.getpid()

    proc = "/proc/self"

    def environment(self) -> dict[str, str]:
        """The environment that this process was given."""
        env = dict(os.environ)
        with open("/proc/self/environ", "rb") as given:
            if not any(entry.startswith(b"LC_CTYPE=") for entry in given.read().split(b"\0")):
                env.pop("LC_CTYPE", None)  # Python's own addition (PEP 538)
        return env

    def spawn(
        self,
        executable: int,
        fds: Sequence[int],
        base: int,
        clone_flags: int,
        cgroup: int,
        flags: int,
    ) -> Spawned:
        """Start an init, see native.syscalls.spawn.

        What is returned waits until it is there, and returns its pid and pidfd; it may be called
        once, before anything else is asked of the caller. Both raise OSError.
        """
        from native import syscalls

        spawned = syscalls.spawn(executable, fds, base, clone_flags, cgroup, flags)
        return lambda: spawned

    def run(
        self,
        path: str,
        args: list[str],
        env: dict[str, str],
        directory: str,
        stdio: Sequence[int],
    ) -> int:
        """Start a program in `directory` (elsewhere where that is gone); returns its pid.

        Raises OSError. posix_spawn(3) can't change the directory in Python: ours is changed for the
        moment.
        """
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                os.chdir(directory)
            except OSError:
                pass
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio)]
            # Python ignores SIGPIPE and SIGXFSZ; the program starts with neither.
            return os.posix_spawn(
                path, args, env, file_actions=actions, setsigdef=[13, 25], setsigmask=[]
            )
        finally:
            os.fchdir(here)
            os.close(here)

    def wait(self, pid: int) -> int:
        """Wait for a child; returns its status as waitpid(2) has it. Raises ChildProcessError."""
        return os.waitpid(pid, 0)[1]

    def foreground(self, *, subreaper: bool) -> Foreground:
        """A foreground for a process that is yet to be started."""
        from runtime.foreground import Foreground

        return Foreground(subreaper=subreaper)


class Heir(Caller):
    """This process itself, a fork of a worker that goes on when its call has ended."""

    def environment(self) -> dict[str, str]:
        """See Caller: that of the call, and nothing of the planner's."""
        return dict(os.environ)


current = Caller()
