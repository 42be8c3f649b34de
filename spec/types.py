# SPDX-License-Identifier: Apache-2.0
"""The shapes of config.json (Linux), of a state and of the features document, for the type checker.

Names, spelling and optionality are those of the OCI runtime specification 1.3.0 (config.md,
config-linux.md, runtime.md, features.md). Import this module under `TYPE_CHECKING` only: at run
time these documents are plain dictionaries.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

NamespaceType = Literal["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"]
SeccompAction = Literal[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
]
SeccompOperator = Literal[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
]
SeccompFlag = Literal[
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
]
Propagation = Literal[
    "private",
    "shared",
    "slave",
    "unbindable",
    "rprivate",
    "rshared",
    "rslave",
    "runbindable",
]
"""The standard's four, and the recursive ones that engines write (spec/schemas/linux.json)."""
Status = Literal["creating", "created", "running", "paused", "stopped"]


class Box(TypedDict):
    """`process.consoleSize`, in characters."""

    height: int
    width: int


class User(TypedDict, total=False):
    """`process.user`: ids as seen inside the container; `umask` is a number, not octal text."""

    uid: int
    gid: int
    umask: int
    additionalGids: list[int]
    username: str


class LinuxCapabilities(TypedDict, total=False):
    """`process.capabilities`: the five sets of capabilities(7), names with the CAP_ prefix."""

    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class POSIXRlimit(TypedDict):
    """One element of `process.rlimits`: getrlimit(2); `RLIM_INFINITY` is 2**64 - 1."""

    type: str
    soft: int
    hard: int


class Scheduler(TypedDict):
    """`process.scheduler`: sched_setattr(2); runtime, deadline and period in nanoseconds."""

    policy: str
    nice: NotRequired[int]
    priority: NotRequired[int]
    flags: NotRequired[list[str]]
    runtime: NotRequired[int]
    deadline: NotRequired[int]
    period: NotRequired[int]


IOPriority = TypedDict("IOPriority", {"class": str, "priority": NotRequired[int]})
"""`process.ioPriority`: ioprio_set(2)."""


class CPUAffinity(TypedDict, total=False):
    """`process.execCPUAffinity`.

    CPU lists such as `0-3,7`, before and after the move into the cgroup.
    """

    initial: str
    final: str


class Process(TypedDict):
    """`process`: the program of the container, or of an `exec`."""

    cwd: str
    terminal: NotRequired[bool]
    consoleSize: NotRequired[Box]
    user: NotRequired[User]
    args: NotRequired[list[str]]
    commandLine: NotRequired[str]
    env: NotRequired[list[str]]
    capabilities: NotRequired[LinuxCapabilities]
    rlimits: NotRequired[list[POSIXRlimit]]
    noNewPrivileges: NotRequired[bool]
    apparmorProfile: NotRequired[str]
    oomScoreAdj: NotRequired[int]
    scheduler: NotRequired[Scheduler]
    selinuxLabel: NotRequired[str]
    ioPriority: NotRequired[IOPriority]
    execCPUAffinity: NotRequired[CPUAffinity]


class Root(TypedDict):
    """`root`: the root file system on the host, absolute or relative to the bundle."""

    path: str
    readonly: NotRequired[bool]


class LinuxIDMapping(TypedDict):
    """One line of a uid or gid map: user_namespaces(7)."""

    containerID: int
    hostID: int
    size: int


class Mount(TypedDict):
    """One element of `mounts`: mount(8) options, file-system data included."""

    destination: str
    type: NotRequired[str]
    source: NotRequired[str]
    options: NotRequired[list[str]]
    uidMappings: NotRequired[list[LinuxIDMapping]]
    gidMappings: NotRequired[list[LinuxIDMapping]]


class Hook(TypedDict):
    """One hook: an absolute path, execv(3) arguments and environment; timeout in seconds."""

    path: str
    args: NotRequired[list[str]]
    env: NotRequired[list[str]]
    timeout: NotRequired[int]


class Hooks(TypedDict, total=False):
    """`hooks`: programs run at the points of the lifecycle that runtime.md names."""

    prestart: list[Hook]
    createRuntime: list[Hook]
    createContainer: list[Hook]
    startContainer: list[Hook]
    poststart: list[Hook]
    poststop: list[Hook]


class LinuxNamespace(TypedDict):
    """One element of `linux.namespaces`: new without a path, joined with one."""

    type: NamespaceType
    path: NotRequired[str]


