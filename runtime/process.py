# SPDX-License-Identifier: Apache-2.0
"""`process`: what the program is and what it may do. The same operations serve `exec`."""

from __future__ import annotations

from _struct import pack

from native import plan
from native.plan import Op
from runtime import capabilities, rlimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from spec.types import LinuxCapabilities, Process

lib = plan.lib
#: keyctl_setperm(3): KEY_USR_SEARCH, KEY_OTH_SEARCH
_KEY_USER_SEARCH = 0x00080000
_KEY_OTHER_SEARCH = 0x00000008


def oom_score(context: Context) -> None:
    """First of all: once joined, /proc may be another's."""
    score = context.process.get("oomScoreAdj")
    if score is not None:
        where = "/process/oomScoreAdj"
        context.add(Op(lib.OP_OOM_SCORE, str(score), pointer=where, numbers=[score]))


def affinity(context: Context) -> None:
    """In the cgroup already: the caller's own affinity is not the container's."""
    context.add(Op(lib.OP_AFFINITY, "all CPUs that the cgroup allows"))


def session(context: Context, *, joined: bool = False) -> None:
    """A session, and a keyring of its own; joined: that of the container, which has it already."""
    context.add(Op(lib.OP_SETSID, ""))
    if not context.request.new_keyring:
        return
    if context.process.get("selinuxLabel"):
        from runtime import labels

        labels.of_keyring(context)
    name = f"_ses.{context.request.id}"
    found_by = _KEY_USER_SEARCH
    if "user" in context.namespaces:
        found_by |= _KEY_OTHER_SEARCH
    numbers = [0 if joined else found_by]
    context.add(Op(lib.OP_KEYRING, name, name, numbers=numbers))


def labels_and_scheduling(context: Context) -> None:
    """What few configurations have: labels of security modules, and where and how it runs."""
    process, linux = context.process, context.linux
    if process.get("apparmorProfile") or process.get("selinuxLabel"):
        from runtime import labels

        labels.of_process(context)
    if is_scheduled(process) or "memoryPolicy" in linux or "personality" in linux:
        from runtime import scheduling

        scheduling.operations(context)


def is_scheduled(process: Process) -> bool:
    """Whether the process has what runtime.scheduling sets."""
    return "scheduler" in process or "ioPriority" in process


def resource_limits(context: Context) -> None:
    """`process.rlimits`; in a user namespace the parent sets them, who may raise them."""
    limits = context.process.get("rlimits", ())
    if "user" in context.namespaces:
        _set_outside(context)
        return
    for index, limit in enumerate(limits):
        soft, hard = (
            "unlimited" if limit[k] == rlimits.UNLIMITED else limit[k] for k in ("soft", "hard")
        )
        context.add(
            Op(
                lib.OP_RLIMIT,
                f"{limit['type'][7:].lower()} {soft} {hard}",
                pointer=f"/process/rlimits/{index}",
                numbers=[rlimits.NUMBERS[limit["type"]], limit["soft"], limit["hard"]],
            )
        )


def _set_outside(context: Context) -> None:
    what = {
        "rlimits": "resource limits",
        "scheduler": "scheduler",
        "ioPriority": "I/O priority",
    }
    given = [name for name in what if context.process.get(name)]
    if given:
        text = ", ".join(what[name] for name in given) + " set"
        pointer = f"/process/{given[0]}"
        context.add(Op(lib.OP_SYNC, text, pointer=pointer, numbers=[lib.SYNC_PREPARE]))


def privileges(context: Context) -> None:
    """From root to the container's user, in an order that still allows the next step."""
    process = context.process
    user = process.get("user", {})
    uid, gid = user.get("uid", 0), user.get("gid", 0)
    sets = _sets(context, process.get("capabilities", {}))
    last = context.facts.last_capability
    where = "/process/user"
    context.add(
        Op(lib.OP_STDIO_OWNER, f"stdio of uid {uid}", pointer=f"{where}/uid", numbers=[uid])
    )
    umask = user.get("umask", 0o022)
    context.add(Op(lib.OP_UMASK, f"{umask:04o}", pointer=f"{where}/umask", numbers=[umask]))
    text = capabilities.text(sets["bounding"], last)
    numbers = [sets["bounding"]]
    context.add(
        Op(lib.OP_BOUNDING, text, pointer="/process/capabilities/bounding", numbers=numbers)
    )
    cwd = process["cwd"]
    flags = lib.FLAG_TRY if uid else 0
    context.add(Op(lib.OP_CWD, cwd, cwd, pointer="/process/cwd", flags=flags))
    _groups(context)
    numbers = [uid, gid]
    context.add(Op(lib.OP_USER, f"uid {uid} gid {gid}", pointer=where, numbers=numbers))
    _capabilities(context, sets)
    if uid:
        text = f"{cwd} (if root was refused)"
        flags = lib.FLAG_SECOND_TRY
        context.add(Op(lib.OP_CWD, text, cwd, pointer="/process/cwd", flags=flags))


def _groups(context: Context) -> None:
    extra = context.process.get("user", {}).get("additionalGids", [])
    where = "/process/user/additionalGids"
    if not context.facts.privileged and "user" in context.namespaces and not extra:
        return  # setgroups(2) is denied in a user namespace that an unprivileged user mapped
    text = ", ".join(map(str, extra)) or "none"
    data = pack(f"={len(extra)}I", *extra)
    context.add(Op(lib.OP_GROUPS, text, data, pointer=where, numbers=[len(extra)]))


