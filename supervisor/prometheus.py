# SPDX-License-Identifier: Apache-2.0
"""The figures as Prometheus reads them: text format 0.0.4, by HTTP/1.0 on a unix socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Figures = dict[str, Any]

HEAD_LIMIT = 8192  # bytes of a request
_PATIENCE = 10.0  # seconds that a client has, to ask and to read
_CLIENTS = 16
_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Page:
    """Serves GET /metrics. figures: what there is to tell."""

    def __init__(self, figures: Callable[[], Awaitable[Figures]]) -> None:
        self._figures = figures
        self._clients = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; who is slow, or one too many, is hung up on."""
        if self._clients >= _CLIENTS:
            writer.transport.abort()
            return
        self._clients += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                writer.write(await self._answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._clients -= 1

    async def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split()
        if len(words) < 2 or words[0] not in (b"GET", b"HEAD"):  # noqa: PLR2004 - method, path
            return _response("405 Method Not Allowed", "")
        if words[1].split(b"?")[0] != b"/metrics":
            return _response("404 Not Found", "")
        return _response("200 OK", text(await self._figures()), is_head=words[0] == b"HEAD")


def _response(status: str, body: str, *, is_head: bool = False) -> bytes:
    content = body.encode()
    head = f"HTTP/1.0 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + (b"" if is_head else content)


def text(figures: Figures) -> str:
    """The page."""
    process, lines = figures["process"], _Lines()
    counts = figures["containers"].items()
    lines.add("containers", "gauge", "containers by status", _by("status", counts))
    requests = [({"method": r["method"], "code": r["code"]}, r["count"])
                for r in figures["requests"]]  # fmt: skip
    lines.add("requests_total", "counter", "requests answered; code 0: with a result", requests)
    events = figures["events"].items()
    lines.add("events_total", "counter", "events recorded by topic", _by("topic", events))
    lines.histogram("request_seconds", "time until a request's answer", figures["latencies"])
    lines.add("connections", "gauge", "clients connected", [({}, figures["connections"])])
    for name, kind, what, value in (
        ("memory_bytes", "gauge", "resident memory", process["memory"]),
        ("descriptors", "gauge", "open file descriptors", process["descriptors"]),
        ("cpu_seconds_total", "counter", "CPU used", process["cpu"]),
    ):
        lines.add(f"process_{name}", kind, what, [({}, value)])
    for name, kind, what in (
        ("cpu_seconds_total", "counter", "CPU that a container used"),
        ("memory_bytes", "gauge", "memory of a container"),
        ("pids", "gauge", "processes of a container"),
    ):
        found = [({"container": container}, of[name])
                 for container, of in figures.get("each", {}).items() if name in of]  # fmt: skip
        if found:
            lines.add(f"container_{name}", kind, what, found)
    return lines.text()


def _by(name: str, counts: Iterable[tuple[str, int]]) -> list[tuple[dict[str, Any], float]]:
    return [({name: value}, number) for value, number in counts]


class _Lines:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self, name: str, kind: str, what: str, values: Iterable[tuple[dict[str, Any], float]]
    ) -> None:
        self._lines += [f"# HELP orlopd_{name} {what}", f"# TYPE orlopd_{name} {kind}"]
        for labels, value in values:
            self._one(name, labels, value)

    def histogram(self, name: str, what: str, latencies: dict[str, Figures]) -> None:
        self.add(name, "histogram", what, [])
        for method, found in latencies.items():
            for most, number in (*found["buckets"], ("+Inf", found["count"])):
                self._one(f"{name}_bucket", {"method": method, "le": most}, number)
            self._one(f"{name}_sum", {"method": method}, found["seconds"])
            self._one(f"{name}_count", {"method": method}, found["count"])

    def _one(self, name: str, labels: dict[str, Any], value: float) -> None:
        shown = ",".join(f'{label}="{_escaped(of)}"' for label, of in labels.items())
        self._lines.append(f"orlopd_{name}{{{shown}}} {value}" if shown else
                           f"orlopd_{name} {value}")  # fmt: skip

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
