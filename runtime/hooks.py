# SPDX-License-Identifier: Apache-2.0
"""`hooks`: those of the runtime's namespaces are run here, those of the container's by the init.

runtime.md#lifecycle and config.md#posix-platform-hooks; each gets the container's state on stdin.
The state is a file, so that no hook can block its writer, whether it reads or not.
"""

from __future__ import annotations

import os
import select
import time

from native import plan
from native.memory_file import memory_file
from native.plan import Op
from runtime import caller, process, state
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.context import Context
    from runtime.state import Record
    from spec.types import Hook

lib = plan.lib
_OUTPUT_LIMIT = 4096


def of_runtime(context: Context) -> None:
    """Hooks of kind prestart and createRuntime: the parent runs them while the init waits."""
    hooks = context.spec.get("hooks", {})
    if hooks.get("prestart") or hooks.get("createRuntime"):
        text = "prestart and createRuntime hooks run"
        context.add(Op(lib.OP_SYNC, text, pointer="/hooks", numbers=[lib.SYNC_HOOKS]))


def of_container(context: Context) -> None:
    """Hooks of kind createContainer: in the container's namespaces, before the root changes."""
    hooks = context.spec.get("hooks", {})
    if hooks.get("createContainer"):
        text = "state for the createContainer hooks"
        context.add(Op(lib.OP_SYNC, text, pointer="/hooks", numbers=[lib.SYNC_STATE]))
    _operations(context, "createContainer", hooks.get("createContainer", []))


def state_at_start(context: Context) -> None:
    """Make what startContainer hooks will read; after create there is nobody to ask for it."""
    if context.spec.get("hooks", {}).get("startContainer"):
        text = "state for the startContainer hooks"
        context.add(Op(lib.OP_SYNC, text, pointer="/hooks", numbers=[lib.SYNC_CREATED]))


def at_start(context: Context) -> None:
    """Hooks of kind startContainer: in the container, after `start` and before the process."""
    _operations(context, "startContainer", context.spec.get("hooks", {}).get("startContainer", []))


def _operations(context: Context, kind: str, hooks: Sequence[Hook]) -> None:
    for index, hook in enumerate(hooks):
        args = hook.get("args") or [hook["path"]]
        env, inherits = hook.get("env"), 0
        if env is None:
            # As runc: the process's own at start, none before there is one.
            inherits = int(kind == "startContainer")
            env = process.environment(context) if inherits else []
        timeout = hook.get("timeout", 0)
        text = f"{kind} {hook['path']}" + (f" (at most {timeout} s)" if timeout else "")
        pointer = f"/hooks/{kind}/{index}"
        numbers = [len(args), len(env), timeout, inherits]
        context.add(
            Op(lib.OP_HOOK, text, hook["path"], args, env, pointer=pointer, numbers=numbers)
        )


def state_file(text: str) -> int:
    """A descriptor of a file with the state's text, at its start."""
    return memory_file("orlop-state", text.encode("utf-8", "surrogateescape"))


def run(kind: str, hooks: Sequence[Hook], state: str, bundle: str) -> None:
    """Run these hooks one after the other in the caller's namespaces, in the bundle's directory.

    Raises OrlopError at the first that can't be run, fails or takes longer than its timeout.
    """
    for index, hook in enumerate(hooks):
        try:
            _run_one(hook, state, bundle)
        except OSError as error:
            text = f"{kind} hook {hook['path']}: {error.strerror}"
            raise OrlopError(text, pointer=f"/hooks/{kind}/{index}") from error
        except _HookError as error:
            text = f"{kind} hook {hook['path']}: {error}"
            raise OrlopError(text, pointer=f"/hooks/{kind}/{index}") from error


def run_poststop(record: Record) -> list[str]:
    """Run poststop hooks: one that fails is a warning, the others run (runtime.md#lifecycle)."""
    warnings = []
    poststop = record.hooks.get("poststop", [])
    if not poststop:
        return []
    text = jsontext.dumps(state.oci_state(record, "stopped"))
    for index, hook in enumerate(poststop):
        try:
            run("poststop", [hook], text, record.bundle)
        except OrlopError as error:
            pointer = f"/hooks/poststop/{index}"
            warnings.append(f"{pointer}: {error.message}")
    return warnings


class _HookError(Exception):
    pass


def _run_one(hook: Hook, state: str, bundle: str) -> None:
    stdin = state_file(state)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        args = hook.get("args") or [hook["path"]]
        pid = caller.current.run(
            hook["path"], args, _environment(hook), bundle, (stdin, writer, writer)
        )
        os.close(writer)
        writer = -1
        _watch(pid, reader, hook.get("timeout", 0))
    finally:
        os.close(stdin)
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def _environment(hook: Hook) -> dict[str, str]:
    """`env`; where there is none, the runtime's own, which hooks written for runc and crun expect.

    The standard has no word on it. An empty list is an empty environment.
    """
    entries = hook.get("env")
    if entries is None:
        return caller.current.environment()
    split = [entry.partition("=") for entry in entries]
    return {name: value for name, _, value in split}


def _watch(pid: int, output: int, timeout: int) -> None:
    """Wait for the hook's end, not the pipe's: a process it leaves behind may keep that."""
    deadline = time.monotonic() + timeout if timeout else None
    pidfd = os.pidfd_open(pid)
    text = b""
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(output, select.POLLIN)
        ended = False
        while not ended:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if not ready:
                os.kill(pid, 9)
                caller.current.wait(pid)
                message = f"no end after {timeout} s, killed"
                raise _HookError(message)
            if output in ready:
                data = os.read(output, 65536)
                text = (text + data)[:_OUTPUT_LIMIT]
                if not data:
                    poll.unregister(output)
            else:
                ended = pidfd in ready
    finally:
        os.close(pidfd)
    code = os.waitstatus_to_exitcode(caller.current.wait(pid))
    if code:
        how = f"exit status {code}" if code > 0 else f"killed by signal {-code}"
        said = text.decode("utf-8", "replace").strip().replace("\n", "; ")
        raise _HookError(f"{how}: {said}" if said else how)
