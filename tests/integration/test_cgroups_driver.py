# SPDX-License-Identifier: Apache-2.0
"""The cgroupfs drivers on the kernel's own hierarchies, whichever this machine or guest has."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from runtime import cgroups
from runtime.cgroups import host, setting
from spec.errors import OrlopError
from tests.support import hierarchies, waiting
from tests.support.features import NOBODY, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.cgroups.cgroup import Cgroup
    from spec.types import LinuxResources

pytestmark = [requires("root"), pytest.mark.v2]

ROOT = Path(__file__).parents[2]
JOIN = """
import os, sys
for fd in sys.argv[2].split(","):
    if fd:
        os.write(int(fd), b"0")
exec(sys.argv[1])
"""
WAIT = "print('joined', flush=True); sys.stdin.read()"
FORK_FOR_EVER = """
print('joined', flush=True)
while True:
    try:
        if os.fork() == 0:
            continue
    except OSError:
        pass
"""
BURN_TIME = f"""
import time
until = time.process_time() + 0.1
while time.process_time() < until:
    pass
{WAIT}
"""
FILL_MEMORY = "print('joined', flush=True); x = bytearray(256 << 20)"


class Join(Protocol):
    """The type of the fixture `join`."""

    def __call__(
        self, cgroup: Cgroup, program: str = WAIT, sub: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start a Python program in a cgroup; it prints a line when it is there."""


@pytest.fixture
def new(cgroup: str) -> Iterator[Callable[..., Cgroup]]:
    """Make cgroup objects below the test's own cgroup; removed in the end, whatever happens."""
    made: list[Cgroup] = []

    def make(name: str = "box") -> Cgroup:
        made.append(cgroups.resolve(f"{cgroup}/{name}", name))
        return made[-1]

    yield make
    for each in made:
        each.kill()
        each.remove()


@pytest.fixture
def box(new: Callable[..., Cgroup]) -> Cgroup:
    """A cgroup that isn't made yet."""
    return new()


