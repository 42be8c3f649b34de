# SPDX-License-Identifier: Apache-2.0
"""--systemd-cgroup: containers in transient units, in a guest whose pid 1 is systemd."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import cgroups
from spec import jsontext
from tests.support import hierarchies, leaks, waiting
from tests.support.bundle import Bundle
from tests.support.checkpointing import Trap, restored
from tests.support.container import Container
from tests.support.features import NOBODY, requires
from tests.support.refusal import Refusal
from tests.support.running import started
from tests.support.systemd import SystemdCli, is_known, show, systemctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.cgroups.cgroup import Cgroup

pytestmark = [requires("root", "systemd"), pytest.mark.systemd]

_numbers = itertools.count(1)


@pytest.fixture
def slice_name() -> Iterator[str]:
    """A slice for this test alone; systemd makes it, and would keep it."""
    name = f"orloptest{os.getpid()}x{next(_numbers)}.slice"
    yield name
    systemctl("stop", name)


@pytest.fixture
def cgroup(slice_name: str) -> str:
    """As in conftest: below which all of this test is."""
    return f"/{slice_name}"


@pytest.fixture
def watch(tmp_path: Path, cgroup: str) -> Iterator[leaks.Watch]:
    watch = leaks.Watch(tmp_path, cgroup, parents=False)
    yield watch
    watch.check()


@pytest.fixture
def orlop(tmp_path: Path, watch: leaks.Watch) -> SystemdCli:
    assert not watch.found()
    return SystemdCli(tmp_path)


@pytest.fixture
def make_bundle(tmp_path: Path, cgroup: str, slice_name: str) -> Callable[[], Bundle]:
    count = itertools.count(1)

    def make() -> Bundle:
        n = next(count)
        bundle = Bundle(tmp_path / f"bundle-{n}", cgroup)
        bundle.linux["cgroupsPath"] = f"{slice_name}:test{os.getpid()}:{next(_numbers)}"
        return bundle

    return make


@pytest.fixture
def refusal(orlop: SystemdCli, watch: leaks.Watch, bundle: Bundle) -> Refusal:
    return Refusal(orlop, watch, bundle)


def unit_of(bundle: Bundle) -> str:
    """The unit that the bundle's cgroupsPath asks for."""
    _, prefix, name = bundle.linux["cgroupsPath"].split(":")
    return name if name.endswith(".slice") else f"{prefix}-{name}.scope"


def directory(bundle: Bundle, controller: str = "memory") -> Path:
    """The unit's cgroup, where the controller is."""
    return hierarchies.directory(controller, show(unit_of(bundle), "ControlGroup")["ControlGroup"])


def loaded(container: Container) -> Cgroup:
    """The cgroup of a container, from its record."""
    record = jsontext.loads((container.cli.root / container.id / "state.json").read_text())
    assert isinstance(record, dict)
    return cgroups.load(record["cgroup"])


def test_a_container_is_a_scope(
    orlop: SystemdCli, container: Container, bundle: Bundle, slice_name: str
) -> None:
    started(container)
    unit = unit_of(bundle)
    names = ("ActiveState", "Slice", "Transient", "Delegate", "CollectMode", "DefaultDependencies")
    assert show(unit, *names) == {
        "ActiveState": "active",
        "Slice": slice_name,
        "Transient": "yes",
        "Delegate": "yes",
        "CollectMode": "inactive-or-failed",
        "DefaultDependencies": "no",
    }
    assert hierarchies.processes(f"/{slice_name}/{unit}") == {container.pid}
    assert container.id in show(unit, "Description")["Description"]
    # exec knows the driver from the state: engines don't repeat the flag
    orlop.driver = False
    result = container.exec("cat", "/proc/self/cgroup")
    assert {line.split(":", 2)[2] for line in result.stdout.splitlines()} == {"/"}
    container.kill()
    container.wait()
    container.delete()
    assert not is_known(unit)


