# SPDX-License-Identifier: Apache-2.0
"""orlopd's methods as functions that make a call, for both clients: `client.kill` is `kill` here.

Names and defaults are those of docs/rpc.md, in snake case; what is not given is not sent. Each
takes `timeout`: seconds after which orlopd answers with DeadlineOver. Results are the JSON objects
of orlop.types. All raise Refused (by its kinds: NotFound, WrongStatus, ...), Unreachable, Lost.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Generic, TypeVar, Unpack

    from orlop.types import (
        Creation,
        Exit,
        Info,
        Inspection,
        Limits,
        LogEntry,
        Metrics,
        ProcessInfo,
        RestartPolicy,
        State,
        Stats,
        Stream,
        Version,
    )
    from spec.types import Status

    Result = TypeVar("Result", covariant=True)  # noqa: PLC0105 - as few names as there are meanings
else:
    Result = None

    class Generic:
        """In place of typing's, which costs more to import than a call takes."""

        def __class_getitem__(cls, _parameters: object) -> type:
            return cls


class Call(Generic[Result]):
    """A method and its parameters; `Result`: what it answers."""

    __slots__ = ("method", "params")

    def __init__(self, method: str, params: Mapping[str, object]) -> None:
        self.method = method
        self.params = {_camel(k): v for k, v in params.items() if v is not None}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# -- the daemon


def ping(*, timeout: float | None = None) -> Call[str]:
    """Ask whether it is there; "pong"."""
    return Call("system.ping", {"timeout": timeout})


def version(*, timeout: float | None = None) -> Call[Version]:
    """Versions of orlopd and of its API."""
    return Call("system.version", {"timeout": timeout})


def info(*, timeout: float | None = None) -> Call[Info]:
    """Its directories, the host, containers by status."""
    return Call("system.info", {"timeout": timeout})


def metrics(*, timeout: float | None = None) -> Call[Metrics]:
    """Counters of the daemon."""
    return Call("system.metrics", {"timeout": timeout})


# -- a container's life


def create(container: str, *, timeout: float | None = None, **how: Unpack[Creation]) -> Call[State]:
    """Create a container; its program waits for `start`."""
    return Call("container.create", {"id": container, "timeout": timeout, **how})


def run(container: str, *, timeout: float | None = None, **how: Unpack[Creation]) -> Call[State]:
    """Create and start a container."""
    return Call("container.run", {"id": container, "timeout": timeout, **how})


def start(container: str, *, timeout: float | None = None) -> Call[None]:
    """Start its program, also of one that has stopped: it begins again."""
    return Call("container.start", {"id": container, "timeout": timeout})


def kill(
    container: str,
    signal: str | int = "TERM",
    *,
    everyone: bool | None = None,
    exec: str | None = None,  # noqa: A002 - orlopd's word
    timeout: float | None = None,
) -> Call[None]:
    """Send a signal to its init, to all its processes (everyone), or to one of `exec`."""
    params = {"id": container, "signal": signal, "all": everyone, "exec": exec, "timeout": timeout}
    return Call("container.kill", params)


def stop(container: str, *, grace: float | None = None, timeout: float | None = None) -> Call[Exit]:
    """SIGTERM, and SIGKILL after `grace` seconds (10); answers when it has ended."""
    return Call("container.stop", {"id": container, "grace": grace, "timeout": timeout})


def pause(container: str, *, timeout: float | None = None) -> Call[None]:
    """Freeze its processes."""
    return Call("container.pause", {"id": container, "timeout": timeout})


def resume(container: str, *, timeout: float | None = None) -> Call[None]:
    """Let them go on."""
    return Call("container.resume", {"id": container, "timeout": timeout})


def wait(
    container: str,
    *,
    exec: str | None = None,  # noqa: A002 - orlopd's word
    timeout: float | None = None,
) -> Call[Exit]:
    """Answers when it has ended, or its process `exec` has."""
    return Call("container.wait", {"id": container, "exec": exec, "timeout": timeout})


