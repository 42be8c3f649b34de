# SPDX-License-Identifier: Apache-2.0
"""`--timeline FILE`: a trace, or a picture, of where the time of a start went."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.features import requires
from tests.support.running import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = requires("root")
OURS, INIT = 1, 2


def spans(file: Path, track: int) -> list[dict[str, Any]]:
    """A track's complete events, in order; the rules of the Trace Event Format hold for all."""
    trace = json.loads(file.read_text())
    assert trace["displayTimeUnit"] in ("ms", "ns")
    for event in trace["traceEvents"]:
        is_event(event)
    names = {e["tid"]: e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M"}
    assert names == {OURS: "orlop", INIT: "orlop-init"}
    found = [e for e in trace["traceEvents"] if e["ph"] == "X" and e["tid"] == track]
    for before, after in itertools.pairwise(found):
        assert nanoseconds(before, "ts", "dur") <= nanoseconds(after, "ts")
    return found


def is_event(event: dict[str, Any]) -> None:
    """Perfetto drops, and counts as an error, an event for which this doesn't hold."""
    assert isinstance(event["name"], str)
    assert isinstance(event["pid"], int)
    assert isinstance(event["tid"], int)
    assert isinstance(event.get("args", {}), dict)
    if event["ph"] == "M":
        assert event["name"] == "thread_name"
        assert isinstance(event["args"]["name"], str)
    else:
        assert event["ph"] == "X"
        assert isinstance(event["cat"], str)
        assert nanoseconds(event, "ts") >= 0
        assert nanoseconds(event, "dur") >= 0


def nanoseconds(event: dict[str, Any], *names: str) -> int:
    """The sum of members, which are microseconds: viewers count whole nanoseconds."""
    assert all(type(event[name]) in (int, float) for name in names)
    return sum(round(event[name] * 1000) for name in names)


def operations(orlop: Cli, bundle: Bundle) -> list[str]:
    bundle.write()
    shown = json.loads(orlop("plan", "--format", "json", bundle.path).stdout)
    return [op["operation"] for op in shown["operations"]]


def test_run_shows_every_operation_up_to_execve(
    orlop: Cli, container: Container, bundle: Bundle, tmp_path: Path
) -> None:
    container.run("--timeline", f"{tmp_path}/trace.json")
    init = spans(tmp_path / "trace.json", INIT)
    assert [event["name"].split()[0] for event in init] == operations(orlop, bundle)
    proc = next(event for event in init if event["name"].startswith("mount proc"))
    assert proc["args"] == {"pointer": "/mounts/0"}
    ours = [event["name"] for event in spans(tmp_path / "trace.json", OURS)]
    assert ours[0] == "interpreter, imports, command line"
    assert ours[-2:] == ["wait for execve", "poststart hooks"]


def test_a_time_namespace_does_not_shift_it(
    container: Container, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 86400}, "boottime": {"secs": 86400}}
    container.run("--timeline", f"{tmp_path}/trace.json")
    init, ours = (spans(tmp_path / "trace.json", track) for track in (INIT, OURS))
    assert init[-1]["ts"] <= ours[-1]["ts"] + ours[-1]["dur"]


def test_create_and_start_are_two_traces(container: Container, tmp_path: Path) -> None:
    container.create("--timeline", f"{tmp_path}/create.json")
    assert spans(tmp_path / "create.json", INIT)[-1]["name"].startswith(("ready", "wait-start"))
    container.cli("start", "--timeline", f"{tmp_path}/start.json", container.id)
    assert spans(tmp_path / "start.json", INIT) == []
    assert "wait for execve" in [e["name"] for e in spans(tmp_path / "start.json", OURS)]


def test_exec(container: Container, tmp_path: Path) -> None:
    started(container)
    file = tmp_path / "exec.json"
    container.cli("exec", "--timeline", file, container.id, "/bin/probe", "true")
    names = [event["name"].split()[0] for event in spans(file, INIT)]
    assert {"setns", "fork", "exec"} <= set(names)


def test_a_failed_start_has_one_too(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    bundle.process["args"] = ["/bin/gone"]
    file = tmp_path / "trace.json"
    assert container.run("--timeline", str(file), check=False).returncode == 1
    assert spans(file, INIT)[-1]["name"].startswith("lookup")


def test_a_filter_that_allows_little_is_not_in_the_way(
    container: Container, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.process["noNewPrivileges"] = True
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["clock_gettime"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    bundle.process["args"] = ["/bin/probe", "true"]
    container.run("--timeline", f"{tmp_path}/trace.json")
    assert spans(tmp_path / "trace.json", INIT)[-1]["name"].endswith(", exec")


def test_a_picture(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    bundle.process["args"] = ["/bin/probe", "true", "<&>\x1b"]
    container.run("--timeline", f"{tmp_path}/picture.svg")
    root = ET.fromstring((tmp_path / "picture.svg").read_text())  # noqa: S314 - our own
    rows = root.findall("{http://www.w3.org/2000/svg}g")
    titles = [row[0].text or "" for row in rows]
    assert any(title.startswith("exec /bin/probe true") and "<&>" in title for title in titles)
    width = float(root.attrib["width"])
    for row in rows:
        bar = row[2].attrib
        assert 0 <= float(bar["x"]) <= float(bar["x"]) + float(bar["width"]) <= width


@pytest.mark.parametrize("verb", ["create", "run"])
def test_a_file_that_cannot_be_made_comes_before_everything(
    orlop: Cli, bundle: Bundle, tmp_path: Path, verb: str
) -> None:
    bundle.write()
    file = tmp_path / "no" / "trace.json"
    result = orlop(verb, "--timeline", file, "--bundle", bundle.path, "c", check=False)
    assert result.returncode == 1
    assert result.stderr == f"orlop: timeline {file}: no such file or directory\n"
