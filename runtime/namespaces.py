# SPDX-License-Identifier: Apache-2.0
"""`linux.namespaces`: which are made by clone, which are joined, and in what order.

The order is the kernel's demand (user_namespaces(7), pid_namespaces(7), time_namespaces(7)):
a namespace belongs to the user namespace of its maker, a pid namespace is entered by children only,
and the cgroup namespace's root is where its maker is in the cgroup tree.
"""

from __future__ import annotations

from native import plan, syscalls
from native.plan import Op
from runtime.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context

FLAGS = {
    "user": syscalls.CLONE_NEWUSER,
    "mount": syscalls.CLONE_NEWNS,
    "pid": syscalls.CLONE_NEWPID,
    "network": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "cgroup": syscalls.CLONE_NEWCGROUP,
    "time": syscalls.CLONE_NEWTIME,
}
#: Names of the files in /proc/PID/ns.
FILES = {
    "user": "user",
    "mount": "mnt",
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "time": "time",
}
lib = plan.lib


def pointer(context: Context, namespace: str) -> str:
    """JSON pointer of this type's element in `linux.namespaces`."""
    for index, element in enumerate(context.linux.get("namespaces", ())):
        if element["type"] == namespace:
            return f"/linux/namespaces/{index}"
    return "/linux/namespaces"


def clone(context: Context) -> None:
    """What the init is cloned with. It needs no more to be started; the rest follows."""
    plan_ = context.plan
    made, joined, cloned = _sorted(context)
    if needs_second_stage(made, joined):
        plan_.stages = 2
        return
    plan_.clone_flags = _flags(cloned)
    if "user" in made:
        plan_.spawn_flags |= syscalls.SPAWN_KEEP_CAPABILITIES


def _sorted(context: Context) -> tuple[list[str], list[str], list[str]]:
    """Namespaces that are made, those that are joined, and of the former those that clone makes."""
    made = [name for name, path in context.namespaces.items() if not path]
    joined = [name for name, path in context.namespaces.items() if path]
    # The time namespace is made later (its offsets), the cgroup namespace in the right cgroup.
    cloned = [name for name in made if name not in ("time", "cgroup")]
    if "cgroup" in made and context.request.clone_into_cgroup and not context.request.cgroups:
        cloned.append("cgroup")
    return made, joined, cloned


def enter(context: Context) -> None:
    """Operations up to the point where the init is in all its namespaces, and root there."""
    made, joined, cloned = _sorted(context)
    is_second = context.plan.stages > 1
    if is_second or "user" not in made:
        _non_dumpable(context)
    _join_cgroups(context)
    _join(context, joined)
    if is_second:
        context.add(Op(lib.OP_FORK, _names(cloned), numbers=[_flags(cloned)]))
    if "cgroup" in made and "cgroup" not in cloned:
        text, flags = "cgroup namespace", [FLAGS["cgroup"]]
        context.add(Op(lib.OP_UNSHARE, text, pointer=pointer(context, "cgroup"), numbers=flags))
    _become_root(context)
    if "time" in made:
        _time(context)


def needs_second_stage(made: list[str], joined: list[str]) -> bool:
    """Whether joining comes before making: then a first stage joins, and forks the init."""
    return "user" in joined or "pid" in joined or ("user" in made and bool(joined))


def _flags(names: list[str]) -> int:
    return sum(FLAGS[name] for name in names)


def _names(names: list[str]) -> str:
    return "new: " + (", ".join(names) or "none")


def _non_dumpable(context: Context) -> None:
    context.add(Op(lib.OP_NON_DUMPABLE, ""))


def _join_cgroups(context: Context) -> None:
    for directory in context.request.resctrl:
        text, where = f"join {directory}", "/linux/intelRdt"
        name = f"resctrl/{directory}"
        context.add(Op(lib.OP_CGROUP, text, directory, pointer=where, fd=name))
    if context.request.scope:
        join_scope(context)
        return
    for name in context.request.cgroups:
        op = Op(lib.OP_CGROUP, f"join {name}", pointer="/linux/cgroupsPath", fd=f"cgroup/{name}")
        context.add(op)


def join_scope(context: Context) -> None:
    """The operation that waits until the parent has moved the process into its cgroup."""
    where, numbers = "/linux/cgroupsPath", [lib.SYNC_SCOPE]
    context.add(Op(lib.OP_SYNC, "moved into the cgroup", pointer=where, numbers=numbers))


def _join(context: Context, joined: list[str]) -> None:
    user = "user" in joined
    if user and context.facts.privileged:
        # The caller's groups go while they still can: the namespace may deny setgroups(2).
        context.add(Op(lib.OP_GROUPS, "none", b"", pointer=pointer(context, "user")))
    first = lib.FLAG_TRY if user else 0
    for name in joined:
        if name != "user":
            _setns(context, name, first)
    if user:
        _setns(context, "user", 0)
        for name in joined:
            if name != "user":
                _setns(context, name, lib.FLAG_RETRY)


def _setns(context: Context, name: str, flags: int) -> None:
    text = f"{name} {context.namespaces[name]}"
    if flags == lib.FLAG_TRY:
        text += " (or below, as a member of the joined user namespace)"
    op = Op(
        lib.OP_SETNS,
        text,
        context.namespaces[name],
        pointer=pointer(context, name),
        numbers=[FLAGS[name]],
        fd=f"ns/{name}",
        flags=flags,
    )
    context.add(op)


def _become_root(context: Context) -> None:
    where = pointer(context, "user")
    if context.is_new("user"):
        numbers = [lib.SYNC_IDMAP]
        context.add(Op(lib.OP_SYNC, "id maps written", pointer=where, numbers=numbers))
        if context.plan.stages == 1:
            _non_dumpable(context)
    if "user" in context.namespaces:
        flags = 0 if context.facts.privileged else lib.FLAG_NO_SETGROUPS
        context.add(Op(lib.OP_BECOME_ROOT, "of the user namespace", pointer=where, flags=flags))


def _time(context: Context) -> None:
    lines = []
    offsets = context.linux.get("timeOffsets", {})
    clocks = (("monotonic", offsets.get("monotonic")), ("boottime", offsets.get("boottime")))
    for clock, offset in clocks:
        if offset is None:
            continue
        lines.append(f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n")
    text = "new namespace" + "".join(f", {line.strip()}" for line in lines)
    where = "/linux/timeOffsets" if lines else pointer(context, "time")
    context.add(Op(lib.OP_TIME, text, "".join(lines), pointer=where))


def devices(context: Context) -> None:
    """`linux.netDevices`: the parent moves them, who may act in both namespaces."""
    names = context.linux.get("netDevices")
    if not names:
        return
    where = "/linux/netDevices"
    if not context.facts.privileged:
        text = "network devices can't be moved by a rootless runtime"
        raise Unsupported(text, pointer=where, hint="run as root")
    text = "network devices moved: " + ", ".join(names)
    context.add(Op(lib.OP_SYNC, text, pointer=where, numbers=[lib.SYNC_NETWORK]))


def configure(context: Context) -> None:
    """Operations that set what the new namespaces hold: loopback, names."""
    if context.is_new("network"):
        context.add(Op(lib.OP_LOOPBACK, "lo up", pointer=pointer(context, "network")))
    spec = context.spec
    if spec.get("hostname"):
        name = spec["hostname"]
        context.add(Op(lib.OP_HOSTNAME, name, name, pointer="/hostname"))
    if spec.get("domainname"):
        name = spec["domainname"]
        context.add(Op(lib.OP_DOMAINNAME, name, name, pointer="/domainname"))
