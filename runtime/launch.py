# SPDX-License-Identifier: Apache-2.0
"""Start an init and answer its syncs: the narrow interface between who plans and who spawns.

A plan names its descriptors; here they get numbers. native/init/channel.c draws the messages.
"""

from __future__ import annotations

import _socket
import os
import sys
from _struct import Struct

from native import plan
from native.executable import sealed_init
from native.memory_file import memory_file
from native.plan import ANSWER, MESSAGE, Message
from runtime import caller, explain, steps
from runtime.errors import PlanFailed
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from native.plan import Plan
    from runtime.caller import Spawned
    from spec.types import Status

lib = plan.lib
_SCM_SPACE = _socket.CMSG_SPACE(4)
_INT = Struct("=i")


class Handlers:
    """What the parent does at each sync, with the init's pid in the parent's pid namespace.

    Each is None where the plan has no such sync. console and notify get a descriptor and own it.
    state gets the status too, and returns a descriptor of a file, closed after it was sent. ready
    writes what says that the container is created.
    """

    __slots__ = (
        "console",
        "hooks",
        "idmap",
        "known",
        "network",
        "notify",
        "prepare",
        "ready",
        "scope",
        "state",
    )

    def __init__(self) -> None:
        self.idmap: Callable[[int], None] | None = None
        self.known: Callable[[int], None] | None = None
        self.network: Callable[[int], None] | None = None
        self.hooks: Callable[[int], None] | None = None
        self.prepare: Callable[[int], None] | None = None
        self.ready: Callable[[int], None] | None = None
        self.scope: Callable[[int], None] | None = None
        self.state: Callable[[int, Status], int] | None = None
        self.console: Callable[[int], None] | None = None
        self.notify: Callable[[int, int], None] | None = None


