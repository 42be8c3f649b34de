# SPDX-License-Identifier: Apache-2.0
"""The cgroupfs driver for hosts with cgroup v2 alone.

`devices` is not for files here: v2 has eBPF programs instead (device_filter).
"""

from __future__ import annotations

from runtime.cgroups import files, unified
from runtime.cgroups.cgroup import RESOURCES
from runtime.cgroups.cgroupfs import Cgroupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.setting import Setting
    from spec.types import LinuxResources


class CgroupfsV2(Cgroupfs):
    """A cgroup on a v2 host."""

    __slots__ = ()

    def _compile(self, resources: LinuxResources, pointer: str, *, fresh: bool) -> list[Setting]:
        from runtime.cgroups import resources_v2  # which most verbs do without

        read = resources_v2.nothing_there if fresh else self._read
        return resources_v2.settings(resources, pointer, read)

    def _read(self, file: str) -> str | None:
        if self.unified is None:
            return None
        return files.read_if_there(f"{self.unified.path}/{file}")

    def _configure(self, resources: LinuxResources, settings: list[Setting], pointer: str) -> None:
        from runtime.cgroups import setting

        if self.unified is not None:
            unified.require_domain(self.unified.path)
            unified.enable(self.unified, _needed(settings), others=True)
        setting.write_all(settings, self._locate, self._settle)
        self._restrict_devices(resources, pointer)

    def _restrict_devices(self, resources: LinuxResources, pointer: str) -> None:
        if self.unified is None:
            return
        from runtime.cgroups import device_filter, device_rules

        at = f"{pointer}/devices"
        access = device_rules.evaluate(resources.get("devices") or (), at)
        device_filter.attach(self.unified.path, access, at)

    def apply(self, resources: LinuxResources, *, pointer: str = RESOURCES) -> None:
        """See Cgroup."""
        from runtime.cgroups import setting

        settings = self._compile(resources, pointer, fresh=False)
        if self.unified is not None:
            unified.enable(self.unified, _needed(settings), others=False)
        setting.change_all(settings, self._locate, self._settle)
        if resources.get("devices"):
            self._restrict_devices(resources, pointer)

    def _locate(self, controller: str) -> str:
        if self.unified is None:
            raise self._missing(controller)
        return self.unified.path


def _needed(settings: list[Setting]) -> dict[str, str]:
    """The controllers to enable, each with the pointer of the property that asks first."""
    needed: dict[str, str] = {}
    for setting in settings:
        if setting.controller not in unified.CORE and not setting.dispensable:
            needed.setdefault(setting.controller, setting.pointer)
    return needed
