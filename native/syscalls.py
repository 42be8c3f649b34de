# SPDX-License-Identifier: Apache-2.0
"""System calls that Python 3.11 lacks, under their own names and with their own arguments.

No policy: a result below 0 becomes an OSError that carries the call's name and the path. The one
exception to plain wrapping is `spawn`: clone3(2) and execveat(2) in one (native/host/spawn.c).
"""

from __future__ import annotations

import os

from native._syscalls import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

AT_EMPTY_PATH: int = lib.AT_EMPTY_PATH
AT_FDCWD: int = lib.AT_FDCWD
AT_RECURSIVE: int = lib.AT_RECURSIVE
AT_SYMLINK_NOFOLLOW: int = lib.AT_SYMLINK_NOFOLLOW
BPF_CGROUP_DEVICE: int = lib.BPF_CGROUP_DEVICE
BPF_F_ALLOW_MULTI: int = lib.BPF_F_ALLOW_MULTI
BPF_F_REPLACE: int = lib.BPF_F_REPLACE
BPF_PROG_TYPE_CGROUP_DEVICE: int = lib.BPF_PROG_TYPE_CGROUP_DEVICE
CLONE_NEWCGROUP: int = lib.CLONE_NEWCGROUP
CLONE_NEWIPC: int = lib.CLONE_NEWIPC
CLONE_NEWNET: int = lib.CLONE_NEWNET
CLONE_NEWNS: int = lib.CLONE_NEWNS
CLONE_NEWPID: int = lib.CLONE_NEWPID
CLONE_NEWTIME: int = lib.CLONE_NEWTIME
CLONE_NEWUSER: int = lib.CLONE_NEWUSER
CLONE_NEWUTS: int = lib.CLONE_NEWUTS
MOUNT_ATTR_RDONLY: int = lib.MOUNT_ATTR_RDONLY
MOUNT_ATTR_NOSUID: int = lib.MOUNT_ATTR_NOSUID
MOUNT_ATTR_NODEV: int = lib.MOUNT_ATTR_NODEV
MOUNT_ATTR_NOEXEC: int = lib.MOUNT_ATTR_NOEXEC
MOUNT_ATTR__ATIME: int = lib.MOUNT_ATTR__ATIME
MOUNT_ATTR_RELATIME: int = lib.MOUNT_ATTR_RELATIME
MOUNT_ATTR_NOATIME: int = lib.MOUNT_ATTR_NOATIME
MOUNT_ATTR_STRICTATIME: int = lib.MOUNT_ATTR_STRICTATIME
MOUNT_ATTR_NODIRATIME: int = lib.MOUNT_ATTR_NODIRATIME
MOUNT_ATTR_IDMAP: int = lib.MOUNT_ATTR_IDMAP
MOUNT_ATTR_NOSYMFOLLOW: int = lib.MOUNT_ATTR_NOSYMFOLLOW
MOVE_MOUNT_F_EMPTY_PATH: int = lib.MOVE_MOUNT_F_EMPTY_PATH
MOVE_MOUNT_T_EMPTY_PATH: int = lib.MOVE_MOUNT_T_EMPTY_PATH
MNT_DETACH = 2
MS_BIND: int = lib.MS_BIND
MS_RDONLY: int = lib.MS_RDONLY
MS_NOSUID: int = lib.MS_NOSUID
MS_NODEV: int = lib.MS_NODEV
MS_NOEXEC: int = lib.MS_NOEXEC
MS_NOATIME: int = lib.MS_NOATIME
MS_NODIRATIME: int = lib.MS_NODIRATIME
MS_STRICTATIME: int = lib.MS_STRICTATIME
MS_RELATIME: int = lib.MS_RELATIME
MS_PRIVATE: int = lib.MS_PRIVATE
MS_REC: int = lib.MS_REC
MS_SHARED: int = lib.MS_SHARED
MS_SLAVE: int = lib.MS_SLAVE
MS_UNBINDABLE: int = lib.MS_UNBINDABLE
OPEN_TREE_CLONE: int = lib.OPEN_TREE_CLONE
OPEN_TREE_CLOEXEC: int = lib.OPEN_TREE_CLOEXEC
RESOLVE_BENEATH: int = lib.RESOLVE_BENEATH
RESOLVE_IN_ROOT: int = lib.RESOLVE_IN_ROOT
RESOLVE_NO_MAGICLINKS: int = lib.RESOLVE_NO_MAGICLINKS
RESOLVE_NO_SYMLINKS: int = lib.RESOLVE_NO_SYMLINKS
SPAWN_KEEP_CAPABILITIES: int = lib.SPAWN_KEEP_CAPABILITIES
SPAWN_NO_VFORK: int = lib.SPAWN_NO_VFORK

CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
PROC_SUPER_MAGIC = 0x9FA0
TMPFS_MAGIC = 0x01021994


def oserror(number: int, call: str, path: str | None = None) -> OSError:
    """The OSError of a failed system call: its name in front of the text, the path as filename."""
    text = f"{call}: {os.strerror(number)}"
    return OSError(number, text, path) if path is not None else OSError(number, text)


def _check(result: int, call: str, path: str | None = None) -> int:
    if result < 0:
        raise oserror(ffi.errno, call, path)
    return result


def sched_setattr(pid: int, attributes: bytes) -> None:
    """sched_setattr(2): `attributes` is a struct sched_attr."""
    _check(lib.call_sched_setattr(pid, attributes), "sched_setattr")


def ioprio_set(which: int, who: int, ioprio: int) -> None:
    """ioprio_set(2)."""
    _check(lib.call_ioprio_set(which, who, ioprio), "ioprio_set")


def ioprio_get(which: int, who: int) -> int:
    """ioprio_get(2)."""
    return _check(lib.call_ioprio_get(which, who), "ioprio_get")


def fork_into(cgroup: int) -> int:
    """clone3(2) as fork(2), the child in a cgroup v2 by its directory: its pid, and 0 in the child.

    For a process of one thread: neither glibc nor Python know that it is a fork. Linux 5.7.
    """
    return _check(lib.call_fork_into(cgroup), "clone3(CLONE_INTO_CGROUP)")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(lib.call_unshare(flags), "unshare")


def setns(fd: int, nstype: int) -> None:
    """setns(2): `fd` is a namespace file or a pidfd."""
    _check(lib.call_setns(fd, nstype), "setns")


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    _check(lib.call_pivot_root(os.fsencode(new_root), os.fsencode(put_old)), "pivot_root", new_root)