@requires("criu-works")
@pytest.mark.parametrize("mode", ["soft", "full", "ignore"])
def test_a_restored_container_is_a_scope_again(
    container: Container, bundle: Bundle, tmp_path: Path, mode: str
) -> None:
    bundle.resources["pids"] = {"limit": 20}
    trap = Trap(container)
    os.close(trap.output)
    options = ("--manage-cgroups-mode", mode)
    images = tmp_path / "images"
    container.cli("checkpoint", *options, "--image-path", images, container.id)
    assert not is_known(unit_of(bundle))
    with restored(container, str(images), *options) as output:
        found = show(unit_of(bundle), "ActiveState", "TasksMax")
        assert found == {"ActiveState": "active", "TasksMax": "20"}
        assert (directory(bundle, "pids") / "pids.max").read_text() == "20\n"
        assert trap.goes_on(output)  # and ends
        container.wait()
        container.delete()
    assert not is_known(unit_of(bundle))


LIMITS = {
    "memory": {"limit": 64 << 20, "reservation": 32 << 20},
    "cpu": {"shares": 1024, "quota": 25000, "period": 50000},
    "pids": {"limit": 20},
}
V2_PROPERTIES = {
    "MemoryMax": str(64 << 20),
    "MemoryLow": str(32 << 20),
    "CPUWeight": "100",
    "CPUQuotaPerSecUSec": "500ms",
    "CPUQuotaPeriodUSec": "50ms",
    "TasksMax": "20",
}
V2_FILES = {
    "memory.max": str(64 << 20),
    "memory.low": str(32 << 20),
    "cpu.weight": "100",
    "cpu.max": "25000 50000",
    "pids.max": "20",
}


@requires("cgroup2")
def test_limits_are_in_the_unit_and_in_the_files(container: Container, bundle: Bundle) -> None:
    bundle.resources.update(LIMITS)
    container.create()
    assert show(unit_of(bundle), *V2_PROPERTIES) == V2_PROPERTIES
    found = directory(bundle)
    assert {name: (found / name).read_text().strip() for name in V2_FILES} == V2_FILES


@requires("cgroup2")
def test_processors(container: Container, bundle: Bundle) -> None:
    controllers = (hierarchies.mountpoints()["v2"] / "cgroup.controllers").read_text().split()
    bundle.resources["cpu"] = {"cpus": "0", "mems": "0"}
    if "cpuset" not in controllers:
        assert container.create(check=False).returncode == 1
        assert not is_known(unit_of(bundle))
        return
    container.create()
    expected = {"AllowedCPUs": "0", "AllowedMemoryNodes": "0"}
    assert show(unit_of(bundle), *expected) == expected
    assert (directory(bundle) / "cpuset.cpus").read_text() == "0\n"
    loaded(container).apply({"pids": {"limit": 3}})
    assert show(unit_of(bundle), *expected) == expected
    assert (directory(bundle) / "cpuset.cpus").read_text() == "0\n"


@requires("cgroup2", "runc")
def test_limits_are_runcs(container: Container, make_bundle: Callable[[], Bundle]) -> None:
    """But for the weight, whose formula was another in runc 1.1."""
    bundles = [container.bundle, make_bundle()]
    for bundle in bundles:
        bundle.resources.update(LIMITS)
        bundle.args("sleep")
        bundle.write()
    container.create()
    theirs = container.cli.directory / "runc"
    name = f"runc-{os.getpid()}"
    runc = ["runc", "--root", str(theirs), "--systemd-cgroup"]
    command = [*runc, "create", "--bundle", str(bundles[1].path), name]
    try:
        with (container.cli.directory / "runc.out").open("w") as out:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        names = sorted({*V2_PROPERTIES, "Slice", "Delegate", "DefaultDependencies"} - {"CPUWeight"})
        names += ["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"]
        ours, runcs = (show(unit_of(bundle), *names) for bundle in bundles)
        assert ours == runcs
        files = sorted(V2_FILES.keys() - {"cpu.weight"})
        ours, runcs = (
            {
                file: (directory(bundle) / file).read_text()
                for file in (*files, "cgroup.controllers")
            }
            for bundle in bundles
        )
        assert ours == runcs
    finally:
        subprocess.run([*runc, "delete", "--force", name], check=True)


