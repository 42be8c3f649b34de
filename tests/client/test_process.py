# SPDX-License-Identifier: Apache-2.0
"""Processes whose input and output come and go over the socket, by both clients."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import pytest

import orlop
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]
PROBE = "/bin/probe"
#: More than any pipe or socket on the way holds.
MUCH = bytes(range(256)) * 8192


@pytest.fixture
def running(client: orlop.Client, bundle: Bundle) -> orlop.Client:
    """The container `a` sleeps."""
    bundle.args("sleep").write()
    client.run("a", bundle=str(bundle.path))
    return client


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, limit(60)), debug=True)


def test_all_that_it_wrote_and_its_status(running: orlop.Client) -> None:
    with running.exec("a", [PROBE, "args", "hello", "--", "exit", "7"]) as process:
        done = process.communicate()
    assert (done.exit_status, b"hello" in done.stdout, done.stderr) == (7, True, b"")
    assert process.exec
    assert process.pid > 0


def test_input_goes_in_at_its_pace_and_comes_back(running: orlop.Client) -> None:
    with running.exec("a", [PROBE, "echo"], stdin=True) as process:
        done = process.communicate(MUCH)
    assert (done.exit_status, done.stdout == MUCH) == (0, True)
    with running.exec("a", [PROBE, "echo"], stdin=True) as process:
        process.write(b"one")
        assert next(process).data == b"one"
        process.close_stdin()
        assert process.wait() == 0


def test_files_are_copied(running: orlop.Client) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    with running.exec("a", [PROBE, "echo"], stdin=True) as process:
        assert process.copy(io.BytesIO(MUCH), out, err) == 0
    assert (out.getvalue() == MUCH, err.getvalue()) == (True, b"")


def test_a_process_that_reads_nothing_ends_all_the_same(running: orlop.Client) -> None:
    with running.exec("a", [PROBE, "exit", "3"], stdin=True) as process:
        assert process.communicate(MUCH).exit_status == 3


def test_input_must_be_asked_for(running: orlop.Client) -> None:
    with running.exec("a", [PROBE, "exit", "3"]) as process:
        with pytest.raises(orlop.OrlopError, match="has no input"):
            process.communicate(b"x")
        assert process.wait() == 3


def test_what_it_is_given(running: orlop.Client) -> None:
    with running.exec("a", [PROBE, "env"], env={"A": "b"}, cwd="/bin", user="7:8") as process:
        assert b"A=b" in process.communicate().stdout
    with pytest.raises(orlop.PlanFailed):
        running.exec("a", ["/no/such/program"])


def test_one_on_its_own_is_waited_for_and_killed(running: orlop.Client) -> None:
    exec_id = running.spawn("a", [PROBE, "sleep"])
    assert exec_id in running.inspect("a")["execs"]
    running.kill("a", "KILL", exec=exec_id)
    assert running.wait("a", exec=exec_id)["exitStatus"] == 137
    assert running.state("a")["status"] == "running"


def test_who_lets_go_of_a_process_leaves_it_running(running: orlop.Client) -> None:
    with running.exec("a", [PROBE, "sleep"]) as process:
        pass
    running.kill("a", "KILL", exec=process.exec)
    assert running.wait("a", exec=process.exec)["exitStatus"] == 137


def test_a_containers_output_from_its_first_byte(client: orlop.Client, bundle: Bundle) -> None:
    bundle.args("args", "hello", "--", "exit", "5").write()
    with client.run_attached("a", bundle=str(bundle.path)) as process:
        done = process.communicate()
    assert (done.exit_status, b"hello" in done.stdout) == (5, True)
    assert process.exec == ""
    assert "hello" in "".join(entry["log"] for entry in client.logs("a"))


def test_joining_later_with_what_was_written_before(client: orlop.Client, bundle: Bundle) -> None:
    bundle.args("args", "hello", "--", "echo").write()
    client.run("a", bundle=str(bundle.path), stdin=True)
    with client.attach("a", stdin=True, logs=True) as process:
        seen = b""
        while b"hello" not in seen:
            seen += next(process).data
        process.write(b"more")
        process.close_stdin()
        assert b"more" in process.communicate().stdout
        assert process.exit_status == 0


def test_a_terminal_has_a_size(running: orlop.Client) -> None:
    size: orlop.types.ConsoleSize = {"height": 33, "width": 77}
    with running.exec(
        "a", [PROBE, "echo"], terminal=True, stdin=True, console_size=size
    ) as process:
        process.resize(20, 50)
        process.write(b"x\n\x04")  # ctrl-d: the end, in canonical mode
        done = process.communicate()
    assert done.exit_status == 0
    assert done.stdout.startswith(b"x\r\n")


def test_logs_are_followed_to_the_end(client: orlop.Client, bundle: Bundle) -> None:
    bundle.args("args", "hello", "--", "echo").write()
    client.run("a", bundle=str(bundle.path), stdin=True)
    with client.follow("a") as entries:
        seen = ""
        while "hello" not in seen:
            seen += next(entries)["log"]
        with client.attach("a", stdin=True) as process:
            process.write(b"more\n")
            process.close_stdin()
        assert "more\n" in [entry["log"] for entry in entries]
    assert client.wait("a")["exitStatus"] == 0


def test_asyncio(orlopd: Orlopd, bundle: Bundle) -> None:
    bundle.args("args", "hello", "--", "echo").write()

    async def life() -> None:
        async with orlop.AsyncClient(str(orlopd.socket)) as client:
            process = await client.run_attached("a", bundle=str(bundle.path), stdin=True)
            async with process:
                further = await client.exec("a", [PROBE, "echo"], stdin=True)
                async with further:
                    done = await further.communicate(MUCH)
                assert (done.exit_status, done.stdout == MUCH) == (0, True)
                done = await process.communicate(MUCH)
            assert done.exit_status == 0
            assert done.stdout.endswith(MUCH)
            exec_id = "nothing"
            with pytest.raises(orlop.OrlopError):
                await client.wait("a", exec=exec_id)

    run(life())


def test_writing_while_nobody_reads_the_output(orlopd: Orlopd, running: orlop.Client) -> None:
    """The answer is behind the output on the one connection."""

    async def life() -> None:
        async with orlop.AsyncClient(str(orlopd.socket)) as client:
            process = await client.exec("a", [PROBE, "echo"], stdin=True)
            async with process:
                for _ in range(100):
                    await process.write(bytes(1024))
                await process.close_stdin()
                assert await process.wait() == 0

    run(life())
    assert running.state("a")["status"] == "running"
