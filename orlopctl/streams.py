# SPDX-License-Identifier: Apache-2.0
"""Commands that print what was, and what comes: output and events."""

from __future__ import annotations

import os

from orlopctl import output, sizes
from orlopctl.verb import Call, Verb
from runtime import options
from runtime.options import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orlop import Event
    from orlop.types import LogEntry
    from runtime.options import Options


def logs(call: Call, given: Options, arguments: Sequence[str]) -> None:
    """Print what a container wrote; what it wrote to standard error goes there."""
    tail = sizes.whole(given.text("tail"), "tail") if given.given("tail") else None
    since = _since(given.text("since")) if given.given("since") else None
    stream = {"stdout": "stdout", "stderr": "stderr"}.get(given.text("stream"))
    if given.flag("follow"):
        with call.client.follow(
            arguments[0],
            tail=tail,
            since=since,
            stream=stream,  # type: ignore[arg-type]
        ) as entries:
            _print(call, given, entries)
    else:
        _print(
            call,
            given,
            call.client.logs(arguments[0], tail=tail, since=since, stream=stream),  # type: ignore[arg-type]
        )


def _print(call: Call, given: Options, entries: Iterable[LogEntry]) -> None:
    times = given.flag("timestamps")
    for entry in entries:
        if call.json:
            call.line(entry)
            continue
        text = f"{entry['time']} {entry['log']}" if times else entry["log"]
        data = text.encode("utf-8", "surrogateescape")
        fd = 2 if entry["stream"] == "stderr" else 1
        while data:
            data = data[os.write(fd, data) :]


def _since(text: str) -> str | float:
    """RFC 3339 as it is; `10m` as that long ago."""
    if "T" in text:
        return text
    import time

    return time.time() - sizes.seconds(text, "since")


def events(call: Call, given: Options, _arguments: Sequence[str]) -> None:
    """Print what happens to containers, as it happens, until interrupted."""
    since = sizes.whole(given.text("since"), "since") if given.given("since") else None
    until = sizes.whole(given.text("until"), "until") if given.given("until") else None
    with call.client.events(
        since=since,
        containers=given.texts("container") or None,
        topics=given.texts("topic") or None,  # type: ignore[arg-type]
    ) as found:
        for event in found:
            call.answer(_event(event), lambda event=event: _event_line(event))  # type: ignore[misc]
            if until is not None and event.number >= until:
                return


def _event(event: Event) -> dict[str, object]:
    return {
        "number": event.number, "time": event.time, "topic": event.topic,
        "container": event.container, "data": event.data,
    }  # fmt: skip


def _event_line(event: Event) -> str:
    if event.topic == "missed":
        return f"missed: events {event.data['from']} to {event.data['to']} are not kept any more\n"
    data = " ".join(f"{k}={output.cell(v)}" for k, v in event.data.items())
    colours = output.has_colours()
    topic = output.paint(f"{output.cell(event.topic):<12}", "bold", colours=colours)
    line = f"{event.number:>6}  {output.moment(event.time)}  {topic}  "
    return (line + f"{output.cell(event.container)}  {data}").rstrip() + "\n"


VERBS = {
    "logs": Verb(
        "logs [flags] ID", logs,
        [
            Flag("follow", "go on until it has ended", short="f"),
            Flag("tail", "the last N lines", options.VALUE, short="n", metavar="N"),
            Flag("since", "from this time on (RFC 3339), or that long ago", options.VALUE,
                 metavar="TIME"),
            Flag("stream", "stdout or stderr alone", options.VALUE, metavar="STREAM",
                 choices=("stdout", "stderr")),
            Flag("timestamps", "with the time of each line", short="t"),
        ],
        takes=(1, 1),
        examples=[
            ("orlopctl logs -f --tail 10 web", "the last lines, and what comes"),
            ("orlopctl logs --since 5m web 2>/dev/null", "standard output of five minutes"),
        ],
    ),
    "events": Verb(
        "events [flags]", events,
        [
            Flag("since", "first those behind NUMBER; 0: all that are kept", options.VALUE,
                 metavar="NUMBER"),
            Flag("until", "end behind NUMBER", options.VALUE, metavar="NUMBER"),
            Flag("container", "of this one only (repeatable)", options.LIST, short="c",
                 metavar="ID"),
            Flag("topic", "such as exit (repeatable)", options.LIST, short="t", metavar="TOPIC"),
        ],
        takes=(0, 0),
        examples=[
            ("orlopctl events -t exit", "whatever ends"),
            ("orlopctl events --since 0 --json", "from the beginning, for programs"),
        ],
    ),
}  # fmt: skip
