# SPDX-License-Identifier: Apache-2.0
"""The root file system and mounts of the usual kinds; runtime.mounting has the order."""

from __future__ import annotations

import os.path

from native import plan, syscalls
from native.plan import Op
from runtime import mount_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.mount_options import Options
    from spec.types import Mount

lib = plan.lib
_SLAVE = syscalls.MS_SLAVE | syscalls.MS_REC
_PRIVATE = syscalls.MS_PRIVATE | syscalls.MS_REC
#: The kernel's own file systems: an image that has a symbolic link there could redirect what we
#: write to them (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642).
_KERNEL = frozenset({"proc", "sysfs"})


def inside(path: str) -> str:
    """A destination as an absolute path of the rootfs; relative ones start at its root."""
    return os.path.normpath("/" + path.lstrip("/"))


def prepare_rootfs(context: Context) -> None:
    """Take the mounts out of the host's propagation and bind the rootfs on itself."""
    word = context.linux.get("rootfsPropagation", "")
    propagation = mount_options.PROPAGATION[word] if word else _SLAVE
    pointer = "/linux/rootfsPropagation" if word else "/root/path"
    path = context.request.rootfs
    numbers = [propagation]
    context.add(
        Op(lib.OP_PROPAGATION, f"/ {word or 'rslave'}", "/", pointer=pointer, numbers=numbers)
    )
    if propagation not in (_SLAVE, _PRIVATE):
        # pivot_root(2): neither the new root's parent nor the old root's may be shared.
        text = f"{path} private (the mount that holds it)"
        numbers = [syscalls.MS_PRIVATE]
        context.add(Op(lib.OP_PROPAGATION, text, path, pointer=pointer, numbers=numbers))
    context.add(Op(lib.OP_ROOTFS, path, path, pointer="/root/path"))


def describe(source: str, target: str, options: Options) -> str:
    """What is mounted where, with the options that say something."""
    words = [word for word in options.words if word not in ("bind", "rbind")]
    return f"{source} on {target}" + (f" [{','.join(words)}]" if words else "")


def filesystem(context: Context, mount: Mount, options: Options, pointer: str) -> None:
    """A new mount of a file system."""
    target = inside(mount["destination"])
    kind = mount.get("type", "") or "none"
    source = mount.get("source", "") or kind
    data = list(options.data)
    if options.set & syscalls.MOUNT_ATTR_RDONLY and not options.copy_up:
        data.append("ro")  # the file system too, not only this mount of it, as mount(2) does
    text = f"{kind} " + describe(source, target, options)
    labelled = bool(context.linux.get("mountLabel"))
    if labelled:
        from runtime import labels

        more = labels.mount_data(context, kind)
        data += more
        text += "".join(f" [{word}]" for word in more)
    flags = lib.FLAG_ORDINARY if kind in _KERNEL or options.target_nofollow else 0
    flags |= lib.FLAG_COPY_UP if options.copy_up else 0
    numbers = [options.set, options.propagation, len(data), options.legacy_flags()]
    context.add(
        Op(
            lib.OP_MOUNT,
            text,
            target,
            kind,
            source,
            data,
            pointer=pointer,
            numbers=numbers,
            flags=flags,
        )
    )
    if labelled:
        labels.of_mount(context, kind)
    recursive_attributes(context, options, target, pointer)


def bind(context: Context, mount: Mount, options: Options, pointer: str) -> None:
    """A part of the host's file system, or of another mount of the container."""
    target = inside(mount["destination"])
    source = mount.get("source", "")
    flags = lib.FLAG_RECURSIVE if options.recursive else 0
    flags |= lib.FLAG_SOURCE_NOFOLLOW if options.source_nofollow else 0
    flags |= lib.FLAG_TARGET_NOFOLLOW if options.target_nofollow else 0
    # As root with a user namespace, the parent opens the source: the container's root may have no
    # right to the path, and the detached tree needs privilege (design: what the kernel demands).
    fd = f"tree{pointer}" if context.facts.privileged and context.is_new("user") else ""
    propagation = options.propagation or (_SLAVE if fd else 0)
    numbers = [options.set, options.clear, options.soft_clear, propagation]
    context.add(
        Op(
            lib.OP_BIND,
            ("rbind " if options.recursive else "") + describe(source, target, options),
            target,
            source,
            pointer=pointer,
            numbers=numbers,
            fd=fd,
            flags=flags,
        )
    )
    recursive_attributes(context, options, target, pointer)


def recursive_attributes(context: Context, options: Options, target: str, pointer: str) -> None:
    """`rro`, `rnosuid`, …: attributes of the tree that was attached last."""
    if not options.rset and not options.rclear:
        return
    words = ",".join(word for word in options.words if word in mount_options.RECURSIVE)
    numbers = [options.rset, options.rclear]
    op = Op(
        lib.OP_ATTR,
        f"{target} recursively [{words}]",
        target,
        pointer=pointer,
        numbers=numbers,
        flags=lib.FLAG_RECURSIVE,
    )
    context.add(op)


def working_directory(context: Context) -> None:
    """Make process.cwd where the image lacks it, while the rootfs can still be written."""
    cwd = inside(context.process["cwd"])
    if cwd != "/":
        context.add(Op(lib.OP_MKDIR, cwd, cwd, pointer="/process/cwd", numbers=[0o755]))


def hide(context: Context) -> None:
    """`maskedPaths` and `readonlyPaths`."""
    for index, path in enumerate(context.linux.get("maskedPaths", ())):
        pointer = f"/linux/maskedPaths/{index}"
        label = context.linux.get("mountLabel", "")
        context.add(Op(lib.OP_MASK, path, inside(path), label, pointer=pointer))
    for index, path in enumerate(context.linux.get("readonlyPaths", ())):
        pointer = f"/linux/readonlyPaths/{index}"
        context.add(Op(lib.OP_READONLY, path, inside(path), pointer=pointer))


def enter_rootfs(context: Context) -> None:
    """Make the rootfs the root, for good."""
    path = context.request.rootfs
    if not context.is_new("mount"):
        text = f"{path} (chroot: the mount namespace is not the container's own)"
        context.add(Op(lib.OP_PIVOT, text, path, pointer="/root/path", flags=lib.FLAG_CHROOT))
        return
    word = context.linux.get("rootfsPropagation", "")
    propagation = mount_options.PROPAGATION[word] if word and not word.endswith("private") else 0
    readonly = context.spec["root"].get("readonly", False)
    numbers = [propagation, syscalls.MOUNT_ATTR_RDONLY if readonly else 0]
    text = path + (" [ro]" if readonly else "")
    context.add(Op(lib.OP_PIVOT, text, path, pointer="/root", numbers=numbers))