class LinuxTimeOffset(TypedDict, total=False):
    """One clock of `linux.timeOffsets`: time_namespaces(7)."""

    secs: int
    nanosecs: int


class LinuxTimeOffsets(TypedDict, total=False):
    """`linux.timeOffsets`, by clock."""

    monotonic: LinuxTimeOffset
    boottime: LinuxTimeOffset


class LinuxDevice(TypedDict):
    """One element of `linux.devices`: mknod(2); fileMode is a number, not octal text."""

    path: str
    type: str
    major: NotRequired[int]
    minor: NotRequired[int]
    fileMode: NotRequired[int]
    uid: NotRequired[int]
    gid: NotRequired[int]


class LinuxNetDevice(TypedDict, total=False):
    """One value of `linux.netDevices`, keyed by the interface's name on the host."""

    name: str


class LinuxDeviceCgroup(TypedDict):
    """One element of `linux.resources.devices`: a rule of the device controller."""

    allow: bool
    type: NotRequired[str]
    major: NotRequired[int]
    minor: NotRequired[int]
    access: NotRequired[str]


class LinuxMemory(TypedDict, total=False):
    """`linux.resources.memory`: bytes, -1 for unlimited; swap is memory plus swap."""

    limit: int
    reservation: int
    swap: int
    kernel: int
    kernelTCP: int
    swappiness: int
    disableOOMKiller: bool
    useHierarchy: bool
    checkBeforeUpdate: bool


class LinuxCPU(TypedDict, total=False):
    """`linux.resources.cpu`: quota, burst, period and realtime values in microseconds."""

    shares: int
    quota: int
    burst: int
    period: int
    realtimeRuntime: int
    realtimePeriod: int
    cpus: str
    mems: str
    idle: int


class LinuxPids(TypedDict):
    """`linux.resources.pids`: -1 for unlimited."""

    limit: int


class LinuxWeightDevice(TypedDict):
    """One element of `blockIO.weightDevice`."""

    major: int
    minor: int
    weight: NotRequired[int]
    leafWeight: NotRequired[int]


class LinuxThrottleDevice(TypedDict):
    """One element of a `blockIO.throttle*Device` list: bytes or operations per second."""

    major: int
    minor: int
    rate: NotRequired[int]


class LinuxBlockIO(TypedDict, total=False):
    """`linux.resources.blockIO`."""

    weight: int
    leafWeight: int
    weightDevice: list[LinuxWeightDevice]
    throttleReadBpsDevice: list[LinuxThrottleDevice]
    throttleWriteBpsDevice: list[LinuxThrottleDevice]
    throttleReadIOPSDevice: list[LinuxThrottleDevice]
    throttleWriteIOPSDevice: list[LinuxThrottleDevice]


class LinuxHugepageLimit(TypedDict):
    """One element of `linux.resources.hugepageLimits`: page size such as `2MB`, limit in bytes."""

    pageSize: str
    limit: int


class LinuxInterfacePriority(TypedDict):
    """One element of `linux.resources.network.priorities`."""

    name: str
    priority: int


class LinuxNetwork(TypedDict, total=False):
    """`linux.resources.network`: the cgroup v1 controllers net_cls and net_prio."""

    classID: int
    priorities: list[LinuxInterfacePriority]


class LinuxRdma(TypedDict, total=False):
    """One value of `linux.resources.rdma`, keyed by the device's name."""

    hcaHandles: int
    hcaObjects: int


class LinuxResources(TypedDict, total=False):
    """`linux.resources`: the limits of the container's cgroup."""

    devices: list[LinuxDeviceCgroup]
    memory: LinuxMemory
    cpu: LinuxCPU
    pids: LinuxPids
    blockIO: LinuxBlockIO
    hugepageLimits: list[LinuxHugepageLimit]
    network: LinuxNetwork
    rdma: dict[str, LinuxRdma]
    unified: dict[str, str]


class SeccompArg(TypedDict):
    """One condition on an argument of a system call."""

    index: int
    value: int
    op: SeccompOperator
    valueTwo: NotRequired[int]


class SeccompSyscall(TypedDict):
    """One element of `linux.seccomp.syscalls`."""

    names: list[str]
    action: SeccompAction
    errnoRet: NotRequired[int]
    args: NotRequired[list[SeccompArg]]


class Seccomp(TypedDict):
    """`linux.seccomp`: a profile."""

    defaultAction: SeccompAction
    defaultErrnoRet: NotRequired[int]
    architectures: NotRequired[list[str]]
    flags: NotRequired[list[SeccompFlag]]
    listenerPath: NotRequired[str]
    listenerMetadata: NotRequired[str]
    syscalls: NotRequired[list[SeccompSyscall]]


