# SPDX-License-Identifier: Apache-2.0
"""The cgroupfs driver for hosts whose controllers are on cgroup v1: wholly, or in part (hybrid).

On a hybrid host each controller is used where it is, and the unified hierarchy is joined for
cgroup.kill and cgroup.events even when it has none. `unified` resources are refused, as on v1
(runc does so too).
"""

from __future__ import annotations

import errno
import os

from runtime.cgroups import files, tree, unified
from runtime.cgroups.cgroup import RESOURCES
from runtime.cgroups.cgroupfs import FREEZE_SECONDS, Cgroupfs
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.device_rules import DeviceAccess
    from runtime.cgroups.paths import Directory
    from runtime.cgroups.setting import Setting
    from spec.types import LinuxResources

_NOT_PERMITTED = "this needs CAP_SYS_ADMIN, or the cgroup above doesn't allow them"
_CPUSET = ("cpuset.cpus", "cpuset.mems")


class CgroupfsV1(Cgroupfs):
    """A cgroup on a v1 or hybrid host."""

    __slots__ = ()

    def _on_v1(self, controller: str) -> Directory | None:
        for directory in self.directories:
            if controller in directory.controllers:
                return directory
        return None

    def _compile(self, resources: LinuxResources, pointer: str, *, fresh: bool) -> list[Setting]:
        if resources.get("unified"):
            raise OrlopError(
                "the host's controllers are on cgroup v1, where unified has no meaning",
                pointer=f"{pointer}/unified",
            )
        from runtime.cgroups import resources_v1  # which most verbs do without

        settings: list[Setting] = []
        for controller, section in resources_v1.SECTIONS:
            found = section(resources, pointer, fresh)
            name = "io" if controller == "blkio" else controller
            if found and self._on_v1(controller) is None and name in self._on_v2():
                from runtime.cgroups import resources_v2

                found = dict(resources_v2.SECTIONS)[name](resources, pointer, self._read)
            settings += found
        return settings

    def _on_v2(self) -> frozenset[str]:
        """The controllers of the unified hierarchy; asked for only when one isn't on v1."""
        return frozenset() if self.unified is None else unified.available(self.unified.mountpoint)

    def _read(self, file: str) -> str | None:
        if self.unified is None:
            return None
        return files.read_if_there(f"{self.unified.path}/{file}")

    def _configure(self, resources: LinuxResources, settings: list[Setting], pointer: str) -> None:
        from runtime.cgroups import device_rules, setting

        access = device_rules.evaluate(resources.get("devices") or (), f"{pointer}/devices")
        if (cpuset := self._on_v1("cpuset")) is not None:
            given = {each.file for each in settings}
            for file in _CPUSET:
                _inherit(cpuset, file, own=file not in given)
        self._enable(settings)
        setting.write_all(settings, self._locate, self._settle)
        self._restrict_devices(access, f"{pointer}/devices")

    def _enable(self, settings: list[Setting]) -> None:
        if self.unified is not None:
            needed = {s.controller: s.pointer for s in settings if not self._on_v1(s.controller)}
            if needed and needed.keys() & self._on_v2():
                unified.enable(self.unified, needed, others=False)

    def apply(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """See Cgroup."""
        from runtime.cgroups import setting

        settings = self._compile(resources, pointer, fresh=False)
        self._enable(settings)
        setting.change_all(settings, self._locate, self._settle)

    def _locate(self, controller: str) -> str:
        directory = self._on_v1(controller)
        if directory is not None:
            return directory.path
        if (
            self.unified is None
            or controller in self._denied
            or controller not in unified.available(self.unified.path)
        ):
            raise self._missing(controller)
        return self.unified.path

    def _restrict_devices(self, access: DeviceAccess, pointer: str) -> None:
        """Write the list of devices from scratch: "a" drops all exceptions (devices.rst).

        Where cgroup v1 has no such controller, cgroup v2 has programs instead.
        """
        directory = self._on_v1("devices")
        if directory is None:
            if self.unified is not None:
                from runtime.cgroups import device_filter

                device_filter.attach(self.unified.path, access, pointer)
                return
            if self._rootless:
                return
            text = f"{unified.unavailable('devices')}, and without it any device could be used"
            raise OrlopError(text, pointer=pointer)
        allow, deny = f"{directory.path}/devices.allow", f"{directory.path}/devices.deny"
        try:
            files.write(allow if access.default_allow else deny, "a")
            if lines := access.lines():
                files.write(deny if access.default_allow else allow, *lines)
        except OSError as error:
            # In a user namespace the list can't be changed, and mknod is refused anyhow.
            if error.errno == errno.EPERM and (self._rootless or _in_user_namespace()):
                return
            text = f"write the list of devices in {directory.path}: {os.strerror(error.errno or 0)}"
            hint = _NOT_PERMITTED if error.errno == errno.EPERM else ""
            raise OrlopError(text, pointer=pointer, hint=hint) from error

    @property
    def _roster(self) -> Directory:
        return self.unified or self._on_v1("devices") or self.directories[0]

    def _is_stopped(self) -> bool:
        freezer = self._on_v1("freezer")
        if freezer is not None:
            state = files.read_if_there(f"{freezer.path}/freezer.state") or "THAWED"
            if state.strip() != "THAWED":
                return True
        return super()._is_stopped()

    def kill(self) -> None:
        """See Cgroup."""
        super().kill()
        freezer = self._on_v1("freezer")
        if freezer is None:
            self.thaw()
        else:
            _thaw_all(freezer.path)

    def freeze(self) -> None:
        """See Cgroup."""
        freezer = self._on_v1("freezer")
        if freezer is None:
            super().freeze()
        elif not _freeze(f"{freezer.path}/freezer.state"):
            raise self._not_frozen()

    def thaw(self) -> None:
        """See Cgroup."""
        freezer = self._on_v1("freezer")
        if freezer is None:
            super().thaw()
            return
        try:
            files.write(f"{freezer.path}/freezer.state", "THAWED")
        except OSError as error:
            if error.errno not in files.GONE:
                raise

    def frozen(self) -> bool:
        """See Cgroup."""
        freezer = self._on_v1("freezer")
        if freezer is None:
            return super().frozen()
        asked = files.read_if_there(f"{freezer.path}/freezer.self_freezing") or "0"
        return asked.strip() == "1"

    def oom_kills(self) -> int:
        """See Cgroup."""
        memory = self._on_v1("memory")
        if memory is None:
            return super().oom_kills()
        content = files.read_if_there(f"{memory.path}/memory.oom_control") or ""
        return files.flat_keyed(content).get("oom_kill", 0)

    def stats(self) -> dict[str, object]:
        """See Cgroup."""
        from runtime.cgroups import stats_v1

        return {**super().stats(), **stats_v1.collect(self.paths())}


def _inherit(directory: Directory, file: str, *, own: bool) -> None:
    """Give the cgroups above, and with `own` this one, what they lack in a cpuset file.

    New ones have no cpus and no memory nodes, and take no process without (cpuset(7): ENOSPC).
    """
    top = directory.mountpoint
    path = directory.path if own else os.path.dirname(directory.path)
    empty = []
    value = ""
    while not (value := files.read(f"{path}/{file}").strip()) and path != top:
        empty.append(path)
        path = os.path.dirname(path)
    for path in reversed(empty):
        files.write(f"{path}/{file}", value)


def _thaw_all(path: str) -> None:
    """Thaw a cgroup and those below, which the container may have frozen. Raises OSError.

    What the v1 freezer holds doesn't die (freezer-subsystem.rst).
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    for directory, left in tree.walk(top):
        if left is None:
            _thaw(directory)


def _thaw(directory: int) -> None:
    try:
        fd = os.open("freezer.state", os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.write(fd, b"THAWED")
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in files.GONE:
            raise


def _freeze(path: str) -> bool:
    """Write FROZEN until the v1 freezer says so; on failure thaw, and return False.

    While processes fork it can stay in FREEZING, until written again or, at times, thawed in
    between.
    """
    import time

    deadline = time.monotonic() + FREEZE_SECONDS
    attempt = 0
    while time.monotonic() < deadline:
        attempt += 1
        files.write(path, "FROZEN")
        state = files.read(path).strip()
        if state == "FROZEN":
            return True
        if attempt % 50 == 0:
            files.write(path, "THAWED")
            time.sleep(0.01)
        elif attempt > 1:
            time.sleep(0.00001 * min(attempt, 100))
    files.write(path, "THAWED")
    return False


def _in_user_namespace() -> bool:
    """Whether the caller is in another user namespace than the first, whose map is of all ids."""
    words = files.read("/proc/self/uid_map").split()
    return words != ["0", "0", "4294967295"]