def _sets(context: Context, asked: LinuxCapabilities) -> dict[str, int]:
    last = context.facts.last_capability
    sets = {
        "bounding": capabilities.mask(asked.get("bounding", ()), last),
        "permitted": capabilities.mask(asked.get("permitted", ()), last),
        "inheritable": capabilities.mask(asked.get("inheritable", ()), last),
    }
    # What can't be had is left out, and was warned of (config.md, capset(2), capabilities(7)).
    effective = capabilities.mask(asked.get("effective", ()), last)
    ambient = capabilities.mask(asked.get("ambient", ()), last)
    sets["effective"] = effective & sets["permitted"]
    sets["ambient"] = ambient & sets["permitted"] & sets["inheritable"]
    return sets


def _capabilities(context: Context, sets: dict[str, int]) -> None:
    kinds = ("effective", "permitted", "inheritable", "ambient")
    last = context.facts.last_capability
    text = "; ".join(f"{kind} {capabilities.text(sets[kind], last)}" for kind in kinds)
    numbers = [sets[kind] for kind in kinds]
    where = "/process/capabilities"
    keep = lib.FLAG_KEEP_SETUP if needs_setup_capability(context) else 0
    if keep:
        text += " (and sys_admin until the seccomp filter is loaded)"
    context.add(Op(lib.OP_CAPABILITIES, text, pointer=where, numbers=numbers, flags=keep))


def needs_setup_capability(context: Context) -> bool:
    """Whether the filter is loaded without no_new_privs, which takes CAP_SYS_ADMIN (seccomp(2))."""
    return context.filter is not None and not context.process.get("noNewPrivileges")


def seccomp(context: Context) -> None:
    """The filter; behind one that notifies a deputy goes on (native/init/deputy.c)."""
    filter_ = context.filter
    if filter_ is None:
        return
    count = len(filter_.bpf) // 8  # struct sock_filter, linux/filter.h
    where = "/linux/seccomp"
    text = f"filter of {count} instructions"
    if filter_.notify:
        text += ", notify (a deputy without it goes on until execve)"
    flags = lib.FLAG_NOTIFY if filter_.notify else 0
    numbers = [count, filter_.flags]
    context.add(Op(lib.OP_SECCOMP, text, filter_.bpf, pointer=where, numbers=numbers, flags=flags))


def drop_setup_capability(context: Context) -> None:
    """Give up the capability that loading the filter took; the one call of ours behind it."""
    if needs_setup_capability(context):
        sets = _sets(context, context.process.get("capabilities", {}))
        numbers = [sets[k] for k in ("effective", "permitted", "inheritable", "ambient")]
        text = "sys_admin dropped"
        flags = lib.FLAG_DROP_SETUP
        where = "/process/capabilities"
        context.add(Op(lib.OP_CAPABILITIES, text, pointer=where, numbers=numbers, flags=flags))


def no_new_privileges(context: Context) -> None:
    """`process.noNewPrivileges` (prctl(2))."""
    if context.process.get("noNewPrivileges"):
        context.add(Op(lib.OP_NO_NEW_PRIVS, "", pointer="/process/noNewPrivileges"))


def environment(context: Context) -> list[str]:
    """`process.env`; of a variable that is there twice, getenv(3) would find the first."""
    last = {}
    for entry in context.process.get("env", ()):
        name, equals, _ = entry.partition("=")
        if equals and entry != "HOME=":  # an empty HOME is none, as for runc
            last[name] = entry
    count = context.request.listen_fds
    if count:
        last["LISTEN_FDS"] = f"LISTEN_FDS={count}"
        last["LISTEN_PID"] = "LISTEN_PID=1"
    return list(last.values())


def terminal(context: Context, *, bind: bool = True) -> None:
    """The terminal of the process, with its size."""
    if not context.process.get("terminal"):
        return
    size = context.process.get("consoleSize")
    rows, columns = (size["height"], size["width"]) if size else (0, 0)
    text = f"terminal {columns}x{rows}" if size else "terminal"
    path = "/dev/console" if bind else ""
    numbers = [rows, columns]
    context.add(Op(lib.OP_CONSOLE, text, path, pointer="/process/terminal", numbers=numbers))


def home(context: Context) -> None:
    """HOME where `process.env` has none: from the image's own /etc/passwd, as runc and crun do."""
    if not any(entry.startswith("HOME=") and entry != "HOME=" for entry in environment(context)):
        uid = context.process.get("user", {}).get("uid", 0)
        text = f"HOME of uid {uid} in /etc/passwd"
        context.add(Op(lib.OP_HOME, text, pointer="/process/env", numbers=[uid]))


def lookup(context: Context) -> None:
    """Find the executable, while create can still say that there is none."""
    name = context.process.get("args", [""])[0]
    if "/" in name:
        candidates = [name]
    else:
        path = ""
        for entry in environment(context):
            if entry.startswith("PATH="):
                path = entry[5:]
        candidates = [f"{part.rstrip('/')}/{name}" for part in path.split(":") if part[:1] == "/"]
    text = name if "/" in name else f"{name} on PATH"
    where = "/process/args/0"
    numbers = [len(candidates)]
    context.add(Op(lib.OP_LOOKUP, text, name, candidates, pointer=where, numbers=numbers))


def execute(context: Context) -> None:
    """The end of every plan. Its text names environment variables and keeps their values."""
    args = context.process.get("args", [])
    env = environment(context)
    text = " ".join(map(_quoted, args))
    if env:
        text += " (env: " + " ".join(entry.partition("=")[0] for entry in env) + ")"
    where = "/process/args"
    numbers = [len(args), len(env)]
    context.add(Op(lib.OP_EXEC, text, args[0], args, env, pointer=where, numbers=numbers))


def _quoted(word: str) -> str:
    plain = word and all(c.isalnum() or c in "@%+=:,./-_" for c in word)
    return word if plain else "'" + word.replace("'", "'\"'\"'").replace("\n", "\\n") + "'"
