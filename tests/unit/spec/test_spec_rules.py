# SPDX-License-Identifier: Apache-2.0
"""Every rule finds what it is for, says where, and lets the nearest good case pass."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from spec.rules import config as rules
from spec.rules import document, process
from spec.rules.sysctl import dotted
from spec.template import default_spec

if TYPE_CHECKING:
    from spec.types import Spec

MAP = {"containerID": 0, "hostID": 1000, "size": 10}
MAPS = {"uidMappings": [MAP], "gidMappings": [MAP]}


def namespaces(*kinds: str, **joined: str) -> list[dict[str, str]]:
    return [{"type": kind} for kind in kinds] + [
        {"type": kind, "path": path} for kind, path in joined.items()
    ]


def config(**members: object) -> dict[str, Any]:
    """The smallest spec with these members."""
    return {"ociVersion": "1.3.0", "root": {"path": "rootfs"}, **members}


def linux(*kinds: str, **members: object) -> dict[str, Any]:
    return config(linux={"namespaces": namespaces(*kinds), **members})


def program(**members: object) -> dict[str, Any]:
    return config(process={"cwd": "/", "args": ["sh"], **members})


def resources(**members: object) -> dict[str, Any]:
    return linux(resources=members)


def seccomp(*syscalls: object, **members: object) -> dict[str, Any]:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(syscalls), **members}
    return linux(seccomp=profile)


def syscall(action: str = "SCMP_ACT_ERRNO", *names: str, **members: object) -> dict[str, object]:
    return {"names": list(names or ("mount",)), "action": action, **members}


def mount(*options: str, **members: object) -> dict[str, Any]:
    entry = {"destination": "/data", "source": "/srv", "options": list(options), **members}
    return linux("mount", "user", mounts=[], **MAPS) | {"mounts": [entry]}


def without_user(spec: dict[str, Any]) -> dict[str, Any]:
    return spec | {"linux": {"namespaces": namespaces("mount")}}


def texts(spec: dict[str, Any]) -> list[str]:
    value: Spec = spec  # type: ignore[assignment]
    return [str(violation) for violation in rules.violations(value)]


def pointers(spec: dict[str, Any]) -> list[str]:
    value: Spec = spec  # type: ignore[assignment]
    return [violation.pointer for violation in rules.violations(value)]


def rlimit(kind: str, soft: int = 1, hard: int = 1) -> dict[str, object]:
    return {"type": kind, "soft": soft, "hard": hard}


def scheduler(policy: str, **members: int) -> dict[str, Any]:
    return program(scheduler={"policy": policy, **members})


def mapping(container: int, host: int, size: int) -> dict[str, int]:
    return {"containerID": container, "hostID": host, "size": size}


def mapped(*mappings: dict[str, int]) -> dict[str, Any]:
    return linux("user", uidMappings=list(mappings), gidMappings=[MAP])


BAD: list[tuple[str, dict[str, Any]]] = [
    ("/ociVersion", config() | {"ociVersion": "2.0.0"}),
    ("/ociVersion", config() | {"ociVersion": "0.9.0"}),
    ("/ociVersion", config() | {"ociVersion": "1.0"}),
    ("/ociVersion", config() | {"ociVersion": "1.00.0"}),
    ("/ociVersion", config() | {"ociVersion": "1.0.0-"}),
    ("/ociVersion", config() | {"ociVersion": "1.0.0-rc.01"}),
    ("/ociVersion", config() | {"ociVersion": "1.0.0+a_b"}),
    ("/ociVersion", config() | {"ociVersion": "1.0.\u0663"}),
    ("/ociVersion", config() | {"ociVersion": "1.0." + "9" * 5000}),
    ("/root/path", config(root={"path": ""})),
    ("/hostname", config(hostname="box")),
    ("/domainname", config(domainname="example.org")),
    ("/hostname", linux("uts") | {"hostname": "x" * 65}),
    ("/annotations", config(annotations={"": "x"})),
    ("/hooks/poststop/1/path", config(hooks={"poststop": [{"path": "/a"}, {"path": "b"}]})),
    # mounts
    ("/mounts/0/destination", mount("ro", destination="")),
    ("/mounts/0", mount("rbind", source="")),
    ("/mounts/0", mount("bind", uidMappings=[MAP])),
    ("/mounts/0", mount("bind", gidMappings=[MAP])),
    (
        "/mounts/0/uidMappings/0/size",
        mount("bind", uidMappings=[MAP | {"size": 0}], gidMappings=[MAP]),
    ),
    ("/mounts/0", mount("ro", **MAPS)),
    ("/mounts/0", mount("idmap")),
    ("/mounts/0", without_user(mount("bind", "ridmap"))),
    ("/mounts", config(mounts=[{"destination": "/proc", "type": "proc"}])),
    ("/linux/maskedPaths", linux("pid", maskedPaths=["/proc/kcore"])),
    ("/linux/readonlyPaths", linux("pid", readonlyPaths=["/proc/sys"])),
    ("/linux/devices", linux(devices=[{"path": "/dev/x", "type": "p"}])),
    ("/linux/maskedPaths/1", linux("mount", maskedPaths=["/proc/kcore", "proc"])),
    ("/linux/readonlyPaths/0", linux("mount", readonlyPaths=[""])),
    # namespaces
    ("/linux/namespaces/2/type", linux("pid", "mount", "pid")),
    ("/linux/namespaces/0/path", config(linux={"namespaces": namespaces(network="run/netns/a")})),
    ("/linux/uidMappings", linux("pid", uidMappings=[MAP])),
    ("/linux", linux("user", gidMappings=[MAP])),
    ("/linux/uidMappings/1/hostID", mapped(mapping(0, 1000, 10), mapping(10, 1009, 1))),
    ("/linux/uidMappings/1/containerID", mapped(mapping(5, 2000, 10), mapping(0, 1000, 6))),
    ("/linux/uidMappings/0", mapped(mapping(0, 2**32 - 5, 5))),
    ("/linux/uidMappings/1/size", mapped(mapping(0, 1000, 1), mapping(1, 1, 0))),
    ("/linux/uidMappings", mapped(*(mapping(i, i, 1) for i in range(341)))),
    ("/linux/timeOffsets", linux("pid", timeOffsets={"monotonic": {"secs": 1}})),
    (
        "/linux/timeOffsets",
        config(
            linux={
                "namespaces": namespaces(time="/proc/1/ns/time"),
                "timeOffsets": {"boottime": {"secs": 1}},
            }
        ),
    ),
    (
        "/linux/timeOffsets/boottime/nanosecs",
        linux("time", timeOffsets={"boottime": {"nanosecs": 10**9}}),
    ),
    ("/linux/netDevices", linux("pid", netDevices={"eth0": {}})),
    ("/linux/netDevices/a~1b", linux("network", netDevices={"a/b": {"name": "eth0"}})),
    ("/linux/netDevices/eth0/name", linux("network", netDevices={"eth0": {"name": "x" * 16}})),
    ("/linux/netDevices/eth0/name", linux("network", netDevices={"eth0": {"name": "a b"}})),
    ("/linux/netDevices/eth0/name", linux("network", netDevices={"eth0": {"name": ".."}})),
    (
        "/linux/netDevices/b",
        linux("network", netDevices={"a": {"name": "eth0"}, "b": {"name": "eth0"}}),
    ),
    # sysctl
    ("/linux/sysctl/net.ipv4.ip_forward", linux("ipc", sysctl={"net.ipv4.ip_forward": "1"})),
    ("/linux/sysctl/kernel.shmmax", linux("network", sysctl={"kernel.shmmax": "1"})),
    ("/linux/sysctl/fs.mqueue.msg_max", linux("network", sysctl={"fs.mqueue.msg_max": "1"})),
    (
        "/linux/sysctl/user.max_net_namespaces",
        linux("pid", sysctl={"user.max_net_namespaces": "1"}),
    ),
    ("/linux/sysctl/kernel.domainname", linux("pid", sysctl={"kernel.domainname": "x"})),
    ("/linux/sysctl/kernel.hostname", linux("uts", sysctl={"kernel.hostname": "x"})),
    ("/linux/sysctl/kernel.core_pattern", linux("ipc", "uts", sysctl={"kernel.core_pattern": "x"})),
    (
        "/linux/sysctl/net.~1~1.kernel.core_pattern",
        linux("network", sysctl={"net.//.kernel.core_pattern": "x"}),
    ),
    (
        "/linux/sysctl/net~1..~1kernel~1core_pattern",
        linux("network", sysctl={"net/../kernel/core_pattern": "x"}),
    ),
    ("/linux/sysctl/net..ipv4", linux("network", sysctl={"net..ipv4": "x"})),
    # devices and single settings
    ("/linux/devices/0/path", linux("mount", devices=[{"path": "dev/x", "type": "p"}])),
    ("/linux/devices/0", linux("mount", devices=[{"path": "/dev/x", "type": "c", "major": 1}])),
    (
        "/linux/devices/0/major",
        linux("mount", devices=[{"path": "/dev/x", "type": "b", "major": 4096, "minor": 0}]),
    ),
    (
        "/linux/devices/0/minor",
        linux("mount", devices=[{"path": "/dev/x", "type": "u", "major": 0, "minor": -1}]),
    ),
    ("/linux/memoryPolicy", linux(memoryPolicy={"nodes": "0"})),
    ("/linux/memoryPolicy", linux(memoryPolicy={"mode": "MPOL_BIND"})),
    ("/linux/memoryPolicy/nodes", linux(memoryPolicy={"mode": "MPOL_LOCAL", "nodes": "0"})),
    ("/linux/memoryPolicy/nodes", linux(memoryPolicy={"mode": "MPOL_BIND", "nodes": "3-1"})),
    (
        "/linux/memoryPolicy/flags",
        linux(
            memoryPolicy={
                "mode": "MPOL_BIND",
                "nodes": "0",
                "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"],
            }
        ),
    ),
    ("/linux/intelRdt/closID", linux(intelRdt={"closID": "../x"})),
    ("/linux/intelRdt/closID", linux(intelRdt={"closID": ".."})),
    ("/linux/intelRdt/l3CacheSchema", linux(intelRdt={"l3CacheSchema": "L3:0=f\nMB:0=1"})),
    ("/linux/intelRdt/schemata/1", linux(intelRdt={"schemata": ["L3:0=f", "a\nb"]})),
    ("/linux/personality", linux(personality={})),
    # process
    ("/process", config(process={"cwd": "/"})),
    ("/process/args", program(args=[])),
    ("/process/cwd", program(cwd="home")),
    ("/process/cwd", program(cwd="")),
    ("/process/env/1", program(env=["A=1", "TOKEN"])),
    ("/process/env/0", program(env=["=secret"])),
    (
        "/process/consoleSize/width",
        program(terminal=True, consoleSize={"height": 1, "width": 65536}),
    ),
    ("/process/rlimits/0/type", program(rlimits=[rlimit("RLIMIT_MAGIC")])),
    ("/process/rlimits/1/type", program(rlimits=[rlimit("RLIMIT_CPU"), rlimit("RLIMIT_CPU")])),
    ("/process/rlimits/0/soft", program(rlimits=[rlimit("RLIMIT_CPU", 2, 1)])),
    ("/process/user/uid", program(user={"uid": 2**32 - 1, "gid": 0})),
    ("/process/user/gid", program(user={"uid": 0, "gid": 2**32 - 1})),
    (
        "/process/user/additionalGids/1",
        program(user={"uid": 0, "gid": 0, "additionalGids": [1, 2**32 - 1]}),
    ),
    ("/process/oomScoreAdj", program(oomScoreAdj=1001)),
    ("/process/oomScoreAdj", program(oomScoreAdj=-1001)),
    ("/process/scheduler/nice", scheduler("SCHED_BATCH", nice=20)),
    ("/process/scheduler/priority", scheduler("SCHED_FIFO")),
    ("/process/scheduler/priority", scheduler("SCHED_RR", priority=100)),
    ("/process/scheduler/priority", scheduler("SCHED_OTHER", priority=1)),
    ("/process/scheduler/runtime", scheduler("SCHED_OTHER", runtime=1)),
    ("/process/scheduler", scheduler("SCHED_DEADLINE", runtime=3, deadline=2, period=4)),
    ("/process/scheduler", scheduler("SCHED_DEADLINE", runtime=1, deadline=3, period=2)),
    ("/process/scheduler", scheduler("SCHED_DEADLINE", deadline=3)),
    (
        "/process/ioPriority/priority",
        program(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}),
    ),
    ("/process/execCPUAffinity/initial", program(execCPUAffinity={"initial": "1-"})),
    ("/process/execCPUAffinity/final", program(execCPUAffinity={"final": "1,,2"})),
    (
        "/process/user/uid",
        mapped(mapping(0, 1000, 1))
        | program(user={"uid": 1})
        | {"linux": mapped(mapping(0, 1000, 1))["linux"]},
    ),
    (
        "/process/user/gid",
        program(user={"gid": 10}) | {"linux": mapped(mapping(0, 1000, 1))["linux"]},
    ),
    # resources
    ("/linux/resources/devices/0/type", resources(devices=[{"allow": True, "type": "p"}])),
    ("/linux/resources/devices/0/access", resources(devices=[{"allow": True, "access": "rx"}])),
    ("/linux/resources/devices/0/major", resources(devices=[{"allow": True, "major": -2}])),
    ("/linux/resources/memory/limit", resources(memory={"limit": -2})),
    ("/linux/resources/memory/swap", resources(memory={"swap": 4096})),
    ("/linux/resources/memory/swap", resources(memory={"limit": -1, "swap": 4096})),
    ("/linux/resources/memory/swap", resources(memory={"limit": 8192, "swap": 4096})),
    ("/linux/resources/memory/swappiness", resources(memory={"swappiness": 101})),
    ("/linux/resources/cpu/period", resources(cpu={"period": 999})),
    ("/linux/resources/cpu/period", resources(cpu={"period": 1_000_001})),
    ("/linux/resources/cpu/quota", resources(cpu={"quota": 999})),
    ("/linux/resources/cpu/burst", resources(cpu={"quota": 1000, "burst": 1001})),
    (
        "/linux/resources/cpu/realtimeRuntime",
        resources(cpu={"realtimePeriod": 1, "realtimeRuntime": 2}),
    ),
    ("/linux/resources/cpu/idle", resources(cpu={"idle": 2})),
    ("/linux/resources/blockIO/weight", resources(blockIO={"weight": 9})),
    ("/linux/resources/blockIO/leafWeight", resources(blockIO={"leafWeight": 1001})),
    (
        "/linux/resources/blockIO/weightDevice/0",
        resources(blockIO={"weightDevice": [{"major": 8, "minor": 0}]}),
    ),
    (
        "/linux/resources/blockIO/weightDevice/0/leafWeight",
        resources(blockIO={"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 1}]}),
    ),
    (
        "/linux/resources/blockIO/throttleReadIOPSDevice/0",
        resources(blockIO={"throttleReadIOPSDevice": [{"major": 8, "minor": 0}]}),
    ),
    ("/linux/resources/rdma/mlx5_0", resources(rdma={"mlx5_0": {}})),
    ("/linux/resources/unified/..~1memory.max", resources(unified={"../memory.max": "1"})),
    ("/linux/resources/unified/memory", resources(unified={"memory": "1"})),
    # seccomp
    ("/linux/seccomp", seccomp(defaultAction="SCMP_ACT_NOTIFY")),
    ("/linux/seccomp", seccomp(syscall("SCMP_ACT_NOTIFY"))),
    ("/linux/seccomp/listenerPath", seccomp(syscall("SCMP_ACT_NOTIFY"), listenerPath="run/s")),
    ("/linux/seccomp/listenerMetadata", seccomp(listenerMetadata="x")),
    ("/linux/seccomp/defaultErrnoRet", seccomp(defaultErrnoRet=1)),
    ("/linux/seccomp/syscalls/0/errnoRet", seccomp(syscall("SCMP_ACT_KILL", errnoRet=1))),
    ("/linux/seccomp/syscalls/0/errnoRet", seccomp(syscall(errnoRet=4096))),
    ("/linux/seccomp/syscalls/0/names/1", seccomp(syscall("SCMP_ACT_ERRNO", "read", ""))),
    (
        "/linux/seccomp/syscalls/0/args/0/index",
        seccomp(syscall(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])),
    ),
]

GOOD: list[dict[str, Any]] = [
    config(),
    *(
        config() | {"ociVersion": version}
        for version in ("1.0.0", "1.0.2-dev", "1.0.0-rc5", "1.3.0", "1.3.1+g1a-2.b", "1.9.0")
    ),
    config() | {"ociVersion": "1.0.0-20261122171500.0"},
    linux("uts") | {"hostname": "x" * 64, "domainname": "example.org"},
    config(linux={"namespaces": namespaces(uts="/proc/1/ns/uts")}, hostname="box"),
    config(hostname="", domainname=""),
    config(annotations={"a": ""}),
    config(hooks={"prestart": [{"path": "/bin/true"}], "later": "unknown kinds are ignored"}),
    mount("rbind"),
    mount("ro", source="", type="tmpfs"),
    mount("ro", destination="data"),
    mount("bind", **MAPS),
    mount("bind", "idmap"),
    without_user(mount("bind", "idmap", **MAPS)),
    config(mounts=[], linux={"maskedPaths": [], "devices": []}),
    config(
        linux={"namespaces": namespaces(mount="/proc/1/ns/mnt"), "maskedPaths": ["/proc/kcore"]},
        mounts=[{"destination": "/proc", "type": "proc"}],
    ),
    linux("pid", "mount", "user", "cgroup", "time", "ipc", "uts", "network", **MAPS),
    config(linux={"namespaces": namespaces(network="/run/netns/a", pid="")}),
    config(linux={"namespaces": namespaces(user="/proc/1/ns/user"), **MAPS}),
    mapped(mapping(0, 1000, 1), mapping(1, 100_000, 65536), mapping(65537, 1001, 1)),
    mapped(mapping(0, 2**32 - 6, 5)),
    mapped(*(mapping(i, i, 1) for i in range(340))),
    linux("time", timeOffsets={"boottime": {"secs": -5, "nanosecs": 10**9 - 1}}),
    linux("pid", timeOffsets={}),
    linux("network", netDevices={"eth0": {}, "eth1": {"name": "net%d"}, "eth2": {"name": "net%d"}}),
    linux(
        "network",
        "ipc",
        "user",
        "uts",
        sysctl={
            "net.ipv4.ip_forward": "1",
            "net/ipv4/conf/eth0.5/forwarding": "1",
            "net.ipv4.conf.eth0/5.forwarding": "1",
            "kernel.sem": "1 2 3 4",
            "fs.mqueue.queues_max": "1",
            "user.max_user_namespaces": "0",
            "kernel.domainname": "example.org",
        },
        **MAPS,
    ),
    linux(
        "mount",
        devices=[
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
            {"path": "/dev/pipe", "type": "p"},
            {"path": "/dev/disk", "type": "b", "major": 4095, "minor": 2**20 - 1},
        ],
    ),
    linux(memoryPolicy={"mode": "MPOL_DEFAULT", "nodes": ""}),
    linux(memoryPolicy={"mode": "MPOL_PREFERRED"}),
    linux(memoryPolicy={"mode": "MPOL_BIND", "nodes": "0-3, 7", "flags": ["MPOL_F_STATIC_NODES"]}),
    linux(intelRdt={"closID": "/", "schemata": ["L3:0=f"]}),
    linux(intelRdt={"closID": "guaranteed", "l3CacheSchema": "L3:0=f"}),
    linux(personality={"domain": "LINUX32"}),
    program(env=["A=", "B==", "A=again"], cwd="/home/user"),
    program(consoleSize={"height": 10**9, "width": 1}),
    program(terminal=True, consoleSize={"height": 65535, "width": 80}),
    program(rlimits=[rlimit(kind, 2**64 - 1, 2**64 - 1) for kind in sorted(process.RLIMITS)]),
    program(oomScoreAdj=-1000),
    scheduler("SCHED_OTHER", nice=-20),
    scheduler("SCHED_FIFO", priority=99),
    scheduler("SCHED_DEADLINE", runtime=1, deadline=2, period=2),
    scheduler("SCHED_DEADLINE", runtime=1, deadline=2),
    scheduler("SCHED_IDLE"),
    program(ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 7}),
    program(ioPriority={"class": "IOPRIO_CLASS_IDLE"}),
    program(execCPUAffinity={"initial": "0-3,7", "final": ""}),
    program(user={"uid": 9, "gid": 9}) | {"linux": mapped(mapping(0, 1000, 10))["linux"]},
    program(user={"uid": 5})
    | {
        "linux": {
            "namespaces": namespaces(user="/proc/1/ns/user"),
            "uidMappings": [MAP | {"size": 1}],
        }
    },
    resources(
        devices=[
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": -1, "access": "r"},
            {"allow": True},
        ]
    ),
    resources(memory={"limit": 4096, "swap": 4096, "swappiness": 100, "reservation": -1}),
    resources(memory={"limit": 4096, "swap": -1}),
    resources(memory={"limit": -1, "swap": 0}),
    resources(cpu={"period": 1000, "quota": 1000, "burst": 1000, "idle": 1, "shares": 0}),
    resources(cpu={"period": 0, "quota": -1, "burst": 5000}),
    resources(cpu={"realtimePeriod": 1000, "realtimeRuntime": 1000}),
    resources(cpu={"realtimeRuntime": 950}),
    resources(
        blockIO={
            "weight": 0,
            "leafWeight": 1000,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
        }
    ),
    resources(rdma={"mlx5_0": {"hcaObjects": 0}}, unified={"memory.high": "max"}),
    seccomp(
        syscall("SCMP_ACT_NOTIFY", "mount"),
        syscall("SCMP_ACT_ERRNO", "write", errnoRet=4095),
        syscall("SCMP_ACT_TRACE", errnoRet=65535),
        syscall(args=[{"index": 5, "value": 0, "op": "SCMP_CMP_EQ"}]),
        listenerPath="/run/agent.sock",
        listenerMetadata="x",
    ),
    seccomp(defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=38),
    seccomp(defaultAction="SCMP_ACT_NOTIFY", listenerPath="/run/agent.sock"),
    seccomp(syscall("SCMP_ACT_NOTIFY", "read", "write"), listenerPath="/run/agent.sock"),
]


@pytest.mark.parametrize(("pointer", "spec"), BAD)
def test_rules_find(pointer: str, spec: dict[str, Any]) -> None:
    assert pointers(spec) == [pointer]


@pytest.mark.parametrize("spec", GOOD)
def test_rules_let_pass(spec: dict[str, Any]) -> None:
    assert texts(spec) == []


def test_every_rule_has_a_failing_example() -> None:
    every = [*rules.RULES, *process.RULES, process.ids_are_mapped]
    quiet = {rule.__name__ for rule in every}
    for _, spec in BAD:
        for rule in rules.RULES:
            if list(rule(spec)):  # type: ignore[arg-type]
                quiet.discard(rule.__name__)
        if "process" in spec:
            for part in process.RULES:
                if list(part(spec["process"], "")):
                    quiet.discard(part.__name__)
            if list(process.ids_are_mapped(spec)):  # type: ignore[arg-type]
                quiet.discard("ids_are_mapped")
    assert quiet == set()


@pytest.mark.parametrize("rule", [*rules.RULES, *rules.WARNINGS, *process.RULES, *process.WARNINGS])
def test_every_rule_names_its_source(rule: Any) -> None:  # noqa: ANN401 (two kinds of rule)
    assert any(mark in rule.__doc__ for mark in (".md", "(7)", "(2)", "(5)", ".rst", "SemVer"))


def test_all_violations_come_at_once() -> None:
    spec = program(cwd="x", args=[]) | {"hostname": "box", "domainname": "example.org"}
    assert pointers(spec) == ["/hostname", "/domainname", "/process/args", "/process/cwd"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            config(hostname="box"),
            (
                '/hostname: found "box" without a uts namespace, '
                "expected a uts namespace, new or joined"
            ),
        ),
        (program(cwd="home"), '/process/cwd: found "home", expected an absolute path'),
        (
            resources(memory={"limit": 8, "swap": 4}),
            (
                "/linux/resources/memory/swap: found 4, "
                "expected at least the memory limit 8, which it includes"
            ),
        ),
        (
            mapped(mapping(0, 5, 10), mapping(20, 14, 3)),
            (
                "/linux/uidMappings/1/hostID: found ids 14 to 14 also in /linux/uidMappings/0, "
                "expected ranges that don't overlap"
            ),
        ),
    ],
)
def test_texts(spec: dict[str, Any], text: str) -> None:
    assert texts(spec) == [text]


def test_values_of_the_environment_are_not_shown() -> None:
    spec = program(env=["=hunter2", "hunter2"])
    assert "hunter2" not in " ".join(texts(spec))


def test_long_values_are_shortened_and_stay_on_one_line() -> None:
    (text,) = texts(program(cwd="a\n" * 100))
    assert "\n" not in text
    assert len(text) < 130


@pytest.mark.parametrize(
    ("member", "spec"),
    [
        ("process", config()),
        ("root", {"ociVersion": "1.0.0", "process": {"cwd": "/", "args": ["a"]}}),
    ],
)
def test_what_is_missing_to_run(member: str, spec: dict[str, Any]) -> None:
    (violation,) = rules.missing_to_run(spec)  # type: ignore[arg-type]
    assert violation.pointer == ""
    assert f'no "{member}"' in str(violation)


@pytest.mark.parametrize(
    ("pointer", "spec"),
    [
        ("/process/args/1", program(args=["sh", "a\0b"])),
        ("/process/env/0", program(env=["A=\0"])),
        ("/linux/sysctl", linux(sysctl={"net.\0": "1"})),
        ("/mounts/0/options/0", config(mounts=[{"destination": "/", "options": ["\0"]}])),
        ("/a~1b", config() | {"a/b": "\0"}),
    ],
)
def test_null_bytes_are_found(pointer: str, spec: dict[str, Any]) -> None:
    found = list(document.strings_have_no_null_bytes(spec))  # type: ignore[arg-type]
    assert [violation.pointer for violation in found] == [pointer]


def test_annotations_may_have_null_bytes() -> None:
    spec = config(annotations={"a": "\0"}, process={"cwd": "/"})
    assert not list(document.strings_have_no_null_bytes(spec))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pointer", "spec"),
    [
        ("/ociVersion", config() | {"ociVersion": "1.4.0"}),
        (
            "/process/capabilities/bounding/1",
            program(capabilities={"bounding": ["CAP_KILL", "CAP_FLY"]}),
        ),
        ("/process/capabilities/effective", program(capabilities={"effective": ["CAP_KILL"]})),
        (
            "/process/capabilities/ambient",
            program(capabilities={"ambient": ["CAP_KILL"], "permitted": ["CAP_KILL"]}),
        ),
        (
            "/linux/uidMappings",
            config(linux={"namespaces": namespaces(user="/p"), "uidMappings": [MAP]}),
        ),
        ("/linux/rootfsPropagation", linux(rootfsPropagation="rslave")),
        ("/linux/personality/flags", linux(personality={"domain": "LINUX", "flags": ["X"]})),
    ],
)
def test_warnings(pointer: str, spec: dict[str, Any]) -> None:
    assert [warning.pointer for warning in rules.warnings(spec)] == [pointer]  # type: ignore[arg-type]
    assert texts(spec) == []


def test_a_good_spec_has_no_warnings() -> None:
    spec = copy.deepcopy(default_spec())
    spec["linux"]["rootfsPropagation"] = "slave"
    sets = spec["process"]["capabilities"]
    sets["inheritable"] = sets["ambient"] = ["CAP_KILL"]
    assert rules.warnings(spec) == []


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("net.ipv4.ip_forward", "net.ipv4.ip_forward"),
        ("net/ipv4/ip_forward", "net.ipv4.ip_forward"),
        ("net/ipv4/conf/eth0.5/forwarding", "net.ipv4.conf.eth0/5.forwarding"),
        ("net.ipv4.conf.eth0/5.forwarding", "net.ipv4.conf.eth0/5.forwarding"),
        ("plain", "plain"),
    ],
)
def test_sysctl_names_are_written_with_dots(key: str, name: str) -> None:
    assert dotted(key) == name