@pytest.fixture
def join() -> Iterator[Join]:
    started: list[subprocess.Popen[bytes]] = []

    def start(cgroup: Cgroup, program: str = WAIT, sub: str = "") -> subprocess.Popen[bytes]:
        fds = cgroup.join_fds(sub)
        command = [sys.executable, "-IS", "-c", JOIN, program, ",".join(map(str, fds))]
        process = subprocess.Popen(
            command, pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        for fd in fds:
            os.close(fd)
        assert process.stdout is not None
        assert process.stdout.readline() == b"joined\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=waiting.limit(20))


def content(cgroup: Cgroup, controller: str, file: str) -> str:
    paths = cgroup.paths()
    return Path(paths.get(controller, paths.get("", "")), file).read_text().strip()


def v2() -> bool:
    return hierarchies.mode() == "v2"


def test_detection_agrees_with_the_mount_table() -> None:
    found = host.detect()
    assert found.mode == hierarchies.mode()
    slow = host.from_mounts(
        host.parse_memberships(Path("/proc/self/cgroup").read_text()),
        host.parse_mountinfo(Path("/proc/self/mountinfo").read_text()),
    )
    assert slow.mode == found.mode
    assert [(h.controllers, h.mountpoint, h.own) for h in slow.hierarchies] == [
        (h.controllers, h.mountpoint, h.own) for h in found.hierarchies
    ]


def test_limits_are_in_the_files(box: Cgroup) -> None:
    box.create(
        {
            "memory": {"limit": 32 << 20, "swap": 64 << 20, "reservation": 16 << 20},
            "cpu": {"shares": 512, "quota": 50000, "period": 200000},
            "pids": {"limit": 17},
        }
    )
    assert box.exists()
    assert content(box, "pids", "pids.max") == "17"
    if v2():
        assert content(box, "memory", "memory.max") == str(32 << 20)
        assert content(box, "memory", "memory.low") == str(16 << 20)
        assert content(box, "cpu", "cpu.weight") == "59"
        assert content(box, "cpu", "cpu.max") == "50000 200000"
    else:
        assert content(box, "memory", "memory.limit_in_bytes") == str(32 << 20)
        assert content(box, "memory", "memory.memsw.limit_in_bytes") == str(64 << 20)
        assert content(box, "cpu", "cpu.shares") == "512"
        assert content(box, "cpu", "cpu.cfs_quota_us") == "50000"


@pytest.mark.parametrize(
    ("limit", "swap"), [(64, 128), (16, 16), (8, 64), (-1, 0), (128, 128), (-1, -1), (8, -1)]
)
def test_memory_and_swap_are_raised_and_lowered(box: Cgroup, limit: int, swap: int) -> None:
    box.create({"memory": {"limit": 32 << 20, "swap": 48 << 20}})
    size = 1 << 20
    box.apply({"memory": {"limit": max(limit * size, -1), "swap": max(swap * size, -1)}})
    file, unlimited = (
        ("memory.max", "max") if v2() else ("memory.limit_in_bytes", "9223372036854771712")
    )
    assert content(box, "memory", file) == (unlimited if limit < 0 else str(limit * size))


def test_update_of_period_or_quota_keeps_the_other(box: Cgroup) -> None:
    box.create({"cpu": {"quota": 50000, "period": 200000}})
    box.apply({"cpu": {"period": 100000}})
    box.apply({"cpu": {"quota": 25000}})
    if v2():
        assert content(box, "cpu", "cpu.max") == "25000 100000"
    else:
        assert content(box, "cpu", "cpu.cfs_period_us") == "100000"
        assert content(box, "cpu", "cpu.cfs_quota_us") == "25000"
    box.apply({"cpu": {"quota": -1}})
    assert content(box, "cpu", "cpu.max" if v2() else "cpu.cfs_quota_us") in ("-1", "max 100000")


def test_idle_can_be_ended_together_with_new_shares(box: Cgroup) -> None:
    box.create({"cpu": {"shares": 512, "idle": 1}})
    assert content(box, "cpu", "cpu.idle") == "1"
    with pytest.raises(OrlopError, match="Invalid argument") as caught:
        box.apply({"cpu": {"shares": 1024}})
    assert caught.value.pointer == "/linux/resources/cpu/shares"
    assert "idle" in caught.value.hint
    box.apply({"cpu": {"shares": 1024, "idle": 0}})
    file, value = ("cpu.weight", "100") if v2() else ("cpu.shares", "1024")
    assert content(box, "cpu", file) == value


def test_join_and_members(box: Cgroup, join: Join) -> None:
    box.create({})
    assert not box.populated()
    process = join(box)
    loaded = cgroups.load(box.saved())
    assert loaded.pids() == [process.pid]
    assert loaded.populated()
    for directory in set(loaded.paths().values()):
        assert str(process.pid) in Path(directory, "cgroup.procs").read_text().split()
    with pytest.raises(OrlopError, match="is not empty: 1 process") as caught:
        loaded.verify_unused()
    assert caught.value.pointer == "/linux/cgroupsPath"


def test_descriptors_are_for_joining_only(box: Cgroup) -> None:
    box.create({})
    fds = box.join_fds()
    assert len(fds) == len(box.hierarchies())
    clone_fd = box.clone_fd()
    try:
        for fd in fds:
            assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
            assert not os.get_inheritable(fd)
        assert (clone_fd is not None) == (hierarchies.mode() in ("v2", "hybrid"))
        if clone_fd is not None:
            assert stat.S_ISDIR(os.fstat(clone_fd).st_mode)
            assert not os.get_inheritable(clone_fd)
    finally:
        for fd in [*fds, *([] if clone_fd is None else [clone_fd])]:
            os.close(fd)


def test_processes_are_added_from_outside(
    box: Cgroup, join: Join, new: Callable[..., Cgroup]
) -> None:
    box.create({})
    other = new("other")
    other.create({})
    process = join(other)
    box.add_process(process.pid)
    assert box.pids() == [process.pid]
    assert not other.populated()


def make_below(cgroup: Cgroup, name: str) -> None:
    for directory in set(cgroup.paths().values()):
        Path(directory, name).mkdir()
        if Path(directory, "cpuset.sched_load_balance").exists():
            for file in ("cpuset.cpus", "cpuset.mems"):
                Path(directory, name, file).write_text(Path(directory, file).read_text())


def test_cgroups_below_are_seen_killed_and_removed(box: Cgroup, join: Join) -> None:
    box.create({})
    for name in ("a", "a/b", "c"):
        make_below(box, name)
    processes = [join(box, sub=sub) for sub in ("a/b", "c")]
    assert box.pids(recursive=False) == []
    assert sorted(box.pids()) == sorted(process.pid for process in processes)
    assert box.sub_of(processes[0].pid) == "a/b"
    assert box.sub_of(os.getpid()) == ""
    with pytest.raises(OrlopError, match="not empty"):
        box.verify_unused()
    box.kill()
    box.remove()
    assert not box.exists()
    assert [process.wait(waiting.limit(20)) for process in processes] == [-signal.SIGKILL] * 2


def test_sub_cgroup_by_controller(box: Cgroup) -> None:
    box.create({})
    make_below(box, "sub")
    fds = box.join_fds({"memory": "sub", "": ""})
    try:
        links = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
        below = [link for link in links if os.path.dirname(link).endswith("/sub")]
        assert len(below) == (0 if v2() else 1)
    finally:
        for fd in fds:
            os.close(fd)
    with pytest.raises(OrlopError, match="bad sub cgroup path"):
        box.join_fds("../..")
    with pytest.raises(FileNotFoundError):
        box.join_fds("none")


def test_fork_bomb_is_killed(box: Cgroup, join: Join) -> None:
    box.create({"pids": {"limit": 40}})
    process = join(box, FORK_FOR_EVER)
    box.kill()
    process.wait(waiting.limit(20))
    box.remove()
    assert not box.exists()


def test_fork_bomb_is_killed_without_cgroup_kill(
    box: Cgroup, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.create({"pids": {"limit": 40}})
    process = join(box, FORK_FOR_EVER)
    monkeypatch.setattr("runtime.cgroups.unified.kill", lambda _: False)  # as before Linux 5.14
    box.kill()
    process.wait(waiting.limit(20))
    box.remove()
    assert not box.exists()


def test_freeze_thaw_and_kill_when_frozen(box: Cgroup, join: Join) -> None:
    box.create({})
    process = join(box)
    assert not box.frozen()
    box.freeze()
    assert box.frozen()
    box.thaw()
    assert not box.frozen()
    box.freeze()
    box.kill()
    assert process.wait(waiting.limit(20)) == -signal.SIGKILL
    box.remove()


def test_frozen_cgroup_is_not_taken_over(new: Callable[..., Cgroup]) -> None:
    outer = new("outer")
    outer.create({})
    outer.freeze()
    for name in ("outer", "outer/inner"):
        with pytest.raises(OrlopError, match="unexpectedly frozen"):
            new(name).create({})
    with pytest.raises(OrlopError, match="unexpectedly frozen"):
        outer.verify_unused()
    outer.thaw()
    assert not [d for d in set(outer.paths().values()) if Path(d, "inner").exists()]


def test_foreign_cgroup_is_left_alone(new: Callable[..., Cgroup], join: Join) -> None:
    first, second = new("same"), new("same")
    first.create({})
    process = join(first)
    with pytest.raises(OrlopError, match="not empty"):
        second.create({})
    second.kill()
    second.remove()
    assert process.poll() is None
    assert first.pids() == [process.pid]


def test_existing_cgroup_is_taken_over(new: Callable[..., Cgroup], cgroup: str) -> None:
    new("same").create({"pids": {"limit": 5}})
    again = new("same")
    again.verify_unused()
    again.create({"memory": {"limit": 32 << 20}})
    assert content(again, "pids", "pids.max") == "5"
    again.remove()
    assert [d.name for d in hierarchies.below(cgroup)].count("same") == 0


BAD: list[tuple[LinuxResources, str]] = [
    ({"memory": {"limit": 64 << 20, "swap": 32 << 20}}, "/memory/"),
    ({"cpu": {"quota": 1}}, "/cpu/quota"),
    ({"cpu": {"period": 1}}, "/cpu/period"),
    ({"rdma": {"none": {"hcaHandles": 1}}}, "/rdma/none"),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 4095, "minor": 9, "rate": 1}]}},
        "/blockIO/throttleReadBpsDevice/0",
    ),
]


