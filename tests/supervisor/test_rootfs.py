# SPDX-License-Identifier: Apache-2.0
"""Containers of a rootfs and a short specification: what is said, and what holds by itself."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from native import seccomp
from runtime import capabilities
from supervisor import failure
from supervisor.api import life
from supervisor.creation import SHORT
from supervisor.short_spec import CAPABILITIES
from tests.supervisor.conftest import Refused

if TYPE_CHECKING:
    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def rootfs(bundle: Bundle) -> Path:
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, bundle.rootfs / "bin" / "busybox")
    for name in ("sh", "cat", "id", "ls", "grep", "mount", "stat", "touch", "sleep"):
        (bundle.rootfs / "bin" / name).symlink_to("busybox")
    return bundle.rootfs


def run(client: Client, rootfs: Path, *args: str, **params: Any) -> str:  # noqa: ANN401
    """What a container prints; it is removed."""
    found = client.call(
        "container.run", id="a", rootfs=str(rootfs), args=list(args), attach=True, **params
    )
    out, err, _ = client.output(found["subscription"])
    client.call("container.wait", id="a")
    client.call("container.delete", id="a")
    return (out + err).decode()


def probe(client: Client, rootfs: Path, *words: str, **params: Any) -> str:  # noqa: ANN401
    return run(client, rootfs, "/bin/probe", *words, **params)


def call(name: str, *arguments: object) -> list[str]:
    """The probe's words for a system call."""
    return ["syscall", str(seccomp.syscall_resolve_name(name)), *map(str, arguments)]


# -- what is said


def test_a_program_runs_as_it_is_said(client: Client, rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mounted\n")
    mounts = [
        {"source": str(tmp_path / "mine"), "destination": "/work"},
        {"type": "tmpfs", "source": "tmpfs", "destination": "/tmp"},
    ]
    script = "cat work/file; touch /y 2>&1; id -u; id -g; echo $A; grep -c /tmp /proc/mounts"
    said = run(
        client, rootfs, "sh", "-c", script, cwd="/", env={"A": "b"}, user="5:6", mounts=mounts,
        readonly=True,
    )  # fmt: skip
    assert said == "mounted\ntouch: /y: Read-only file system\n5\n6\nb\n1\n"


def test_a_host_name_and_the_network(client: Client, rootfs: Path) -> None:
    assert probe(client, rootfs, "hostname", hostname="deck") == "deck\n"
    assert probe(client, rootfs, "hostname") == "a\n"
    assert probe(client, rootfs, "netif").split()[::2][:1] == ["lo"]
    assert len(probe(client, rootfs, "netif").splitlines()) == 1
    ours = {
        line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]
    }
    shared = probe(client, rootfs, "netif", network="host").splitlines()
    assert {line.split()[0] for line in shared} == ours


def test_a_terminal_and_hooks_and_annotations(client: Client, rootfs: Path, tmp_path: Path) -> None:
    hook = {"path": "/bin/touch", "args": ["touch", str(tmp_path / "hooked")]}
    said = probe(
        client, rootfs, "tty", terminal=True, consoleSize={"height": 20, "width": 70},
        hooks={"poststop": [hook]}, annotations={"a.b": "c"},
    )  # fmt: skip
    assert "70x20" in said
    assert (tmp_path / "hooked").exists()


def test_limits_are_the_cgroup_s(client: Client, rootfs: Path) -> None:
    limits = {"memory": 64 << 20, "pids": 30, "cpus": 0.5, "cpuShares": 512}
    client.call("container.run", id="a", rootfs=str(rootfs), args=["sleep", "60"], limits=limits)
    found = client.call("container.stats", id="a")
    assert (found["memory"]["limit"], found["pids"]["limit"]) == (64 << 20, 30)


def test_all_of_it_is_in_the_table() -> None:
    assert life._CREATE.keys() >= SHORT | {"rootfs", "bundle"}


