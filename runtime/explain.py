# SPDX-License-Identifier: Apache-2.0
"""A failed operation, in words: what, on what, why, and what to do about it.

Texts about executables are those that Docker and Podman turn into exit statuses 126 and 127.
"""

from __future__ import annotations

import errno
import os

from native import plan
from native.syscalls import capget
from runtime import capabilities
from runtime.errors import PlanFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from native.plan import Message, Plan

lib = plan.lib
_USERNS = (
    "are user namespaces enabled (user.max_user_namespaces, kernel.unprivileged_userns_clone)?"
)
_ADMIN = "this needs CAP_SYS_ADMIN; run as root, or give the container a user namespace"


_NICE = "this needs CAP_SYS_NICE in the initial user namespace"
#: (operation, errno) -> what is well known about it
WELL_KNOWN: dict[tuple[int, int], str] = {
    (lib.OP_EXEC, errno.ENOENT): "the file is there: its interpreter or dynamic loader is not",
    (lib.OP_EXEC, errno.ENOEXEC): "is it for this architecture, or a script without #! line?",
    (lib.OP_LOOKUP, errno.EACCES): "it is not executable for the container's user",
    (lib.OP_SCHEDULER, errno.EPERM): (
        f"{_NICE}; SCHED_DEADLINE, also all CPUs of the machine; on cgroup v1, real-time policies "
        "also a cpu.rt_runtime_us of the cgroup (linux.resources.cpu.realtimeRuntime)"
    ),
    (lib.OP_SCHEDULER, errno.EINVAL): "the kernel has no such policy or flag, or not these values",
    (lib.OP_SCHEDULER, errno.EBUSY): "so much of the CPUs is not left for SCHED_DEADLINE",
    (lib.OP_IO_PRIORITY, errno.EPERM): f"for IOPRIO_CLASS_RT {_NICE}",
    (lib.OP_AFFINITY, errno.EINVAL): "none of these CPUs is there, and in the cgroup's cpuset",
    (lib.OP_MEMORY_POLICY, errno.EINVAL): (
        "the kernel lacks the mode or flag, or these nodes are not there, or not in the cpuset"
    ),
    (lib.OP_MEMORY_POLICY, errno.ENOSYS): "the kernel is built without NUMA",
    (lib.OP_LABEL, errno.ENOENT): "is the profile loaded (aa-status)?",
    (lib.OP_LABEL, errno.EINVAL): "does the security module's policy know this label?",
    (
        lib.OP_LABEL,
        errno.EACCES,
    ): "the runtime itself is confined, and may not change to this label",
    (lib.OP_HOOK, errno.EAGAIN): (
        "a process with SCHED_DEADLINE needs SCHED_FLAG_RESET_ON_FORK to run hooks (sched(7)); "
        "or no more processes are allowed (RLIMIT_NPROC, pids.max)"
    ),
    (lib.OP_SECCOMP, errno.EAGAIN): (
        "SCMP_ACT_NOTIFY takes a thread of ours until execve: with SCHED_DEADLINE, "
        "SCHED_FLAG_RESET_ON_FORK (sched(7)); and room in RLIMIT_NPROC and pids.max"
    ),
    (
        lib.OP_SECCOMP,
        errno.EBUSY,
    ): "a filter around the runtime has a listener already (seccomp(2))",
    (lib.OP_BECOME_ROOT, errno.EINVAL): "the user namespace must map id 0, as uid and as gid",
    (lib.OP_USER, errno.EINVAL): "the container's user namespace does not map this id",
    (lib.OP_GROUPS, errno.EINVAL): "the container's user namespace does not map this id",
    (lib.OP_TIME, errno.ERANGE): "a clock would be before zero, or beyond what it can show",
}


def failure(message: Message, made: Plan | None = None) -> PlanFailed:
    """The error of a KIND_FAILED message; `made` is the plan where the caller has it."""
    reason = os.strerror(message.error) if message.error else "failed"
    if message.code in (lib.OP_LOOKUP, lib.OP_EXEC):
        text = _executable(message, reason)
    else:
        if message.code == lib.OP_CAPABILITIES:
            what = message.name  # their list is longer than what went wrong
        elif made is not None and message.code and message.op < len(made.ops):
            what = made.ops[message.op].describe()
        else:
            what = f"{message.name} {message.subject}".strip()
        text = f"{what}: {message.step}: {reason}" if message.step else f"{what}: {reason}"
        if message.code == lib.OP_HOOK and message.error == errno.ECHILD:
            text = f"{what}: {_one_line(message.detail)}"
        elif message.detail:
            text += f" ({_one_line(message.detail)})"
    return PlanFailed(
        text,
        operation=message.name,
        step=message.step,
        errno=message.error,
        subject=message.subject,
        pointer=message.pointer,
        hint=hint(message),
    )


