# SPDX-License-Identifier: Apache-2.0
"""A shim that is a fork of a warm planner: the same as a cold one, in all that it has of others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shim.messages import DELETED
from tests.shim.conftest import NAMESPACE, PROGRAM
from tests.support import hierarchies
from tests.support.cli import ENVIRONMENT
from tests.support.features import NOBODY, requires
from tests.support.waiting import ended, limit
from tests.support.warm import ShimPlanner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.ttrpc import Client

pytestmark = requires("root")
_UP_TO_TIME = 3  # bytes of delete's answer: the exit status is before it
#: The C library's own signals, 32 and 33: its posix_spawn(3) has its child ignore them.
_OF_LIBC = 1 << 31 | 1 << 32
#: Ignores them: rt_sigaction(2), because sigaction(3) doesn't.
_IGNORE_LIBCS = """
import ctypes, os, sys
number = 13 if os.uname().machine == "x86_64" else 134
for signal in (32, 33):
    assert not ctypes.CDLL(None).syscall(number, signal, (ctypes.c_ulong * 4)(1), None, 8)
os.execvp(sys.argv[1], sys.argv[1:])
"""
#: Before the program's name: what a shim has of who starts it, as no other process here has it.
DIFFERENT = [
    ["prlimit", "--nofile=1234:2345", "--core=4096:8192"],
    ["nice", "-n", "3"],
    ["choom", "-n", "300", "--"],
    ["sh", "-c", 'trap "" USR1 HUP; exec "$@"', "sh"],
    ["env", "OF_THE_STARTER=yes"],
    ["python3", "-c", _IGNORE_LIBCS],
]


@pytest.fixture
def planner() -> Iterator[ShimPlanner]:
    planner = ShimPlanner()
    yield planner
    planner.stop()


class Called:
    """One run of the program. said: what the planner said of it."""

    def __init__(
        self,
        planner: ShimPlanner,
        shim: Shim,
        *words: str,
        wrapped: Sequence[str] = (),
        program: Path = PROGRAM,
        user: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        base = ["-namespace", NAMESPACE, "-socket-dir", shim.socket_directory, "-id", shim.id]
        found = {planner.VARIABLE: str(planner.socket), "TTRPC_ADDRESS": shim.events.address}
        process = subprocess.Popen(
            [*wrapped, program, *base, *words],
            cwd=shim.bundle.path,
            env={**ENVIRONMENT, **found, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        self.output, self.errors = process.communicate(timeout=limit(30))
        self.status = process.returncode
        self.said = planner.said(process.pid)


def start(planner: ShimPlanner, shim: Shim, **how: object) -> tuple[Client, str]:
    """Start a shim; a connection to it, and what the planner said."""
    shim.bundle.write()
    (shim.bundle.path / "log").touch()
    called = Called(planner, shim, "start", **how)  # type: ignore[arg-type]
    assert (called.status, called.errors) == (0, b"")
    shim.address = called.output.decode()
    return shim.connect(), called.said


def unstarted(shim: Shim) -> None:
    """What there would be of a shim that had been started."""
    shim.bundle.write()
    (shim.bundle.path / "log").touch()
    os.mkdir(shim.socket_directory)


def facts(pid: int) -> dict[str, object]:
    """What a process has of its starter, as the kernel shows it."""
    proc = Path(f"/proc/{pid}")
    lines = dict(line.partition(":")[::2] for line in (proc / "status").read_text().splitlines())
    stat = (proc / "stat").read_text().rpartition(") ")[2].split()
    names = (
        "SigBlk", "Uid", "Gid", "Groups", "CapEff", "CapBnd", "Threads", "Umask",
        "NoNewPrivs", "Cpus_allowed",
    )  # fmt: skip
    return {
        **{name: lines[name] for name in names},
        "SigIgn": int(lines["SigIgn"], 16) & ~_OF_LIBC,
        "limits": (proc / "limits").read_text(),
        "cgroup": (proc / "cgroup").read_text(),
        "score": (proc / "oom_score_adj").read_text(),
        "nice": stat[16],
        "of a session of its own": stat[2:4] == [str(pid)] * 2,
        "terminal": stat[4],
        "cwd": os.readlink(proc / "cwd"),
        "comm": (proc / "comm").read_text(),
        "arguments": (proc / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")[2:],
        "stdio": [os.readlink(proc / "fd" / number) for number in "012"],
    }


def descriptors(pid: int) -> list[str]:
    """The kinds of what it has open, but for the files of modules that a cold one imports from."""
    directory = Path(f"/proc/{pid}/fd")
    found = [os.readlink(directory / name).partition(":")[0] for name in os.listdir(directory)]
    return sorted(each for each in found if not each.endswith("modules"))


def until_alone(shim: Shim, client: Client, init: int) -> None:
    """Create's worker has ended, and the shim has closed what was between them."""
    children = Path(f"/proc/{shim.pid}/task/{shim.pid}/children").read_text().split()
    for each in {*map(int, children)} - {init}:
        ended(each)
    for _ in range(2):  # all events that came before the first call are seen before the second
        client.call("State", id=shim.id)


