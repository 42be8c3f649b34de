# SPDX-License-Identifier: Apache-2.0
"""exec, attach and run with streams: over the connection, and over descriptors."""

from __future__ import annotations

import base64
import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from supervisor import failure
from tests.supervisor.conftest import Refused
from tests.support.waiting import readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def busybox(bundle: Bundle) -> Bundle:
    """A bundle whose programs are busybox's, too."""
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, bundle.rootfs / "bin" / "busybox")
    return bundle


def shell(bundle: Bundle, script: str) -> Bundle:
    bundle.process["args"] = ["/bin/busybox", "sh", "-c", script]
    bundle.write()
    return bundle


def sleeping(client: Client, bundle: Bundle, **params: object) -> None:
    bundle.args("sleep").write()
    client.call("container.run", id="a", bundle=str(bundle.path), **params)


def sh(script: str) -> list[str]:
    return ["/bin/busybox", "sh", "-c", script]


# -- exec


def test_a_process_gets_what_the_request_says(client: Client, busybox: Bundle) -> None:
    busybox.process["env"] = ["KEPT=1", "CHANGED=1"]
    (busybox.rootfs / "etc" / "passwd").write_text("root:x:0:0::/:/\nada:x:71:72::/:/\n")
    (busybox.rootfs / "etc" / "group").write_text("deck:x:73:ada\n")
    sleeping(client, busybox)
    ids = "busybox id -u; busybox id -g; busybox id -G"
    script = f"echo $KEPT $CHANGED $NEW; pwd; {ids}; echo oh >&2; exit 7"
    found = client.call(
        "container.exec", id="a", exec="e", args=["/bin/busybox", "sh", "-c", script],
        env={"CHANGED": "2", "NEW": "3", "PATH": "/bin"}, cwd="/tmp", user="ada", attach=True,
    )  # fmt: skip
    assert found["exec"] == "e"
    out, err, status = client.output(found["subscription"])
    assert (out, err, status) == (b"1 2 3\n/tmp\n71\n72\n72 73\n", b"oh\n", 7)
    assert client.call("container.wait", id="a", exec="e")["exitStatus"] == 7


def test_events_tell_of_processes(client: Client, bundle: Bundle) -> None:
    sleeping(client, bundle)
    client.call("events.subscribe", since=0)
    found = client.call("container.exec", id="a", args=["/bin/probe", "exit", "3"])
    assert client.event("exec-added")["data"] == {"exec": found["exec"]}
    started = client.event("exec-started")["data"]
    assert started == {"exec": found["exec"], "pid": found["pid"]}
    assert client.event("exec-exit")["data"] == {"exec": found["exec"], "exitStatus": 3}


def test_input_is_written_and_ends(client: Client, busybox: Bundle) -> None:
    sleeping(client, busybox)
    found = client.call(
        "container.exec", id="a", args=["/bin/busybox", "cat"], stdin=True, attach=True
    )
    number = found["subscription"]
    client.write(number, b"\x00\xff over\n")
    assert client.output(number, b"over\n")[0] == b"\x00\xff over\n"
    client.call("stream.close", subscription=number)
    assert client.output(number)[2] == 0


def test_more_than_all_buffers_hold_comes_whole(client: Client, busybox: Bundle) -> None:
    sleeping(client, busybox)
    args = sh("busybox seq 1 400000")
    number = client.call("container.exec", id="a", args=args, env={"PATH": "/bin"}, attach=True)[
        "subscription"
    ]
    wanted = b"".join(b"%d\n" % n for n in range(1, 400001))
    assert client.output(number)[0] == wanted


def test_a_terminal_has_a_size_that_changes(client: Client, busybox: Bundle) -> None:
    sleeping(client, busybox)
    script = "trap 'busybox stty size; exit' WINCH; busybox stty size; while read x; do :; done"
    found = client.call(
        "container.exec", id="a", exec="t", args=sh(script), env={"PATH": "/bin"}, stdin=True,
        terminal=True, consoleSize={"height": 21, "width": 91}, attach=True,
    )  # fmt: skip
    number = found["subscription"]
    client.output(number, b"21 91\r\n")
    client.call("container.resize", id="a", exec="t", height=32, width=101)
    assert b"32 101" in client.output(number)[0]