def test_the_state_has_annotations_and_the_bundle_goes_with_its_container(
    orlopd: Orlopd, client: Client, rootfs: Path
) -> None:
    state = client.call(
        "container.create", id="a", rootfs=str(rootfs), args=["sleep", "60"], annotations={"x": "y"}
    )
    assert state["annotations"] == {"x": "y"}
    assert client.call("container.state", id="a")["annotations"] == {"x": "y"}
    with open(os.path.join(state["bundle"], "config.json"), encoding="utf-8") as file:
        assert json.load(file)["root"]["path"] == str(rootfs)
    client.call("container.delete", id="a")
    assert list((orlopd.root / "bundles").iterdir()) == []


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"args": None}, "/args"),
        ({"rootfs": "relative"}, "/rootfs"),
        ({"rootfs": "/none"}, "/rootfs"),
        ({"bundle": "/"}, "/bundle"),
        ({"user": "nobody"}, "/user"),
        ({"limits": {"memory": "much"}}, "/limits/memory"),
        ({"limits": {"speed": 1}}, "/limits"),
        ({"limits": {"cpus": 1e300}}, "/limits/cpus"),
        ({"limits": {"pids": 1 << 40}}, "/limits/pids"),
        ({"mounts": [{"source": "/"}]}, "/mounts/0"),
        ({"network": "all"}, "/network"),
        ({"rootfs": None, "args": None, "bundle": "/b", "readonly": True}, "/readonly"),
    ],
)
def test_what_is_wrong_is_named(
    orlopd: Orlopd, client: Client, rootfs: Path, params: dict[str, Any], pointer: str
) -> None:
    given = {"id": "a", "rootfs": str(rootfs), "args": ["true"], **params}
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(Refused) as refused:
        client.call("container.create", **given)
    assert (refused.value.code, refused.value.data["pointer"]) == (failure.INVALID_PARAMS, pointer)
    assert list((orlopd.root / "bundles").iterdir()) == []


# -- what holds when nothing is said

#: Each fails with EPERM by the profile alone: without it, root gets no error, or another one.
REFUSED = [
    call("keyctl", 0, -2, 0), call("add_key", 0, 0, 0, 0, 0), call("request_key", 0, 0, 0, 0),
    call("bpf", 0, 0, 0), call("userfaultfd", 1), call("io_uring_setup", 1, 0),
    call("perf_event_open", 0, 0, -1, -1, 0), call("unshare", 0x10000000),
    call("clone", 0x10000011, 0, 0, 0, 0), call("socket", 38, 5, 0), call("socket", 40, 1, 0),
    call("mount", 0, 0, 0, 0, 0), call("open_tree", -100, 0, 0), call("fsopen", 0, 0),
    call("name_to_handle_at", -100, 0, 0, 0, 0), call("kexec_load", 0, 0, 0, 0),
    call("init_module", 0, 0, 0), call("reboot", 0, 0, 0), call("setns", -1, 0),
    call("personality", 0x0400000), call("swapon", 0, 0), call("quotactl", 0, 0, 0, 0),
]  # fmt: skip


def test_calls_that_attacks_begin_with_are_refused(client: Client, rootfs: Path) -> None:
    words = [word for one in REFUSED for word in (*one, "--")]
    assert probe(client, rootfs, *words).split() == ["EPERM"] * len(REFUSED)
    clone3 = probe(client, rootfs, *call("clone3", 0, 0))
    assert clone3 == "ENOSYS\n"


def test_it_is_the_profile_that_refuses(client: Client, rootfs: Path) -> None:
    calls = [call("keyctl", 0, -2, 0), call("socket", 38, 5, 0), call("mount", 0, 0, 0, 0, 0)]
    words = [word for one in calls for word in (*one, "--")]
    free = probe(
        client, rootfs, *words, seccomp="unconfined", capabilities={"add": ["CAP_SYS_ADMIN"]}
    )
    assert "EPERM" not in free.split()
    added = probe(
        client, rootfs, *call("mount", 0, 0, 0, 0, 0), capabilities={"add": ["CAP_SYS_ADMIN"]}
    )
    assert added == "EFAULT\n"  # the capability brings its calls


