# SPDX-License-Identifier: Apache-2.0
"""The systemd driver: a transient unit for each container, by D-Bus, and cgroup files below it.

A scope must be given a process when it is made: `create` only prepares it, and `adopt` makes it
around the container's init, which waits meanwhile. Then the files are written as without systemd:
for the limits that it has no property for, and for the exact values of those that it rounds. On
v1 and hybrid hosts systemd joins the hierarchies that it knows; the others are joined here.

kill, freeze and exec go to the files, and so does removal, once systemd has been told: the less
has to go through pid 1, the less can wait for it.
"""

from __future__ import annotations

import os

from runtime import caller
from runtime.cgroups import device_rules, files, systemd_properties, unified
from runtime.cgroups.cgroup import RESOURCES
from runtime.cgroups.cgroupfs import REMOVE_SECONDS, Cgroupfs
from runtime.cgroups.dbus import CallFailed
from runtime.cgroups.dbus_wire import Variant
from runtime.cgroups.host import parse_memberships
from runtime.cgroups.paths import POINTER
from runtime.cgroups.setting import current, restore
from runtime.cgroups.systemd_manager import SYSTEM, UNIT_EXISTS, Manager
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.cgroup import Sub
    from runtime.cgroups.paths import Directory
    from runtime.cgroups.setting import Setting
    from runtime.cgroups.systemd_unit import Unit
    from spec.types import LinuxResources

    Wanted = tuple[LinuxResources, list[Setting], str]