def live(planner: ShimPlanner, shim: Shim, **how: object) -> tuple[dict[str, object], str]:
    """Start a shim and a container with a hook; what the shim is, and its hook's environment."""
    seen = shim.directory / "seen"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"env | sort >{seen}"]}
    shim.bundle.spec["hooks"] = {"prestart": [hook]}
    shim.bundle.args("sleep")
    client, said = start(planner, shim, **how)
    init = shim.create(client)["pid"]
    until_alone(shim, client, init)
    has = descriptors(shim.pid)
    if "a call of" in said:
        has.remove("socket")  # by which it borrows workers
    found = facts(shim.pid) | {"descriptors": has}
    found["a hook's environment"] = [
        line for line in seen.read_text().splitlines() if not line.startswith(planner.VARIABLE)
    ]
    client.call("Start", id=shim.id)
    shim.end(client)
    Called(planner, shim, "delete")
    return found, said


@pytest.mark.parametrize("wrapped", [[], *DIFFERENT], ids=lambda words: " ".join(words[:1]))
def test_it_has_of_its_starter_what_a_cold_one_has(
    planner: ShimPlanner, shim: Shim, wrapped: list[str]
) -> None:
    warm, said = live(planner, shim, wrapped=wrapped)
    assert "a call of" in said
    cold, said = live(planner, shim, wrapped=wrapped, env={planner.VARIABLE: ""})
    assert said == ""
    assert warm == cold


def test_its_score_is_above_that_of_its_starters_parent(planner: ShimPlanner, shim: Shim) -> None:
    """That is containerd, which is to outlive it when memory is short."""
    parent = ["choom", "-n", "300", "--", "sh", "-c", '"$@"; exit $?', "sh"]
    warm, _ = live(planner, shim, wrapped=parent)
    assert "a call of" in planner.log.read_text()
    assert "to be done cold" not in planner.log.read_text()
    assert warm["score"] == "301\n"


def test_it_is_in_its_starters_cgroups(planner: ShimPlanner, shim: Shim, cgroup: str) -> None:
    """In all hierarchies; the planner is where it was."""
    name = f"{cgroup}/starter"
    places = [mount / name.lstrip("/") for mount in hierarchies.mountpoints().values()]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (place / file).exists() and not (place / "cgroup.type").exists():
                for each in (place.parent, place):
                    (each / file).write_text((each.parent / file).read_text())
    files = [str(p / ("tasks" if (p / "tasks").exists() else "cgroup.procs")) for p in places]
    join = ["sh", "-c", f'for f in {" ".join(files)}; do echo 0 >$f; done; exec "$@"', "sh"]
    before = Path(f"/proc/{planner.process.pid}/cgroup").read_text()
    warm, said = live(planner, shim, wrapped=join)
    assert "a call of" in said
    cold, _ = live(planner, shim, wrapped=join, env={planner.VARIABLE: ""})
    assert warm == cold
    assert str(warm["cgroup"]).count(f":{name}\n") == len(places)
    assert Path(f"/proc/{planner.process.pid}/cgroup").read_text() == before
    hierarchies.remove(cgroup)