@pytest.mark.parametrize(("resources", "pointer"), BAD)
def test_failed_create_leaves_nothing(
    box: Cgroup, cgroup: str, resources: LinuxResources, pointer: str
) -> None:
    with pytest.raises(OrlopError) as caught:
        box.create({"pids": {"limit": 5}, **resources})
    assert caught.value.pointer.startswith(f"/linux/resources{pointer}")
    assert hierarchies.below(cgroup) == []
    assert box.mode == "none"
    assert box.join_fds() == []


def test_failed_create_leaves_what_was_there(new: Callable[..., Cgroup], cgroup: str) -> None:
    new("same").create({})
    before = hierarchies.below(cgroup)
    with pytest.raises(OrlopError):
        new("same").create({"cpu": {"quota": 1}})
    assert hierarchies.below(cgroup) == before


def test_remove_takes_the_parents_that_it_made(new: Callable[..., Cgroup], cgroup: str) -> None:
    deep, neighbour = new("a/b/deep"), new("a/neighbour")
    deep.create({})
    neighbour.create({})
    cgroups.load(deep.saved()).remove()
    left = {str(d) for d in hierarchies.below(cgroup)}
    assert left >= set(neighbour.paths().values())
    assert not [d for d in left if d.endswith("/b")]
    cgroups.load(deep.saved()).remove()
    neighbour.remove()
    deep.remove()
    assert hierarchies.below(cgroup) == []


