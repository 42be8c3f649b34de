# SPDX-License-Identifier: Apache-2.0
"""Docker daemons with other settings: orlop by default, builds, id maps, live restore."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.engines.docker import IMAGE, Docker, map_nobody
from tests.engines.room import ENVIRONMENT, Room
from tests.engines.runtime import orlop, runc
from tests.engines.tree import outside
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [requires("root", "docker", "runc"), pytest.mark.slow]

DOCKERFILE = f"""
FROM {IMAGE}
ARG CARGO=rum
RUN echo $CARGO >/home/cargo && id -u >>/home/cargo
USER sailor
WORKDIR /tmp
RUN ["sh", "-c", "id -u; pwd >/tmp/where; touch /etc/x || true"]
COPY given /home/given
CMD cat /home/cargo /tmp/where /home/given
"""


@contextmanager
def daemon(
    directory: Path,
    archive: Path,
    settings: dict[str, object],
    env: dict[str, str] | None = None,
) -> Iterator[Docker]:
    """A daemon of one test, with orlop as its default runtime."""
    with Room(directory) as room:
        docker = Docker(room, {"default-runtime": "orlop"} | settings, env)
        docker.start(archive)
        yield docker
        docker.remove_all()
        docker.daemon.stop()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Docker]:
    """BuildKit, in Docker before 23, runs the first runc of its PATH: one that keeps a record."""
    directory = tmp_path_factory.mktemp("builder")
    program = directory / "bin" / "runc"
    program.parent.mkdir()
    record = directory / "calls"
    program.write_text(f'#!/bin/sh\necho "$*" >>{record}\nexec {orlop().path} "$@"\n')
    program.chmod(0o755)
    env = {"PATH": f"{program.parent}:{ENVIRONMENT['PATH']}"}
    with daemon(directory, archive, {}, env) as docker:
        yield docker


class TestBuilds:
    @pytest.fixture
    def context(self, tmp_path: Path) -> Path:
        (tmp_path / "Dockerfile").write_text(DOCKERFILE)
        (tmp_path / "given").write_text("given\n")
        return tmp_path

    @pytest.mark.parametrize("buildkit", ["0", "1"])
    def test_a_build_runs_its_steps(self, builder: Docker, context: Path, buildkit: str) -> None:
        tag = f"built:{buildkit}"
        environment = {"DOCKER_BUILDKIT": buildkit, "BUILDKIT_PROGRESS": "plain"}
        arguments = ("--build-arg", "CARGO=tea", "--tag", tag)
        builder("build", *arguments, context, env=environment)
        assert builder("run", "--rm", tag).stdout == "tea\n0\n/tmp\ngiven\n"

    @pytest.mark.parametrize(("buildkit", "status"), [("0", 43), ("1", 1)])
    def test_a_step_that_fails_fails_the_build(
        self, builder: Docker, context: Path, buildkit: str, status: int
    ) -> None:
        (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN exit 43\n")
        environment = {"DOCKER_BUILDKIT": buildkit, "BUILDKIT_PROGRESS": "plain"}
        result = builder("build", context, env=environment, check=False)
        assert result.returncode == status
        assert "43" in result.stderr

    def test_buildkit_ran_them_with_orlop(self, builder: Docker, context: Path) -> None:
        record = builder.room.directory / "calls"
        before = record.read_text().count("\n")
        environment = {"DOCKER_BUILDKIT": "1"}
        builder("build", "--no-cache", "--tag", "built:again", context, env=environment)
        calls = record.read_text().splitlines()[before:]
        assert sum(" run --bundle " in call for call in calls) == 2

    def test_an_unknown_command_of_a_step_is_shown(self, builder: Docker, context: Path) -> None:
        (context / "Dockerfile").write_text(f'FROM {IMAGE}\nRUN ["nope"]\n')
        environment = {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        result = builder("build", context, env=environment, check=False)
        assert result.returncode == 1
        assert 'exec: "nope": executable file not found in $PATH' in result.stderr


def test_the_daemon_maps_ids(open_directory: Path, archive: Path) -> None:
    with Room(open_directory) as room:
        map_nobody(room)
        docker = Docker(room, {"userns-remap": "nobody:nogroup"})
        docker.start(archive)
        for runtime in (orlop(), runc()):
            command = "cat /proc/self/uid_map; id -u; touch /home/x; ls -ln /home/x | cut -c1-20"
            shown = docker.run(runtime, "--rm", IMAGE, "sh", "-c", command).split("\n")
            assert shown[0].split() == ["0", "200000", "65536"]
            assert shown[1] == "0"
            shown = docker.run(
                *(runtime, "--rm", "--userns", "host", IMAGE, "cat", "/proc/self/uid_map")
            ).split()
            assert shown == ["0", "0", "4294967295"]
            name = f"mapped-{runtime.name}"
            docker.run(runtime, "--detach", "--name", name, IMAGE, "sleep", "1000")
            assert docker("exec", name, "id", "-u").stdout == "0\n"
            assert docker("exec", "--user", "1000", name, "id", "-u").stdout == "1000\n"
            outside = docker.room.path(f"/proc/{docker.state(name)['Pid']}")
            assert outside.stat().st_uid == 200000
        docker.remove_all()
        docker.daemon.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_containers_outlive_the_daemon(
    tmp_path: Path, archive: Path, number: signal.Signals
) -> None:
    with daemon(tmp_path, archive, {"live-restore": True}) as docker:
        program = "echo up; while ! test -e /go; do sleep 0.1; done; echo gone on; exit 4"
        docker.run(orlop(), "--detach", "--name", "survivor", IMAGE, "sh", "-c", program)
        before = docker.state("survivor")["Pid"]
        assert outside(docker.room, before)
        docker.daemon.stop(number)
        assert outside(docker.room, before)
        docker.daemon.start()
        assert docker.state("survivor")["Pid"] == before
        docker("exec", "survivor", "touch", "/go")
        assert docker("wait", "survivor").stdout == "4\n"
        assert docker("logs", "survivor").stdout == "up\ngone on\n"