def mount(source: str, target: str, filesystemtype: str, mountflags: int, data: str = "") -> None:
    """mount(2)."""
    arguments = (os.fsencode(text) for text in (source, target, filesystemtype))
    _check(lib.call_mount(*arguments, mountflags, os.fsencode(data)), "mount", target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(lib.call_umount2(os.fsencode(target), flags), "umount2", target)


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """open_tree(2), Linux 5.2."""
    return _check(lib.call_open_tree(dirfd, os.fsencode(path), flags), "open_tree", path)


def move_mount(from_dirfd: int, from_path: str, to_dirfd: int, to_path: str, flags: int) -> None:
    """move_mount(2), Linux 5.2."""
    source, target = os.fsencode(from_path), os.fsencode(to_path)
    _check(lib.call_move_mount(from_dirfd, source, to_dirfd, target, flags), "move_mount", to_path)


def mount_setattr(
    dirfd: int,
    path: str,
    flags: int,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = -1,
) -> None:
    """mount_setattr(2), Linux 5.12."""
    result = lib.call_mount_setattr(
        dirfd, os.fsencode(path), flags, attr_set, attr_clr, propagation, userns_fd
    )
    _check(result, "mount_setattr", path)


def openat2(dirfd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2), Linux 5.6. O_CLOEXEC is always set."""
    flags |= os.O_CLOEXEC
    return _check(lib.call_openat2(dirfd, os.fsencode(path), flags, mode, resolve), "openat2", path)


def inotify(path: str) -> int:
    """A new inotify(7), non-blocking: a file was written to, moved, or a new one came beside it."""
    name, directory = os.fsencode(path), os.fsencode(os.path.dirname(path))
    return _check(lib.call_inotify_file(name, directory), "inotify_add_watch", path)


def close_range(first: int, last: int, flags: int = 0) -> None:
    """close_range(2), Linux 5.9."""
    _check(lib.call_close_range(first, last, flags), "close_range")


def signalfd(signals: Sequence[int]) -> int:
    """A new signalfd(2), non-blocking; the signals must be blocked."""
    return _check(lib.call_signalfd(sum(1 << number - 1 for number in signals)), "signalfd")


def capget() -> tuple[int, int, int]:
    """capget(2) of this process: effective, permitted and inheritable set, a bit a capability."""
    sets = ffi.new("uint64_t[3]")
    _check(lib.call_capget(sets), "capget")
    return sets[0], sets[1], sets[2]


def fstatfs_type(fd: int) -> int:
    """`f_type` of fstatfs(2): the file system's magic number."""
    return _check(lib.call_fstatfs_type(fd), "fstatfs")


def bpf_prog_load(prog_type: int, prog_name: str, instructions: bytes) -> int:
    """bpf(2) BPF_PROG_LOAD: a descriptor, close-on-exec, of the verified program.

    prog_name: up to 15 characters of `[A-Za-z0-9_.]` (Linux 4.15). instructions: struct bpf_insn,
    8 bytes each.
    """
    count = len(instructions) // 8
    result = lib.call_bpf_prog_load(prog_type, prog_name.encode(), instructions, count)
    return _check(result, "bpf(BPF_PROG_LOAD)")


def bpf_prog_attach(
    target_fd: int, prog_fd: int, attach_type: int, flags: int, replace_fd: int = -1
) -> None:
    """bpf(2) BPF_PROG_ATTACH; replace_fd: the program to replace, with BPF_F_REPLACE, Linux 5.6."""
    result = lib.call_bpf_prog_attach(target_fd, prog_fd, attach_type, flags, replace_fd)
    _check(result, "bpf(BPF_PROG_ATTACH)")


def bpf_prog_detach(target_fd: int, prog_fd: int, attach_type: int) -> None:
    """bpf(2) BPF_PROG_DETACH."""
    _check(lib.call_bpf_prog_detach(target_fd, prog_fd, attach_type), "bpf(BPF_PROG_DETACH)")


def bpf_prog_query(target_fd: int, attach_type: int) -> list[int]:
    """bpf(2) BPF_PROG_QUERY: ids of the programs attached to a cgroup, which has room for 64."""
    ids, count = ffi.new("uint32_t[64]"), ffi.new("uint32_t *", 64)
    _check(lib.call_bpf_prog_query(target_fd, attach_type, ids, count), "bpf(BPF_PROG_QUERY)")
    return [ids[index] for index in range(count[0])]


def bpf_prog_get_fd_by_id(prog_id: int) -> int:
    """bpf(2) BPF_PROG_GET_FD_BY_ID: a descriptor, close-on-exec."""
    return _check(lib.call_bpf_prog_get_fd_by_id(prog_id), "bpf(BPF_PROG_GET_FD_BY_ID)")


def bpf_prog_name(prog_fd: int) -> str:
    """bpf(2) BPF_OBJ_GET_INFO_BY_FD: the name that the program was loaded with, "" for none."""
    name = ffi.new("char[16]")
    _check(lib.call_bpf_prog_name(prog_fd, name), "bpf(BPF_OBJ_GET_INFO_BY_FD)")
    return bytes(ffi.string(name)).decode("ascii", "replace")


def spawn(
    executable: int,
    fds: Sequence[int],
    base: int,
    clone_flags: int,
    cgroup: int = -1,
    flags: int = 0,
) -> tuple[int, int]:
    """Start the sealed init with `fds[i]` as its descriptor i, and no others.

    executable: descriptor of orlop-init. base: how many of `fds` belong to the container (its
    stdio and preserved ones). clone_flags: CLONE_NEW*. cgroup: directory of a cgroup v2 to start
    in, or -1. flags: SPAWN_*.

    Returns the child's pid and a pidfd. Raises OSError naming the call that failed.
    """
    table = ffi.new("int32_t[]", list(fds))
    request = ffi.new("struct spawn *")
    request.clone_flags = clone_flags
    request.cgroup = cgroup
    request.flags = flags
    request.executable = executable
    request.base = base
    request.fd_count = len(fds)
    request.fds = table
    pid: int = lib.orlop_spawn(request)
    if pid < 0:
        raise oserror(request.error, ffi.string(request.step).decode())
    return pid, request.pidfd