def test_a_container_starts_under_little_memory(container: Container, bundle: Bundle) -> None:
    bundle.resources["memory"] = {"limit": 512 << 10}
    bundle.args("true")
    assert container.run().returncode == 0


@requires("cgroup2")
def test_update(container: Container, bundle: Bundle) -> None:
    bundle.resources.update(LIMITS)
    # 33.3 percent: systemd knows 34; and it knows no burst
    bundle.resources["cpu"] = {"quota": 33300, "period": 100000, "burst": 1000}
    container.create()
    cgroup = loaded(container)
    cgroup.apply({"memory": {"limit": 96 << 20}, "pids": {"limit": 30}})
    found = directory(bundle)
    properties = show(unit_of(bundle), "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert properties == {
        "MemoryMax": str(96 << 20),
        "TasksMax": "30",
        "CPUQuotaPerSecUSec": "340ms",
    }
    files = ("memory.max", "pids.max", "cpu.max", "cpu.max.burst", "memory.low")
    assert {name: (found / name).read_text().strip() for name in files} == {
        "memory.max": str(96 << 20),
        "pids.max": "30",
        "cpu.max": "33300 100000",
        "cpu.max.burst": "1000",
        "memory.low": str(32 << 20),
    }
    cgroup.apply({"cpu": {"quota": 50000}})
    assert (found / "cpu.max").read_text() == "50000 100000\n"
    assert show(unit_of(bundle), "CPUQuotaPerSecUSec") == {"CPUQuotaPerSecUSec": "500ms"}


@requires("cgroup1")
def test_limits_and_devices_on_v1(container: Container, bundle: Bundle) -> None:
    """systemd owns the list of devices there, and writes it whenever it touches the unit."""
    bundle.resources.update(LIMITS)
    bundle.resources["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "minor": 7, "access": "r"},  # which systemd can't express
    ]
    container.create()
    assert show(unit_of(bundle), "MemoryLimit", "CPUShares", "TasksMax", "DevicePolicy") == {
        "MemoryLimit": str(64 << 20),
        "CPUShares": "1024",
        "TasksMax": "20",
        "DevicePolicy": "strict",
    }
    cpu = directory(bundle, "cpu")
    assert (cpu / "cpu.cfs_quota_us").read_text() == "25000\n"
    devices = directory(bundle, "devices") / "devices.list"
    before = set(devices.read_text().splitlines())
    assert "c *:7 r" in before
    assert "c 1:3 rwm" in before

    loaded(container).apply({"memory": {"limit": 96 << 20}, "pids": {"limit": 30}})
    assert show(unit_of(bundle), "MemoryLimit", "TasksMax") == {
        "MemoryLimit": str(96 << 20),
        "TasksMax": "30",
    }
    assert (cpu / "cpu.cfs_quota_us").read_text() == "25000\n"
    assert (directory(bundle) / "memory.limit_in_bytes").read_text() == f"{96 << 20}\n"
    assert set(devices.read_text().splitlines()) == before

    systemctl("daemon-reload")
    after = set(devices.read_text().splitlines())
    assert after <= before
    assert "c 1:3 rwm" in after
    assert container.status == "created"


def test_limits_outlive_a_reload(container: Container, bundle: Bundle) -> None:
    bundle.resources.update(LIMITS)
    container.create()
    file = "memory.max" if hierarchies.mode() == "v2" else "memory.limit_in_bytes"
    systemctl("daemon-reload")
    assert (directory(bundle) / file).read_text() == f"{64 << 20}\n"


def test_the_name_is_free_at_once(container: Container, bundle: Bundle) -> None:
    for _ in range(5):
        container.run()
        assert not directory(bundle).joinpath("cgroup.procs").exists() or not is_known(
            unit_of(bundle)
        )


def test_a_scope_that_ended_by_itself(container: Container, bundle: Bundle) -> None:
    started(container)
    container.kill()
    container.wait()
    container.delete()
    assert not is_known(unit_of(bundle))


