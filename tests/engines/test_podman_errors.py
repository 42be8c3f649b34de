# SPDX-License-Identifier: Apache-2.0
"""Podman's exit codes 125, 126 and 127, and the texts behind them, as with runc.

Podman derives codes and the words at the end ("OCI permission denied") from the runtime's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.podman import IMAGE
from tests.engines.runtime import orlop, runc
from tests.support.features import requires

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.engines.podman import Podman
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "podman", "runc"), pytest.mark.slow]

NOT_FOUND = ": OCI runtime attempted to invoke a command that was not found\n"
DENIED = ": OCI permission denied\n"


def both(podman: Podman, *argv: str) -> list[CompletedProcess[str]]:
    """`podman argv...` with orlop and with runc."""
    return [podman("--runtime", each.name, *argv, check=False) for each in (orlop(), runc())]


@pytest.mark.parametrize(
    ("command", "status", "text", "end"),
    [
        (["nope"], 127, 'exec: "nope": executable file not found in $PATH', NOT_FOUND),
        (["/nope"], 127, "no such file or directory", NOT_FOUND),
        ([""], 127, 'exec: "": executable file not found in $PATH', NOT_FOUND),
        (["no-permission"], 127, "executable file not found in $PATH", NOT_FOUND),
        (["/bin/no-permission"], 126, 'exec: "/bin/no-permission": permission denied', DENIED),
        (["/bin"], 126, "permission denied", DENIED),
        (["/bin/sh/x"], 126, "not a directory", "not a directory\n"),
        (["sh", "-c", "exit 125"], 125, "", ""),
        (["sh", "-c", "exit 127"], 127, "", ""),
    ],
)
def test_a_command_that_can_not_run_gives_the_status_of_runc(
    podman: Podman, command: list[str], status: int, text: str, end: str
) -> None:
    for result in both(podman, "run", "--rm", "--network=none", IMAGE, *command):
        assert result.returncode == status
        assert text in result.stderr
        assert result.stderr.endswith(end)


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (["--nosuch"], 125, "unknown flag: --nosuch"),
        (["--volume=/nope:/x"], 125, "statfs /nope: no such file or directory"),
        (["--volume=/etc/hostname:/etc/passwd/x"], 126, "ot a directory"),
        (["--ulimit=nofile=99999999:99999999"], 126, "OCI permission denied"),
        (["--user=nobody-knows"], 126, "unable to find user nobody-knows"),
        (["--sysctl=net.nope=1"], 127, "OCI runtime attempted to invoke a command"),
        (["--memory=1k"], 126, "OCI runtime error"),
        (["--oom-score-adj=-2000"], 126, "OCI runtime error"),
        (["--cgroups=disabled"], 125, "is not compatible with NoCgroups"),
    ],
)
def test_a_container_that_can_not_be_made_gives_the_status_of_runc(
    podman: Podman, options: list[str], status: int, text: str
) -> None:
    for result in both(podman, "run", "--rm", "--network=none", *options, IMAGE, "true"):
        assert result.returncode == status
        assert text in result.stderr


def test_the_error_names_the_line_of_the_configuration(podman: Podman) -> None:
    run = ("run", "--rm", "--network=none", "--sysctl=net.nope=1", IMAGE, "true")
    result = podman("--runtime", "orlop", *run, check=False)
    assert result.stderr.startswith("Error: orlop: /linux/sysctl/net.nope: ")


def test_a_runtime_given_by_its_path_shows_its_text_as_well(podman: Podman) -> None:
    """Podman doesn't ask it for JSON then, and shows what conmon read from stderr."""
    run = ("run", "--rm", "--network=none", IMAGE, "nope")
    result = podman("--runtime", orlop().path, *run, check=False)
    assert result.returncode == 127
    text = '/process/args/0: exec: "nope": executable file not found in $PATH'
    assert text + NOT_FOUND in result.stderr


def test_a_program_of_another_format_is_an_error_of_the_start(podman: Podman) -> None:
    """With runc the container starts, and its init writes the message and exits with 1."""
    result = both(podman, "run", "--rm", "--network=none", IMAGE, "/bin/no-format")[0]
    assert result.returncode == 126
    assert 'exec: "/bin/no-format": exec format error' in result.stderr


def test_exec_gives_the_status_of_runc(podman: Podman, runtime: Runtime) -> None:
    podman.using(runtime, "run", "--detach", "--name=c", "--network=none", IMAGE, "sleep", "1000")
    for command, status, text in (
        (["c", "nope"], 127, f'exec: "nope": executable file not found in $PATH{NOT_FOUND}'),
        (["c", ""], 127, f'exec: "": executable file not found in $PATH{NOT_FOUND}'),
        (
            ["c", "/bin/no-permission"],
            126,
            f'exec: "/bin/no-permission": permission denied{DENIED}',
        ),
        (["c", "/bin"], 126, f"permission denied{DENIED}"),
        (["--workdir=/nope", "c", "true"], 127, NOT_FOUND),
        (["--user=nobody-knows", "c", "true"], 255, "unable to find user nobody-knows"),
        (["c", "sh", "-c", "exit 9"], 9, ""),
        (["c", "sh", "-c", "kill -9 $$"], 137, ""),
        (["nope", "true"], 125, "no such container"),
    ):
        result = podman("exec", *command, check=False)
        assert (command, result.returncode) == (command, status)
        hintless = result.stderr.replace(
            " (hint: it is not executable for the container's user)", ""
        )
        assert text in hintless


def test_a_container_in_the_wrong_state_is_refused(podman: Podman, runtime: Runtime) -> None:
    podman.using(runtime, "run", "--name=ended", "--network=none", IMAGE, "true")
    for command, status, text in (
        (["exec", "ended", "true"], 255, "can only create exec sessions on running containers"),
        (["kill", "ended"], 125, "can only kill running containers"),
        (["pause", "ended"], 125, "is not running"),
        (["unpause", "ended"], 125, "is not paused"),
        (["top", "ended"], 125, "top can only be used on running containers"),
    ):
        result = podman(*command, check=False)
        assert (command, result.returncode) == (command, status)
        assert text in result.stderr