class LinuxIntelRdt(TypedDict, total=False):
    """`linux.intelRdt`: resctrl, Documentation/filesystems/resctrl.rst of the kernel."""

    closID: str
    schemata: list[str]
    l3CacheSchema: str
    memBwSchema: str
    enableMonitoring: bool


class LinuxMemoryPolicy(TypedDict, total=False):
    """`linux.memoryPolicy`: set_mempolicy(2)."""

    mode: str
    nodes: str
    flags: list[str]


class LinuxPersonality(TypedDict, total=False):
    """`linux.personality`: personality(2)."""

    domain: Literal["LINUX", "LINUX32"]
    flags: list[str]


class Linux(TypedDict, total=False):
    """`linux`: what only a Linux container has."""

    uidMappings: list[LinuxIDMapping]
    gidMappings: list[LinuxIDMapping]
    sysctl: dict[str, str]
    resources: LinuxResources
    cgroupsPath: str
    namespaces: list[LinuxNamespace]
    devices: list[LinuxDevice]
    netDevices: dict[str, LinuxNetDevice]
    seccomp: Seccomp
    rootfsPropagation: Propagation
    maskedPaths: list[str]
    readonlyPaths: list[str]
    mountLabel: str
    intelRdt: LinuxIntelRdt
    memoryPolicy: LinuxMemoryPolicy
    personality: LinuxPersonality
    timeOffsets: LinuxTimeOffsets


class Spec(TypedDict):
    """config.json: a checked one always has the members that its schema and rules require."""

    ociVersion: str
    process: NotRequired[Process]
    root: NotRequired[Root]
    hostname: NotRequired[str]
    domainname: NotRequired[str]
    mounts: NotRequired[list[Mount]]
    hooks: NotRequired[Hooks]
    annotations: NotRequired[dict[str, str]]
    linux: NotRequired[Linux]


class State(TypedDict):
    """The state of a container (runtime.md): what hooks read and the `state` command prints.

    `paused` is a status that the standard allows a runtime to add.
    """

    ociVersion: str
    id: str
    status: Status
    bundle: str
    pid: NotRequired[int]
    annotations: NotRequired[dict[str, str]]


class ContainerProcessState(TypedDict):
    """What a seccomp agent receives with the notify descriptor (config-linux.md, "Seccomp")."""

    ociVersion: str
    fds: list[str]
    pid: int
    metadata: NotRequired[str]
    state: State


class FeatureSwitch(TypedDict):
    """A feature that is supported, or not."""

    enabled: bool


class FeaturesCgroup(TypedDict, total=False):
    """`linux.cgroup` of the features document."""

    v1: bool
    v2: bool
    systemd: bool
    systemdUser: bool
    rdma: bool


class FeaturesSeccomp(TypedDict, total=False):
    """`linux.seccomp` of the features document."""

    enabled: bool
    actions: list[str]
    operators: list[str]
    archs: list[str]
    knownFlags: list[str]
    supportedFlags: list[str]


class FeaturesIntelRdt(TypedDict, total=False):
    """`linux.intelRdt` of the features document."""

    enabled: bool
    schemata: bool
    monitoring: bool


class FeaturesMemoryPolicy(TypedDict, total=False):
    """`linux.memoryPolicy` of the features document."""

    modes: list[str]
    flags: list[str]


class FeaturesMountExtensions(TypedDict, total=False):
    """`linux.mountExtensions` of the features document."""

    idmap: FeatureSwitch


class FeaturesLinux(TypedDict, total=False):
    """`linux` of the features document."""

    namespaces: list[str]
    capabilities: list[str]
    cgroup: FeaturesCgroup
    seccomp: FeaturesSeccomp
    apparmor: FeatureSwitch
    selinux: FeatureSwitch
    intelRdt: FeaturesIntelRdt
    memoryPolicy: FeaturesMemoryPolicy
    mountExtensions: FeaturesMountExtensions
    netDevices: FeatureSwitch


class Features(TypedDict):
    """The features document (features.md)."""

    ociVersionMin: str
    ociVersionMax: str
    hooks: NotRequired[list[str]]
    mountOptions: NotRequired[list[str]]
    linux: NotRequired[FeaturesLinux]
    annotations: NotRequired[dict[str, str]]
    potentiallyUnsafeConfigAnnotations: NotRequired[list[str]]