@pytest.mark.parametrize(
    ("wrapped", "why"),
    [
        (["taskset", "1"], "affinity"),
        (["ionice", "-c", "3"], "io priority"),
        (["chrt", "--batch", "0"], "scheduler"),
        (["setpriv", "--no-new-privs"], "NoNewPrivs"),
        (["setpriv", "--bounding-set=-sys_time"], "CapPrm"),
        (["unshare", "--mount"], "mnt"),
        (["setarch", "-R"], "personality"),
    ],
)
def test_what_a_fork_can_not_have_is_started_cold(
    planner: ShimPlanner, shim: Shim, wrapped: list[str], why: str
) -> None:
    client, said = start(planner, shim, wrapped=wrapped)
    assert said.endswith(f"to be done cold for {why}")
    client.call("Shutdown", id=shim.id)


def test_limits_above_the_planners_are_had_by_cold_ones(shim: Shim) -> None:
    """Without CAP_SYS_RESOURCE; with it a fork has them too."""
    planner = ShimPlanner()
    try:
        subprocess.run(["prlimit", "--core=0:0", f"--pid={planner.process.pid}"], check=True)
        # Workers that were forked before had more: two calls take them.
        for _ in range(2):
            Called(planner, shim, "-info")
        client, said = start(planner, shim)
        assert "a call of" in said or "take_limits" in said
        shim.create(client)
        limits = Path(f"/proc/{shim.pid}/limits").read_text()
        assert limits == Path("/proc/self/limits").read_text()
        shim.end(client)
    finally:
        planner.stop()


@requires("rootless")
def test_the_planner_of_another_user_is_not_asked(shim: Shim) -> None:
    theirs = ShimPlanner(user=NOBODY)
    try:
        client, said = start(theirs, shim)
        assert said == ""
        client.call("Shutdown", id=shim.id)
    finally:
        theirs.stop()


@requires("rootless")
def test_another_user_does_not_reach_ours(planner: ShimPlanner, shim: Shim) -> None:
    planner.directory.chmod(0o755)
    unstarted(shim)
    called = Called(planner, shim, "-info", user=NOBODY)
    assert (called.said, called.status) == ("", 0)


def test_the_planner_of_another_installation_is_not_asked(
    planner: ShimPlanner, shim: Shim, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name in (PROGRAM.name, f"{PROGRAM.name}-cold"):
        shutil.copy(PROGRAM.with_name(name), tmp_path / "bin" / name)
    client, said = start(planner, shim, program=tmp_path / "bin" / PROGRAM.name)
    assert said.endswith("to be done cold for program")
    client.call("Shutdown", id=shim.id)


def test_a_killed_planner_harms_no_shim(planner: ShimPlanner, shim: Shim, bundle: Bundle) -> None:
    bundle.args("exit", "3")
    client, said = start(planner, shim)
    assert "a call of" in said
    planner.process.send_signal(signal.SIGKILL)
    planner.process.wait()
    shim.create(client)
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 3
    shim.finish(client)
    again, _ = start(planner, shim)  # cold, though the dead one's socket is there yet
    again.call("Shutdown", id=shim.id)


def test_a_killed_shim_is_cleaned_up_after_by_the_planner(
    planner: ShimPlanner, shim: Shim, bundle: Bundle
) -> None:
    bundle.args("sleep")
    client, _ = start(planner, shim)
    shim.create(client)
    client.call("Start", id=shim.id)
    os.kill(shim.pid, signal.SIGKILL)
    ended(shim.pid)
    called = Called(planner, shim, "delete")
    assert "a call of" in called.said
    assert DELETED.decode(called.output)["exit_status"] == 128 + signal.SIGKILL
    assert not Path(shim.address.removeprefix("unix://")).exists()


def test_info_and_errors_are_those_of_a_cold_one(planner: ShimPlanner, shim: Shim) -> None:
    unstarted(shim)
    for words, size in ((["-info"], 9999), (["-nope", "start"], 9999), (["delete"], _UP_TO_TIME)):
        warm = Called(planner, shim, *words)
        cold = Called(planner, shim, *words, env={planner.VARIABLE: ""})
        assert "a call of" in warm.said
        assert (warm.status, warm.errors) == (cold.status, cold.errors)
        assert warm.output[:size] == cold.output[:size]


def test_what_is_no_short_call_is_not_handed_on(planner: ShimPlanner, shim: Shim) -> None:
    unstarted(shim)
    called = Called(planner, shim, "-v")
    assert called.said == ""
    assert b"Version" in called.output