def test_failure_is_undone(refusal: Refusal, bundle: Bundle) -> None:
    bundle.process["args"] = ["/no/such/program"]
    assert "executable file not found" in refusal.create()
    assert not is_known(unit_of(bundle))


def test_failure_of_a_limit_is_undone(refusal: Refusal, bundle: Bundle) -> None:
    bundle.resources["hugepageLimits"] = [{"pageSize": "3MB", "limit": 1}]
    refusal.create()
    assert refusal.entry["pointer"].startswith("/linux/resources/hugepageLimits/0")
    assert not is_known(unit_of(bundle))


@pytest.fixture
def neighbour(bundle: Bundle, slice_name: str) -> Iterator[int]:
    """A process that is not ours, in the scope that the bundle asks for."""
    command = ["systemd-run", "--scope", f"--unit={unit_of(bundle)}", f"--slice={slice_name}"]
    process = subprocess.Popen(
        [*command, "cat"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert "Running scope" in process.stderr.readline()
    yield process.pid
    process.communicate(timeout=waiting.limit(20))


def test_anothers_scope_is_left_alone(refusal: Refusal, bundle: Bundle, neighbour: int) -> None:
    assert "is not empty" in refusal.create()
    assert refusal.entry["pointer"] == "/linux/cgroupsPath"
    os.kill(neighbour, 0)
    assert show(unit_of(bundle), "ActiveState") == {"ActiveState": "active"}


def test_a_race_for_a_scope_kills_nobody(bundle: Bundle, neighbour: int) -> None:
    """As if it had been made after we had looked."""
    cgroup = cgroups.resolve(bundle.linux["cgroupsPath"], "box", driver="systemd")
    cgroup.create({})
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        with pytest.raises(Exception, match="already loaded") as caught:
            cgroup.adopt(process.pid)
        assert "another container" in str(getattr(caught.value, "hint", ""))
        cgroup.kill()
        cgroup.remove()
        os.kill(neighbour, 0)
    finally:
        process.communicate(timeout=waiting.limit(20))


@pytest.mark.parametrize("cgroups_path", ["/a/b", "a.slice:b", "a b.slice:p:n"])
def test_another_form_is_refused(refusal: Refusal, bundle: Bundle, cgroups_path: str) -> None:
    bundle.linux["cgroupsPath"] = cgroups_path
    refusal.create()
    assert refusal.entry["pointer"] == "/linux/cgroupsPath"


@requires("cgroup2")
def test_a_frozen_slice_is_refused(refusal: Refusal, cgroup: str, slice_name: str) -> None:
    systemctl("start", slice_name)
    frozen = hierarchies.directory("", cgroup) / "cgroup.freeze"
    frozen.write_text("1")
    try:
        assert f"{slice_name} is frozen" in refusal.create()
    finally:
        frozen.write_text("0")


def test_freeze_and_thaw(container: Container) -> None:
    started(container)
    cgroup = loaded(container)
    cgroup.freeze()
    assert container.status == "paused"
    cgroup.thaw()
    assert container.status == "running"


def test_a_slice_of_its_own(container: Container, bundle: Bundle, slice_name: str) -> None:
    inner = slice_name.replace(".slice", "-inner.slice")
    bundle.linux["cgroupsPath"] = f"::{inner}"
    bundle.resources.update(LIMITS)
    started(container)
    assert show(inner, "ActiveState", "TasksMax") == {"ActiveState": "active", "TasksMax": "20"}
    assert hierarchies.processes(f"/{slice_name}/{inner}") == {container.pid}
    container.delete("--force")
    assert show(inner, "ActiveState") == {"ActiveState": "inactive"}
    assert hierarchies.below(f"/{slice_name}/{inner}") == []


def test_a_second_stage_takes_its_cgroup_along(
    container: Container,
    make_bundle: Callable[[], Bundle],
    make_container: Callable[[Bundle], Container],
) -> None:
    first = started(container)
    bundle = make_bundle()
    for namespace in bundle.linux["namespaces"]:
        if namespace["type"] == "pid":
            namespace["path"] = f"/proc/{first.pid}/ns/pid"
    second = started(make_container(bundle))
    procs = (directory(bundle) / "cgroup.procs").read_text().split()
    assert procs == [str(second.pid)]


def test_default_is_a_scope_of_the_system(orlop: SystemdCli, bundle: Bundle) -> None:
    del bundle.linux["cgroupsPath"]
    container = Container(orlop, bundle, "default")
    try:
        started(container)
        unit = f"orlop-{container.id}.scope"
        assert show(unit, "Slice") == {"Slice": "system.slice"}
        assert show(unit, "ActiveState") == {"ActiveState": "active"}
    finally:
        container.close()
    assert not is_known(unit)


PROPERTY = "org.systemd.property."


def test_annotations_count_only_where_they_are_allowed(
    orlop: SystemdCli, bundle: Bundle, make_container: Callable[[Bundle], Container]
) -> None:
    bundle.spec["annotations"] = {
        f"{PROPERTY}TimeoutStopSec": "7",
        f"{PROPERTY}Description": "'from an annotation'",
    }
    names = ("TimeoutStopUSec", "Description")
    found = []
    for allowed in ([], [f"{PROPERTY}Timeout"], [PROPERTY]):
        orlop.flags = [f"--allow-annotation={prefix}" for prefix in allowed]
        container = started(make_container(bundle))
        found.append(show(unit_of(bundle), *names))
        container.delete("--force")
    assert found[0]["TimeoutStopUSec"] != "7s"
    assert found[1]["TimeoutStopUSec"] == "7s"
    assert found[1]["Description"] != "from an annotation"
    assert found[2] == {"TimeoutStopUSec": "7s", "Description": "from an annotation"}


@pytest.mark.parametrize(
    ("name", "value"), [("NoSuchThing", "1"), ("TasksMax", "'x'"), ("TasksMax", "not a value")]
)
def test_bad_annotations(
    refusal: Refusal, orlop: SystemdCli, bundle: Bundle, name: str, value: str
) -> None:
    bundle.spec["annotations"] = {f"{PROPERTY}{name}": value}
    orlop.flags = ["--allow-annotation", PROPERTY]
    refusal.create()
    pointers = (f"/annotations/{PROPERTY}{name}", "/linux/cgroupsPath")
    assert refusal.entry["pointer"] in pointers
    assert not is_known(unit_of(bundle))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Container]:
    """A container of nobody's, who has a systemd of its own; the tests' own cgroup is elsewhere."""
    systemctl("start", f"user@{NOBODY}.service")
    folder = Path(tempfile.mkdtemp(prefix="orlop-session-"))
    os.chown(folder, NOBODY, NOBODY)
    cli = SystemdCli(folder, NOBODY)
    bundle = Bundle(folder / "bundle", "", NOBODY)
    container = Container(cli, bundle, "session")
    try:
        yield container
    finally:
        container.close()
        left = leaks.processes(folder, str(tmp_path))
        shutil.rmtree(folder)
        systemctl("stop", f"user@{NOBODY}.service")
    assert not left


@requires("cgroup2", "rootless")
def test_a_users_own_systemd(session: Container) -> None:
    session.bundle.resources.update({"memory": {"limit": 64 << 20}, "pids": {"limit": 20}})
    started(session)
    unit = f"orlop-{session.id}.scope"
    found = show(unit, "Slice", "MemoryMax", "TasksMax", "ControlGroup", user=NOBODY)
    group = found.pop("ControlGroup")
    assert found == {"Slice": "user.slice", "MemoryMax": str(64 << 20), "TasksMax": "20"}
    base = f"/user.slice/user-{NOBODY}.slice/user@{NOBODY}.service"
    assert group == f"{base}/user.slice/{unit}"
    assert (hierarchies.directory("memory", group) / "memory.max").read_text() == f"{64 << 20}\n"
    # from outside of the user's tree, only systemd may move a process into it
    result = session.exec("cat", "/proc/self/cgroup")
    assert result.stdout == "0::/\n"
    session.delete("--force")
    assert not is_known(unit, user=NOBODY)
