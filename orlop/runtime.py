# SPDX-License-Identifier: Apache-2.0
"""The runtime in this very process: what the program `orlop` does, as calls.

What it makes are children of this process, which must not have threads that start programs or wait
for just any child meanwhile. Nothing of it outlives this process but the containers themselves.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO, cast

    from orlop.types import State
    from spec.types import LinuxResources

    File = int | IO[bytes] | IO[str] | None
else:

    def cast(_kind: object, value: object) -> object:
        """As typing's."""
        return value


class Runtime:
    """The containers below one state root; those of `orlop --root ROOT`.

    All methods raise OrlopError, by its kinds: NotFound, AlreadyExists, WrongStatus, InvalidSpec,
    PlanFailed.
    """

    def __init__(
        self,
        root: str = "",
        *,
        systemd_cgroup: bool = False,
        rootless: bool | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        """root: "": the user's default. systemd_cgroup: let systemd make the cgroups.

        rootless: whether permission for cgroups may lack; None: as the caller's rights are.
        on_warning: called with what does not stop an operation.
        """
        from runtime import state

        self.root = os.path.abspath(root) if root else state.default_root()
        self._systemd_cgroup = systemd_cgroup
        self._rootless = rootless
        self._warn = on_warning or (lambda _: None)

    # -- a container's life

    def create(
        self,
        container: str,
        bundle: str,
        *,
        stdin: File = None,
        stdout: File = None,
        stderr: File = None,
        console: Callable[[int], None] | None = None,
    ) -> int:
        """Create a container of a bundle; its process waits for `start`. Returns its pid.

        stdin, stdout, stderr: files or descriptors of the process; None: those of ours. console:
        called with the master of its terminal, which it owns, where the bundle asks for one.
        """
        from runtime.create import CreateOptions, create

        options = CreateOptions()
        options.stdio = _stdio(stdin, stdout, stderr)
        options.console = console
        options.systemd_cgroup = self._systemd_cgroup
        options.rootless = self._rootless
        options.on_warning = self._warn
        return create(self.root, container, os.path.abspath(bundle), options)

    def start(self, container: str) -> None:
        """Start its program; returns once that is executed."""
        from runtime.start import start

        start(self.root, container)

    def run(
        self,
        container: str,
        bundle: str,
        *,
        stdin: File = None,
        stdout: File = None,
        stderr: File = None,
    ) -> int:
        """Create, start, wait, delete; its status, or 128 and the signal that ended it."""
        pid = self.create(container, bundle, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            self.start(container)
            return self.wait(pid)
        finally:
            self.delete(container, force=True)

    def wait(self, pid: int) -> int:
        """Wait for a process that `create` or `exec` made; its status, or 128 and the signal."""
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code if code >= 0 else 128 - code

    def kill(self, container: str, signal: str | int = "TERM") -> None:
        """Send a signal to its init."""
        from runtime import signals
        from runtime.kill import kill

        kill(self.root, container, signals.parse(str(signal)))

    def pause(self, container: str) -> None:
        """Freeze its processes."""
        from runtime.pause import pause

        pause(self.root, container)

    def resume(self, container: str) -> None:
        """Let them go on."""
        from runtime.pause import resume

        resume(self.root, container)

    def delete(self, container: str, *, force: bool = False) -> None:
        """Remove it. force: end it first; one that is not there is no error then."""
        from runtime.delete import delete
        from runtime.errors import NotFound

        pid = 0
        try:
            pid = int(str(self._describe(container)["pid"]))
        except NotFound:
            if not force:
                raise
        for warning in delete(self.root, container, force=force):
            self._warn(warning)
        if pid:
            _reap(pid)

    # -- questions

    def state(self, container: str) -> State:
        """The standard's state; also its `rootfs`, `created` and `owner`, as `orlop state`."""
        return cast("State", self._describe(container))

    def list(self) -> Sequence[State]:
        """All containers, without those that are damaged (on_warning names them)."""
        from runtime.container import every
        from runtime.report import describe

        found = every(self.root, lambda name, error: self._warn(f"container {name}: {error}"))
        try:
            return [cast("State", describe(item)) for item in found]
        finally:
            for item in found:
                item.close()

    def ps(self, container: str) -> Sequence[int]:
        """The pids of its processes."""
        from runtime.ps import pids

        return pids(self.root, container)

    def stats(self, container: str) -> Mapping[str, object]:
        """What it uses now, as an event of `orlop events --stats`."""
        from runtime.events import stats

        return stats(self.root, container)

    def events(self, container: str, *, interval: float = 5) -> Iterator[Mapping[str, object]]:
        """Its usage every `interval` seconds, and `oom` at once, until it has ended."""
        from runtime.events import events

        return events(self.root, container, interval)

    # -- processes

    def exec(  # noqa: PLR0913 - three are its stdio
        self,
        container: str,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        user: str = "",
        stdin: File = None,
        stdout: File = None,
        stderr: File = None,
        console: Callable[[int], None] | None = None,
    ) -> int:
        """Run a further process, as its own but for what is given; its pid, for `wait`.

        user: UID[:GID]. console: called with the master of its terminal, which it gets then.
        """
        from runtime import exec_process, execute
        from runtime.options import Options

        values: dict[str, object] = {
            "cwd": cwd,
            "user": user,
            "tty": console is not None,
            "env": [f"{name}={value}" for name, value in (env or {}).items()],
        }
        process = exec_process.build(Options(values), args)
        options = execute.ExecOptions()
        options.stdio = _stdio(stdin, stdout, stderr)
        options.console = console
        return execute.execute(self.root, container, process, options)

    def update(self, container: str, resources: LinuxResources) -> None:
        """Change its limits: `linux.resources` of the standard, the rest stays."""
        from runtime.update import update

        update(self.root, container, resources)

    def _describe(self, container: str) -> dict[str, object]:
        from runtime.container import Container
        from runtime.report import describe

        found = Container.open(self.root, container)
        try:
            return describe(found)
        finally:
            found.close()


def _stdio(*files: File) -> Sequence[int]:
    ours = (sys.stdin, sys.stdout, sys.stderr)
    for file in ours[1:]:
        if file is not None:
            file.flush()  # before others write there
    return [
        number if file is None else file if isinstance(file, int) else file.fileno()
        for number, file in enumerate(files)
    ]


def _reap(pid: int) -> None:
    """One that was ended is our child, unless another process created it, or it was waited for."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return
