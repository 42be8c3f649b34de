# SPDX-License-Identifier: Apache-2.0
"""From a bundle to what the compiler takes: for a start, and for `plan`, which starts nothing."""

from __future__ import annotations

import os

from runtime import cgroups, rlimits, state
from runtime.context import Request
from runtime.process import is_scheduled
from spec import bundle as bundles
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.cgroups.cgroup import Cgroup
    from runtime.host import Facts
    from runtime.intelrdt import Group
    from runtime.seccomp import Filter
    from spec.bundle import Bundle
    from spec.types import Linux, Process, Spec


def load_bundle(path: str) -> Bundle:
    """A bundle that can be run: checked, with a root file system that is there."""
    bundle = bundles.load(path)
    check_rootfs(bundle)
    return bundle


def check_rootfs(bundle: Bundle) -> None:
    """Raise OrlopError where the root file system is no directory."""
    if not os.path.isdir(bundle.rootfs):
        reason = "not a directory" if os.path.exists(bundle.rootfs) else "no such file or directory"
        raise OrlopError(f"root file system {bundle.rootfs}: {reason}", pointer="/root/path")


def seccomp_filter(spec: Spec, *, cached: bool = True) -> Filter | None:
    """The compiled filter of the spec, None without a profile.

    cached: keep it for the next start with this profile, whatever its state root is.
    """
    profile = spec.get("linux", {}).get("seccomp")
    if not profile:
        return None
    from runtime.seccomp import compile_filter

    folder = os.path.join(state.default_root(), "~seccomp") if cached else None
    return compile_filter(profile, folder)


def check_labels(process: Process, linux: Linux) -> None:
    """Raise Unsupported for a label that this host's security modules would ignore."""
    if process.get("apparmorProfile") or process.get("selinuxLabel") or linux.get("mountLabel"):
        from runtime import labels

        labels.require(process, linux)


def set_outside(pid: int, process: Process) -> None:
    """At SYNC_PREPARE: what a process in a user namespace may not do for itself."""
    rlimits.apply(pid, process)
    if is_scheduled(process):
        from runtime import scheduling

        scheduling.apply(pid, process)


def resolve_cgroup(
    spec: Spec,
    container_id: str,
    facts: Facts,
    *,
    systemd: bool = False,
    rootless: bool | None = None,
    allowed: Sequence[str] = (),
) -> Cgroup:
    """The cgroup that the spec asks for; nothing is made.

    allowed: what annotations must begin with to set properties of systemd's unit. rootless: whether
    permission may lack; None: as the caller's rights are.
    """
    annotations = {
        key: value
        for key, value in spec.get("annotations", {}).items()
        if any(key.startswith(prefix) for prefix in allowed)
    }
    return cgroups.resolve(
        spec.get("linux", {}).get("cgroupsPath", ""),
        container_id,
        driver="systemd" if systemd else "cgroupfs",
        rootless=not facts.privileged if rootless is None else rootless,
        host=facts.cgroup,
        annotations=annotations,
    )


def resolve_resctrl(spec: Spec, container_id: str) -> Group | None:
    """The resctrl group that the spec asks for, None where it doesn't; nothing is made."""
    config = spec.get("linux", {}).get("intelRdt")
    if config is None:
        return None
    from runtime import intelrdt

    return intelrdt.Group.resolve(config, container_id, intelrdt.mount_point())


def request_for(
    container_id: str, rootfs: str, cgroup: Cgroup, resctrl: Group | None = None
) -> Request:
    """The compiler's request for a container in this cgroup and this resctrl group."""
    paths = cgroup.paths()
    scope = cgroup.needs_init
    into = "" in paths and not scope  # v2's hierarchy, alone or beside those of v1
    request = Request(
        container_id,
        rootfs,
        cgroups=[] if scope else cgroup.hierarchies(cloned=into),
        clone_into_cgroup=into,
        cgroup_paths=paths,
    )
    request.resctrl = resctrl.joined() if resctrl is not None else []
    request.scope = scope
    return request
