# SPDX-License-Identifier: Apache-2.0
"""Devices and the links of /dev (config-linux.md#default-devices, #dev-symbolic-links)."""

from __future__ import annotations

import os
import stat

from native import plan
from native.plan import Op
from runtime.mounts import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from spec.types import LinuxDevice

lib = plan.lib
#: name -> (major, minor); Documentation/admin-guide/devices.txt of the kernel
DEFAULTS = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_PTMX = "/dev/ptmx"
_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}


def operations(context: Context) -> None:
    """Device nodes and links; none where /dev is a directory bound from the host."""
    if _bound_dev(context):
        return
    # ptmx is the container's own, whatever the configuration says of the host's
    asked = {inside(device["path"]) for device in context.linux.get("devices", ())} - {_PTMX}
    for name, (major, minor) in DEFAULTS.items():
        path = f"/dev/{name}"
        if path not in asked:
            mode = stat.S_IFCHR | 0o666
            _device(context, path, mode, os.makedev(major, minor), (0, 0), "/linux/devices")
    for index, device in enumerate(context.linux.get("devices", ())):
        if inside(device["path"]) != _PTMX:
            _configured(context, device, f"/linux/devices/{index}")
    # newinstance devpts has a multiplexer of its own (mount(8), devpts)
    context.add(_link(_PTMX, "pts/ptmx", lib.FLAG_REPLACE))
    for path, target in _LINKS.items():
        context.add(_link(path, target))
    if context.facts.kcore:
        context.add(_link("/dev/core", "/proc/kcore"))


def _bound_dev(context: Context) -> bool:
    for mount in context.spec.get("mounts", ()):
        options = mount.get("options", ())
        if inside(mount["destination"]) == "/dev" and (
            mount.get("type") == "bind" or "bind" in options or "rbind" in options
        ):
            return True
    return False


def _link(path: str, target: str, flags: int = 0) -> Op:
    text = f"{path} -> {target}"
    return Op(lib.OP_SYMLINK, text, path, target, pointer="/linux/devices", flags=flags)


def _configured(context: Context, device: LinuxDevice, pointer: str) -> None:
    # Engines copy st_mode, type and all; the type is that of `type`.
    mode = _TYPES[device["type"]] | stat.S_IMODE(device.get("fileMode", 0o666))
    numbered = device["type"] != "p"
    number = os.makedev(device.get("major", 0), device.get("minor", 0)) if numbered else 0
    owner = device.get("uid", 0), device.get("gid", 0)
    _device(context, inside(device["path"]), mode, number, owner, pointer)


def _device(
    context: Context, path: str, mode: int, number: int, owner: tuple[int, int], pointer: str
) -> None:
    kind = stat.filemode(mode)[0]
    text = f"{path} {kind} {os.major(number)}:{os.minor(number)} {stat.S_IMODE(mode):04o}"
    numbers = [mode, number, *owner]
    host = "" if stat.S_ISFIFO(mode) else path
    flags = lib.FLAG_TRY
    if host and ("user" in context.namespaces or not context.facts.privileged):
        # mknod(2) of a device is not for a user namespace's root: the host's node is bound.
        text = f"{path} {kind} {os.major(number)}:{os.minor(number)} (the host's)"
        flags = 0
    context.add(Op(lib.OP_DEVICE, text, path, host, pointer=pointer, numbers=numbers, flags=flags))
