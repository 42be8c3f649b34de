# SPDX-License-Identifier: Apache-2.0
"""The systemd driver on v2 hosts, and on v1 and hybrid ones; systemd_cgroup has what they share."""

from __future__ import annotations

from runtime.cgroups import device_rules, files, systemd_properties, tree
from runtime.cgroups.cgroup import RESOURCES
from runtime.cgroups.cgroupfs_v1 import CgroupfsV1
from runtime.cgroups.cgroupfs_v2 import CgroupfsV2
from runtime.cgroups.host import parse_memberships
from runtime.cgroups.paths import Directory
from runtime.cgroups.systemd_cgroup import Systemd
from runtime.cgroups.systemd_manager import SYSTEM, USER, Manager, require
from runtime.cgroups.systemd_unit import Unit, unit
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.cgroups.dbus_wire import Variant
    from runtime.cgroups.host import Host
    from runtime.cgroups.setting import Setting
    from spec.types import LinuxResources


class SystemdV2(Systemd, CgroupfsV2):
    """A unit on a v2 host."""

    __slots__ = ()

    def _current(self, file: str) -> str | None:
        return self._read(file)

    def _complete(
        self,
        pid: int,  # noqa: ARG002 - it is there
        resources: LinuxResources,
        settings: list[Setting],
        pointer: str,
    ) -> None:
        self._configure(resources, settings, pointer)

    def _tell(self, settings: list[Setting]) -> None:
        self._set_properties(settings, systemd_properties.REWRITTEN)


class SystemdV1(Systemd, CgroupfsV1):
    """A unit on a v1 or hybrid host.

    devices: the list of devices that it was given, because systemd writes its own at every change.
    """

    __slots__ = ("devices",)

    def bind(self, unit_: Unit, kind: str) -> None:
        """See Systemd."""
        super().bind(unit_, kind)
        self.devices: LinuxResources = {}

    def saved(self) -> dict[str, object]:
        """See Cgroup."""
        record = super().saved()
        if record["driver"] == "systemd":
            record["devices"] = self.devices.get("devices", [])
        return record

    def _current(self, file: str) -> str | None:
        directory = self._on_v1("cpu")
        return None if directory is None else files.read_if_there(f"{directory.path}/{file}")

    def _device_properties(self, resources: LinuxResources, pointer: str) -> dict[str, Variant]:
        access = device_rules.evaluate(resources.get("devices") or (), f"{pointer}/devices")
        return systemd_properties.of_devices(access)

    def _complete(
        self, pid: int, resources: LinuxResources, settings: list[Setting], pointer: str
    ) -> None:
        self.devices = {"devices": list(resources.get("devices") or ())}
        for directory in self.directories:
            made: list[str] = []
            tree.make(directory.path, directory.mountpoint, made)
            directory.parents = max(len(made) - 1, 0)
        self._configure(resources, settings, pointer)
        if not pid:
            return
        now = {
            each.controllers: each.path
            for each in parse_memberships(files.read(f"/proc/{pid}/cgroup"))
        }
        for directory in self.directories:
            if now.get(directory.controllers) != directory.cgroup:
                files.write(f"{directory.path}/cgroup.procs", str(pid))

    def _tell(self, settings: list[Setting]) -> None:
        """While systemd writes the list of devices, nothing is allowed for a moment.

        So the processes are stopped meanwhile, as runc does.
        """
        was_frozen = self.frozen()
        if not was_frozen:
            self.freeze()
        try:
            self._set_properties(settings, systemd_properties.REWRITTEN_V1)
            where = f"{RESOURCES}/devices"
            access = device_rules.evaluate(self.devices.get("devices", ()), where)
            self._restrict_devices(access, where)
        finally:
            if not was_frozen:
                self.thaw()


def resolve(
    cgroups_path: str,
    container_id: str,
    *,
    rootless: bool,
    host: Host,
    annotations: Mapping[str, str],
) -> SystemdV1 | SystemdV2:
    """Return the cgroup that a container is to have; nothing is made yet.

    annotations: those that the caller of the runtime allows. Raises OrlopError, also where systemd
    isn't there, or cgroup v2 isn't and the caller has no right to v1 (systemd delegates none).
    """
    kind = USER if rootless else SYSTEM
    require(kind)
    found = unit(cgroups_path, container_id, rootless=rootless)
    extra: dict[str, Variant] = {}
    if annotations:
        from runtime.cgroups import systemd_annotations

        extra = systemd_annotations.properties(annotations)
    if rootless and host.mode != "v2":
        raise OrlopError(
            "a user's systemd can limit containers on cgroup v2 only",
            hint="leave out --systemd-cgroup",
        )
    cgroup = _bound(host.mode, _directories(host, _base(kind) + found.cgroup), found, kind)
    cgroup.extra = extra
    cgroup.description = f"orlop container {container_id}"
    return cgroup


def load(
    saved: Mapping[str, object], mode: str, directories: list[Directory]
) -> SystemdV1 | SystemdV2:
    """Return what was saved. Raises KeyError, TypeError or ValueError on another record."""
    record = saved["unit"]
    kind = str(saved["manager"])
    if not isinstance(record, dict) or kind not in (SYSTEM, USER):
        raise ValueError("not the record of a unit")
    cgroup = _bound(mode, directories, Unit(str(record["name"]), str(record["slice"])), kind)
    if isinstance(cgroup, SystemdV1):
        cgroup.devices = {"devices": saved["devices"]}  # type: ignore[typeddict-item]
    return cgroup


def _bound(
    mode: str, directories: list[Directory], found: Unit, kind: str
) -> SystemdV1 | SystemdV2:
    cgroup = SystemdV2(mode, directories) if mode == "v2" else SystemdV1(mode, directories)
    cgroup.bind(found, kind)
    return cgroup


def _base(kind: str) -> str:
    """The manager's own cgroup: the machine's systemd has the root."""
    if kind == SYSTEM:
        return ""
    manager = Manager(kind)
    try:
        return manager.cgroup()
    finally:
        manager.close()


def _directories(host: Host, cgroup: str) -> list[Directory]:
    """Where a cgroup is in each hierarchy, v2's last."""
    hierarchies = [*host.hierarchies, *([host.unified] if host.unified is not None else [])]
    found = []
    for each in hierarchies:
        visible = cgroup if each.root == "/" else cgroup.removeprefix(each.root)
        path = each.mountpoint + visible
        found.append(Directory(each.version, each.controllers, each.mountpoint, each.root, path))
    return found
