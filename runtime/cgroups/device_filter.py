# SPDX-License-Identifier: Apache-2.0
"""The device program of a cgroup v2: loaded, and attached to the cgroup in place of the last one.

It is attached with BPF_F_ALLOW_MULTI: those of the cgroups above, and others of the same one, as
systemd's, are asked too, and each can only take rights away. So only a program of ours is ever
replaced or detached, and it is known by its name.
"""

from __future__ import annotations

import errno
import os

from native import syscalls
from runtime.cgroups.device_program import compile_program
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cgroups.device_rules import DeviceAccess

NAME = "orlop_devices"
"""What a program of ours is called, in `bpftool prog` for instance."""

_TYPE = syscalls.BPF_CGROUP_DEVICE


def attach(directory: str, access: DeviceAccess, pointer: str) -> None:
    """Restrict the devices of a cgroup to `access`; at no moment is there no restriction.

    directory: the cgroup's, absolute. pointer: of the rules. Raises OrlopError, unless `access`
    denies nothing, or the caller is rootless or in a user namespace, where bpf(2) is refused:
    devices can't be made there, and opened as far as their owners let the caller (runc ignores
    that, too).
    """
    try:
        _attach(directory, compile_program(access))
    except OSError as error:
        if access.allows_all or (error.errno in _REFUSED and _is_unprivileged()):
            return
        text = f"restrict devices of cgroup {directory}: {error.strerror}"
        raise OrlopError(text, pointer=pointer, hint=_HINTS.get(error.errno or 0, "")) from error


def _attach(directory: str, program: bytes) -> None:
    opened = [os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        cgroup = opened[0]
        old = _own(cgroup)
        opened += old
        new = _load(program)
        opened.append(new)
        flags = syscalls.BPF_F_ALLOW_MULTI
        if old:
            syscalls.bpf_prog_attach(cgroup, new, _TYPE, flags | syscalls.BPF_F_REPLACE, old[0])
        else:
            syscalls.bpf_prog_attach(cgroup, new, _TYPE, flags)
        for further in old[1:]:
            syscalls.bpf_prog_detach(cgroup, further, _TYPE)
    finally:
        for fd in opened:
            os.close(fd)


def _own(cgroup: int) -> list[int]:
    """Descriptors of our programs that are attached to the cgroup itself."""
    found: list[int] = []
    try:
        for number in syscalls.bpf_prog_query(cgroup, _TYPE):
            try:
                fd = syscalls.bpf_prog_get_fd_by_id(number)
            except OSError as error:
                # Gone meanwhile; or another's, which an LSM keeps from us.
                if error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM):
                    continue
                raise
            found.append(fd)
            if syscalls.bpf_prog_name(fd) != NAME:
                os.close(found.pop())
    except BaseException:
        for fd in found:
            os.close(fd)
        raise
    return found


def _load(program: bytes) -> int:
    try:
        return syscalls.bpf_prog_load(syscalls.BPF_PROG_TYPE_CGROUP_DEVICE, NAME, program)
    except PermissionError:
        return _load_unlimited(program)


def _load_unlimited(program: bytes) -> int:
    """Load without a limit of locked memory, which counted programs before Linux 5.11 (EPERM).

    The limit is the caller's again afterwards: the container is to inherit it.
    """
    import resource

    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    except ValueError as error:  # how Python says EPERM
        raise syscalls.oserror(errno.EPERM, "bpf(BPF_PROG_LOAD)") from error
    try:
        return syscalls.bpf_prog_load(syscalls.BPF_PROG_TYPE_CGROUP_DEVICE, NAME, program)
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)


def _is_unprivileged() -> bool:
    from runtime.host import is_rootless

    return is_rootless()


_REFUSED = (errno.EPERM, errno.EACCES)
_UNKNOWN = "the kernel lacks CONFIG_BPF_SYSCALL or CONFIG_CGROUP_BPF, or a filter hides bpf(2)"
_HINTS = {
    errno.EPERM: (
        "this needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN, no seccomp filter that denies"
        " bpf(2), and no cgroup above that forbids programs below it"
    ),
    errno.EACCES: "an LSM denies bpf(2)",
    errno.ENOSYS: _UNKNOWN,
    errno.EINVAL: _UNKNOWN,
    errno.E2BIG: "the cgroup has as many programs as there may be, 64",
}
