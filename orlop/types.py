# SPDX-License-Identifier: Apache-2.0
"""What goes to orlopd and comes from it, as types: JSON objects as docs/rpc.md has them.

For type checkers and editors; importing it is never needed to use a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, Required, TypedDict

if TYPE_CHECKING:
    from spec.types import Hooks, Status

Topic = Literal[
    "create", "start", "exec-added", "exec-started", "exit", "exec-exit", "oom", "pause",
    "resume", "update", "rename", "health", "restart", "delete",
]  # fmt: skip
Stream = Literal["stdout", "stderr"]


class ConsoleSize(TypedDict):
    """A terminal's size in characters."""

    height: int
    width: int


class Mount(TypedDict, total=False):
    """A mount of the short specification; `type` is bind where it is not said."""

    source: str
    destination: Required[str]
    type: str
    options: list[str]


class Limits(TypedDict, total=False):
    """Limits. memory, swap: bytes. cpus: processors, 1.5 for one and a half. cpuset: a list."""

    memory: int
    swap: int
    cpus: float
    cpuShares: int
    cpuset: str
    pids: int


class Capabilities(TypedDict, total=False):
    """What is added to the default set, and what is dropped from it."""

    add: list[str]
    drop: list[str]


class RestartPolicy(TypedDict, total=False):
    """When a container that ended begins again. maximum: how often, of on-failure."""

    policy: Required[Literal["no", "on-failure", "always"]]
    maximum: int


class HealthCheck(TypedDict, total=False):
    """A program that is run in the container again and again. interval, timeout: seconds."""

    args: Required[list[str]]
    interval: float
    timeout: float
    retries: int
    startPeriod: float


class Creation(TypedDict, total=False):
    """What `create` and `run` take beside the id. Either bundle, or rootfs with args.

    bundle, rootfs: absolute directories. user: UID[:GID], or a name of the image's. key: a repeated
    request with it creates nothing new. stdin: keep a pipe to it open. The rest as in docs/rpc.md.
    """

    bundle: str
    rootfs: str
    args: list[str]
    env: dict[str, str]
    cwd: str
    user: str
    hostname: str
    terminal: bool
    console_size: ConsoleSize
    readonly: bool
    mounts: list[Mount]
    limits: Limits
    capabilities: Capabilities
    network: Literal["none", "host"]
    hooks: Hooks
    annotations: dict[str, str]
    no_new_privileges: bool
    seccomp: Literal["default", "unconfined"]
    labels: dict[str, str]
    key: str
    restart: RestartPolicy
    health: HealthCheck
    stdin: bool


class Execution(TypedDict, total=False):
    """What `exec` takes beside the container and the words. exec: the process's id."""

    exec: str
    env: dict[str, str]
    cwd: str
    user: str
    terminal: bool
    console_size: ConsoleSize
    capabilities: Capabilities
    stdin: bool


class State(TypedDict):
    """The standard's state (runtime.md#state)."""

    ociVersion: str
    id: str
    status: Status
    pid: NotRequired[int]
    bundle: str
    annotations: NotRequired[dict[str, str]]


class RestartState(RestartPolicy, total=False):
    """A restart policy, and how often it was heeded."""

    count: int


class Health(TypedDict, total=False):
    """The last word of the health check."""

    status: Required[Literal["starting", "healthy", "unhealthy"]]
    failures: int


class Inspection(State):
    """All that is known of a container. Times are RFC 3339; log: a file of JSON lines."""

    labels: dict[str, str]
    createdAt: str
    startedAt: str | None
    exitedAt: str | None
    exitStatus: int | None
    log: str
    restart: NotRequired[RestartState]
    health: NotRequired[Health]
    terminal: NotRequired[bool]
    stdin: NotRequired[bool]
    execs: NotRequired[list[str]]


class Exit(TypedDict):
    """How a process ended: its status, or 128 and the signal."""

    exitStatus: int
    exitedAt: str


class Started(TypedDict):
    """A further process."""

    exec: str
    pid: int


class ProcessInfo(TypedDict):
    """A process as the host sees it. cpu: nanoseconds. memory: bytes."""

    pid: int
    ppid: int
    user: str
    command: str
    cpu: int
    memory: int


class LogEntry(TypedDict):
    """A line of output, its end included. missed: one of orlopd's, for output that is lost."""

    log: str
    stream: Stream
    time: str
    missed: NotRequired[bool]


class CpuUsage(TypedDict, total=False):
    """Nanoseconds; here and below null where the host doesn't count it."""

    usage: Required[int | None]
    user: int | None
    system: int | None
    throttled: int | None


class MemoryUsage(TypedDict, total=False):
    """Bytes; oomKills: how often the kernel ended a process for lack of memory."""

    usage: Required[int | None]
    limit: int | None
    workingSet: int | None
    oomKills: int


class PidsUsage(TypedDict, total=False):
    """Processes and threads."""

    current: Required[int | None]
    limit: int | None


class IoUsage(TypedDict):
    """Bytes."""

    read: int | None
    written: int | None


class Stats(TypedDict):
    """What a container uses."""

    time: str
    cpu: CpuUsage
    memory: MemoryUsage
    pids: PidsUsage
    io: IoUsage
    container: NotRequired[str]


class Version(TypedDict):
    """Versions of orlopd, of its API and of the standard."""

    version: str
    api: str
    ociVersion: str


Info = dict[str, Any]
Metrics = dict[str, Any]