def test_a_process_is_signalled_and_reported_alone(client: Client, bundle: Bundle) -> None:
    sleeping(client, bundle)
    client.call("container.exec", id="a", exec="e", args=["/bin/probe", "sleep"])
    assert client.call("container.inspect", id="a")["execs"] == ["e"]
    client.call("container.kill", id="a", exec="e", signal="KILL")
    assert client.call("container.wait", id="a", exec="e")["exitStatus"] == 137
    assert client.call("container.state", id="a")["status"] == "running"
    assert client.call("container.inspect", id="a")["execs"] == []


@pytest.mark.parametrize(
    ("params", "code", "pointer"),
    [
        ({"args": ["/none"]}, failure.RUNTIME_FAILED, "/process/args/0"),
        ({"args": ["/bin/probe"], "user": "nobody"}, failure.INVALID_PARAMS, "/user"),
        ({"args": ["/bin/probe"], "exec": "a/b"}, failure.INVALID_PARAMS, "/exec"),
        ({"args": []}, failure.INVALID_PARAMS, "/args"),
        ({"args": ["x"], "descriptors": True}, failure.INVALID_PARAMS, "/descriptors"),
        ({"args": ["x"], "env": {"A=B": ""}}, failure.INVALID_PARAMS, "/env"),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing(
    client: Client, bundle: Bundle, params: dict[str, object], code: int, pointer: str
) -> None:
    sleeping(client, bundle)
    for _ in range(2):  # the id is free again
        with pytest.raises(Refused) as refused:
            client.call("container.exec", **{"id": "a", "exec": "e", "attach": True, **params})
        assert (refused.value.code, refused.value.data.get("pointer")) == (code, pointer)
    assert client.call("container.inspect", id="a")["execs"] == []


# -- attach and run


def test_a_run_with_streams_loses_nothing(client: Client, busybox: Bundle) -> None:
    shell(busybox, "echo one; echo two >&2; exit 4")
    found = client.call("container.run", id="a", bundle=str(busybox.path), attach=True)
    assert client.output(found["subscription"]) == (b"one\n", b"two\n", 4)
    entries = client.call("container.logs", id="a")
    assert {(e["stream"], e["log"]) for e in entries} == {("stdout", "one\n"), ("stderr", "two\n")}


def test_a_terminal_runs_and_is_left_and_found_again(
    orlopd: Orlopd, client: Client, busybox: Bundle
) -> None:
    busybox.process["terminal"] = True
    shell(busybox, "busybox stty -echo; echo ready; while read x; do echo got $x; done")
    busybox.process["env"] = ["PATH=/bin"]
    busybox.write()
    found = client.call("container.run", id="a", bundle=str(busybox.path), attach=True, stdin=True)
    client.output(found["subscription"], b"ready")
    assert client.call("events.unsubscribe", subscription=found["subscription"]) is True
    other = orlopd.client()
    number = other.call("container.attach", id="a", stdin=True, logs=True)["subscription"]
    assert b"ready" in other.output(number, b"ready")[0]
    other.write(number, b"more\n")
    other.output(number, b"got more")
    with pytest.raises(Refused) as refused:
        client.call("container.attach", id="a", stdin=True)
    assert refused.value.code == failure.WRONG_STATE


def test_the_log_ends_where_the_stream_begins(client: Client, busybox: Bundle) -> None:
    """Whatever is on its way to the log, and even if a line is half written."""
    shell(busybox, "i=0; while :; do echo -n $((i+=1)),; echo $((i+=1)),; done")
    client.call("container.run", id="a", bundle=str(busybox.path))
    for _ in range(20):
        number = client.call("container.attach", id="a", logs=True)["subscription"]
        found = b""
        while found.count(b",") < 3000:
            found += base64.b64decode(client.note("output", number)["data"])
        client.call("events.unsubscribe", subscription=number)
        seen = [int(word) for word in found.replace(b"\n", b"").split(b",")[:3000]]
        assert seen == list(range(seen[0], seen[0] + 3000))


def test_one_who_does_not_read_is_told_what_it_missed(
    orlopd: Orlopd, client: Client, busybox: Bundle
) -> None:
    """The container waits five seconds for it, and then no more."""
    shell(busybox, "read x; busybox yes $LONG | busybox head -n 10000; echo end")
    busybox.process["env"] = ["PATH=/bin", f"LONG={'x' * 1000}"]
    busybox.write()
    client.call("container.run", id="a", bundle=str(busybox.path), stdin=True)
    hostile = orlopd.client()
    slow = hostile.call("container.attach", id="a")["subscription"]
    number = client.call("container.attach", id="a", stdin=True)["subscription"]
    client.write(number, b"go\n")
    out, _, status = client.output(number)
    assert (status, out[-6:]) == (0, b"x\nend\n")
    missed, last = 0, {}
    while "end" not in last:
        last = hostile.note("output", slow)
        missed += last.get("missed", 0)
    assert missed > 0


def test_containers_go_on_without_their_readers(
    orlopd: Orlopd, client: Client, busybox: Bundle
) -> None:
    shell(busybox, "while read x; do echo got $x; done")
    client.call("container.run", id="a", bundle=str(busybox.path), attach=True, stdin=True)
    client.call("container.exec", id="a", exec="e", args=["/bin/busybox", "cat"], stdin=True)
    client = orlopd.restart()
    number = client.call("container.attach", id="a", stdin=True)["subscription"]
    client.write(number, b"on\n")
    client.output(number, b"got on\n")
    assert client.call("container.inspect", id="a")["execs"] == ["e"]
    other = client.call("container.attach", id="a", exec="e", stdin=True)["subscription"]
    client.write(other, b"ahoy\n")
    client.output(other, b"ahoy\n")
    client.call("stream.close", subscription=other)
    assert client.output(other)[2] == 0
    assert client.call("container.wait", id="a", exec="e")["exitStatus"] == 0


# -- descriptors


@pytest.fixture
def pipes() -> Iterator[list[int]]:
    made = [*os.pipe(), *os.pipe(), *os.pipe()]
    yield made
    for fd in made:
        os.close(fd)


def read_all(fd: int) -> bytes:
    found = b""
    while True:
        readable(fd, 20, "output")
        data = os.read(fd, 65536)
        if not data:
            return found
        found += data


def test_pipes_of_the_client_are_the_process_s(
    client: Client, busybox: Bundle, pipes: list[int]
) -> None:
    sleeping(client, busybox)
    stdin, to_stdin, out, stdout, err, stderr = pipes
    script = "busybox cat; echo end >&2"
    found = client.call(
        "container.exec", [stdin, stdout, stderr], id="a", args=sh(script), env={"PATH": "/bin"},
        descriptors=True,
    )  # fmt: skip
    for number, fd in ((0, stdin), (3, stdout), (5, stderr)):
        pipes[number] = os.dup(fd)  # for the fixture to close
        os.close(fd)
        os.close(pipes[number])
        pipes[number] = os.open(os.devnull, os.O_RDONLY)
    os.write(to_stdin, b"through\n")
    os.close(to_stdin)
    pipes[1] = os.open(os.devnull, os.O_RDONLY)
    assert (read_all(out), read_all(err)) == (b"through\n", b"end\n")
    assert client.call("container.wait", id="a", exec=found["exec"])["exitStatus"] == 0


def test_files_and_sockets_will_do(client: Client, busybox: Bundle, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file\n")
    shell(busybox, "busybox cat; busybox cat >&2")
    busybox.process["env"] = ["PATH=/bin"]
    busybox.write()
    ours, theirs = socket.socketpair()
    with ours, theirs, (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as out:
        fds = [stdin.fileno(), out.fileno(), theirs.fileno()]
        client.call("container.run", fds, id="a", bundle=str(busybox.path), descriptors=True)
        theirs.close()
        assert client.call("container.wait", id="a")["exitStatus"] == 0
    assert (tmp_path / "out").read_text() == "from a file\n"


def test_a_directory_is_refused_and_nothing_runs(
    client: Client, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.args("sleep").write()
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(Refused, match="not a pipe"):
            client.call(
                "container.run", [fd, fd, fd], id="a", bundle=str(bundle.path), descriptors=True
            )
    finally:
        os.close(fd)
    assert client.call("container.list") == []


def test_descriptors_nobody_asked_for_are_closed(
    orlopd: Orlopd, client: Client, pipes: list[int]
) -> None:
    assert orlopd.process is not None
    client.call("system.ping")
    held = len(os.listdir(f"/proc/{orlopd.process.pid}/fd"))
    for _ in range(10):
        client.call("system.ping", pipes[:3])
    client.send(b"{", pipes[:3])
    client.send(b"}\n", pipes[:3])
    assert client.receive()["error"]["code"] == failure.INVALID_REQUEST
    client.call("system.ping")
    assert len(os.listdir(f"/proc/{orlopd.process.pid}/fd")) == held
