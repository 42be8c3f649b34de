# SPDX-License-Identifier: Apache-2.0
"""The root file system and mounts of the usual kinds; runtime.mounting has the order."""

from __future__ import annotations

import os.path

from native import plan, syscalls
from native.plan import Op
from runtime import mount_options
from runtime.errors import Unsupported

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
    pointer = "/linux/rootfsPropagation" if word else "/root/path"
    if context.request.no_pivot and word.endswith("private"):
        # The host's mounts stay in the namespace, and would have to become private as well.
        text = f"{word!r} needs pivot_root"
        raise Unsupported(text, pointer=pointer, hint="leave --no-pivot out")
    # Moved roots leave the host's mounts in place, some to be unmounted: the host must not follow.
    hosts = "rslave" if not word or context.request.no_pivot else word
    if hosts.endswith("unbindable"):
        hosts = "rprivate"  # "the rootfs mount is …": what the container binds must stay bindable
    propagation = mount_options.PROPAGATION[hosts]
    numbers = [propagation]
    context.add(Op(lib.OP_PROPAGATION, f"/ {hosts}", "/", pointer=pointer, numbers=numbers))
    path = context.request.rootfs
    slave = word.endswith("slave")
    if propagation not in (_SLAVE, _PRIVATE):
        # pivot_root(2): neither the new root's parent nor the old root's may be shared.
        kind = "slave" if slave else "private"
        text = f"{path} {kind} (the mount that holds it)"
        numbers = [syscalls.MS_SLAVE if slave else syscalls.MS_PRIVATE]
        context.add(Op(lib.OP_PROPAGATION, text, path, pointer=pointer, numbers=numbers))
    numbers = [0 if slave else syscalls.MS_PRIVATE]
    context.add(Op(lib.OP_ROOTFS, path, path, pointer="/root/path", numbers=numbers))


def describe(source: str, target: str, options: Options) -> str:
    """What is mounted where, with the options that say something."""
    words = [word for word in options.words if word not in ("bind", "rbind")]
    return f"{source} on {target}" + (f" [{','.join(words)}]" if words else "")


def filesystem(context: Context, mount: Mount, options: Options, pointer: str) -> None:
    """A new mount of a file system. Raises Unsupported."""
    target = inside(mount["destination"])
    kind = mount.get("type", "") or "none"
    mount_options.check_filesystem(options, kind)
    source = mount.get("source", "") or kind
    data = list(options.data)
    readonly = options.set & syscalls.MOUNT_ATTR_RDONLY
    late = readonly and (kind == "tmpfs" or target == "/dev")
    if readonly and not late:
        data.append("ro")  # the file system too, not only this mount of it, as mount(2) does
    text = f"{kind} " + describe(source, target, options)
    labelled = bool(context.linux.get("mountLabel"))
    if labelled:
        from runtime import labels

        more = labels.mount_data(context, kind)
        data += more
        text += "".join(f" [{word}]" for word in more)
    flags = lib.FLAG_ORDINARY if kind in _KERNEL else 0
    flags |= lib.FLAG_TARGET_NOFOLLOW if options.target_nofollow else 0
    flags |= lib.FLAG_COPY_UP if options.copy_up else 0
    # As runc and crun: a tmpfs has the mode of the directory that it covers, not tmpfs(5)'s 1777.
    given = any(word.startswith("mode=") for word in data)
    attributes = options.set & ~syscalls.MOUNT_ATTR_RDONLY if late else options.set
    numbers = [attributes, first_propagation(options), len(data), options.legacy_flags()]
    context.add(
        Op(
            lib.OP_MOUNT,
            text,
            target,
            kind,
            source,
            data,
            "" if given or kind != "tmpfs" else "mode",
            pointer=pointer,
            numbers=numbers,
            flags=flags,
        )
    )
    if labelled:
        labels.of_mount(context, kind)
    if late:
        context.late.append(_readonly(target, pointer))
    further(context, options, target, pointer)


def _readonly(target: str, pointer: str) -> Op:
    """After all mounts, devices and hooks: they may have something to make in it."""
    numbers = [syscalls.MOUNT_ATTR_RDONLY]
    text = f"{target} [ro]"
    flags = lib.FLAG_BY_PATH
    return Op(lib.OP_ATTR, text, target, pointer=pointer, numbers=numbers, flags=flags)


def bind(context: Context, mount: Mount, options: Options, pointer: str) -> None:
    """A part of the host's file system, or of another mount of the container. Raises Unsupported.

    As root with a user namespace, the parent opens the source: the container's root may have no
    right to the path, and the detached tree needs privilege, as an id map does (design: what the
    kernel demands). What is below the rootfs shows only inside what earlier mounts put there.
    """
    mount_options.check_bind(options)
    target = inside(mount["destination"])
    source = os.path.join(context.request.bundle, mount.get("source", ""))
    flags = lib.FLAG_RECURSIVE if options.recursive else 0
    nofollow = options.source_nofollow or options.copy_symlink
    flags |= lib.FLAG_SOURCE_NOFOLLOW if nofollow else 0
    flags |= lib.FLAG_TARGET_NOFOLLOW if options.target_nofollow else 0
    ids = _id_maps(context, mount, options, pointer)
    text = ("rbind " if options.recursive else "") + describe(source, target, options)
    inner = source.startswith(context.request.rootfs.rstrip("/") + "/")
    users = "user" in context.namespaces and context.facts.privileged
    outside = bool(ids) or (users and not inner)
    propagation = first_propagation(options)
    if outside and not propagation and context.linux.get("rootfsPropagation") == "rprivate":
        propagation = _PRIVATE
    context.add(
        Op(
            lib.OP_BIND_LINK if options.copy_symlink else lib.OP_BIND,
            f"{text} ({', '.join(ids[1:])})" if ids else text,
            target,
            source,
            [*_tree_propagation(context), *ids] if outside else "",
            pointer=pointer,
            numbers=[options.set, options.clear, options.soft_clear, propagation],
            fd=f"tree{pointer}" if outside else "",
            flags=flags,
        )
    )
    further(context, options, target, pointer)