def test_the_last_of_siblings_takes_their_parents(new: Callable[..., Cgroup], cgroup: str) -> None:
    siblings = [new(f"a/b/{name}") for name in ("first", "second", "third")]
    for each in siblings:
        each.create({})
    for each in siblings[:2]:  # the first one made the parents
        cgroups.load(each.saved()).remove()
        assert siblings[2].exists()
    siblings[2].remove()
    assert hierarchies.below(cgroup) == []


def test_a_parent_whose_maker_was_killed_before_it_was_marked_goes_too(
    new: Callable[..., Cgroup], cgroup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, other = new("a/b/killed"), new("a/b/other")
    with monkeypatch.context() as patch:
        patch.setattr("runtime.cgroups.tree._mark", lambda _path: None)
        killed.create({})
    other.create({})
    cgroups.load(killed.saved()).remove()
    other.remove()
    assert hierarchies.below(cgroup) == []


def test_a_parent_that_somebody_else_made_stays(new: Callable[..., Cgroup], cgroup: str) -> None:
    one = new("a/b")
    one.create({})
    (top, *_) = sorted(hierarchies.below(cgroup), key=lambda d: len(d.parts))
    (top / "theirs").mkdir()
    below = new("theirs/c")
    below.create({})
    one.remove()
    below.remove()
    assert hierarchies.below(cgroup) == [top / "theirs", top]


def test_gone_cgroup_has_nothing(box: Cgroup) -> None:
    assert not box.exists()
    assert box.pids() == []
    assert not box.populated()
    assert not box.frozen()
    assert box.oom_kills() == 0
    box.thaw()
    box.kill()
    box.remove()
    with pytest.raises(FileNotFoundError):
        box.join_fds()


def test_remove_tells_who_is_in_the_way(
    box: Cgroup, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cgroups.cgroupfs.REMOVE_SECONDS", 0.05)
    box.create({})
    process = join(box)
    with pytest.raises(OrlopError, match=f"still has processes: {process.pid}"):
        box.remove()
    assert box.exists()
    assert process.poll() is None


def test_remove_waits_for_the_last_process(box: Cgroup, join: Join) -> None:
    box.create({})
    process = join(box)
    process.send_signal(signal.SIGKILL)
    box.remove()
    assert not box.exists()


def test_oom_kills_are_counted(box: Cgroup, join: Join) -> None:
    box.create({"memory": {"limit": 32 << 20, "swap": 32 << 20}})
    assert box.oom_kills() == 0
    process = join(box, FILL_MEMORY)
    assert process.wait(waiting.limit(60)) == -signal.SIGKILL
    assert box.oom_kills() == 1


def test_statistics(box: Cgroup, join: Join) -> None:
    box.create({"memory": {"limit": 64 << 20}, "pids": {"limit": 9}})
    join(box, BURN_TIME)
    stats = box.stats()
    assert stats["pids"] == {"current": 1, "limit": 9}
    memory, cpu = stats["memory"], stats["cpu"]
    assert isinstance(memory, dict)
    assert isinstance(cpu, dict)
    assert memory["limit"] == 64 << 20
    assert 0 < memory["usage"] < 64 << 20
    assert memory["stat"]
    assert cpu["usage_ns"] > 0
    assert cpu["periods"] == 0


def test_coupled_settings_that_never_fit_name_the_first(box: Cgroup) -> None:
    box.create({})
    directory = box.paths().get("cpu", box.paths().get("", ""))
    file = "cpu.max" if v2() else "cpu.cfs_quota_us"
    settings = [
        setting.Setting("cpu", file, "1", "/first", coupled=True),
        setting.Setting("cpu", file, "2", "/second", coupled=True),
        setting.Setting("cpu", file, "20000", "/third", coupled=True),
    ]
    with pytest.raises(OrlopError) as caught:
        setting.write_all(settings, lambda _: directory)
    assert caught.value.pointer == "/first"
    assert Path(directory, file).read_text().split()[0] == "20000"


ROOTLESS = """
import sys
sys.path.insert(0, sys.argv[1])
from runtime import cgroups
from spec.errors import OrlopError
for path, resources in (("", {}), ("", {"pids": {"limit": 3}}), (sys.argv[2], {})):
    cgroup = cgroups.resolve(path, "orlop-rootless-box", rootless=True)
    try:
        cgroup.create(resources)
        print(cgroup.mode, cgroup.join_fds(), cgroups.load(cgroup.saved()).mode)
    except OrlopError as error:
        print(error)
"""


@requires("rootless")
def test_without_permission_there_is_no_cgroup(cgroup: str) -> None:
    command = [sys.executable, "-I", "-c", ROOTLESS, str(ROOT), cgroup]
    done = subprocess.run(
        command, user=NOBODY, check=True, capture_output=True, text=True, timeout=60
    )
    absent, limited, explicit = done.stdout.splitlines()
    assert absent == "none [] none"
    assert limited.startswith("/linux/resources/pids/limit: cannot set pids limit")
    assert explicit.startswith("/linux/cgroupsPath: make cgroup")
    assert "Permission denied" in explicit


CREATE_AND_REMOVE = """
import sys
sys.path.insert(0, sys.argv[1])
from runtime import cgroups
for n in range(int(sys.argv[4])):
    cgroup = cgroups.resolve(f"{sys.argv[2]}/shared/between/{sys.argv[3]}", "box")
    cgroup.create({"pids": {"limit": 3}})
    cgroups.load(cgroup.saved()).remove()
"""


def test_parents_are_shared_by_many_at_once(cgroup: str) -> None:
    rounds = "20" if waiting.SLOWNESS > 1 else "50"
    running = [
        subprocess.Popen(
            [sys.executable, "-I", "-c", CREATE_AND_REMOVE, str(ROOT), cgroup, name, rounds],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c", "d")
    ]
    errors = [process.communicate(timeout=waiting.limit(60))[1] for process in running]
    assert errors == [""] * len(running)
    assert hierarchies.below(cgroup) == []  # who made the parents may have gone first