def test_capabilities_and_privileges_are_few(client: Client, rootfs: Path) -> None:
    facts = dict(line.split() for line in probe(client, rootfs, "caps").splitlines())
    names = _capability_bits(CAPABILITIES)
    assert int(facts["CapBnd"], 16) == int(facts["CapEff"], 16) == names
    assert (int(facts["CapInh"], 16), int(facts["CapAmb"], 16)) == (0, 0)
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    none = dict(
        line.split()
        for line in probe(client, rootfs, "caps", capabilities={"drop": ["ALL"]}).splitlines()
    )
    assert int(none["CapBnd"], 16) == 0
    user = dict(line.split() for line in probe(client, rootfs, "caps", user="5").splitlines())
    assert int(user["CapEff"], 16) == 0


def _capability_bits(names: list[str]) -> int:
    return capabilities.mask(names, 63)


def test_the_host_is_neither_seen_nor_reached(client: Client, rootfs: Path) -> None:
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    found = probe(client, rootfs, "ns")
    for name in ("pid", "net", "ipc", "uts", "mnt", "cgroup"):
        assert ours[name] not in found
    assert probe(client, rootfs, *call("ptrace", 16, os.getpid(), 0, 0)) == "ESRCH\n"
    assert probe(client, rootfs, *call("kill", os.getpid(), 0)) == "ESRCH\n"


def test_what_the_kernel_tells_is_masked(client: Client, rootfs: Path) -> None:
    script = """
        cat /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug 2>/dev/null
        ls /sys/firmware /proc/scsi /proc/acpi 2>/dev/null
        for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_helper; do
            (echo x > $path) 2>/dev/null && echo wrote $path
        done
        true
    """
    said = run(client, rootfs, "sh", "-c", script)
    assert [line for line in said.splitlines() if line and not line.endswith(":")] == []


def test_devices_of_the_host_can_t_be_made_use_of(client: Client, rootfs: Path) -> None:
    said = probe(client, rootfs, "device", "b", "8", "0")
    assert "read ok" not in said
    assert "write ok" not in said


def test_an_image_s_passwd_leads_nowhere(client: Client, rootfs: Path, tmp_path: Path) -> None:
    """Links stay within the image, and a FIFO holds nobody up."""
    (tmp_path / "passwd").write_text("ada:x:0:0::/:/\n")
    for make in (
        lambda path: path.symlink_to(tmp_path / "passwd"),
        os.mkfifo,
        lambda path: path.symlink_to("/proc/self/root/etc/passwd"),
    ):
        make(rootfs / "etc" / "passwd")
        with pytest.raises(Refused) as refused:
            client.call("container.create", id="a", rootfs=str(rootfs), args=["x"], user="ada")
        assert refused.value.data["pointer"] == "/user"
        (rootfs / "etc" / "passwd").unlink()


def test_a_capability_that_there_is_not_is_refused(client: Client, rootfs: Path) -> None:
    for text in ("CAP_SYS_TIMES", "time", "CAP_", ""):
        with pytest.raises(Refused) as refused:
            probe(client, rootfs, "caps", capabilities={"drop": ["ALL", text]})
        assert refused.value.code == failure.INVALID_PARAMS
        assert refused.value.data["pointer"] == "/capabilities/drop/1"


def test_capabilities_have_short_names_and_all(client: Client, rootfs: Path) -> None:
    changes = {"drop": ["ALL"], "add": ["sys_time", "CAP_KILL"]}
    few = probe(client, rootfs, "caps", capabilities=changes)
    assert f"CapEff {_capability_bits(['CAP_SYS_TIME', 'CAP_KILL']):016x}\n" in few
    missing = ["SYS_BOOT", "SYS_RESOURCE"]  # the latter may be missing here
    most = probe(client, rootfs, "caps", capabilities={"add": ["ALL"], "drop": missing})
    without = _capability_bits([f"CAP_{name}" for name in missing])
    assert f"CapEff {capabilities.ALL & ~without:016x}\n" in most