def delete(
    container: str, *, force: bool | None = None, timeout: float | None = None
) -> Call[None]:
    """Remove it and its output; force: also one that runs."""
    return Call("container.delete", {"id": container, "force": force, "timeout": timeout})


def update(
    container: str,
    *,
    limits: Limits | None = None,
    restart: RestartPolicy | None = None,
    timeout: float | None = None,
) -> Call[None]:
    """Change its limits, or its restart policy; the rest stays."""
    params = {"id": container, "limits": limits, "restart": restart, "timeout": timeout}
    return Call("container.update", params)


def rename(container: str, name: str, *, timeout: float | None = None) -> Call[None]:
    """Give it another id."""
    return Call("container.rename", {"id": container, "name": name, "timeout": timeout})


def label(
    container: str,
    *,
    set: Mapping[str, str] | None = None,  # noqa: A002 - orlopd's word
    remove: Sequence[str] | None = None,
    timeout: float | None = None,
) -> Call[dict[str, dict[str, str]]]:
    """Set and remove labels; answers {"labels": all of them}."""
    params = {"id": container, "set": set, "remove": remove, "timeout": timeout}
    return Call("container.label", params)


# -- questions


def state(container: str, *, timeout: float | None = None) -> Call[State]:
    """The standard's state."""
    return Call("container.state", {"id": container, "timeout": timeout})


def inspect(container: str, *, timeout: float | None = None) -> Call[Inspection]:
    """All that is known of it."""
    return Call("container.inspect", {"id": container, "timeout": timeout})


def list(  # noqa: A001 - orlopd's word
    *,
    status: Status | None = None,
    labels: Mapping[str, str] | None = None,
    after: str | None = None,
    limit: int | None = None,
    timeout: float | None = None,
) -> Call[Sequence[State]]:
    """Containers, the oldest first; at most 1000: `after` the last one's id come the next."""
    params = {
        "status": status, "labels": labels, "after": after, "limit": limit, "timeout": timeout,
    }  # fmt: skip
    return Call("container.list", params)


def ps(container: str, *, timeout: float | None = None) -> Call[Sequence[ProcessInfo]]:
    """Its processes."""
    return Call("container.ps", {"id": container, "timeout": timeout})


def logs(
    container: str,
    *,
    tail: int | None = None,
    since: str | float | None = None,
    stream: Stream | None = None,
    timeout: float | None = None,
) -> Call[Sequence[LogEntry]]:
    """The last entries of its output. since: RFC 3339, or seconds since 1970."""
    params = {"id": container, "tail": tail, "since": since, "stream": stream, "timeout": timeout}
    return Call("container.logs", params)


def stats(container: str, *, timeout: float | None = None) -> Call[Stats]:
    """What it uses now."""
    return Call("container.stats", {"id": container, "timeout": timeout})


def resize(
    container: str,
    height: int,
    width: int,
    *,
    exec: str | None = None,  # noqa: A002 - orlopd's word
    timeout: float | None = None,
) -> Call[None]:
    """Give its terminal, or that of its process `exec`, a size in characters."""
    params = {"id": container, "height": height, "width": width, "exec": exec, "timeout": timeout}
    return Call("container.resize", params)


def checkpoint(  # noqa: PLR0913 - as many as criu has
    container: str,
    path: str,
    *,
    leave_running: bool | None = None,
    tcp_established: bool | None = None,
    external_unix_sockets: bool | None = None,
    shell: bool | None = None,
    file_locks: bool | None = None,
    timeout: float | None = None,
) -> Call[None]:
    """Write its processes to files in the directory `path`."""
    params = {
        "id": container, "path": path, "leave_running": leave_running,
        "tcp_established": tcp_established, "external_unix_sockets": external_unix_sockets,
        "shell": shell, "file_locks": file_locks, "timeout": timeout,
    }  # fmt: skip
    return Call("container.checkpoint", params)


def restore(container: str, bundle: str, path: str, *, timeout: float | None = None) -> Call[State]:
    """Make a container from the files in the directory `path`."""
    params = {"id": container, "bundle": bundle, "path": path, "timeout": timeout}
    return Call("container.restore", params)
