# SPDX-License-Identifier: Apache-2.0
"""`linux.sysctl`: in which namespace, when, and never in one that is the host's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires
from tests.support.network import Network

if TYPE_CHECKING:
    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [requires("root"), pytest.mark.v2]

FORWARDING = "/proc/sys/net/ipv4/ip_forward"
#: type -> file in /proc/PID/ns, and a sysctl that such a namespace holds.
HELD = {
    "network": ("net", "net.ipv4.ip_forward", "1"),
    "ipc": ("ipc", "kernel.msgmax", "4096"),
    "uts": ("uts", "kernel.domainname", "example"),
}


def join(bundle: Bundle, kind: str, path: str) -> None:
    """Let the container join a namespace."""
    bundle.drop_namespace(kind)
    bundle.linux["namespaces"].append({"type": kind, "path": path})


@pytest.mark.parametrize("kind", HELD)
def test_a_namespace_of_the_containers_own_gets_it(
    run_probe: RunProbe, bundle: Bundle, kind: str
) -> None:
    _, name, value = HELD[kind]
    bundle.linux["sysctl"] = {name: value}
    file = Path("/proc/sys") / name.replace(".", "/")
    before = file.read_text()
    assert run_probe("cat", str(file)) == f"{value}\n"
    assert file.read_text() == before


@pytest.mark.parametrize("kind", HELD)
def test_the_runtimes_own_namespace_by_path_is_refused(container: Container, kind: str) -> None:
    file, name, value = HELD[kind]
    join(container.bundle, kind, f"/proc/self/ns/{file}")
    container.bundle.linux["sysctl"] = {name: value}
    before = (Path("/proc/sys") / name.replace(".", "/")).read_text()
    container.bundle.write()
    result = container.cli("create", "--bundle", container.bundle.path, container.id, check=False)
    assert result.returncode == 1
    assert f"/linux/sysctl/{name}: sysctl {name}: the {kind} namespace" in result.stderr
    assert (Path("/proc/sys") / name.replace(".", "/")).read_text() == before


def test_a_joined_namespace_of_others_gets_it(container: Container) -> None:
    with Network() as network:
        join(container.bundle, "network", network.path)
        container.bundle.linux["sysctl"] = {"net/ipv4/ip_forward": "1"}
        assert container.bundle.args("cat", FORWARDING)
        assert container.run().stdout == "1\n"


def test_the_runtimes_own_network_without_sysctls_is_joined(container: Container) -> None:
    join(container.bundle, "network", "/proc/self/ns/net")
    assert container.run().returncode == 0


@requires("userns")
def test_limits_of_a_user_namespace_are_its_own(run_probe: RunProbe, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "user"})
    for name in ("uidMappings", "gidMappings"):
        bundle.linux[name] = [{"containerID": 0, "hostID": 0, "size": 1000}]
    bundle.linux["sysctl"] = {"user.max_net_namespaces": "7", "user/max_user_namespaces": "0"}
    before = Path("/proc/sys/user/max_net_namespaces").read_text()
    base = "/proc/sys/user"
    output = run_probe(
        "cat", f"{base}/max_net_namespaces", "--", "cat", f"{base}/max_user_namespaces"
    )
    assert output.split() == ["7", "0"]
    assert Path("/proc/sys/user/max_net_namespaces").read_text() == before


def test_they_are_written_after_the_hooks_that_make_interfaces(container: Container) -> None:
    bundle = container.bundle
    pid = """sed 's/.*"pid":\\([0-9]*\\).*/\\1/'"""
    script = f"nsenter -t $({pid}) --net ip link add eth0 type veth peer name eth1"
    bundle.spec["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    bundle.linux["sysctl"] = {"net.ipv4.conf.eth0.forwarding": "1"}
    bundle.args("cat", "/proc/sys/net/ipv4/conf/eth0/forwarding")
    assert container.run().stdout == "1\n"