def _one_line(text: str) -> str:
    return "; ".join(line for line in text.strip().splitlines() if line)


def _executable(message: Message, reason: str) -> str:
    name = message.subject
    if message.code == lib.OP_LOOKUP and "/" not in name:
        # Whatever was found there: engines tell 127 by these words, as runc has them.
        return f'exec: "{name}": executable file not found in $PATH'
    if message.error == errno.EISDIR:
        # Docker before 23 and Podman know only the second of these for status 126.
        return f'exec: "{name}": is a directory: permission denied'
    if message.code == lib.OP_LOOKUP and message.error == errno.ENOENT:
        return f'exec: "{name}": executable file not found: {reason.lower()}'
    return f'exec: "{name}": {reason.lower()}'


def hint(message: Message) -> str:
    """What is well known about such a failure."""
    code, error = message.code, message.error
    if (code, error) in WELL_KNOWN:
        return WELL_KNOWN[code, error]
    if error == errno.ENOSYS:
        return f"the kernel, or a seccomp filter around us, has no {message.step}"
    if error == errno.EPERM:
        return _refused(message)
    if code == lib.OP_RLIMIT:
        return "raising a hard limit needs CAP_SYS_RESOURCE"
    if error == errno.ENODEV and code == lib.OP_MOUNT:
        return "the kernel has no such file system type"
    if error == errno.EINVAL and message.step == "open_tree":
        return "is the source unbindable? In a user namespace, mounts below it need `rbind`"
    if error == errno.EROFS and code in (lib.OP_MKDIR, lib.OP_MOUNT, lib.OP_BIND, lib.OP_DEVICE):
        return "the mount point is missing, and the file system is read-only"
    return ""


def _refused(message: Message) -> str:
    code = message.code
    if code in (lib.OP_UNSHARE, lib.OP_FORK, lib.OP_SETNS, lib.OP_PROPAGATION, lib.OP_NONE):
        return _ADMIN
    if code == lib.OP_RLIMIT:
        return "raising a hard limit needs CAP_SYS_RESOURCE"
    if code == lib.OP_CAPABILITIES:
        return "the runtime itself lacks one that the container is to have: it has all but " + (
            capabilities.text(~capget()[1] & capabilities.ALL, 0) or "none"
        )
    if code == lib.OP_SYSCTL:
        return "this sysctl belongs to no namespace of the container's own"
    if message.step == "mount_setattr":
        return "a flag of the source is locked in this user namespace, and can't be taken away"
    if code == lib.OP_REMOUNT:
        return (
            "the file system is another user namespace's: with `bind`, its mount alone is changed"
        )
    if code == lib.OP_MOUNT:
        return "a user namespace may mount only what its own namespaces hold"
    if code == lib.OP_GROUPS:
        return "setgroups is denied in this user namespace: map groups with newgidmap"
    return ""


def spawn_failure(error: OSError, clone_flags: int) -> PlanFailed:
    """clone3 or execveat of the init failed."""
    step = (error.strerror or "").partition(":")[0]
    number = error.errno or 0
    advice = pointer = ""
    if step in ("clone3", "clone"):
        pointer = "/linux/namespaces"
        if number in (errno.EPERM, errno.ENOSPC) and clone_flags & 0x10000000:  # CLONE_NEWUSER
            advice = _USERNS
        elif number == errno.EPERM:
            advice = _ADMIN
        elif number == errno.EINVAL:
            advice = "the kernel lacks one of these kinds of namespace"
        elif number == errno.EBUSY:
            pointer = "/linux/cgroupsPath"
            advice = "the cgroup shares out controllers: it takes no processes, those below it do"
        elif number == errno.EOPNOTSUPP:
            pointer = "/linux/cgroupsPath"
            advice = "the cgroup is in a threaded subtree, and takes no processes"
        elif number == errno.EAGAIN:
            advice = "no more processes are allowed (ulimit -u, pids.max)"
        elif number == errno.ENOSYS:
            advice = "Linux 5.7 or newer is needed, and no seccomp filter that hides clone3"
    elif step == "execveat" and number in (errno.EACCES, errno.EPERM):
        advice = "is executing memfds forbidden (vm.memfd_noexec)?"
    return PlanFailed(
        f"start of the init: {error.strerror}",
        operation="spawn",
        step=step,
        errno=number,
        pointer=pointer,
        hint=advice,
    )
