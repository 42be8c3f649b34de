# SPDX-License-Identifier: Apache-2.0
"""Docker's networks: namespaces that it makes, and a runtime joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.docker import IMAGE
from tests.engines.runtime import EVERY_WAY
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.engines.docker import Docker
    from tests.engines.runtime import Runtime

pytestmark = [requires("root", "docker", "runc"), pytest.mark.slow, EVERY_WAY]

SERVER = "echo cargo >/home/index.html; exec httpd -f -v -p 80 -h /home"


def serve(docker: Docker, runtime: Runtime, *options: str) -> None:
    """Run a web server, up to its listening."""
    docker.run(runtime, "--detach", "--name", "server", *options, IMAGE, "sh", "-c", SERVER)
    listening = "until grep -q :0050 /proc/net/tcp /proc/net/tcp6; do :; done"
    docker("exec", "server", "sh", "-c", listening)


def test_containers_reach_each_other_over_the_bridge(docker: Docker, runtime: Runtime) -> None:
    serve(docker, runtime)
    address = docker.inspect("server")["NetworkSettings"]["IPAddress"]
    assert docker.run(runtime, "--rm", IMAGE, "wget", "-qO-", f"http://{address}/") == "cargo"


def test_a_published_port_is_reached_from_outside(docker: Docker, runtime: Runtime) -> None:
    serve(docker, runtime, "--publish", "127.0.0.1:8080:80")
    fetched = docker.room.run("busybox", "wget", "-qO-", "http://127.0.0.1:8080/")
    assert fetched.stdout == "cargo\n"


def test_names_are_known_in_a_network_of_the_users(docker: Docker, runtime: Runtime) -> None:
    network = f"sea-{runtime.name}"
    docker("network", "create", network)
    try:
        serve(docker, runtime, "--network", network)
        shown = docker.run(
            *(runtime, "--rm", "--network", network, IMAGE, "wget", "-qO-", "http://server/")
        )
        docker("network", "disconnect", network, "server")
        links = docker("exec", "server", "ls", "/sys/class/net").stdout
        docker.remove_all()
    finally:
        docker("network", "rm", network)
    assert shown == "cargo"
    assert links == "lo\n"


@pytest.mark.parametrize(("network", "links"), [("none", "lo"), ("bridge", "eth0\nlo")])
def test_a_network_of_its_own_has_these_devices(
    docker: Docker, runtime: Runtime, network: str, links: str
) -> None:
    assert docker.run(runtime, "--rm", "--network", network, IMAGE, "ls", "/sys/class/net") == links


def test_the_network_of_the_host_is_joined(docker: Docker, runtime: Runtime) -> None:
    namespace = docker.room.run("readlink", "/proc/self/ns/net").stdout.strip()
    command = ("readlink", "/proc/self/ns/net")
    assert docker.run(runtime, "--rm", "--network", "host", IMAGE, *command) == namespace


def test_namespaces_of_a_container_are_joined(docker: Docker, runtime: Runtime) -> None:
    serve(docker, runtime, "--ipc", "shareable")
    joined = [f"--{kind}=container:server" for kind in ("network", "pid", "ipc")]
    command = "wget -qO- http://127.0.0.1/; pidof httpd; test -e /dev/shm && echo shm"
    shown = docker.run(runtime, "--rm", *joined, IMAGE, "sh", "-c", command)
    assert shown == "cargo\n1\nshm"


def test_the_host_files_are_the_engines(docker: Docker, runtime: Runtime) -> None:
    options = ("--add-host", "harbour:10.1.2.3", "--dns", "10.9.8.7", "--hostname", "deck")
    command = ("cat", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname")
    shown = docker.run(runtime, "--rm", *options, IMAGE, *command)
    assert "10.1.2.3\tharbour" in shown
    assert "nameserver 10.9.8.7" in shown
    assert shown.endswith("deck")