def _tree_propagation(context: Context) -> list[str]:
    """Words for runtime.trees: as the copy of the source in the container's namespace would be.

    In a user namespace's copies, what is shared on the host is a slave (mount_namespaces(7)).
    """
    shared = context.linux.get("rootfsPropagation", "").endswith("shared")
    return [] if shared and "user" not in context.namespaces else ["slave"]


def _id_maps(context: Context, mount: Mount, options: Options, pointer: str) -> list[str]:
    """Words for runtime.trees: `idmap` or `ridmap`, and the maps; none without an id map.

    config.md#linux-mount-options: the mount's own maps, else those of the user namespace.
    """
    uids, gids = mount.get("uidMappings", ()), mount.get("gidMappings", ())
    if not (options.idmap or uids or gids):
        return []
    if not context.facts.privileged:
        text = "id-mapped mounts need root's privileges"
        hint = "mount_setattr(2): CAP_SYS_ADMIN where the file system was mounted"
        raise Unsupported(text, pointer=pointer, hint=hint)
    words = [options.idmap or "idmap"]
    if not uids and not gids:
        if context.is_joined("user"):
            return [*words, f"userns {context.namespaces['user']}"]
        uids = context.linux.get("uidMappings", ())
        gids = context.linux.get("gidMappings", ())
    for kind, maps in (("uid", uids), ("gid", gids)):
        words += [f"{kind} {m['containerID']} {m['hostID']} {m['size']}" for m in maps]
    return words


def remount(context: Context, mount: Mount, options: Options, pointer: str) -> None:
    """`remount`: change what is mounted there already; with `bind`, the mount's attributes alone.

    mount(8): what the words don't name is as if it were mounted now without them. Raises
    Unsupported.
    """
    target = inside(mount["destination"])
    data: list[str] = []
    if options.bind:
        mount_options.check_bind(options)
    else:
        mount_options.check_filesystem(options, mount.get("type", ""))
        data = [*options.data, "ro" if options.set & syscalls.MOUNT_ATTR_RDONLY else "rw"]
    flags = lib.FLAG_TARGET_NOFOLLOW if options.target_nofollow else 0
    # The image must not choose the file system whose options change: it may be the host's as well.
    flags |= lib.FLAG_ORDINARY if data else 0
    context.late = [op for op in context.late if op.strings[0] != target]  # the last word counts
    numbers = [options.set, options.clear, options.unnamed, len(data)]
    words = ",".join(word for word in options.words if word not in ("bind", "remount"))
    text = f"{target} [{words}]"
    context.add(
        Op(
            lib.OP_REMOUNT, text, target, "", "", data,
            pointer=pointer, numbers=numbers, flags=flags,
        )
    )  # fmt: skip
    if options.propagation:
        _propagate(context, first_propagation(options), target, pointer)
    further(context, options, target, pointer)


def first_propagation(options: Options) -> int:
    """Propagation that the mount gets with its operation; `further` has the rest."""
    return options.earlier[0] if options.earlier else options.propagation


def _propagate(context: Context, propagation: int, target: str, pointer: str) -> None:
    word = next(word for word, flags in mount_options.PROPAGATION.items() if flags == propagation)
    numbers = [0, 0, 0, propagation]
    context.add(Op(lib.OP_ATTR, f"{target} {word}", target, pointer=pointer, numbers=numbers))


def further(context: Context, options: Options, target: str, pointer: str) -> None:
    """What takes another call on the mount made last: a second propagation, and `rro`, …."""
    if options.earlier:
        for propagation in [*options.earlier[1:], options.propagation]:
            _propagate(context, propagation, target, pointer)
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


def finish(context: Context) -> None:
    """What had to stay writable until now becomes read-only."""
    for op in context.late:
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
    # The others are what the root is already: now they would change the container's own mounts.
    last = word.endswith(("shared", "unbindable"))
    propagation = mount_options.PROPAGATION[word] if last else 0
    readonly = context.spec["root"].get("readonly", False)
    numbers = [propagation, syscalls.MOUNT_ATTR_RDONLY if readonly else 0]
    text = path + (" [ro]" if readonly else "")
    flags = 0
    if context.request.no_pivot:
        text += " (moved; the old root's /proc and /sys unmounted)"
        flags = lib.FLAG_MOVE
    context.add(Op(lib.OP_PIVOT, text, path, pointer="/root", numbers=numbers, flags=flags))
