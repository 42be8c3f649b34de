# SPDX-License-Identifier: Apache-2.0
"""orlopctl on real containers: what it prints, for people and for programs, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.client.command import PROGRAM
from tests.support.cli import ENVIRONMENT
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import orlop
    from tests.client.command import Orlopctl
    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_a_containers_life_is_quiet(orlopctl: Orlopctl, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    assert orlopctl.does("create", "--name", "a", "--bundle", bundle.path) == ""
    assert orlopctl.does("start", "a") == ""
    assert orlopctl.does("ps", "-q") == "a\n"
    assert orlopctl.does("pause", "a") == ""
    assert orlopctl.does("resume", "a") == ""
    assert orlopctl.does("kill", "a") == ""
    assert orlopctl.does("wait", "a") == "137\n"
    assert orlopctl.does("ps", "-q") == ""
    assert orlopctl.does("ps", "-aq") == "a\n"
    assert orlopctl.does("rm", "a") == ""
    assert orlopctl.does("ps", "--all", "--json") == "[]\n"


def test_a_name_that_was_made_up_is_printed(orlopctl: Orlopctl, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    name = orlopctl.does("run", "-d", "-b", bundle.path).strip()
    assert orlopctl.does("ps", "-q").split() == [name]
    assert orlopctl.does("kill", "-s", "KILL", name) == ""


def test_json_is_the_methods_result(
    orlopctl: Orlopctl, client: orlop.Client, bundle: Bundle
) -> None:
    bundle.args("sleep").write()
    created = json.loads(orlopctl.does("run", "-d", "--name", "a", "-b", bundle.path, "--json"))
    assert created == client.state("a")
    assert json.loads(orlopctl.does("ps", "--json")) == list(client.list())
    assert json.loads(orlopctl.does("--json", "inspect", "a")) == client.inspect("a")
    assert json.loads(orlopctl.does("inspect", "a")) == client.inspect("a")
    assert json.loads(orlopctl.does("info", "--json")) == client.info()
    assert json.loads(orlopctl.does("pause", "a", "--json")) is None
    assert json.loads(orlopctl.does("version", "--json"))["orlopd"] == client.version()


def test_the_list_has_columns_and_filters(
    orlopctl: Orlopctl, make_bundle: Callable[[], Bundle]
) -> None:
    for name in ("a", "b-with-a-long-name"):
        bundle = make_bundle().args("sleep")
        bundle.write()
        orlopctl.does("create", "--name", name, "-l", f"of={name}", "-b", bundle.path)
    heading, first, second = orlopctl.does("ps").splitlines()
    assert heading.split() == ["ID", "STATUS", "PID", "BUNDLE"]
    assert first.split()[:2] == ["a", "created"]
    assert heading.index("STATUS") == first.index("created") == second.index("created")
    assert orlopctl.does("ps", "-q", "--filter", "label=of=a") == "a\n"
    assert orlopctl.does("ps", "-q", "-f", "status=running") == ""
    wrong = orlopctl("ps", "-f", "status=alive")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "status=creating|created|running|paused|stopped" in wrong.stderr


def test_many_at_once_and_the_one_that_fails(
    orlopctl: Orlopctl, make_bundle: Callable[[], Bundle]
) -> None:
    for name in ("a", "b"):
        bundle = make_bundle().args("sleep")
        bundle.write()
        orlopctl.does("create", "--name", name, "-b", bundle.path)
    result = orlopctl("rm", "b", "nothing", "a")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "orlopctl: nothing: there is no container 'nothing'\n"
    assert orlopctl.does("ps", "-aq") == ""


def test_output_goes_where_the_program_sent_it(orlopctl: Orlopctl, bundle: Bundle) -> None:
    bundle.args("args", "hello").write()
    orlopctl.does("run", "-d", "--name", "a", "-b", bundle.path)
    orlopctl.does("wait", "a")
    assert "hello" in orlopctl.does("logs", "a")
    entries = [json.loads(line) for line in orlopctl.does("logs", "a", "--json").splitlines()]
    assert "".join(entry["log"] for entry in entries) == orlopctl.does("logs", "a")
    assert orlopctl.does("logs", "-n", "1", "a") == entries[-1]["log"]
    timed = orlopctl.does("logs", "-tn1", "a")
    assert timed == f"{entries[-1]['time']} {entries[-1]['log']}"


def test_events_from_the_beginning(orlopctl: Orlopctl, bundle: Bundle) -> None:
    bundle.args("exit", "3").write()
    orlopctl.does("run", "-d", "--name", "a", "-b", bundle.path)
    orlopctl.does("wait", "a")
    lines = orlopctl.does("events", "--since", "0", "--until", "3", "--json").splitlines()
    assert [json.loads(line)["topic"] for line in lines] == ["create", "start", "exit"]
    text = orlopctl.does("events", "--since", "2", "--until", "3")
    assert text.split()[0] == "3"
    assert text.split()[3:] == ["exit", "a", "exitStatus=3"]


def test_errors_say_what_to_do(orlopctl: Orlopctl, tmp_path: Path) -> None:
    result = orlopctl("inspect", "nothing")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "orlopctl: there is no container 'nothing'\n"
    orlopctl.root = str(tmp_path)
    result = orlopctl("ps")
    assert result.returncode == 1
    assert result.stderr == (
        f"orlopctl: {tmp_path}/orlopd.sock: no orlopd listens here\n"
        f"  start one: orlopd --root {tmp_path}\n"
    )
    result = orlopctl("run", "-d", "/srv", "sh")
    assert result.returncode == 125
    error = json.loads(orlopctl("ps", "--json").stderr)["error"]
    assert error["hint"] == f"start one: orlopd --root {tmp_path}"


def test_an_error_of_the_configuration_has_its_place_for_programs(
    orlopctl: Orlopctl, bundle: Bundle
) -> None:
    bundle.process["cwd"] = 3
    bundle.write()
    result = orlopctl("create", "--json", "--name", "a", "-b", bundle.path)
    error = json.loads(result.stderr)["error"]
    assert (result.returncode, error["code"]) == (125, 4)
    assert error["data"]["violations"][0]["pointer"] == "/process/cwd"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nothing",), "unknown command 'nothing'"),
        (("ps", "--nothing"), "flag provided but not defined: --nothing"),
        (("start",), "too few arguments: orlopctl start ID ..."),
        (("rename", "a", "b", "c"), "too many arguments: orlopctl rename ID NAME"),
        (("run", "/srv"), "ROOTFS and COMMAND are missing"),
        (("run", "-b", "/srv", "-e", "A=b"), "--env is for a ROOTFS"),
        (("run", "--json", "-b", "/srv"), "--json is for --detach"),
        (("run", "-d", "--rm", "-b", "/srv"), "--rm is for the foreground"),
        (("run", "--memory", "much", "/srv", "sh"), "a size, such as 64m or 1g"),
        (("run", "--restart", "often", "/srv", "sh"), "on-failure:N"),
        (("update", "a"), "nothing to change"),
        (("top",), "top needs a terminal"),
    ],
)
def test_a_wrong_command_line_says_what_is_right(
    orlopctl: Orlopctl, words: tuple[str, ...], text: str
) -> None:
    result = orlopctl(*words)
    assert result.returncode in (1, 125)
    assert (result.stdout, text in result.stderr) == ("", True), result.stderr


def test_a_reader_that_goes_away_is_no_trouble(orlopctl: Orlopctl, bundle: Bundle) -> None:
    bundle.args("sleep").write()
    orlopctl.does("create", "--name", "a", "-b", bundle.path)
    with subprocess.Popen(
        orlopctl.command("inspect", *["a"] * 200),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(limit(30)) == 1


#: Runs the launcher as its interpreter would, then says what was imported.
DRIVER = """
import sys
launcher = sys.argv.pop(1)
try:
    exec(compile(open(launcher).read(), launcher, "exec"))
except SystemExit as end:
    print(*sys.modules, file=sys.stderr)
    sys.exit(end.code)
"""
#: Each of these costs as much as the whole command.
SLOW = {
    *("argparse", "asyncio", "collections", "dataclasses", "enum", "functools", "json", "re"),
    *("selectors", "socket", "subprocess", "tempfile", "typing", "logging", "contextlib"),
    *("supervisor", "shim", "native", "runtime.create", "runtime.manual", "runtime.surface"),
}


@pytest.mark.parametrize("words", [("ps",), ("inspect", "a"), ("logs", "a"), ("pause", "a")])
def test_a_simple_command_imports_nothing_slow(
    orlopd: Orlopd, client: orlop.Client, bundle: Bundle, words: tuple[str, ...]
) -> None:
    bundle.args("sleep").write()
    client.run("a", bundle=str(bundle.path))
    result = subprocess.run(
        [sys.executable, "-IS", "-c", DRIVER, PROGRAM, "--root", str(orlopd.root), *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=limit(30),
    )
    found = set(result.stderr.split())
    assert "orlopctl.cli" in found
    assert found & SLOW == set()
