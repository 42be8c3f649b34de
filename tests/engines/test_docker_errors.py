# SPDX-License-Identifier: Apache-2.0
"""Docker's exit codes 125, 126 and 127, which it derives from the runtime's text, as with runc."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.docker import IMAGE
from tests.engines.runtime import EVERY_WAY
from tests.support.features import requires

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.engines.docker import Docker, Plugged
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "docker", "runc"), pytest.mark.slow]


def each(plugs: list[Plugged], *argv: str) -> list[CompletedProcess[str]]:
    """`docker run argv...` with orlop, over our shim, and with runc."""
    return [plug.run(*argv) for plug in plugs]


@pytest.mark.parametrize(
    ("command", "status", "text"),
    [
        (["nope"], 127, 'exec: "nope": executable file not found in $PATH'),
        (["/nope"], 127, "no such file or directory"),
        ([""], 127, 'exec: "": executable file not found in $PATH'),
        (["/bin"], 126, "permission denied"),
        (["/bin/no-permission"], 126, 'exec: "/bin/no-permission": permission denied'),
        (["/etc/passwd/x"], 125, "not a directory"),
        (["sh", "-c", "exit 125"], 125, ""),
        (["sh", "-c", "exit 126"], 126, ""),
        (["sh", "-c", "exit 127"], 127, ""),
        (["sh", "-c", "exit 255"], 255, ""),
    ],
)
def test_a_command_that_can_not_run_gives_the_status_of_runc(
    plugs: list[Plugged], command: list[str], status: int, text: str
) -> None:
    for result in each(plugs, IMAGE, *command):
        assert result.returncode == status
        assert text in result.stderr
        assert bool(text) == ("OCI runtime create failed: " in result.stderr)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--nosuch",), "unknown flag: --nosuch"),
        (("-v", "/etc:/etc/passwd"), "Are you trying to mount a directory onto a file"),
        (("--ulimit", "nofile=99999999:99999999"), "peration not permitted"),
        (("--user", "nobody-knows"), "unable to find user nobody-knows"),
    ],
)
def test_a_container_that_can_not_be_made_gives_125(
    plugs: list[Plugged], options: tuple[str, ...], text: str
) -> None:
    for result in each(plugs, *options, IMAGE, "true"):
        assert result.returncode == 125
        assert text in result.stderr


def test_the_error_names_the_line_of_the_configuration(plugs: list[Plugged]) -> None:
    """With runc this is 127: Docker takes its "no such file or directory" for the command's."""
    for result in each(plugs[:2], "--sysctl", "net.nope=1", IMAGE, "true"):
        assert result.returncode == 125
        assert "OCI runtime create failed: /linux/sysctl/net.nope: " in result.stderr


def test_a_program_of_another_format_is_an_error_of_the_start(plugs: list[Plugged]) -> None:
    """With runc the container starts, and its init writes the message and exits with 1."""
    for result in each(plugs[:2], IMAGE, "/bin/no-format"):
        assert result.returncode == 125
        assert 'exec: "/bin/no-format": exec format error' in result.stderr


@pytest.mark.parametrize(
    ("argv", "status", "text"),
    [
        (["nope"], 126, 'exec: "nope": executable file not found in $PATH'),
        (["/nope"], 126, "no such file or directory"),
        ([""], 126, 'exec: "": executable file not found in $PATH'),
        (["/bin"], 126, "permission denied"),
        (["/bin/no-permission"], 126, 'exec: "/bin/no-permission": permission denied'),
        (["sh", "-c", "exit 9"], 9, ""),
        (["sh", "-c", "kill -9 $$"], 137, ""),
    ],
)
def test_exec_gives_the_status_of_runc(
    plugs: list[Plugged], argv: list[str], status: int, text: str
) -> None:
    """Docker 20.10 gives 126 for all that the runtime refuses, and shows the text on stdout."""
    for docker, name in plugs:
        docker("run", "--detach", "--runtime", name, "--name", name, IMAGE, "sleep", "1000")
        result = docker("exec", name, *argv, check=False)
        assert result.returncode == status
        assert text in result.stdout + result.stderr
        docker("rm", "--force", name)


@EVERY_WAY
def test_a_failed_container_keeps_the_status(docker: Docker, runtime: Runtime) -> None:
    for command, status in (("nope", 127), ("/bin", 126)):
        docker("create", "--runtime", runtime.name, "--name", "failed", IMAGE, command)
        assert docker("start", "failed", check=False).returncode == 1
        state = docker.state("failed")
        assert (state["Status"], state["ExitCode"]) == ("created", status)
        docker("rm", "failed")


@EVERY_WAY
def test_a_container_that_is_not_there_is_dockers_own_error(
    docker: Docker, runtime: Runtime
) -> None:
    docker.run(runtime, "--name", "ended", IMAGE, "true")
    result = docker("exec", "ended", "true", check=False)
    assert result.returncode == 1
    assert "is not running" in result.stderr
    result = docker("kill", "ended", check=False)
    assert result.returncode == 1
    assert "is not running" in result.stderr


def test_the_daemon_names_the_runtime_in_its_information(docker: Docker) -> None:
    assert "orlop" in docker("info", "--format", "{{json .Runtimes}}").stdout
    missing = docker("run", "--rm", "--runtime", "nope", IMAGE, "true", check=False)
    assert missing.returncode == 125
