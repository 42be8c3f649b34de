# SPDX-License-Identifier: Apache-2.0
"""Commands that ask, and change nothing."""

from __future__ import annotations

import os
import sys

from orlopctl import output, sizes
from orlopctl.verb import Call, Verb
from runtime import options
from runtime.errors import UsageError
from runtime.options import Flag
from spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.types import State, Stats
    from runtime.options import Options

_PAGE = 1000  # that one answer has at most


def ps(call: Call, given: Options, arguments: Sequence[str]) -> None:
    """List the containers that have not stopped; or, with an ID, the processes of one."""
    if arguments:
        _processes(call, arguments[0])
        return
    found = _containers(call, given)
    if given.flag("quiet"):
        call.answer([s["id"] for s in found], "".join(f"{output.cell(s['id'])}\n" for s in found))
        return
    rows = [(s["id"], s["status"], s.get("pid") or None, s["bundle"]) for s in found]
    call.answer(found, lambda: output.table(("ID", "STATUS", "PID", "BUNDLE"), rows, ["PID"]))


def _containers(call: Call, given: Options) -> list[State]:
    """All that the filters let pass, page by page."""
    status: str | None = None
    labels: dict[str, str] = {}
    for text in given.texts("filter"):
        kind, _, value = text.partition("=")
        if kind == "status" and value in _STATUSES:
            status = value
        elif kind == "label" and "=" in value:
            name, _, wanted = value.partition("=")
            labels[name] = wanted
        else:
            allowed = f"status={'|'.join(_STATUSES)}, or label=NAME=VALUE"
            raise UsageError(f"invalid value {text!r} of --filter: {allowed}")
    found: list[State] = []
    after = None
    while True:
        page = call.client.list(
            status=status,  # type: ignore[arg-type]
            labels=labels or None,
            after=after,
            limit=_PAGE,
        )
        found += page
        if len(page) < _PAGE:
            break
        after = page[-1]["id"]
    everyone = given.flag("all") or status is not None
    return [state for state in found if everyone or state["status"] != "stopped"]


def _processes(call: Call, container: str) -> None:
    found = call.client.ps(container)
    rows = [
        (p["pid"], p["ppid"], p["user"], output.seconds(p["cpu"]), output.size(p["memory"]),
         p["command"])
        for p in found
    ]  # fmt: skip
    headings = ("PID", "PPID", "USER", "CPU", "MEMORY", "COMMAND")
    right = ("PID", "PPID", "CPU", "MEMORY")
    call.answer(found, lambda: output.table(headings, rows, right))


def inspect(call: Call, _given: Options, ids: Sequence[str]) -> None:
    """Print all that is known of containers, as JSON."""
    for container in ids:
        found = call.client.inspect(container)
        call.answer(found, lambda found=found: jsontext.dumps(found, indent=2) + "\n")  # type: ignore[misc]


def stats(call: Call, given: Options, ids: Sequence[str]) -> None:
    """Print what containers use: all that run, or those that are named.

    With --interval again and again, a line for each, until interrupted. `orlopctl top` shows it
    live.
    """
    if given.given("interval"):
        interval = sizes.seconds(given.text("interval"), "interval")
        with call.client.watch(ids[0] if len(ids) == 1 else None, interval=interval) as found:
            for one in found:
                name = one.get("container", ids[0] if ids else "")
                if not ids or name in ids:
                    call.answer({**one, "container": name}, _stats_line(name, one))
        return
    names = ids or [state["id"] for state in call.client.list(status="running")]
    each = {name: call.client.stats(name) for name in names}
    rows = [_stats_row(name, one) for name, one in each.items()]
    call.answer(
        [{**one, "container": name} for name, one in each.items()],
        lambda: output.table(_STATS, rows, _STATS[1:]),
    )


def _stats_row(name: str, one: Stats) -> Sequence[object]:
    memory, io = one["memory"], one["io"]
    return (
        name, output.seconds(one["cpu"]["usage"]), output.size(memory["usage"]),
        output.size(memory.get("limit")), output.size(io["read"]), output.size(io["written"]),
        one["pids"]["current"],
    )  # fmt: skip


