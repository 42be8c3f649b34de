# SPDX-License-Identifier: Apache-2.0
"""`orlop check` says what a start would: the same verdict, about the same property."""

from __future__ import annotations

import json
import os
import resource
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container
    from tests.support.leaks import Watch

    Change = Callable[[Bundle], object]

pytestmark = requires("root")


def mount(**members: Any) -> Change:  # noqa: ANN401 - JSON
    return lambda b: b.spec["mounts"].append({"destination": "/work", **members})


def process(**members: Any) -> Change:  # noqa: ANN401
    return lambda b: b.process.update(members)


def linux(**members: Any) -> Change:  # noqa: ANN401
    return lambda b: b.linux.update(members)


def namespace(kind: str, path: str) -> Change:
    def change(bundle: Bundle) -> None:
        bundle.drop_namespace(kind)
        bundle.linux["namespaces"].append({"type": kind, "path": path})

    return change


def hook(path: str) -> Change:
    return lambda b: b.spec.update(hooks={"createRuntime": [{"path": path}]})


def limit(name: str, hard: int) -> Change:
    return process(rlimits=[{"type": name, "soft": 64, "hard": hard}])


def script(text: str, mode: int = 0o755) -> Change:
    def change(bundle: Bundle) -> None:
        (bundle.rootfs / "bin/script").write_text(text)
        (bundle.rootfs / "bin/script").chmod(mode)
        bundle.process["args"] = ["/bin/script"]

    return change


def link(target: str) -> Change:
    def change(bundle: Bundle) -> None:
        (bundle.rootfs / "bin/link").symlink_to(target)
        bundle.process["args"] = ["/bin/link"]

    return change


def seccomp(**members: Any) -> Change:  # noqa: ANN401
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", **members})


def nothing(_: Bundle) -> None:
    """The bundle as it is."""


OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
#: name -> (change of the bundle, where the problem is; "" for none)
TABLE: dict[str, tuple[Change, str]] = {
    "as it is": (nothing, ""),
    "schema": (process(cwd=1), "/process/cwd"),
    "rule": (process(cwd="work"), "/process/cwd"),
    "no rootfs": (lambda b: b.spec["root"].update(path="gone"), "/root/path"),
    "null as engines write it": (lambda b: b.spec.update(hooks=None), ""),
    "bind": (mount(type="bind", source="/tmp", options=["rbind", "ro"]), ""),
    "bind of nothing": (mount(type="bind", source="/no/such", options=["bind"]), "/mounts"),
    "bind below a file": (mount(type="bind", source="/etc/passwd/x", options=["bind"]), "/mounts"),
    "option of a file system on a bind": (
        mount(type="bind", source="/tmp", options=["bind", "size=1"]),
        "/mounts",
    ),
    "file system": (mount(type="tmpfs", source="tmpfs", options=["size=1m"]), ""),
    "unknown file system": (mount(type="nosuchfs", source="x"), "/mounts"),
    "network namespace": (namespace("network", "/proc/self/ns/net"), ""),
    "namespace that is gone": (namespace("network", "/no/such"), "/linux/namespaces"),
    "namespace of another kind": (namespace("network", "/proc/self/ns/uts"), "/linux/namespaces"),
    "namespace that is a file": (namespace("network", "/etc/passwd"), "/linux/namespaces"),
    "hook": (hook("/bin/true"), ""),
    "hook that is gone": (hook("/no/such"), "/hooks/createRuntime/0"),
    "hook that is no program": (hook("/etc/passwd"), "/hooks/createRuntime/0"),
    "hook that is a directory": (hook("/etc"), "/hooks/createRuntime/0"),
    "resource limit": (limit("RLIMIT_NOFILE", OPEN_FILES), ""),
    "more files than the kernel has": (limit("RLIMIT_NOFILE", 1 << 40), "/process/rlimits/0"),
    "sysctl": (linux(sysctl={"net.ipv4.ip_forward": "1"}), ""),
    "unknown sysctl": (linux(sysctl={"net.ipv4.no_such_thing": "1"}), "/linux/sysctl"),
    "device": (
        linux(devices=[{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]),
        "",
    ),
    "network device that is gone": (linux(netDevices={"nosuch0": {}}), "/linux/netDevices"),
    "program that is gone": (process(args=["/bin/gone"]), "/process/args"),
    "program not on PATH": (process(args=["gone"], env=["PATH=/bin"]), "/process/args"),
    "program on PATH": (process(args=["probe", "true"], env=["PATH=/sbin:/bin"]), ""),
    "program that is a directory": (process(args=["/bin"]), "/process/args"),
    "program without an x bit": (script("#!/bin/probe", 0o644), "/process/args"),
    "script": (script("#!/bin/probe true\n"), ""),
    "script whose interpreter is gone": (script("#!/bin/gone\n"), "/process/args"),
    "link inside": (link("probe"), ""),
    "absolute link": (link("/bin/probe"), ""),
    "link out of the rootfs": (link("../../../../../../../bin/true"), "/process/args"),
    "link to the host's own": (link("/usr/bin/env"), "/process/args"),
    "link to itself": (link("link"), "/process/args"),
    "link through a descriptor": (link("/proc/self/root/bin/true"), "/process/args"),
    "seccomp": (seccomp(syscalls=[{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}]), ""),
    "seccomp's unknown action": (seccomp(defaultAction="SCMP_ACT_NONE"), "/linux/seccomp"),
    "notify without a listener": (
        seccomp(syscalls=[{"names": ["chroot"], "action": "SCMP_ACT_NOTIFY"}]),
        "/linux/seccomp",
    ),
    "AppArmor": (process(apparmorProfile="no-such-profile"), "/process/apparmorProfile"),
    "SELinux": (process(selinuxLabel="no:such:label:s0"), "/process/selinuxLabel"),
    "resctrl": (linux(intelRdt={"closID": "orlop"}), "/linux/intelRdt"),
    "limits": (lambda b: b.resources.update(pids={"limit": 20}), ""),
    "a processor that is not there": (
        lambda b: b.resources.update(cpu={"cpus": "4000"}),
        "/linux/resources",
    ),
    "huge pages that are not there": (
        lambda b: b.resources.update(hugepageLimits=[{"pageSize": "3MB", "limit": 1}]),
        "/linux/resources",
    ),
    "oom score": (process(oomScoreAdj=100), ""),
}


def verdict(orlop: Cli, bundle: Bundle, *flags: str) -> dict[str, Any]:
    """What check prints, and its status agrees with."""
    bundle.write()
    result = orlop("check", "--format", "json", *flags, bundle.path, check=False)
    assert result.stderr == ""
    shown: dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == (0 if shown["ok"] else 1)
    return shown


@pytest.mark.parametrize("name", TABLE)
def test_it_agrees_with_reality(
    orlop: Cli, container: Container, bundle: Bundle, name: str
) -> None:
    change, pointer = TABLE[name]
    change(bundle)
    shown = verdict(orlop, bundle)
    ran = container.run(check=False)
    assert shown["ok"] == (ran.returncode == 0), (shown, ran)
    assert shown["ok"] == (not pointer), (shown, ran.stderr)
    if pointer:
        assert [p for p in shown["problems"] if p["pointer"].startswith(pointer)] != [], shown
        assert pointer in ran.stderr


def test_all_problems_at_once(orlop: Cli, bundle: Bundle) -> None:
    for name in ("bind of nothing", "hook that is gone", "unknown sysctl", "program that is gone"):
        TABLE[name][0](bundle)
    mount(type="bind", source="/tmp", options=["bind", "size=1"])(bundle)
    mount(type="tmpfs", options=["copy-symlink"])(bundle)
    count = len(bundle.spec["mounts"])
    assert [p["pointer"] for p in verdict(orlop, bundle)["problems"]] == [
        f"/mounts/{count - 2}/options/1",
        f"/mounts/{count - 1}/options/0",
        "/process/args/0",
        "/linux/sysctl/net.ipv4.no_such_thing",
        f"/mounts/{count - 3}/source",
        "/hooks/createRuntime/0/path",
    ]


def test_what_breaks_a_rule_does_not_hide_what_is_missing(orlop: Cli, bundle: Bundle) -> None:
    for name in ("rule", "bind of nothing", "hook that is gone"):
        TABLE[name][0](bundle)
    source = f"/mounts/{len(bundle.spec['mounts']) - 1}/source"
    found = [problem["pointer"] for problem in verdict(orlop, bundle)["problems"]]
    assert found == ["/process/cwd", source, "/hooks/createRuntime/0/path"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"root": {"path": "a\\u0000"}}', ""])
def test_any_text_is_answered(orlop: Cli, bundle: Bundle, text: str) -> None:
    bundle.write()
    (bundle.path / "config.json").write_text(text)
    result = orlop("check", "--format", "json", bundle.path, check=False)
    assert (result.returncode, result.stderr) == (1, "")
    assert json.loads(result.stdout)["problems"] != []


def test_what_the_standard_is_against_is_a_warning_and_with_strict_a_problem(
    orlop: Cli, bundle: Bundle
) -> None:
    bundle.spec["hooks"] = None
    shown = verdict(orlop, bundle)
    assert (shown["ok"], shown["problems"]) == (True, [])
    assert [warning["pointer"] for warning in shown["warnings"]] == ["/hooks"]
    assert verdict(orlop, bundle, "--strict")["ok"] is False


def test_a_mount_may_bring_the_program(orlop: Cli, container: Container, bundle: Bundle) -> None:
    mount(type="bind", source=str(bundle.rootfs / "bin"), options=["bind"])(bundle)
    bundle.process["args"] = ["/work/probe", "true"]
    assert verdict(orlop, bundle)["problems"] == []
    container.run()


def test_nothing_is_changed(orlop: Cli, bundle: Bundle, watch: Watch) -> None:
    bundle.resources["pids"] = {"limit": 5}
    seccomp(syscalls=[{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}])(bundle)
    bundle.write()
    before = {path: path.lstat().st_mtime_ns for path in bundle.path.rglob("*")}
    orlop("check", bundle.path)
    assert {path: path.lstat().st_mtime_ns for path in bundle.path.rglob("*")} == before
    assert watch.found() == []
    assert not orlop.root.exists()


def test_a_fifo_holds_nobody_up(orlop: Cli, bundle: Bundle, tmp_path: Path) -> None:
    os.mkfifo(bundle.rootfs / "bin/fifo")
    os.mkfifo(tmp_path / "fifo")
    bundle.process["args"] = ["/bin/fifo"]
    namespace("network", str(tmp_path / "fifo"))(bundle)
    pointers = [problem["pointer"] for problem in verdict(orlop, bundle)["problems"]]
    assert pointers[0] == "/process/args/0"
    assert pointers[1].startswith("/linux/namespaces/")


def test_text_has_a_line_for_each(orlop: Cli, bundle: Bundle) -> None:
    TABLE["hook that is gone"][0](bundle)
    bundle.spec["process"]["user"]["additionalGids"] = None
    bundle.write()
    result = orlop("check", bundle.path, check=False)
    assert (result.returncode, result.stderr) == (1, "")
    first, second = result.stdout.splitlines()
    assert first == "/hooks/createRuntime/0/path: /no/such: no such file or directory"
    assert second.startswith("warning: /process/user/additionalGids: found null")


@requires("rootless")
def test_a_user_who_is_not_root(rootless: Container) -> None:
    bundle = rootless.bundle
    assert verdict(rootless.cli, bundle)["problems"] == []
    rootless.run()
    bundle.drop_namespace("user")
    for key in ("uidMappings", "gidMappings"):
        del bundle.linux[key]
    shown = verdict(rootless.cli, bundle)
    assert "/linux/namespaces" in [problem["pointer"] for problem in shown["problems"]]
    assert rootless.run(check=False).returncode == 1
