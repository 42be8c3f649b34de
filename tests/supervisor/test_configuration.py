# SPDX-License-Identifier: Apache-2.0
"""orlopd.toml and the flags: what they set, and how a wrong one is refused."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from spec.errors import OrlopError
from supervisor import configuration, documents, settings
from supervisor.configuration import load
from tests.supervisor.conftest import PROGRAM
from tests.support.waiting import limit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orlopd.toml"


def test_every_setting_has_a_default_that_is_allowed(file: Path) -> None:
    file.write_text(documents.sample())
    assert vars(load(str(file), {})) == vars(load(os.devnull, {}))


def test_the_sample_shows_every_setting_and_each_can_be_switched_on(file: Path) -> None:
    text = documents.sample()
    for setting in settings.SETTINGS:
        name = setting.key.rpartition(".")[2]
        text = text.replace(f"#{name} = ", f"{name} = ")
    file.write_text(text)
    assert vars(load(str(file), {})) == vars(load(os.devnull, {}))
    assert text.count(" = ") >= len(settings.SETTINGS)
    assert not [line for line in text.splitlines() if line.startswith("#") and " = " in line]


def test_the_file_goes_before_the_default_and_a_flag_before_the_file(file: Path) -> None:
    file.write_text('root = "/srv/a"\n[log]\nlevel = "debug"\nformat = "json"\n')
    found = load(str(file), {"log.level": "error"})
    assert (found.text("root"), found.text("log.level"), found.text("log.format")) == (
        "/srv/a",
        "error",
        "json",
    )
    assert found.whole("events.kept") == 10_000


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("\nrot = 1\n", (":2: rot: there is no such setting", "there are root, group")),
        ("[log]\n\nlevel = 'loud'\n", (":3: log.level: found 'loud'", '"debug" or "info"')),
        ("[log]\ncolour = 1\n", (":2: log.colour: there is no such", "log.level, log.format")),
        ("[logs]\nlevel = 1\n", (":1: logs: there is no such setting",)),
        ("events.kept = 0\n", (":1: events.kept: found 0", "an integer from 1")),
        ("[events]\nkept = true\n", (":2: events.kept: found true", "an integer from 1")),
        ("[restart]\ndelay = -1\n", (":2: restart.delay: found -1", "a number above 0 to 86400")),
        ("log = 3\n", (":1: log: there is no such setting",)),
        ("root = \n", ("is no TOML", "line 1")),
    ],
)
def test_a_refusal_names_file_line_key_and_what_is_allowed(
    file: Path, text: str, parts: tuple[str, ...]
) -> None:
    file.write_text(text)
    with pytest.raises(OrlopError) as refused:
        load(str(file), {})
    said = f"{refused.value} ({refused.value.hint})"
    assert said.startswith(str(file))
    for part in parts:
        assert part in said


def test_a_file_that_is_named_must_be_there_the_usual_one_need_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OrlopError, match="there is no such file"):
        load(str(file), {})
    monkeypatch.setattr(configuration, "default_file", lambda: str(file))
    assert load("", {}).text("log.level") == "info"


def test_the_program_refuses_before_it_does_anything(file: Path, tmp_path: Path) -> None:
    file.write_text(f'root = "{tmp_path}/root"\n[log]\nlevel = 3\n')
    refused = subprocess.run(
        [PROGRAM, "--config", file], capture_output=True, check=False, timeout=limit(60), text=True
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"orlopd: {file}:3: log.level: found 3 (it is ")
    assert not (tmp_path / "root").exists()


def test_check_says_whether_it_is_right_and_does_nothing(file: Path, tmp_path: Path) -> None:
    file.write_text(f'root = "{tmp_path}/root"\n')
    checked = subprocess.run([PROGRAM, "--check", "--config", file], check=False, timeout=limit(60))
    assert checked.returncode == 0
    assert not (tmp_path / "root").exists()


@pytest.mark.root
@pytest.mark.slow
def test_what_is_set_is_what_counts(orlopd: Orlopd) -> None:
    orlopd.end()
    orlopd._manager.recv(100)
    path = orlopd.root / "orlopd.toml"
    path.write_text("[limits]\nconnections = 1\n[log]\nlevel = 'debug'\n")
    orlopd.flags = (f"--config={path}", "--log-level=warning")
    orlopd.start()
    first = orlopd.client()
    assert first.call("system.ping") == "pong"
    assert orlopd.client().receive() is None  # one too many
    first.socket.sendall(json.dumps({"jsonrpc": "2.0", "method": "system.ping"}).encode() + b"\n")
    orlopd.end()
    orlopd._manager.recv(100)
    orlopd.flags = ()


@pytest.mark.root
@pytest.mark.slow
def test_output_is_rotated_and_goes_with_its_container(orlopd: Orlopd, bundle: Bundle) -> None:
    orlopd.end()
    orlopd._manager.recv(100)
    path = orlopd.root / "orlopd.toml"
    path.write_text("[output]\nmax-size = 300\nmax-files = 3\n")
    orlopd.flags = (f"--config={path}",)
    orlopd.start()
    client = orlopd.client()
    bundle.args("args", "x" * 250).write()
    client.call("container.run", id="a", bundle=str(bundle.path))
    client.call("container.wait", id="a")
    for _ in range(3):  # a file takes what comes at once, however much it is
        client.call("container.start", id="a")
        client.call("container.wait", id="a")
    orlopd.shims_end()  # the shim writes what it was given before it goes
    logs = orlopd.root / "logs"
    assert {file.name for file in logs.iterdir()} == {"1.json", "1.json.1", "1.json.2"}
    client.call("container.delete", id="a")
    assert list(logs.iterdir()) == []
