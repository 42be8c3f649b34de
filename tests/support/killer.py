# SPDX-License-Identifier: Apache-2.0
"""A program of ours, killed before one of the things that it does."""

from __future__ import annotations

import sys

#: Runs a launcher, killed before call LIMIT of those that have effects. VICTIM: "shim", "worker"
#: (what it forks), "any", or "signalled" (counted from SIGUSR1 on, and not what comes in); MARKER,
#: if not "", is made before: nothing is killed after it. With KILLED_FROM in the environment, calls
#: count from that function of Python's on.
_KILLER = """
import os, signal, sys
limit, victim, marker, launcher = int(sys.argv[1]), *sys.argv[2:5]
del sys.argv[:4]
effects = frozenset(
    "chmod chown execute fchown fork fork_exec kill link memfd_create mkdir pidfd_send_signal"
    " posix_spawn rename rmdir sendfile symlink unlink waitpid write bind close connect flock"
    " listen poll recv recvmsg send sendmsg shutdown socketpair".split()
)
calls, first, since = 0, os.getpid(), os.environ.pop("KILLED_FROM", "")

def is_effect(call):
    if getattr(call, "__module__", None) == "native._syscalls":
        return True
    # of descriptors that are closed, only a socket's other end sees it
    if call.__name__ == "close" and type(call.__self__).__name__ != "socket":
        return False
    return call.__name__ in effects

def count(frame, event, argument):
    global calls, since
    if since:
        if event == "call" and frame.f_code.co_name == since:
            since = ""
    elif event == "c_call" and is_effect(argument):
        if victim in ("shim", "worker") and (victim == "shim") != (os.getpid() == first):
            return
        calls += 1
        if calls == limit:
            if marker:
                try:
                    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    return
            os.kill(os.getpid(), 9)

with open(launcher) as file:
    text = file.read()
if victim == "signalled":
    effects -= {"recv", "recvmsg"}
    signal.signal(signal.SIGUSR1, lambda *_: sys.setprofile(count))
else:
    sys.setprofile(count)
exec(compile(text, launcher, "exec"))
"""
#: To be followed by LIMIT, VICTIM, MARKER, the launcher and its arguments.
KILLED = [sys.executable, "-IS", "-c", _KILLER]
