# SPDX-License-Identifier: Apache-2.0
"""The flags of orlopctl: what they become, and what the containers are like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orlopctl import creation, mount_flags, processes, sizes, words
from runtime import options
from runtime.errors import UsageError

if TYPE_CHECKING:
    from tests.client.command import Orlopctl
    from tests.support.bundle import Bundle

RUN = processes.VERBS["run"]


def made(*line: str) -> object:
    given, arguments = words.parse(RUN.flags, line, anywhere=False)
    return creation.creation(given, arguments)


def test_the_short_specification() -> None:
    assert made(
        *("-itd", "-eA=b", "-w", "/w", "-u7:8", "--name=x", "--hostname", "deck", "--read-only"),
        *("-v", "/src:/dst:ro", "--mount", "type=tmpfs,dst=/tmp,option=size=1m", "-m64m"),
        *("--cpus", "1.5", "--pids-limit", "100", "--restart", "on-failure:3", "-lof=x"),
        *("--cap-drop", "CAP_KILL", "--network", "host", "--health-cmd", "true"),
        *("--health-interval", "1m30s", "/srv", "sh", "-c", "exit 3"),
    ) == {
        "rootfs": "/srv",
        "args": ["sh", "-c", "exit 3"],
        "terminal": True,
        "stdin": True,
        "env": {"A": "b"},
        "cwd": "/w",
        "user": "7:8",
        "hostname": "deck",
        "readonly": True,
        "network": "host",
        "mounts": [
            {"source": "/src", "destination": "/dst", "options": ["rbind", "ro"]},
            {"type": "tmpfs", "destination": "/tmp", "options": ["size=1m"]},
        ],
        "limits": {"memory": 64 << 20, "cpus": 1.5, "pids": 100},
        "capabilities": {"add": [], "drop": ["CAP_KILL"]},
        "labels": {"of": "x"},
        "restart": {"policy": "on-failure", "maximum": 3},
        "health": {"args": ["/bin/sh", "-c", "true"], "interval": 90.0},
    }


def test_a_variable_without_a_value_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "x")
    monkeypatch.delenv("NOBODYS", raising=False)
    assert creation.environment(["OURS", "NOBODYS", "A="]) == {"OURS": "x", "A": ""}


def test_switches_together_and_flags_behind_arguments() -> None:
    flags = (
        *(options.Flag("follow", "", short="f"), options.Flag("times", "", short="t")),
        options.Flag("tail", "", options.VALUE, short="n"),
    )
    given, arguments = words.parse(flags, ["-ftn5", "web", "--", "-x"], anywhere=True)
    assert (given.flag("follow"), given.flag("times"), given.text("tail")) == (True, True, "5")
    assert arguments == ["web", "-x"]
    assert words.parse(flags, ["web", "-f", "--tail", "3"], anywhere=True)[1] == ["web"]
    assert words.parse(flags, ["web", "-f"], anywhere=False)[1] == ["web", "-f"]
    with pytest.raises(UsageError, match="not defined: -fx"):
        words.parse(flags, ["-fx"], anywhere=True)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("64m", 64 << 20),
        ("1.5G", 3 << 29),
        ("4096", 4096),
        ("2KiB", 2048),
        ("-1", -1),
        ("1kb", 1024),
    ],
)
def test_sizes(text: str, number: int) -> None:
    assert sizes.size(text, "memory") == number


@pytest.mark.parametrize("text", ["", "m", "much", "1x", "1 m", "--1", "1e9", "9" * 99])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--memory: a size"):
        sizes.size(text, "memory")


@pytest.mark.parametrize("text", ["", "/a", ":/b", "/a:/b:rx"])
def test_what_is_no_volume(text: str) -> None:
    with pytest.raises(UsageError, match="--volume"):
        mount_flags.volume(text)


@pytest.mark.parametrize("text", ["", "type=tmpfs", "src=/a,dst=", "dst=/b,what=x"])
def test_what_is_no_mount(text: str) -> None:
    with pytest.raises(UsageError, match="--mount"):
        mount_flags.mount(text)


@pytest.fixture
def web(orlopctl: Orlopctl, bundle: Bundle) -> str:
    """A container `web` of a bundle, which sleeps."""
    bundle.args("sleep").write()
    orlopctl.does("run", "-d", "--name", "web", "-b", bundle.path)
    return "web"


@pytest.mark.root
@pytest.mark.slow
def test_a_root_file_system_runs(orlopctl: Orlopctl, bundle: Bundle) -> None:
    result = orlopctl(
        *("run", "--rm", "-e", "A=b", "-w", "/bin", "-u", "7:8", "--hostname", "deck"),
        *(bundle.path / "rootfs", "/bin/probe", "env", "--", "cwd", "--", "hostname", "--"),
        *("id", "--", "exit", "6"),
    )
    assert (result.returncode, result.stderr) == (6, "")
    for fact in ("A=b", "/bin", "deck", "uid 7", "gid 8"):
        assert fact in result.stdout
    assert orlopctl.does("ps", "-aq") == ""


@pytest.mark.root
@pytest.mark.slow
def test_limits_labels_and_names_change(orlopctl: Orlopctl, web: str) -> None:
    assert orlopctl.does("update", "--pids-limit", "77", web) == ""
    (figures,) = json.loads(orlopctl.does("stats", "--json"))
    assert (figures["container"], figures["pids"]) == ("web", {"current": 1, "limit": 77})
    assert orlopctl.does("stats", web).splitlines()[1].split()[-1] == "1"
    assert orlopctl.does("ps", web).splitlines()[1].endswith("/bin/probe sleep")
    assert orlopctl.does("label", web, "tier=front", "x=y") == ""
    assert orlopctl.does("label", "-r", "x", web) == ""
    assert orlopctl.does("label", web) == "tier=front\n"
    assert orlopctl.does("rename", web, "old") == ""
    assert orlopctl.does("ps", "-qf", "label=tier=front") == "old\n"
    assert orlopctl.does("stop", "-t", "0.1", "old") == ""
    assert orlopctl.does("start", "old") == ""
    assert json.loads(orlopctl.does("inspect", "old"))["status"] == "running"
