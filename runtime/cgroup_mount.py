# SPDX-License-Identifier: Apache-2.0
"""A mount of type `cgroup`: what the container sees of its cgroups.

v2 is one file system. On v1 and hybrid hosts it is a tmpfs with a directory for each v1 hierarchy:
with a cgroup namespace the hierarchies are mounted anew, their root the container's own cgroup;
without one the container's own directories are bound, so that it sees no others.
"""

from __future__ import annotations

import os.path

from native import plan, syscalls
from native.plan import Op
from runtime.mounts import describe, first_propagation, further, inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.host import Hierarchy
    from runtime.context import Context
    from runtime.mount_options import Options
    from spec.types import Mount

lib = plan.lib
_SAFE = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC


def operations(context: Context, mount: Mount, options: Options, pointer: str) -> None:
    """Operations of one cgroup mount, whatever the host's hierarchies are."""
    target = inside(mount["destination"])
    unified = context.facts.cgroup.unified
    if context.facts.cgroup.mode == "v2" and unified is not None:
        _unified(context, unified, target, options, pointer)
    else:
        _hierarchies(context, target, options, pointer)
    further(context, options, target, pointer)


def _may_mount(context: Context) -> bool:
    """Whether the container's root may mount cgroup file systems that show its own cgroup as root.

    A cgroup namespace is mounted by its owner alone: not by a user namespace that joined it, or
    has none. Without one a new mount would show the host's cgroups, which v1's binds need not.
    """
    if "user" in context.namespaces:
        return context.is_new("cgroup")
    return "cgroup" in context.namespaces or context.facts.cgroup.mode == "v2"


def _unified(
    context: Context, unified: Hierarchy, target: str, options: Options, pointer: str
) -> None:
    if not _may_mount(context):
        _bind(context, unified.mountpoint, target, options, pointer)
        return
    data = ["ro"] if options.set & syscalls.MOUNT_ATTR_RDONLY else []
    _filesystem(context, "cgroup2", target, options, pointer, data)


def _hierarchies(context: Context, target: str, options: Options, pointer: str) -> None:
    writable = options.set & ~syscalls.MOUNT_ATTR_RDONLY
    text = describe("tmpfs tmpfs", target, options)
    data = ["mode=755"]
    if context.linux.get("mountLabel"):
        from runtime import labels

        data += labels.mount_data(context, "tmpfs")
    numbers = [writable | _SAFE, first_propagation(options), len(data), syscalls.MS_NOSUID]
    context.add(
        Op(
            lib.OP_MOUNT, text, target, "tmpfs", "tmpfs", data,
            pointer=pointer, numbers=numbers,
        )
    )  # fmt: skip
    for hierarchy in context.facts.cgroup.hierarchies:
        name = os.path.basename(hierarchy.mountpoint)
        place = f"{target}/{name}"
        if _may_mount(context):
            _filesystem(context, "cgroup", place, options, pointer, _data(hierarchy))
        else:
            _bind(context, _directory(context, hierarchy), place, options, pointer)
        if len(hierarchy.controllers) > 1:
            for controller in hierarchy.controllers:
                text = f"{target}/{controller} -> {name}"
                link = f"{target}/{controller}"
                context.add(Op(lib.OP_SYMLINK, text, link, name, pointer=pointer))
    if options.set & syscalls.MOUNT_ATTR_RDONLY:
        numbers = [syscalls.MOUNT_ATTR_RDONLY]
        flags = lib.FLAG_BY_PATH
        text = f"{target} [ro]"
        context.add(Op(lib.OP_ATTR, text, target, pointer=pointer, numbers=numbers, flags=flags))


def _data(hierarchy: Hierarchy) -> list[str]:
    if hierarchy.controllers[0].startswith("name="):
        return ["none", *hierarchy.controllers]
    return list(hierarchy.controllers)


def _directory(context: Context, hierarchy: Hierarchy) -> str:
    path = context.request.cgroup_paths.get(hierarchy.controllers[0])
    return path or hierarchy.mountpoint + hierarchy.own.rstrip("/")


def _filesystem(
    context: Context,
    kind: str,
    target: str,
    options: Options,
    pointer: str,
    data: list[str],
) -> None:
    text = describe(f"{kind} cgroup", target, options)
    numbers = [options.set | _SAFE, first_propagation(options), len(data), options.legacy_flags()]
    op = Op(lib.OP_MOUNT, text, target, kind, "cgroup", data, pointer=pointer, numbers=numbers)
    context.add(op)


def _bind(context: Context, source: str, target: str, options: Options, pointer: str) -> None:
    text = describe(source, target, options)
    numbers = [options.set | _SAFE, options.clear, 0, first_propagation(options)]
    context.add(Op(lib.OP_BIND, text, target, source, pointer=pointer, numbers=numbers))
