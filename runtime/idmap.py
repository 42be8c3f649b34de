# SPDX-License-Identifier: Apache-2.0
"""`linux.uidMappings`, `linux.gidMappings`: written by the parent (user_namespaces(7)).

An unprivileged caller may map its own id alone; for more, newuidmap(1) and newgidmap(1) look in
/etc/subuid and /etc/subgid. Root of a user namespace, as rootless Podman makes it, writes what that
namespace has: those programs would look for its ids among the machine's.
"""

from __future__ import annotations

import os

from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.host import Facts
    from spec.types import Linux, LinuxIDMapping

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(pid: int, linux: Linux, facts: Facts) -> None:
    """Write both maps of a process's user namespace. Raises OrlopError with a pointer."""
    uids, gids = linux.get("uidMappings", []), linux.get("gidMappings", [])
    if facts.uid != 0 and is_own(gids, facts.gid):
        # Linux 3.19 (CVE-2014-8989): an unprivileged gid map needs setgroups(2) denied first.
        _write_file(f"/proc/{pid}/setgroups", "deny", "/linux/gidMappings")
    _write_map(pid, "gid", gids, facts, facts.gid)
    _write_map(pid, "uid", uids, facts, facts.uid)


def is_own(mappings: Sequence[LinuxIDMapping], own: int) -> bool:
    """Whether they map the caller's own id alone, which it may do itself."""
    return len(mappings) == 1 and mappings[0]["size"] == 1 and mappings[0]["hostID"] == own


def _write_map(
    pid: int, kind: str, mappings: Sequence[LinuxIDMapping], facts: Facts, own: int
) -> None:
    rows = [(m["containerID"], m["hostID"], m["size"]) for m in mappings]
    pointer = f"/linux/{kind}Mappings"
    if facts.uid == 0 or is_own(mappings, own):
        text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in rows)
        page = os.sysconf("SC_PAGE_SIZE")
        if len(text) >= page:  # user_namespaces(7): one write, of less than a page
            message = f"{len(rows)} lines of {len(text)} bytes, the kernel takes {page - 1}"
            raise OrlopError(message, pointer=pointer, hint="join ranges that touch")
        _write_file(f"/proc/{pid}/{kind}_map", text, pointer)
        return
    _run(f"new{kind}map", [str(pid), *(str(n) for row in rows for n in row)], pointer)


def _write_file(path: str, text: str, pointer: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        message = f"write {path.rpartition('/')[2]}: {error.strerror}"
        hint = "the ids must be mapped to the caller" if error.errno == 1 else ""
        raise OrlopError(message, pointer=pointer, hint=hint) from error


def find_program(name: str) -> str:
    """Its path, "" where it is not on PATH."""
    for directory in os.environ.get("PATH", _PATH).split(":"):
        path = os.path.join(directory, name)
        if os.access(path, os.X_OK):
            return path
    return ""


def _run(program: str, arguments: list[str], pointer: str) -> None:
    path = find_program(program)
    if not path:
        hint = "install it (Debian's package uidmap), or map the caller's own id alone"
        raise OrlopError(f"{program} is not installed", pointer=pointer, hint=hint)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, writer, 2)]
    child = os.posix_spawn(path, [program, *arguments], os.environ, file_actions=actions)
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as output:
        said = output.read().strip().replace("\n", "; ")
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        hint = "see /etc/subuid and /etc/subgid"
        raise OrlopError(f"{program}: {said or 'failed'}", pointer=pointer, hint=hint)
