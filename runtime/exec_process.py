# SPDX-License-Identifier: Apache-2.0
"""The process of an exec: from --process, or the container's own with what the flags change."""

from __future__ import annotations

from runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.options import Options
    from spec.types import LinuxCapabilities, Process, User

#: What a process file that says nothing of it has as the container's process, as in runc.
_KEPT = (
    "apparmorProfile",
    "capabilities",
    "execCPUAffinity",
    "ioPriority",
    "rlimits",
    "scheduler",
    "selinuxLabel",
)
_ID_MAX = 2**32 - 2  # (uid_t)-1 means "no change" to setresuid(2)


class Wanted:
    """A process that is yet to be known in full. terminal: whether it gets one."""

    def __init__(self, complete: Callable[[Process], Process], *, terminal: bool) -> None:
        """complete: from the container's own process."""
        self.complete = complete
        self.terminal = terminal


def build(options: Options, words: Sequence[str]) -> Wanted:
    """The process to run. Raises UsageError, InvalidSpec; so may its `complete`."""
    if options.text("process") and words:
        raise UsageError("--process and a command exclude each other")
    if not options.text("process") and not words:
        raise UsageError("exec needs a command, or --process")
    if options.text("process"):
        from spec.bundle import load_process

        return given(load_process(options.text("process")))
    return Wanted(lambda own: _changed(own, options, words), terminal=options.flag("tty"))


def given(process: Process) -> Wanted:
    """One that says most of it by itself."""
    return Wanted(lambda own: completed(process, own), terminal=process.get("terminal", False))


def completed(process: Process, container: Process) -> Process:
    """What a process leaves out of its confinement is as the container's own process has it."""
    kept = {name: container[name] for name in _KEPT if name in container}  # type: ignore[literal-required]
    return {**kept, **process}  # type: ignore[typeddict-item]


def _changed(process: Process, options: Options, words: Sequence[str]) -> Process:
    changed: Process = {**process}
    changed["args"] = list(words)
    changed["terminal"] = options.flag("tty")
    changed.pop("consoleSize", None)
    changed.pop("oomScoreAdj", None)
    if options.text("cwd"):
        changed["cwd"] = _absolute(options.text("cwd"))
    changed["env"] = [*process.get("env", []), *options.texts("env")]
    if options.text("apparmor"):
        changed["apparmorProfile"] = options.text("apparmor")
    if options.text("process-label"):
        changed["selinuxLabel"] = options.text("process-label")
    if options.given("no-new-privs"):
        changed["noNewPrivileges"] = options.flag("no-new-privs")
    user: User = {**process.get("user", {})}
    if options.text("user"):
        user["uid"], gid = parse_user(options.text("user"))
        if gid is not None:
            user["gid"] = gid
    groups = [_number(text, "--additional-gids") for text in options.texts("additional-gids")]
    if groups:
        user["additionalGids"] = [*user.get("additionalGids", []), *groups]
    changed["user"] = user
    _add_capabilities(changed, options.texts("cap"))
    return changed


def _absolute(cwd: str) -> str:
    if not cwd.startswith("/"):
        raise UsageError(f"--cwd {cwd}: not an absolute path")
    return cwd


def parse_user(text: str) -> tuple[int, int | None]:
    """`UID` or `UID:GID`, nothing else (CVE-2026-30892). Raises UsageError."""
    uid, colon, gid = text.partition(":")
    return _number(uid, "--user"), _number(gid, "--user") if colon else None


def _number(text: str, flag: str) -> int:
    # Python's int() refuses thousands of digits with an error of its own.
    digits = len(text) <= len(str(_ID_MAX)) and text.isascii() and text.isdecimal()
    if not digits or int(text) > _ID_MAX:
        raise UsageError(f"invalid id {text!r} in {flag}: a number from 0 to {_ID_MAX}")
    return int(text)


def unknown_capabilities(options: Options) -> list[str]:
    """Warnings of what is in --cap and no kernel has: left out, as in a configuration."""
    from runtime.capabilities import NAMES

    unknown = (name for name in options.texts("cap") if name not in NAMES)
    return [f"--cap {name}: no such capability, left out" for name in unknown]


def _add_capabilities(process: Process, names: Sequence[str]) -> None:
    """--cap: to what the process may use, never to the inheritable set (CVE-2022-29162)."""
    if not names:
        return
    sets: LinuxCapabilities = {**process.get("capabilities", {})}
    sets["bounding"] = _union(sets.get("bounding", []), names)
    sets["effective"] = _union(sets.get("effective", []), names)
    sets["permitted"] = _union(sets.get("permitted", []), names)
    process["capabilities"] = sets


def _union(members: Sequence[str], more: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*members, *more]))
