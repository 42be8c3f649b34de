# SPDX-License-Identifier: Apache-2.0
"""What goes in and out of a pod's containers: exec, attach, port-forward and logs, by our shim."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.engines.calls import CallError
from tests.engines.runtime import BOTH_SHIMS
from tests.engines.websocket import ERROR, RESIZE, STDERR, STDIN, STDOUT, WebSocket
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.containerd import Containerd
    from tests.engines.messages import Message
    from tests.engines.pod import Pod

pytestmark = [requires("root", "containerd", "runc"), pytest.mark.slow, BOTH_SHIMS]

#: Fields of ExecRequest and AttachRequest: which streams there are.
_EXEC_STREAMS = {"tty": 3, "stdin": 4, "stdout": 5, "stderr": 6}
_ATTACH_STREAMS = {"stdin": 2, "tty": 3, "stdout": 4, "stderr": 5}


def exec_in(containerd: Containerd, pod: Pod, request: Message, *streams: str) -> WebSocket:
    """Exec, at the streaming server."""
    wanted = {_EXEC_STREAMS[name]: 1 for name in streams}
    return WebSocket(containerd.room, pod.text("Exec", request | wanted))


def attach(containerd: Containerd, pod: Pod, container: str, *streams: str) -> WebSocket:
    """Attach, in the same way."""
    wanted = {_ATTACH_STREAMS[name]: 1 for name in streams}
    return WebSocket(containerd.room, pod.text("Attach", {1: container} | wanted))


def exit_code(status: bytes) -> int:
    """What the error channel says at the end: metav1.Status."""
    found = json.loads(status)
    if found["status"] == "Success":
        return 0
    (cause,) = found["details"]["causes"]
    assert cause["reason"] == "ExitCode"
    return int(cause["message"])


class TestExec:
    def test_both_outputs_and_the_status_pass(self, containerd: Containerd, pod: Pod) -> None:
        container = pod.start("one", "sleep", "1000")
        command = ["sh", "-c", "echo out; echo err >&2; exit 7"]
        with exec_in(containerd, pod, {1: container, 2: command}, "stdout", "stderr") as stream:
            seen = stream.end()
        assert (seen[STDOUT], seen[STDERR]) == (b"out\n", b"err\n")
        assert exit_code(seen[ERROR]) == 7

    def test_input_passes_and_much_output(self, containerd: Containerd, pod: Pod) -> None:
        container = pod.start("one", "sleep", "1000")
        command = ["sh", "-c", "read line; echo $line; seq 20000"]
        request = {1: container, 2: command}
        with exec_in(containerd, pod, request, "stdin", "stdout", "stderr") as stream:
            stream.send(STDIN, b"in\n")
            stream.until(STDOUT, b"in\n")
            seen = stream.end()
        assert seen[STDOUT].split() == [b"%d" % number for number in range(1, 20001)]
        assert exit_code(seen[ERROR]) == 0

    def test_a_terminal_is_its_own_and_has_a_size(self, containerd: Containerd, pod: Pod) -> None:
        container = pod.start("one", "sleep", "1000")
        with exec_in(containerd, pod, {1: container, 2: ["sh"]}, "tty", "stdin", "stdout") as shell:
            shell.until(STDOUT, b"# ")
            shell.send(STDIN, b"tty\n")
            shell.until(STDOUT, b"/dev/pts/")
            shell.send(RESIZE, b'{"Width": 101, "Height": 33}')
            shell.send(
                STDIN, b"until stty size | grep '33 101'; do :; done; echo si''zed; exit 4\n"
            )
            shell.until(STDOUT, b"sized")
            assert exit_code(shell.end()[ERROR]) == 4

    def test_a_probe_that_takes_too_long_is_ended(self, pod: Pod) -> None:
        container = pod.start("one", "sleep", "1000")
        with pytest.raises(CallError, match="DEADLINE_EXCEEDED"):
            pod("ExecSync", {1: container, 2: ["sleep", "999"], 3: 1})
        assert "sleep 999" not in pod.exec(container, "ps")[1]

    def test_a_program_that_is_not_there_is_named(self, pod: Pod) -> None:
        container = pod.start("one", "sleep", "1000")
        with pytest.raises(
            CallError, match=r"OCI runtime exec failed: .*executable file not found"
        ):
            pod.exec(container, "nope")


class TestAttach:
    def test_input_and_output_are_the_containers(self, containerd: Containerd, pod: Pod) -> None:
        command = ("sh", "-c", "read line; echo got $line; read line; echo $line >&2; exec sleep 9")
        container = pod.start("one", *command, stdin=True)
        with attach(containerd, pod, container, "stdin", "stdout", "stderr") as stream:
            stream.send(STDIN, b"this\n")
            stream.until(STDOUT, b"got this\n")
            stream.send(STDIN, b"that\n")
            stream.until(STDERR, b"that\n")

    def test_a_terminal_can_be_left_and_attached_again(
        self, containerd: Containerd, pod: Pod
    ) -> None:
        container = pod.start("one", "sh", stdin=True, tty=True)
        for word in (b"once", b"twice"):
            with attach(containerd, pod, container, "stdin", "tty", "stdout") as shell:
                shell.send(STDIN, b"tty; echo %b''.\n" % word)
                shell.until(STDOUT, b"/dev/pts/0")
                shell.until(STDOUT, word + b".\r\n")


def test_a_port_is_forwarded(containerd: Containerd, pod: Pod) -> None:
    container = pod.start("web", "sh", "-c", "echo cargo >/home/x; exec httpd -f -p 8765 -h /home")
    pod.exec(container, "sh", "-c", "until grep -q :223D /proc/net/tcp /proc/net/tcp6; do :; done")
    url = pod.text("PortForward", {1: pod.id, 2: [8765]})
    with WebSocket(containerd.room, f"{url}?port=8765", "v4.channel.k8s.io") as stream:
        stream.send(0, b"GET /x HTTP/1.0\r\n\r\n")
        stream.until(0, b"cargo\n")


class TestLogs:
    def test_lines_have_times_and_streams(self, pod: Pod) -> None:
        container = pod.start("talker", "sh", "-c", "seq 3000; printf end; echo err >&2")
        pod.wait(container)
        pod("RemoveContainer", {1: container})
        lines = [line.split(" ", 3) for line in log(pod, "talker").splitlines()]
        out = [(tag, text) for _, stream, tag, text in lines if stream == "stdout"]
        assert out == [*(("F", str(number)) for number in range(1, 3001)), ("P", "end")]
        assert [line[1:] for line in lines if line[1] == "stderr"] == [["stderr", "F", "err"]]
        times = [line[0] for line in lines]
        assert all(time.startswith("20") for time in times)

    def test_a_log_that_was_moved_is_opened_again(self, pod: Pod) -> None:
        program = "mkfifo /f; echo one; read line </f; echo $line"
        container = pod.start("talker", "sh", "-c", program)
        pod.exec(container, "sh", "-c", "until test -p /f; do :; done")
        old = pod.logs / "old.log"
        (pod.logs / "talker.log").rename(old)
        pod("ReopenContainerLog", {1: container})
        pod.exec(container, "sh", "-c", "echo two >/f")
        pod.wait(container)
        pod("RemoveContainer", {1: container})
        assert "two" not in old.read_text()
        both = old.read_text() + log(pod, "talker")
        assert [line.split(" ", 3)[3] for line in both.splitlines()] == ["one", "two"]


def log(pod: Pod, name: str) -> str:
    """A container's log."""
    path: Path = pod.logs / f"{name}.log"
    return path.read_text()
