# SPDX-License-Identifier: Apache-2.0
"""The configuration that `orlop spec` writes: a good start for a bundle, and runnable as it is."""

from __future__ import annotations

from spec.version import OCI_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spec.types import Linux, LinuxNamespace, Mount, NamespaceType, Process, Spec

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_NAMESPACES: tuple[NamespaceType, ...] = ("pid", "network", "ipc", "uts", "mount", "cgroup")
"""cgroup too, on every hierarchy: without it a container sees and names the host's cgroups."""
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""powercap: energy counters tell about other workloads (CVE-2020-8694).

Interrupts: so does their timing.
"""
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def default_spec(*, rootless: bool = False, uid: int = 0, gid: int = 0) -> Spec:
    """Return a configuration for an interactive shell in `rootfs`.

    rootless: for a caller who isn't root: a user namespace that maps root to `uid` and `gid`, the
    caller's effective ids on the host; the host's network; no cgroup limits.
    """
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(),
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "orlop",
        "mounts": _mounts(rootless=rootless),
        "linux": _rootless_linux(uid, gid) if rootless else _linux(),
    }


def _process() -> Process:
    """No inheritable and no ambient capabilities.

    They would outlive a change of user (CVE-2022-29162).
    """
    return {
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ],
        "cwd": "/",
        "capabilities": {
            "bounding": list(_CAPABILITIES),
            "effective": list(_CAPABILITIES),
            "permitted": list(_CAPABILITIES),
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    }


def _mounts(*, rootless: bool) -> list[Mount]:
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    if not rootless:
        pts.append("gid=5")  # the group tty, which a rootless container doesn't map
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", "devpts", pts),
        _mount(
            "/dev/shm",  # noqa: S108 (in the container)
            "tmpfs",
            "shm",
            ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        _mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        _sys(rootless=rootless),
        _mount(
            "/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]
        ),
    ]


def _sys(*, rootless: bool) -> Mount:
    """Return the mount of /sys.

    sysfs(5) shows a network namespace and may only be mounted by its owner; a rootless container
    has the host's, so it binds the host's /sys.
    """
    options = ["nosuid", "noexec", "nodev", "ro"]
    if rootless:
        return _mount("/sys", "none", "/sys", ["rbind", *options])
    return _mount("/sys", "sysfs", "sysfs", options)


def _mount(destination: str, kind: str, source: str, options: list[str]) -> Mount:
    return {"destination": destination, "type": kind, "source": source, "options": options}


def _linux() -> Linux:
    return {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": _namespaces(_NAMESPACES),
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READONLY),
    }


def _rootless_linux(uid: int, gid: int) -> Linux:
    kinds = (*(kind for kind in _NAMESPACES if kind != "network"), "user")
    return {
        "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
        "namespaces": _namespaces(kinds),
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READONLY),
    }


def _namespaces(kinds: tuple[NamespaceType, ...]) -> list[LinuxNamespace]:
    return [{"type": kind} for kind in kinds]
