# SPDX-License-Identifier: Apache-2.0
"""Build `native._syscalls`: system calls that Python lacks, the spawner, and the plan's layout."""

from pathlib import Path

from cffi import FFI

NATIVE = Path(__file__).resolve().parent


def declarations(header: Path) -> str:
    """What a header declares, without the preprocessor's lines: the text that cffi reads."""
    lines = header.read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


CONSTANTS = """
#define AT_EMPTY_PATH ...
#define AT_FDCWD ...
#define AT_RECURSIVE ...
#define AT_SYMLINK_NOFOLLOW ...
#define CLONE_INTO_CGROUP ...
#define CLONE_NEWCGROUP ...
#define CLONE_NEWIPC ...
#define CLONE_NEWNET ...
#define CLONE_NEWNS ...
#define CLONE_NEWPID ...
#define CLONE_NEWTIME ...
#define CLONE_NEWUSER ...
#define CLONE_NEWUTS ...
#define MOUNT_ATTR_RDONLY ...
#define MOUNT_ATTR_NOSUID ...
#define MOUNT_ATTR_NODEV ...
#define MOUNT_ATTR_NOEXEC ...
#define MOUNT_ATTR__ATIME ...
#define MOUNT_ATTR_RELATIME ...
#define MOUNT_ATTR_NOATIME ...
#define MOUNT_ATTR_STRICTATIME ...
#define MOUNT_ATTR_NODIRATIME ...
#define MOUNT_ATTR_IDMAP ...
#define MOUNT_ATTR_NOSYMFOLLOW ...
#define MOVE_MOUNT_F_EMPTY_PATH ...
#define MOVE_MOUNT_T_EMPTY_PATH ...
#define MS_BIND ...
#define MS_PRIVATE ...
#define MS_RDONLY ...
#define MS_NOSUID ...
#define MS_NODEV ...
#define MS_NOEXEC ...
#define MS_NOATIME ...
#define MS_NODIRATIME ...
#define MS_STRICTATIME ...
#define MS_RELATIME ...
#define MS_REC ...
#define MS_SHARED ...
#define MS_SLAVE ...
#define MS_UNBINDABLE ...
#define OPEN_TREE_CLONE ...
#define OPEN_TREE_CLOEXEC ...
#define RESOLVE_BENEATH ...
#define RESOLVE_IN_ROOT ...
#define RESOLVE_NO_MAGICLINKS ...
#define RESOLVE_NO_SYMLINKS ...
"""

CALLS = """
int call_unshare(int flags);
int call_setns(int fd, int type);
int call_pivot_root(const char *new_root, const char *put_old);
int call_mount(const char *source, const char *target, const char *type, unsigned long flags,
               const char *data);
int call_umount2(const char *target, int flags);
int call_open_tree(int dirfd, const char *path, unsigned int flags);
int call_move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to,
                    unsigned int flags);
int call_mount_setattr(int dirfd, const char *path, unsigned int flags, uint64_t set,
                       uint64_t clear, uint64_t propagation, int userns);
int call_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int call_close_range(unsigned int first, unsigned int last, unsigned int flags);
int call_signalfd(uint64_t signals);
int call_capget(uint64_t sets[3]);
int call_sched_setattr(int pid, const char *attributes);
int call_ioprio_set(int which, int who, int priority);
int64_t call_fstatfs_type(int fd);
"""

SOURCE = """
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "plan.h"
#include "host/spawn.h"

/* <linux/mount.h> and <sys/mount.h> exclude each other in glibc 2.36. */
int call_unshare(int flags) { return (int)syscall(SYS_unshare, flags); }
int call_setns(int fd, int type) { return (int)syscall(SYS_setns, fd, type); }
int call_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}
int call_mount(const char *source, const char *target, const char *type, unsigned long flags,
               const char *data)
{
    return (int)syscall(SYS_mount, source, target, type, flags, data);
}
int call_umount2(const char *target, int flags) { return (int)syscall(SYS_umount2, target, flags); }
int call_open_tree(int dirfd, const char *path, unsigned int flags)
{
    return (int)syscall(SYS_open_tree, dirfd, path, flags);
}
int call_move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to,
                    unsigned int flags)
{
    return (int)syscall(SYS_move_mount, from_dirfd, from, to_dirfd, to, flags);
}
int call_mount_setattr(int dirfd, const char *path, unsigned int flags, uint64_t set,
                       uint64_t clear, uint64_t propagation, int userns)
{
    struct mount_attr attr = { .attr_set = set, .attr_clr = clear, .propagation = propagation,
                               .userns_fd = userns < 0 ? 0 : (uint64_t)userns };
    return (int)syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof(attr));
}
int call_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };
    return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}
int call_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}
int call_signalfd(uint64_t signals)
{
    sigset_t set;
    int n;

    sigemptyset(&set);
    for (n = 1; n <= 64; n++)
        if (signals >> (n - 1) & 1)
            sigaddset(&set, n);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
/* Effective, permitted, inheritable of this process (capget(2)). */
int call_capget(uint64_t sets[3])
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    int r = (int)syscall(SYS_capget, &header, data);

    sets[0] = data[0].effective | (uint64_t)data[1].effective << 32;
    sets[1] = data[0].permitted | (uint64_t)data[1].permitted << 32;
    sets[2] = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return r;
}
/* glibc has a wrapper for neither. */
int call_sched_setattr(int pid, const char *attributes)
{
    return (int)syscall(SYS_sched_setattr, pid, attributes, 0);
}
int call_ioprio_set(int which, int who, int priority)
{
    return (int)syscall(SYS_ioprio_set, which, who, priority);
}
int64_t call_fstatfs_type(int fd)
{
    struct statfs st;

    return fstatfs(fd, &st) < 0 ? -1 : (int64_t)(st.f_type & 0xffffffff);
}
"""

ffibuilder = FFI()
ffibuilder.cdef(declarations(NATIVE / "plan.h"), packed=False)
ffibuilder.cdef(declarations(NATIVE / "host" / "spawn.h"))
ffibuilder.cdef(CONSTANTS + CALLS)
ffibuilder.set_source(
    "native._syscalls",
    SOURCE,
    sources=[str(NATIVE / "host" / "spawn.c")],
    include_dirs=[str(NATIVE)],
    extra_compile_args=[
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",
    ],
    py_limited_api=True,
)
