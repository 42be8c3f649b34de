# SPDX-License-Identifier: Apache-2.0
"""Cgroups: one interface over the drivers for cgroup v1, hybrid and v2 hosts.

    cgroup = cgroups.resolve(spec["linux"].get("cgroupsPath", ""), container_id)   # touches nothing
    cgroup.verify_unused()
    state["cgroup"] = cgroup.saved()                    # JSON-able; before the first side effect
    cgroup.create(resources)                            # made and limited, or nothing left
    state["cgroup"] = cgroup.saved()                    # what was made, to be removed
    into = cgroup.clone_fd()                            # for CLONE_INTO_CGROUP; None on v1
    fds = cgroup.join_fds(cloned=into is not None)      # the init writes "0" to each
    ...
    cgroup = cgroups.load(state["cgroup"])              # any later verb: no detection of the host
    cgroup.kill(); cgroup.remove()

Where `needs_init` is true, the last of `create`'s work waits for `cgroup.adopt(pid)`, and there is
nothing to join before.
Without `clone_fd()`, `join_fds()` is enough, and takes longer. The caller closes the descriptors,
all of which are close-on-exec. runtime.cgroups.cgroup documents each method.

Modules: `cgroup` is the interface, `host` finds the hierarchies, `paths` maps cgroupsPath to
directories; `cgroupfs` is what the drivers `cgroupfs_v1` (v1 and hybrid) and `cgroupfs_v2` share;
`unified` is what only v2 can do; `resources_v1`, `resources_v2` and `device_rules` turn resources
into `setting`s, with the arithmetic of `conversion`; `stats_v1` and `stats_v2` read usage; `tree`
and `files` are directories, input and output.

`systemd` and `systemd_cgroup` are the driver that leaves the making to systemd: `systemd_unit` has
names, `systemd_properties` and `systemd_annotations` what systemd is told, `systemd_manager` its
methods, `dbus` and `dbus_wire` the protocol.
"""

from __future__ import annotations

from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.cgroups.cgroup import Cgroup
    from runtime.cgroups.cgroupfs_v1 import CgroupfsV1
    from runtime.cgroups.cgroupfs_v2 import CgroupfsV2
    from runtime.cgroups.host import Host
    from runtime.cgroups.paths import Directory
    from runtime.cgroups.systemd import SystemdV1, SystemdV2

__all__ = ["load", "resolve"]


def resolve(
    cgroups_path: str,
    container_id: str,
    *,
    driver: str = "cgroupfs",
    rootless: bool = False,
    host: Host | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Cgroup:
    """Return the cgroup that a container is to have; nothing is made or looked at yet.

    cgroups_path: `linux.cgroupsPath`, "" when absent. container_id: a valid id, the cgroup's name
    when there is no path. driver: "cgroupfs" or "systemd". rootless: the caller may lack
    permission, and then a container that asks for no path and no resources goes without a cgroup,
    or its user's systemd makes one. host: the hierarchies, detected when None. annotations: those
    that may set properties of the unit.

    Raises OrlopError when the driver isn't there, the path is not for it, or there is no cgroup
    hierarchy.
    """
    from runtime.cgroups import paths

    if driver not in ("cgroupfs", "systemd"):
        raise OrlopError(f'the cgroup driver "{driver}" is not available', hint='use "cgroupfs"')
    if host is None:
        from runtime.cgroups.host import detect

        host = detect()
    if driver == "systemd":
        from runtime.cgroups import systemd

        return systemd.resolve(
            cgroups_path,
            container_id,
            rootless=rootless,
            host=host,
            annotations=annotations or {},
        )
    inner = paths.inner(cgroups_path, container_id)
    kind = _driver(host.mode)
    found = paths.directories(host, inner)
    return kind(host.mode, found, rootless=rootless, explicit=bool(cgroups_path))


def load(saved: Mapping[str, object]) -> Cgroup:
    """Return the cgroup that `saved()` described, without looking at the host.

    Raises OrlopError when the record is not one of this version's.
    """
    from runtime.cgroups.paths import Directory

    try:
        driver, mode, records = saved["driver"], str(saved["mode"]), saved["directories"]
        directories = [Directory.load(record) for record in records]  # type: ignore[attr-defined]
        if driver not in ("cgroupfs", "systemd") or mode not in _MODES:
            raise OrlopError(f"the saved cgroup has driver {driver!r} and mode {mode!r}")
        if driver == "systemd" and mode != "none":
            return _load_unit(saved, mode, directories)
    except (KeyError, TypeError, ValueError) as error:
        raise OrlopError(f"the saved cgroup is not one of this version: {error}") from error
    if mode == "none":
        from runtime.cgroups.cgroupfs import NoCgroup

        return NoCgroup()
    return _driver(mode)(mode, directories)


def _load_unit(
    saved: Mapping[str, object], mode: str, directories: list[Directory]
) -> SystemdV1 | SystemdV2:
    from runtime.cgroups import systemd

    return systemd.load(saved, mode, directories)


_MODES = ("v1", "hybrid", "v2", "none")


def _driver(mode: str) -> type[CgroupfsV1 | CgroupfsV2]:
    """The class for a host's mode; only that one is imported."""
    if mode == "v2":
        from runtime.cgroups.cgroupfs_v2 import CgroupfsV2

        return CgroupfsV2
    from runtime.cgroups.cgroupfs_v1 import CgroupfsV1

    return CgroupfsV1