class Systemd(Cgroupfs):
    """What both drivers share.

    unit: by name. kind: of the manager, "system" or "user". extra: properties from annotations.
    description: what systemctl shows.
    """

    __slots__ = ("_wanted", "description", "extra", "kind", "unit")

    unit: Unit
    kind: str
    extra: dict[str, Variant]
    description: str
    _wanted: Wanted | None

    if TYPE_CHECKING:

        def _locate(self, controller: str) -> str: ...

    def bind(self, unit_: Unit, kind: str) -> None:
        """Tell which unit it is; `extra` and `description` are for `create`."""
        self.unit = unit_
        self.kind = kind
        self.extra = {}
        self.description = unit_.name
        self._wanted = None

    def saved(self) -> dict[str, object]:
        """See Cgroup."""
        record = super().saved()
        if self.mode != "none":
            record["driver"] = "systemd"
            record["unit"] = {"name": self.unit.name, "slice": self.unit.slice}
            record["manager"] = self.kind
        return record

    @property
    def needs_init(self) -> bool:
        """See Cgroup."""
        return not self.unit.is_slice

    @property
    def attaches(self) -> bool:
        """See Cgroup: a user's session is one cgroup, its systemd's units are below another."""
        if self.kind == SYSTEM or self.unified is None:
            return False
        own = next(
            each.path
            for each in parse_memberships(files.read(f"{caller.current.proc}/cgroup"))
            if each.controllers == ("",)
        )
        there = self.unified
        common = os.path.commonpath([own, there.cgroup])
        below = common if there.root == "/" else common.removeprefix(there.root)
        return not os.access(f"{there.mountpoint}{below}/cgroup.procs", os.W_OK)

    def verify_unused(self) -> None:
        """See Cgroup. The slices above are systemd's, and stay."""
        super().verify_unused()
        for directory in self.directories:
            directory.parents = 0

    def create(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """See Cgroup: of a scope everything is checked, and nothing made."""
        self._wanted = (resources, self._compile(resources, pointer, fresh=True), pointer)
        device_rules.evaluate(resources.get("devices") or (), f"{pointer}/devices")
        self._refuse_frozen_slice()
        if self.unit.is_slice:
            try:
                self._start(0)
            except BaseException:
                self.remove()
                self._forget()
                raise

    def adopt(self, pid: int) -> None:
        """See Cgroup."""
        self._start(pid)

    def _refuse_frozen_slice(self) -> None:
        """A process that systemd moves into a frozen slice stops, and who waits for it with it."""
        if self.unified is None:
            return
        above = os.path.dirname(self.unified.path)
        if unified.events(above).get("frozen") == 1:
            text = f"{self.unit.slice} is frozen"
            raise OrlopError(text, pointer=POINTER, hint=f"thaw {above}")

    def _start(self, pid: int) -> None:
        """Start the unit around a process, 0 for a slice's; then the files."""
        assert self._wanted is not None  # noqa: S101 - for the type checker: create() came first
        resources, settings, pointer = self._wanted
        try:
            self._start_unit(pid, resources, settings, pointer)
        except BaseException:
            self._forget()
            raise
        try:
            if pid:
                self._verify_place(pid)
            self._complete(pid, resources, settings, pointer)
        except OSError as error:
            text = f"set up cgroup: {error.filename}: {error.strerror}"
            raise OrlopError(text, pointer=POINTER) from error

    def _start_unit(
        self, pid: int, resources: LinuxResources, settings: list[Setting], pointer: str
    ) -> None:
        manager = Manager(self.kind)
        try:
            properties = {
                **self._identity(pid),
                **self._properties(manager, settings),
                **self._device_properties(resources, pointer),
                **self.extra,
            }
            self._start_or_retry(manager, list(properties.items()))
        finally:
            manager.close()

    def _start_or_retry(self, manager: Manager, properties: list[tuple[str, Variant]]) -> None:
        """A unit that failed keeps its name until it is told to be forgotten."""
        name = self.unit.name
        try:
            try:
                manager.start_transient(name, properties)
            except CallFailed as error:
                if error.name != UNIT_EXISTS:
                    raise
                manager.reset_failed(name)
                manager.start_transient(name, properties)
        except OrlopError as error:
            text = f"make unit {name}: {error.message}"
            hint = error.hint
            if isinstance(error, CallFailed) and error.name == UNIT_EXISTS:
                hint = "it is another container's, or not cleaned up; choose another cgroupsPath"
            raise OrlopError(text, pointer=self._pointer(error.message), hint=hint) from error

    def _pointer(self, message: str) -> str:
        """Where the property comes from that systemd complains about."""
        for name in self.extra:
            if name in message:
                from runtime.cgroups import systemd_annotations

                return systemd_annotations.pointer(name)
        return POINTER

    def _identity(self, pid: int) -> dict[str, Variant]:
        """Properties that every container's unit has, whatever its limits."""
        found = {"Description": Variant("s", self.description)}
        if self.unit.is_slice:
            found["Wants"] = Variant("as", [self.unit.slice])
        else:
            found["Slice"] = Variant("s", self.unit.slice)
            found["Delegate"] = Variant("b", value=True)
            found["PIDs"] = Variant("au", [pid])
        io = "IOAccounting" if self.mode == "v2" else "BlockIOAccounting"
        for name in ("CPUAccounting", "MemoryAccounting", "TasksAccounting", io):
            found[name] = Variant("b", value=True)
        # Engines stop containers before the machine does; a unit that failed is not kept.
        found["DefaultDependencies"] = Variant("b", value=False)
        found["CollectMode"] = Variant("s", "inactive-or-failed")
        return found

    def _properties(self, manager: Manager, settings: list[Setting]) -> dict[str, Variant]:
        return systemd_properties.of_settings(
            settings, self._current, manager.version, v2=self.mode == "v2"
        )

    def _current(self, file: str) -> str | None:
        """The content of one of the files that systemd writes too."""
        raise NotImplementedError

    def _device_properties(self, resources: LinuxResources, pointer: str) -> dict[str, Variant]:  # noqa: ARG002
        return {}

    def _complete(
        self, pid: int, resources: LinuxResources, settings: list[Setting], pointer: str
    ) -> None:
        """After systemd has made its part: the other hierarchies, the files."""
        raise NotImplementedError

    def _verify_place(self, pid: int) -> None:
        """Raise OrlopError unless the process is where the limits are going to be."""
        expected = self._tracked.cgroup
        for each in parse_memberships(files.read(f"/proc/{pid}/cgroup")):
            if each.controllers == self._tracked.controllers and each.path != expected:
                text = f"systemd made {self.unit.name} at {each.path}, not at {expected}"
                raise OrlopError(text, pointer=POINTER, hint="which systemd runs this host?")

    @property
    def _tracked(self) -> Directory:
        """The hierarchy in which systemd tracks units."""
        for directory in self.directories:
            if directory.controllers == ("name=systemd",):
                return directory
        return self.directories[-1]

    def _forget(self) -> None:
        """Nothing of it is ours: cleaning up must touch nothing."""
        self.directories = []
        self.mode = "none"

    def add_process(self, pid: int, sub: Sub = "") -> None:
        """See Cgroup."""
        if not self.attaches:
            super().add_process(pid, sub)
            return
        below = sub if isinstance(sub, str) else sub.get("", "")
        manager = Manager(self.kind)
        try:
            manager.attach(self.unit.name, os.path.normpath(f"/{below}"), pid)
        finally:
            manager.close()

    def _set_properties(self, settings: list[Setting], rewritten: tuple[str, ...]) -> None:
        """Tell systemd, and undo what it writes beside, from values coarser than the files'."""
        manager = Manager(self.kind)
        try:
            properties = self._properties(manager, settings)
            if not properties:
                return
            before = {file: self._current(file) for file in rewritten}
            manager.set_properties(self.unit.name, list(properties.items()))
        except CallFailed as error:
            text = f"change unit {self.unit.name}: {error.message}"
            raise OrlopError(text, hint=error.hint) from error
        finally:
            manager.close()
        given = {setting.file for setting in settings}
        for file, value in before.items():
            if value is not None and file not in given and self._current(file) != value:
                files.write(f"{self._locate(file.partition('.')[0])}/{file}", value.strip() or "\n")

    def _tell(self, settings: list[Setting]) -> None:
        """Have systemd change the unit. Raises OrlopError."""
        raise NotImplementedError

    def apply(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """See Cgroup: systemd is told first, then the files get the exact values."""
        settings = self._compile(resources, pointer, fresh=False)
        before = current(settings, self._locate)
        try:
            self._tell(settings)
            super().apply(resources, pointer=pointer)
        except BaseException:
            self._take_back(before)
            raise

    def _take_back(self, before: list[Setting]) -> None:
        """Give the unit and the files what they had, after a value was refused."""
        try:
            self._tell(before)
        except (OrlopError, OSError):
            pass  # the failure that led here is the one to tell
        restore(before, self._locate)

    def remove(self) -> None:
        """See Cgroup.

        systemd ends an empty scope by itself; it is told all the same, because only when it has
        done so the name is free for the next. If it doesn't answer, the cgroup goes without it.
        """
        if any(os.path.exists(directory.path) for directory in self.directories):
            if self.unified is not None:
                unified.wait_for(self.unified.path, "populated", 0, REMOVE_SECONDS)
            if not self.populated():
                self._stop()
        super().remove()

    def _stop(self) -> None:
        try:
            manager = Manager(self.kind)
        except OrlopError:
            return
        try:
            manager.stop(self.unit.name)
            if self.unit.is_slice:
                manager.reset_failed(self.unit.name)
        except OrlopError:
            return
        finally:
            manager.close()
