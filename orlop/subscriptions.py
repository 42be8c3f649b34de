# SPDX-License-Identifier: Apache-2.0
"""The calls that streams begin with, and those on a stream. See orlop.calls."""

from __future__ import annotations

from orlop.calls import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Unpack

    from orlop.types import Creation, Execution


CHUNK = 32768  # bytes of input that one request carries


def subscribe(
    since: int | None, containers: Iterable[str] | None, topics: Iterable[str] | None
) -> Call[object]:
    """Events."""
    params = {
        "since": since,
        "containers": None if containers is None else [*containers],
        "topics": None if topics is None else [*topics],
    }
    return Call("events.subscribe", params)


def follow(
    container: str, tail: int | None, since: str | float | None, stream: str | None
) -> Call[object]:
    """Entries of a container's output as they come."""
    params = {"id": container, "tail": tail, "since": since, "stream": stream, "follow": True}
    return Call("container.logs", params)


def watch(container: str | None, interval: float) -> Call[object]:
    """What containers use."""
    return Call("container.stats", {"id": container, "interval": interval})


def execute(
    container: str, args: Sequence[str], *, attach: bool, **how: Unpack[Execution]
) -> Call[object]:
    """A further process; attach: its output is a stream."""
    params = {"id": container, "args": [*args], "attach": attach or None, **how}
    return Call("container.exec", params)


def attach(container: str, exec_id: str | None, *, stdin: bool, logs: bool) -> Call[object]:
    """The output of a process that runs."""
    params = {"id": container, "exec": exec_id, "stdin": stdin or None, "logs": logs or None}
    return Call("container.attach", params)


def run_attached(container: str, **how: Unpack[Creation]) -> Call[object]:
    """A container that is created and started, with its output as a stream."""
    return Call("container.run", {"id": container, "attach": True, **how})


def write(subscription: int, data: bytes) -> Call[object]:
    """Bytes for a process's stdin."""
    import binascii

    text = binascii.b2a_base64(data, newline=False).decode()
    return Call("stream.write", {"subscription": subscription, "data": text})


def close(subscription: int) -> Call[object]:
    """No more of them."""
    return Call("stream.close", {"subscription": subscription})


def end(subscription: int) -> Call[object]:
    """No more of a stream."""
    return Call("events.unsubscribe", {"subscription": subscription})
