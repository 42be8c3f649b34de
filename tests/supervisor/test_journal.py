# SPDX-License-Identifier: Apache-2.0
"""orlopd's own log: lines for programs, or for people; no secrets, and nobody waits for it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
from typing import TYPE_CHECKING

import pytest

from supervisor.journal import Journal
from tests.supervisor.conftest import Orlopd, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_json_lines_have_time_level_message_and_facts(pipe: tuple[int, int]) -> None:
    journal = Journal("info", "auto", pipe[1])
    journal.debug("too little")
    journal.info("start", container="a\nb", pid=7)
    line = json.loads(os.read(pipe[0], 4096))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "message": "start", "container": "a\nb", "pid": 7}


def test_a_terminal_gets_text_that_stays_on_its_line() -> None:
    controller, terminal = pty.openpty()
    try:
        Journal("info", "auto", terminal).warning("exit", container="a", reason="two words\x1b[2J")
        line = os.read(controller, 4096).decode()
    finally:
        os.close(controller)
        os.close(terminal)
    assert line.endswith(' warning exit container=a reason="two words\\u001b[2J"\r\n')
    assert "\x1b" not in line


def test_an_error_nobody_expected_has_its_places(pipe: tuple[int, int]) -> None:
    try:
        os.stat("/nowhere")
    except OSError as error:
        Journal("info", "json", pipe[1]).error("a step failed", error)
    line = json.loads(os.read(pipe[0], 4096))
    assert line["error"].startswith("FileNotFoundError: ")
    assert "test_journal.py" in line["places"][0]


def test_a_reader_that_stops_makes_nobody_wait_and_is_told_what_it_missed(
    pipe: tuple[int, int],
) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    journal = Journal("info", "json", pipe[1])
    for number in range(100):
        journal.info("start", container=f"c{number}")  # would block for ever at the second
    assert os.read(pipe[0], 65536).count(b"\n") == 1
    journal.info("exit")
    assert json.loads(os.read(pipe[0], 65536))["lost"] == 99


def test_a_line_that_is_too_long_is_a_line_of_json_all_the_same(pipe: tuple[int, int]) -> None:
    Journal("info", "json", pipe[1]).info("start", container="\u20ac" * 9000)
    assert json.loads(os.read(pipe[0], 65536))["message"] == "a line was too long"


@pytest.mark.root
@pytest.mark.slow
def test_a_containers_life_is_told_without_its_environment(watch: Watch, bundle: Bundle) -> None:
    assert not watch.found()
    orlopd = Orlopd("--log-level=debug", "--log-format=json")
    orlopd.start()
    client = orlopd.client()
    bundle.process["env"] = ["TOKEN=hunter2"]
    bundle.args("exit", "3").write()
    client.call("container.run", id="a", bundle=str(bundle.path), labels={"secret": "hunter3"})
    client.call("container.wait", id="a")
    with pytest.raises(Refused):
        client.call("container.create", id="b", bundle="/hunter4", labels={"x": "hunter5"})
    orlopd.errors_allowed = True
    orlopd.close()
    lines = [json.loads(line) for line in orlopd.last_errors.splitlines()]
    told = [line["message"] for line in lines if line.get("container") == "a"]
    assert told == ["create", "start", "exit", "delete"]
    assert {"orlopd serves", "orlopd ends", "request"} <= {line["message"] for line in lines}
    assert "hunter" not in orlopd.last_errors