class Launch:
    """One init, from clone until it is ready, or has become the program (exec).

    pid: the container's process. pidfd: of the same. Both are 0 and -1 before `start`.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        stdio: Sequence[int] = (0, 1, 2),
        preserved: Sequence[int] = (),
        cgroup: int = -1,
        spawn_flags: int = 0,
    ) -> None:
        """Have the init started, as far as it goes without its plan, which may lack operations.

        cgroup: descriptor of one of v2 to start in. Raises PlanFailed.
        """
        steps.begin("start the init")
        self._plan = plan
        self._handlers = Handlers()
        self.pid = 0
        self.pidfd = -1
        self._first_pid = 0
        self._channel, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            self._spawned: Spawned | None = self._spawn(
                [*stdio, *preserved, theirs.fileno()], cgroup, plan.spawn_flags | spawn_flags
            )
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()

    def _spawn(self, fds: Sequence[int], cgroup: int, flags: int) -> Spawned:
        clone_flags = self._plan.clone_flags
        init = sealed_init()
        try:
            return caller.current.spawn(init, fds, len(fds) - 1, clone_flags, cgroup, flags)
        except OSError as error:
            raise explain.spawn_failure(error, clone_flags) from error
        finally:
            os.close(init)

    def start(self, handlers: Handlers, descriptors: Mapping[str, int]) -> None:
        """Give the init its plan, and serve it until it is ready.

        On any failure nothing of it is left. To be called once. Raises PlanFailed, InitDied.
        """
        self._handlers = handlers
        try:
            self._send_plan(descriptors)
            self._await_spawned()
            steps.begin("wait for the init")
            while not self._serve():
                pass
        except BaseException:
            self.abandon()
            raise
        finally:
            self._channel.close()
            self._reap_first_stage()

    def _send_plan(self, descriptors: Mapping[str, int]) -> None:
        steps.begin("hand over the plan")
        clock = steps.watch_init(self._plan)
        if clock >= 0:
            descriptors = {**descriptors, "clock": clock}
        packed = memory_file("orlop-plan", self._plan.pack())
        try:
            fds = [packed, *(descriptors[name] for name in self._plan.descriptors())]
            rights = b"".join(map(_INT.pack, fds))
            control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
            self._channel.sendmsg([_INT.pack(len(fds))], control)
        except BrokenPipeError:
            pass  # it has not come to be, or is gone: that is to be seen next
        finally:
            os.close(packed)

    def _await_spawned(self) -> None:
        """The answer of whoever starts it."""
        spawned, self._spawned = self._spawned, None
        if spawned is not None:
            try:
                self.pid, self.pidfd = spawned()
            except OSError as error:
                raise explain.spawn_failure(error, self._plan.clone_flags) from error
            self._first_pid = self.pid

    def _serve(self) -> bool:
        """One message; True at the end of the channel's use."""
        message, fd = self._receive()
        if message is None:
            return self._ended()
        if message.kind == lib.KIND_FAILED:
            self._learn_of_second_stage()
            raise explain.failure(message, self._plan)
        if message.kind == lib.KIND_STAGE:
            self._enter_second_stage(message.value)
            return False
        by_second = message.value != lib.SYNC_SCOPE  # which comes before the fork
        if self._plan.stages > 1 and self.pid == self._first_pid and by_second:
            self._serve()  # the first stage's word about the second is on its way
        steps.begin("answer", self._plan.ops[message.op])
        answer_fd = self._answer(message.value, fd)
        self._reply(answer_fd)
        steps.begin("wait for the init")
        return bool(message.value == lib.SYNC_READY)

    def _enter_second_stage(self, pid: int) -> None:
        os.close(self.pidfd)
        self.pid = pid
        # Our child by CLONE_PARENT, and not waited for: the pid can be nobody else's.
        self.pidfd = os.pidfd_open(pid)

    def _learn_of_second_stage(self) -> None:
        """The second stage may fail before the first has told of it: it is to be waited for too."""
        while self._plan.stages > 1 and self.pid == self._first_pid:
            message, _ = self._receive()
            if message is None:  # the first stage itself has failed, and gone
                return
            if message.kind == lib.KIND_STAGE:
                self._enter_second_stage(message.value)

    def _answer(self, what: int, fd: int) -> int:
        handlers = self._handlers
        simple = {
            lib.SYNC_IDMAP: handlers.idmap,
            lib.SYNC_NETWORK: handlers.network,
            lib.SYNC_HOOKS: handlers.hooks,
            lib.SYNC_PREPARE: handlers.prepare,
            lib.SYNC_READY: handlers.ready,
            lib.SYNC_SCOPE: handlers.scope,
            lib.SYNC_KNOWN: handlers.known,
        }.get(what)
        if simple is not None:
            simple(self.pid)
            return -1
        if what in (lib.SYNC_STATE, lib.SYNC_CREATED) and handlers.state is not None:
            return handlers.state(self.pid, "creating" if what == lib.SYNC_STATE else "created")
        if what == lib.SYNC_CONSOLE and handlers.console is not None:
            handlers.console(fd)
            return -1
        if what == lib.SYNC_NOTIFY and handlers.notify is not None:
            handlers.notify(self.pid, fd)
            return -1
        if what == lib.SYNC_READY:
            return -1
        raise OrlopError(f"the init asks for sync {what}, which nobody answers")

    def _receive(self) -> tuple[Message | None, int]:
        data, control, _, _ = self._channel.recvmsg(
            MESSAGE.size, _SCM_SPACE, _socket.MSG_CMSG_CLOEXEC
        )
        fd = -1
        for level, kind, payload in control:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                fd = int.from_bytes(payload[:4], sys.byteorder, signed=True)
        return (Message(data) if data else None), fd

    def _reply(self, fd: int) -> None:
        control = []
        if fd >= 0:
            payload = fd.to_bytes(4, sys.byteorder)
            control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, payload)]
        try:
            self._channel.sendmsg([ANSWER.pack(0)], control)
        except BrokenPipeError:
            pass  # it ended; the next receive says how
        finally:
            if fd >= 0:
                os.close(fd)

    def _ended(self) -> bool:
        """End of the channel: an exec's program runs, or the init died without a word."""
        if not any(op.code == lib.OP_READY for op in self._plan.ops):
            return True
        status = os.waitstatus_to_exitcode(caller.current.wait(self.pid))
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        pid, self.pid = self.pid, 0
        raise InitDied(how, pid)

    def abandon(self) -> None:
        """Kill whatever was started, and wait for it: its end tells us that its cgroup is empty."""
        self._channel.close()
        try:
            self._await_spawned()
        except PlanFailed:
            return
        if self.pid and self.pidfd >= 0:
            try:
                os.kill(self.pid, 9)  # our child, not waited for: the pid is its own
                caller.current.wait(self.pid)
            except (ProcessLookupError, ChildProcessError):
                pass
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _reap_first_stage(self) -> None:
        if self._first_pid and self._first_pid != self.pid and self._plan.stages > 1:
            try:
                caller.current.wait(self._first_pid)
            except ChildProcessError:
                pass
            self._first_pid = 0


class InitDied(OrlopError):
    """The init ended without telling why: the kernel killed it, mostly for memory."""

    def __init__(self, how: str, pid: int) -> None:
        super().__init__(f"the container's init ended before it was ready: {how}")
        self.pid = pid