def _stats_line(name: str, one: Stats) -> str:
    cells = [output.cell(value) for value in _stats_row(name, one)]
    pairs = zip(("cpu", "memory", "limit", "read", "written", "pids"), cells[1:], strict=True)
    return f"{cells[0]}  " + "  ".join(f"{k} {v}" for k, v in pairs) + "\n"


def info(call: Call, _given: Options, _arguments: Sequence[str]) -> None:
    """Print what orlopd says of itself and of the host."""
    found = call.client.info()
    call.answer(found, lambda: _outline(found, ""))


def _outline(value: dict[str, object], indent: str) -> str:
    text = ""
    for name, member in value.items():
        if isinstance(member, dict):
            text += f"{indent}{output.cell(name)}:\n{_outline(member, indent + '  ')}"
        else:
            shown = ", ".join(map(str, member)) if isinstance(member, list) else member
            text += f"{indent}{output.cell(name)}: {output.cell(shown)}\n"
    return text


def version(call: Call, _given: Options, _arguments: Sequence[str]) -> None:
    """Print the versions of orlopctl and of the orlopd that it talks to."""
    from runtime.version import VERSION

    found = call.client.version()
    call.answer(
        {"orlopctl": {"version": VERSION}, "orlopd": found},
        lambda: (
            f"orlopctl {VERSION}\norlopd   {output.cell(found['version'])}"
            f" (API {output.cell(found['api'])}, OCI {output.cell(found['ociVersion'])})\n"
        ),
    )


def top(call: Call, given: Options, ids: Sequence[str]) -> int:
    """Show what containers use, live: CPU, memory, I/O and processes, until q is pressed.

    Keys: c, m, i, p and n sort by CPU, memory, I/O, processes and name; r turns the order; q ends.
    """
    if call.json or not (os.isatty(0) and os.isatty(sys.stdout.fileno())):
        raise UsageError("top needs a terminal", hint="orlopctl stats --interval 1 is for programs")
    from orlopctl.top import show

    interval = sizes.seconds(given.text("interval", "1"), "interval")
    return show(call.client, ids, given.text("sort", "cpu"), interval)


_STATUSES = ("creating", "created", "running", "paused", "stopped")
_STATS = ("ID", "CPU", "MEMORY", "LIMIT", "READ", "WRITTEN", "PIDS")
_INTERVAL = "print again every TIME"
VERBS = {
    "ps": Verb(
        "ps [flags] [ID]", ps,
        [
            Flag("all", "those that have stopped, too", short="a"),
            Flag("quiet", "print ids only", short="q"),
            Flag("filter", "status=STATUS or label=NAME=VALUE (repeatable)", options.LIST,
                 short="f", metavar="FILTER"),
        ],
        takes=(0, 1),
        examples=[
            ("orlopctl ps -a", "all containers"),
            ("orlopctl ps web", "the processes in one"),
            ("orlopctl ps -q -f label=tier=front", "ids of those with a label"),
        ],
    ),
    "inspect": Verb("inspect ID ...", inspect, takes=(1, None),
                    examples=[("orlopctl inspect web | jq .exitStatus", "for programs")]),
    "stats": Verb(
        "stats [flags] [ID ...]", stats,
        [Flag("interval", _INTERVAL, options.VALUE, short="i", metavar="TIME")], takes=(0, None),
        examples=[
            ("orlopctl stats", "all that run, now"),
            ("orlopctl stats -i 5s --json web", "a line of JSON every five seconds"),
        ],
    ),
    "top": Verb(
        "top [flags] [ID ...]", top,
        [
            Flag("interval", "time between two looks (default: 1s)", options.VALUE, short="i",
                 metavar="TIME"),
            Flag("sort", "cpu (the default), memory, io, pids or name", options.VALUE, short="s",
                 metavar="COLUMN", choices=("cpu", "memory", "io", "pids", "name")),
        ],
        takes=(0, None),
        examples=[("orlopctl top --sort memory", "who uses most comes first")],
    ),
    "info": Verb("info", info, takes=(0, 0),
                 examples=[("orlopctl info", "its directories, the host, counts")]),
    "version": Verb("version", version, takes=(0, 0),
                    examples=[("orlopctl version", "`orlopctl --version` asks no orlopd")]),
}  # fmt: skip
