# SPDX-License-Identifier: Apache-2.0
"""`linux`: namespaces, id maps, controllers, sysctls, memory policy, against the kernel's."""

from __future__ import annotations

import os
import stat

from native import syscalls
from runtime.check.problem import Problem
from runtime.check.process import unavailable
from runtime.idmap import find_program, is_own
from runtime.namespaces import FLAGS
from runtime.sysctl import sysctl_path
from spec.describe import pointer_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.cgroups.setting import Setting
    from runtime.check.observed import Observed
    from spec.types import Spec

_NSFS_MAGIC = 0x6E736673  # linux/magic.h
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h, Linux 4.11
_HINT_USER = "add a user namespace (orlop spec --rootless), or run as root"


def problems(spec: Spec, host: Observed) -> Iterator[Problem]:
    """All but those of resources, whose settings the cgroup's driver knows."""
    yield from namespaces(spec, host)
    yield from id_maps(spec, host)
    yield from sysctls(spec)
    yield from net_devices(spec)
    yield from resources(spec, host)
    policy = spec.get("linux", {}).get("memoryPolicy")
    if policy is not None:
        if not host.nodes:
            yield Problem("/linux/memoryPolicy", "the kernel is built without NUMA")
        elif policy.get("nodes"):
            yield from unavailable(
                "/linux/memoryPolicy/nodes", policy["nodes"], host.nodes, "nodes"
            )


def namespaces(spec: Spec, host: Observed) -> Iterator[Problem]:
    """namespaces(7): what the kernel has, may make for the caller, and finds at paths."""
    entries = spec.get("linux", {}).get("namespaces", ())
    if not host.has("CAP_SYS_ADMIN") and "user" not in [entry["type"] for entry in entries]:
        text = "without a user namespace the caller needs CAP_SYS_ADMIN"
        yield Problem("/linux/namespaces", text, _HINT_USER)
    for index, entry in enumerate(entries):
        kind, path = entry["type"], entry.get("path", "")
        where = f"/linux/namespaces/{index}"
        if kind not in host.namespaces:
            yield Problem(where, f"the kernel has no {kind} namespaces")
        elif path:
            yield from _joined(f"{where}/path", kind, path)
        elif kind in host.exhausted:
            text = f"no {kind} namespace may be made (a sysctl user.max_…_namespaces is 0)"
            yield Problem(where, text)


def _joined(pointer: str, kind: str, path: str) -> Iterator[Problem]:
    import fcntl

    try:
        # A fifo must not hold us up, and whatever is there must not be changed by opening it.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        yield Problem(pointer, f"namespace {path}: {(error.strerror or '').lower()}")
        return
    try:
        if syscalls.fstatfs_type(fd) != _NSFS_MAGIC:
            yield Problem(pointer, f"{path} is no namespace")
        elif fcntl.ioctl(fd, _NS_GET_NSTYPE) != FLAGS[kind]:
            yield Problem(pointer, f"{path} is a namespace of another kind than {kind}")
    finally:
        os.close(fd)


def id_maps(spec: Spec, host: Observed) -> Iterator[Problem]:
    """user_namespaces(7): more than the caller's own id takes newuidmap(1), and /etc/subuid."""
    if host.facts.privileged:
        return
    for kind, own in (("uid", host.facts.uid), ("gid", host.facts.gid)):
        maps = spec.get("linux", {}).get(f"{kind}Mappings", [])
        if maps and not is_own(maps, own) and not find_program(f"new{kind}map"):  # type: ignore[arg-type]
            text = f"more than the caller's own {kind} needs new{kind}map, which is not installed"
            hint = "install it (Debian's package uidmap), or map the caller's own id alone"
            yield Problem(f"/linux/{kind}Mappings", text, hint)


def sysctls(spec: Spec) -> Iterator[Problem]:
    """proc(5): the kernel must have it; but hooks may make the interface that it is about."""
    for key in spec.get("linux", {}).get("sysctl", {}):
        path = sysctl_path(key)
        parts = path.split("/")
        of_interface = "conf" in parts or "neigh" in parts
        if ".." in parts or (of_interface and spec.get("hooks")):
            continue
        if not os.path.exists(f"/proc/sys/{path}"):
            where = f"/linux/sysctl/{pointer_step(key)}"
            yield Problem(where, f"the kernel has no sysctl {key}")


def net_devices(spec: Spec) -> Iterator[Problem]:
    """config-linux.md#network-devices: each is in the runtime's network namespace."""
    for name in spec.get("linux", {}).get("netDevices", {}):
        if not os.path.lexists(f"/sys/class/net/{name}"):
            where = f"/linux/netDevices/{pointer_step(name)}"
            yield Problem(where, f"there is no network device {name}")


def controllers(settings: Sequence[Setting], host: Observed) -> Iterator[Problem]:
    """cgroups(7): one problem for each limit whose controller the kernel has not, or not here."""
    seen = set()
    for setting in settings:
        names = {setting.controller, "io" if setting.controller == "blkio" else setting.controller}
        if names & host.controllers or setting.dispensable or setting.pointer in seen:
            continue
        seen.add(setting.pointer)
        text = f"no hierarchy has the cgroup controller {setting.controller}"
        yield Problem(
            setting.pointer, text, "cgroups(7); is it disabled on the kernel's command line?"
        )


def resources(spec: Spec, host: Observed) -> Iterator[Problem]:
    """What limits are about: page sizes, processors and memory nodes that the host has."""
    given = spec.get("linux", {}).get("resources", {})
    at = "/linux/resources"
    for index, item in enumerate(given.get("hugepageLimits") or ()):
        if item["pageSize"] not in host.page_sizes:
            text = f"the kernel has no huge pages of {item['pageSize']}"
            hint = f"it has {', '.join(host.page_sizes) or 'none'}"
            yield Problem(f"{at}/hugepageLimits/{index}", text, hint)
    cpu = given.get("cpu") or {}
    for name, members, online in (
        ("cpus", cpu.get("cpus"), host.cpus),
        ("mems", cpu.get("mems"), host.nodes),
    ):
        if members:
            yield from unavailable(f"{at}/cpu/{name}", members, online, name)


def devices(spec: Spec, host: Observed) -> Iterator[Problem]:
    """mknod(2): in a user namespace, or without CAP_MKNOD, the host's node is bound instead."""
    linux = spec.get("linux", {})
    users = any(entry["type"] == "user" for entry in linux.get("namespaces", ()))
    if not users and host.has("CAP_MKNOD"):
        return
    for index, device in enumerate(linux.get("devices", ())):
        if device["type"] == "p":
            continue
        try:
            mode = os.stat(device["path"]).st_mode
            there = stat.S_ISBLK(mode) if device["type"] == "b" else stat.S_ISCHR(mode)
        except OSError:
            there = False
        if not there:
            text = f"it can't be made without CAP_MKNOD, and the host has no {device['path']}"
            yield Problem(f"/linux/devices/{index}", text)
