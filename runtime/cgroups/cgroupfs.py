# SPDX-License-Identifier: Apache-2.0
"""What the cgroupfs drivers share: a directory in each hierarchy, written to directly."""

from __future__ import annotations

import _signal
import errno
import os

from runtime.cgroups import files, tree, unified
from runtime.cgroups.cgroup import RESOURCES, Cgroup
from runtime.cgroups.paths import POINTER, below
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.cgroup import Sub
    from runtime.cgroups.paths import Directory
    from runtime.cgroups.setting import Setting
    from spec.types import LinuxResources

FREEZE_SECONDS = 10.0
REMOVE_SECONDS = 5.0

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_KILL_ROUNDS = 100


class Cgroupfs(Cgroup):
    """A cgroup by its directories, v2's last; without any, the absence of one (mode "none").

    rootless: permission may lack, and where it does, there is no cgroup in a hierarchy, unless
    cgroupsPath asked for it.
    """

    __slots__ = ("_denied", "_explicit", "_rootless", "directories")

    def __init__(
        self,
        mode: str,
        directories: list[Directory],
        *,
        rootless: bool = False,
        explicit: bool = False,
    ) -> None:
        self.mode = mode
        self.directories = directories
        self._rootless = rootless
        self._explicit = explicit
        self._denied: set[str] = set()

    @property
    def unified(self) -> Directory | None:
        """The directory in the v2 hierarchy, if there is one."""
        last = self.directories[-1] if self.directories else None
        return last if last is not None and last.version == 2 else None  # noqa: PLR2004

    def saved(self) -> dict[str, object]:
        """See Cgroup."""
        return {
            "driver": "cgroupfs",
            "mode": self.mode,
            "directories": [directory.saved() for directory in self.directories],
        }

    def hierarchies(self, *, cloned: bool = False) -> list[str]:
        """See Cgroup."""
        return [directory.name for directory in self._joined(cloned=cloned)]

    def _joined(self, *, cloned: bool) -> list[Directory]:
        if cloned and self.unified is not None:
            return self.directories[:-1]
        return self.directories

    def paths(self) -> dict[str, str]:
        """See Cgroup."""
        return {
            controller: directory.path
            for directory in self.directories
            for controller in directory.controllers
        }

    def exists(self) -> bool:
        """See Cgroup."""
        return any(os.path.exists(directory.path) for directory in self.directories)

    def verify_unused(self) -> None:
        """See Cgroup."""
        existing = [d for d in self.directories if os.path.exists(d.path)]
        self._verify_unused(existing)
        if existing:
            self._refuse_frozen()
        for directory in self.directories:
            directory.parents = tree.missing_parents(directory.path)

    def _verify_unused(self, existing: list[Directory]) -> None:
        for directory in existing:
            pids = tree.process_ids(directory.path, recursive=True)
            if pids:
                text = f"container's cgroup is not empty: {len(pids)} process(es) found"
                hint = f"{directory.path} is another container's; choose another cgroupsPath"
                raise OrlopError(text, pointer=POINTER, hint=hint)

    def _refuse_frozen(self) -> None:
        """Raise OrlopError when a process that joined would stop, and who waits for it with it."""
        if self._is_stopped():
            raise OrlopError(
                "container's cgroup unexpectedly frozen",
                pointer=POINTER,
                hint="thaw it, or the cgroup above that is frozen",
            )

    def _is_stopped(self) -> bool:
        """Whether the cgroup is frozen, by itself or with one above it."""
        return self.unified is not None and unified.events(self.unified.path).get("frozen") == 1

    def create(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """See Cgroup."""
        made: list[str] = []
        try:
            settings = self._compile(resources, pointer, fresh=True)
            self._make(made)
            self._refuse_frozen()
            self._configure(resources, settings, pointer)
        except BaseException as error:
            tree.undo(made)
            self.directories = []
            self.mode = "none"
            if isinstance(error, OSError):
                text = f"set up cgroup: {error.filename}: {error.strerror}"
                raise OrlopError(text, pointer=POINTER) from error
            raise

    def settings(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> list[Setting]:
        """What `create` would write; nothing is made. Raises OrlopError as `create` does."""
        return self._compile(resources, pointer, fresh=True)

    def _make(self, made: list[str]) -> None:
        """Make the directories; where a rootless caller may not, do without."""
        existing, kept = [], []
        for directory in self.directories:
            if self._rootless and self.mode == "hybrid" and not _may_join(directory):
                self._denied.update(directory.controllers)
                continue
            before = len(made)
            try:
                if tree.make(directory.path, directory.mountpoint, made):
                    directory.parents = len(made) - before - 1
                else:
                    directory.parents = 0
                    existing.append(directory)
                kept.append(directory)
            except OSError as error:
                if error.errno not in _DENIED or not self._rootless or self._explicit:
                    raise _not_made(directory, error) from error
                self._denied.update(directory.controllers)
        self.directories = kept
        if not kept:
            self.mode = "none"
        self._verify_unused(existing)

    def _compile(self, resources: LinuxResources, pointer: str, *, fresh: bool) -> list[Setting]:
        """The settings for resources. Raises OrlopError for what the hierarchies can't express."""
        raise NotImplementedError

    def _configure(self, resources: LinuxResources, settings: list[Setting], pointer: str) -> None:
        """Bring a cgroup just made, or taken over, to where processes can join it."""
        raise NotImplementedError

    def apply(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """See Cgroup."""
        raise NotImplementedError

    def _settle(self) -> None:
        if self.unified is not None:
            unified.settle(self.unified.path)

    def _missing(self, controller: str) -> LookupError:
        if controller in self._denied or (self.mode == "none" and self._rootless):
            return LookupError(
                f"cannot set {controller} limit: container could not join or create cgroup"
            )
        return LookupError(unified.unavailable(controller))

    def join_fds(self, sub: Sub = "", *, cloned: bool = False) -> list[int]:
        """See Cgroup."""
        opened: list[int] = []
        try:
            for directory in self._joined(cloned=cloned):
                # v1's tasks takes a single thread without the global lock that cgroup.procs needs.
                file = "tasks" if directory.version == 1 else "cgroup.procs"
                path = f"{_sub_path(directory, sub)}/{file}"
                opened.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
        except BaseException:
            for fd in opened:
                os.close(fd)
            raise
        return opened

    def clone_fd(self, sub: Sub = "") -> int | None:
        """See Cgroup."""
        if self.unified is None:
            return None
        path = _sub_path(self.unified, sub)
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def sub_of(self, pid: int) -> str:
        """See Cgroup."""
        if self.unified is None:
            return ""
        for line in files.read(f"/proc/{pid}/cgroup").splitlines():
            if line.startswith("0::"):
                path, own = line[3:], self.unified.cgroup
                return path[len(own) + 1 :] if path.startswith(f"{own}/") else ""
        return ""

    def add_process(self, pid: int, sub: Sub = "") -> None:
        """See Cgroup."""
        for directory in self.directories:
            files.write(f"{_sub_path(directory, sub)}/cgroup.procs", str(pid))

    def pids(self, *, recursive: bool = True) -> list[int]:
        """See Cgroup."""
        if not self.directories:
            return []
        return tree.process_ids(self._roster.path, recursive=recursive)

    @property
    def _roster(self) -> Directory:
        """The hierarchy that is asked who is in the cgroup: processes are in all of them."""
        return self.directories[-1]

    def kill(self) -> None:
        """See Cgroup."""
        if not self.directories:
            return
        if self.unified is not None and unified.kill(self.unified.path):
            return
        # Frozen, they can't fork, nor end and leave their number to another process.
        seen: set[int] = set()
        for _ in range(_KILL_ROUNDS):
            self._try_to_freeze()
            try:
                unseen = [pid for pid in self.pids() if pid not in seen]
                for pid in unseen:
                    _send_kill(pid)
            finally:
                self.thaw()
            if not unseen:
                return
            seen.update(unseen)

    def _try_to_freeze(self) -> None:
        try:
            self.freeze()
        except (OrlopError, OSError):
            return

    def freeze(self) -> None:
        """See Cgroup."""
        if self.unified is None:
            raise OrlopError("cannot toggle freezer: cgroups not configured for container")
        if not unified.freeze(self.unified.path, FREEZE_SECONDS):
            raise self._not_frozen()

    def _not_frozen(self) -> OrlopError:
        return OrlopError(
            f"unable to freeze: not all processes stopped within {FREEZE_SECONDS:.0f} seconds",
            hint="a process may be in uninterruptible sleep, or keep forking",
        )

    def thaw(self) -> None:
        """See Cgroup."""
        if self.unified is not None:
            unified.thaw(self.unified.path)

    def frozen(self) -> bool:
        """See Cgroup."""
        return self.unified is not None and unified.frozen(self.unified.path)

    def populated(self) -> bool:
        """See Cgroup."""
        if self.unified is not None:
            return unified.events(self.unified.path).get("populated") == 1
        return bool(self.pids())

    def remove(self) -> None:
        """See Cgroup."""
        busy = [directory for directory in self.directories if not _removed(directory)]
        if not busy:
            return
        if self.unified is not None:
            unified.wait_for(self.unified.path, "populated", 0, REMOVE_SECONDS)
        busy = [directory for directory in busy if not _removed(directory)]
        if busy:
            self._remove_persistently(busy)

    def _remove_persistently(self, busy: list[Directory]) -> None:
        """v1 tells nobody when a cgroup gets empty, so look again and again, ever less often."""
        import time

        deadline = time.monotonic() + REMOVE_SECONDS
        pause = 0.001
        while busy := [directory for directory in busy if not _removed(directory)]:
            if time.monotonic() > deadline:
                pids = tree.process_ids(busy[0].path, recursive=True)
                who = ", ".join(map(str, pids[:8])) or "none of this pid namespace"
                raise OrlopError(f"cgroup {busy[0].path} still has processes: {who}")
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def oom_kills(self) -> int:
        """See Cgroup."""
        if self.unified is None:
            return 0
        content = files.read_if_there(f"{self.unified.path}/memory.events") or ""
        return files.flat_keyed(content).get("oom_kill", 0)

    def stats(self) -> dict[str, object]:
        """See Cgroup."""
        from runtime.cgroups import stats_v2

        return {} if self.unified is None else stats_v2.collect(self.unified.path)


class NoCgroup(Cgroupfs):
    """No cgroup, for a rootless container that asked for none and may not have one."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("none", [])

    def _compile(self, resources: LinuxResources, pointer: str, *, fresh: bool) -> list[Setting]:  # noqa: ARG002
        asked = [name for name in resources if name != "devices"]
        if asked:
            raise OrlopError(
                "the container has no cgroup to limit", pointer=f"{pointer}/{asked[0]}"
            )
        return []

    def apply(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """See Cgroup."""
        self._compile(resources, pointer, fresh=False)

    def _configure(self, resources: LinuxResources, settings: list[Setting], pointer: str) -> None:
        """Nothing to bring anywhere."""


def _not_made(directory: Directory, error: OSError) -> OrlopError:
    hint = ""
    if error.errno == errno.EROFS:
        hint = f"{directory.mountpoint} is mounted read-only"
    elif error.errno in _DENIED:
        hint = "this user may make cgroups only where they are delegated to it"
    elif error.errno == errno.EAGAIN:
        hint = "a cgroup above has reached cgroup.max.descendants or cgroup.max.depth"
    text = f"make cgroup {directory.path}: {os.strerror(error.errno or 0)}"
    return OrlopError(text, pointer=POINTER, hint=hint)


def _may_join(directory: Directory) -> bool:
    """Whether a user may move itself there; a hybrid host's containers can do without v2.

    On v2 it must be allowed to write to the nearest cgroup above both places (cgroup-v2.rst,
    "Delegation Containment"); on v1 having the cgroup is enough.
    """
    if directory.version == 1:
        return True
    from runtime.cgroups import host

    members = host.parse_memberships(files.read("/proc/self/cgroup"))
    own = next((each.path for each in members if each.controllers == ("",)), "/")
    here = directory.mountpoint + host.within(own, directory.root)
    above = os.path.commonpath([here, directory.path])
    return os.access(f"{above}/cgroup.procs", os.W_OK, effective_ids=True)


def _sub_path(directory: Directory, sub: Sub) -> str:
    if not isinstance(sub, str):
        sub = next((sub[name] for name in directory.controllers if name in sub), sub.get("", ""))
    return below(directory.path, sub) if sub else directory.path


def _removed(directory: Directory) -> bool:
    if not tree.remove(directory.path):
        return False
    tree.remove_parents(directory.path, directory.parents)
    return True


def _send_kill(pid: int) -> None:
    try:
        os.kill(pid, _signal.SIGKILL)
    except ProcessLookupError:
        return
