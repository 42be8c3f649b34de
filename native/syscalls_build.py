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
#define BPF_CGROUP_DEVICE ...
#define BPF_F_ALLOW_MULTI ...
#define BPF_F_REPLACE ...
#define BPF_PROG_TYPE_CGROUP_DEVICE ...
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
int call_inotify_file(const char *path, const char *directory);
int call_close_range(unsigned int first, unsigned int last, unsigned int flags);
int call_signalfd(uint64_t signals);
int call_capget(uint64_t sets[3]);
int call_sched_setattr(int pid, const char *attributes);
int call_ioprio_set(int which, int who, int priority);
int call_ioprio_get(int which, int who);
int call_fork_into(int cgroup);
int64_t call_fstatfs_type(int fd);
int call_bpf_prog_load(uint32_t type, const char *name, const char *instructions, uint32_t count);
int call_bpf_prog_attach(int target, int program, uint32_t type, uint32_t flags, int replaced);
int call_bpf_prog_detach(int target, int program, uint32_t type);
int call_bpf_prog_query(int target, uint32_t type, uint32_t *ids, uint32_t *count);
int call_bpf_prog_get_fd_by_id(uint32_t id);
int call_bpf_prog_name(int program, char name[16]);
"""

SOURCE = """
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "plan.h"
#include "host/shared_heap.h"
#include "host/spawn.h"
#include "client/protocol.h"

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
int call_inotify_file(const char *path, const char *directory)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (fd >= 0 && (inotify_add_watch(fd, directory, IN_CREATE) < 0 ||
                    inotify_add_watch(fd, path, IN_MODIFY | IN_MOVE_SELF) < 0)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
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
int call_ioprio_get(int which, int who) { return (int)syscall(SYS_ioprio_get, which, who); }
int call_fork_into(int cgroup)
{
    struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD,
                               .cgroup = (uint64_t)cgroup };
    return (int)syscall(SYS_clone3, &args, sizeof(args));
}
int64_t call_fstatfs_type(int fd)
{
    struct statfs st;

    return fstatfs(fd, &st) < 0 ? -1 : (int64_t)(st.f_type & 0xffffffff);
}
/*
 * The whole union, whatever the command: Linux 6.17 to 7.1 write a query's last member even where
 * a shorter size says that there is none.
 */
static int call_bpf(int command, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}
int call_bpf_prog_load(uint32_t type, const char *name, const char *instructions, uint32_t count)
{
    union bpf_attr attr;
    int r, tries = 0;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = type;
    attr.insns = (uintptr_t)instructions;
    attr.insn_cnt = count;
    attr.license = (uintptr_t)"Apache-2.0";
    strncpy(attr.prog_name, name, sizeof(attr.prog_name) - 1);
    do /* the verifier gives up when a signal comes (EAGAIN, Linux 4.20) */
        r = call_bpf(BPF_PROG_LOAD, &attr);
    while (r < 0 && errno == EAGAIN && ++tries < 30);
    return r;
}
int call_bpf_prog_attach(int target, int program, uint32_t type, uint32_t flags, int replaced)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)target;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = type;
    attr.attach_flags = flags;
    if (flags & BPF_F_REPLACE)
        attr.replace_bpf_fd = (uint32_t)replaced;
    return call_bpf(BPF_PROG_ATTACH, &attr);
}
int call_bpf_prog_detach(int target, int program, uint32_t type)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)target;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = type;
    return call_bpf(BPF_PROG_DETACH, &attr);
}
int call_bpf_prog_query(int target, uint32_t type, uint32_t *ids, uint32_t *count)
{
    union bpf_attr attr;
    int r;

    memset(&attr, 0, sizeof(attr));
    attr.query.target_fd = (uint32_t)target;
    attr.query.attach_type = type;
    attr.query.prog_ids = (uintptr_t)ids;
    attr.query.prog_cnt = *count;
    r = call_bpf(BPF_PROG_QUERY, &attr);
    *count = attr.query.prog_cnt;
    return r;
}
int call_bpf_prog_get_fd_by_id(uint32_t id)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_id = id;
    return call_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}
int call_bpf_prog_name(int program, char name[16])
{
    union bpf_attr attr;
    struct bpf_prog_info info;
    int r;

    memset(&attr, 0, sizeof(attr));
    memset(&info, 0, sizeof(info));
    attr.info.bpf_fd = (uint32_t)program;
    attr.info.info = (uintptr_t)&info;
    attr.info.info_len = sizeof(info);
    r = call_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
    memcpy(name, info.name, sizeof(info.name));
    return r;
}
"""

ffibuilder = FFI()
ffibuilder.cdef(declarations(NATIVE / "plan.h"), packed=False)
ffibuilder.cdef(declarations(NATIVE / "host" / "shared_heap.h"))
ffibuilder.cdef(declarations(NATIVE / "host" / "spawn.h"))
ffibuilder.cdef(declarations(NATIVE / "client" / "protocol.h"))
ffibuilder.cdef(CONSTANTS + CALLS)
ffibuilder.set_source(
    "native._syscalls",
    SOURCE,
    sources=[str(NATIVE / "host" / name) for name in ("shared_heap.c", "spawn.c")],
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
