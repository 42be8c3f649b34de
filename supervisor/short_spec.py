# SPDX-License-Identifier: Apache-2.0
"""A configuration from a rootfs and a short specification, with defaults that hold.

Namespaces of its own, no network but its loopback, 14 capabilities, no new privileges, the default
seccomp profile, masked and read-only paths, 2048 processes at most. Nothing here takes all of that
away at once: who needs that writes a bundle.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from spec.template import default_spec
from supervisor import seccomp_profile, users
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.process_spec import capabilities, merged

if TYPE_CHECKING:
    from supervisor.method import Params

#: As Docker's: what programs of a distribution need in order to install and run as root.
CAPABILITIES = [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
    "CAP_SETUID", "CAP_SYS_CHROOT",
]  # fmt: skip
_PIDS = 2048
_PERIOD = 100_000  # microseconds, the kernel's own
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOST_NAME_MAX = 64
_MOUNT_OPTIONS = {"bind": ["rbind", "rprivate"], "tmpfs": ["nosuid", "nodev"]}


def build(params: Params, cgroups_path: str) -> dict[str, Any]:
    """The configuration. Raises Failure with the parameter's pointer."""
    rootfs = _rootfs(params["rootfs"])
    uid, gid = os.geteuid(), os.getegid()
    spec: dict[str, Any] = {**default_spec(rootless=uid != 0, uid=uid, gid=gid)}
    spec["root"] = {"path": rootfs, "readonly": params.get("readonly", False)}
    spec["hostname"] = params.get("hostname", params["id"][:_HOST_NAME_MAX])
    spec["process"] = _process(spec["process"], rootfs, params)
    spec["mounts"] = [*spec["mounts"], *map(_mount, params.get("mounts", []))]
    linux = spec["linux"] = dict(spec["linux"])
    if params.get("network", "none") == "host":
        linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "network"]
    if uid == 0:
        linux["cgroupsPath"] = cgroups_path
        given = {"pids": _PIDS, **params.get("limits", {})}
        linux["resources"] = {**linux.get("resources", {}), **resources(given)}
    elif "limits" in params:
        linux["resources"] = resources(params["limits"])
    if params.get("seccomp", "default") == "default":
        allowed = spec["process"]["capabilities"]["bounding"]
        linux["seccomp"] = seccomp_profile.profile(platform.machine(), allowed)
    for name in ("hooks", "annotations"):
        if name in params:
            spec[name] = params[name]
    return spec


def _rootfs(path: str) -> str:
    if not os.path.isabs(path) or not os.path.isdir(path):
        why = "is no directory" if os.path.isabs(path) else "is no absolute path"
        raise Failure(INVALID_PARAMS, f"/rootfs: {why}", pointer="/rootfs")
    return os.path.realpath(path)


def _process(base: dict[str, Any], rootfs: str, params: Params) -> dict[str, Any]:
    terminal = params.get("terminal", False)
    env = [_PATH, *(["TERM=xterm"] if terminal else [])]
    process = {
        **base,
        "terminal": terminal,
        "args": params["args"],
        "env": merged(env, params.get("env", {})),
        "cwd": params.get("cwd", "/"),
        "capabilities": capabilities(CAPABILITIES, params.get("capabilities", {})),
        "noNewPrivileges": params.get("noNewPrivileges", True),
    }
    if "user" in params:
        process["user"] = users.resolve(rootfs, params["user"])
    if "consoleSize" in params:
        process["consoleSize"] = params["consoleSize"]
    return process


def _mount(given: dict[str, Any]) -> dict[str, Any]:
    kind = given.get("type", "bind")
    return {"type": kind, "options": _MOUNT_OPTIONS.get(kind, []), **given}


def resources(limits: dict[str, Any]) -> dict[str, Any]:
    """The standard's `linux.resources` of these limits, and nothing else."""
    found: dict[str, Any] = {}
    memory = {"limit": limits.get("memory"), "swap": limits.get("swap")}
    cpu = {"shares": limits.get("cpuShares"), "cpus": limits.get("cpuset")}
    if "cpus" in limits:
        cpu.update(quota=round(limits["cpus"] * _PERIOD), period=_PERIOD)
    for name, values in (("memory", memory), ("cpu", cpu), ("pids", {"limit": limits.get("pids")})):
        said = {key: value for key, value in values.items() if value is not None}
        if said:
            found[name] = said
    return found
