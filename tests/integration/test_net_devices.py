# SPDX-License-Identifier: Apache-2.0
"""`linux.netDevices`: devices of one test-made network namespace move to a container's."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.container import Container
from tests.support.features import requires
from tests.support.network import Network, NetworkCli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

pytestmark = [requires("root", "ip")]

LIFETIME = ("valid_lft", "999", "preferred_lft", "999")
MAC = "02:00:00:00:00:07"


@pytest.fixture
def cable(watch: Watch) -> Iterator[Network]:
    """Where the other ends of all devices are."""
    assert not watch.found()
    with Network() as network:
        yield network


@pytest.fixture
def host(cable: Network) -> Iterator[Network]:
    """The runtime's network namespace; it has a device d0, down and without addresses."""
    with Network(cable) as network:
        network.add("d0")
        yield network


@pytest.fixture
def pod(cable: Network) -> Iterator[Network]:
    """A network namespace for the container to join."""
    with Network(cable) as network:
        yield network


@pytest.fixture
def container(host: Network, bundle: Bundle, tmp_path: Path) -> Iterator[Container]:
    """A container whose runtime is in `host`."""
    container = Container(NetworkCli(tmp_path, host), bundle, "net")
    yield container
    container.close()


def join(bundle: Bundle, network: Network) -> None:
    """Let the container join a network namespace."""
    bundle.drop_namespace("network")
    bundle.linux["namespaces"].append({"type": "network", "path": network.path})


def test_a_device_moves_to_a_new_namespace_and_is_up(host: Network, container: Container) -> None:
    container.bundle.linux["netDevices"] = {"d0": {}}
    container.bundle.args("netif")
    lines = container.run().stdout.splitlines()
    assert [(words[0], words[2]) for words in map(str.split, lines)] == [
        ("lo", "up"),
        ("d0", "up"),
    ]
    assert host.links() == {}  # the kernel ended it with its namespace; nobody moves it back


def test_it_stays_in_a_joined_namespace_when_the_container_is_gone(
    host: Network, pod: Network, container: Container
) -> None:
    join(container.bundle, pod)
    container.bundle.linux["netDevices"] = {"d0": {}}
    container.run()
    assert pod.is_up("d0")
    assert host.links() == {}


def test_it_keeps_what_it_is_and_gets_a_new_name(
    host: Network, pod: Network, container: Container
) -> None:
    host.ip("link", "set", "d0", "address", MAC, "mtu", "1300")
    join(container.bundle, pod)
    container.bundle.linux["netDevices"] = {"d0": {"name": "ctr_eth0"}}
    container.run()
    assert list(pod.links()) == ["ctr_eth0"]
    link = pod.links()["ctr_eth0"]
    assert (link["address"], link["mtu"]) == (MAC, 1300)


def test_permanent_global_addresses_go_with_it(
    host: Network, pod: Network, container: Container
) -> None:
    host.ip("link", "set", "d0", "up")
    kept = {"192.0.2.7/24", "192.0.2.8/24", "198.51.100.1/32", "2001:db8::7/64"}
    for address in sorted(kept):
        host.ip("address", "add", address, "dev", "d0", *(["nodad"] if ":" in address else []))
    host.ip("address", "add", "192.0.2.99/32", "dev", "d0", *LIFETIME)
    host.ip("address", "add", "203.0.113.1/32", "dev", "d0", "scope", "host")
    join(container.bundle, pod)
    container.bundle.linux["netDevices"] = {"d0": {"name": "eth0"}}
    container.run()
    assert pod.addresses("eth0") == kept


def test_what_was_said_of_an_address_goes_with_it(
    host: Network, pod: Network, container: Container
) -> None:
    words = ["broadcast", "192.0.2.255", "noprefixroute", "metric", "77"]
    host.ip("address", "add", "192.0.2.7/24", *words, "dev", "d0")
    host.ip("address", "add", "192.0.2.20", "peer", "192.0.2.21", "dev", "d0")
    join(container.bundle, pod)
    container.bundle.linux["netDevices"] = {"d0": {}}
    container.run()
    first, second = (a for a in pod.links()["d0"]["addr_info"] if a["family"] == "inet")
    assert (first["broadcast"], first["noprefixroute"], first["metric"]) == (
        "192.0.2.255",
        True,
        77,
    )
    assert (second["local"], second["address"]) == ("192.0.2.20", "192.0.2.21")


def test_a_template_finds_a_free_name(host: Network, pod: Network, container: Container) -> None:
    for name in ("eth0", "eth2"):
        pod.add(name)
    host.ip("link", "set", "d0", "address", MAC)
    join(container.bundle, pod)
    container.bundle.linux["netDevices"] = {"d0": {"name": "eth%d"}}
    container.run()
    assert pod.links()["eth1"]["address"] == MAC
    assert pod.is_up("eth1")


def test_several_devices_move_and_the_other_end_of_a_pair_stays(
    host: Network, pod: Network, container: Container
) -> None:
    host.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
    host.ip("address", "add", "192.0.2.1/24", "dev", "v0")
    join(container.bundle, pod)
    container.bundle.linux["netDevices"] = {"d0": {}, "v0": {"name": "eth0"}}
    container.run()
    assert set(pod.links()) == {"d0", "eth0"}
    assert set(host.links()) == {"v1"}
    assert pod.addresses("eth0") == {"192.0.2.1/24"}


def test_a_user_namespace_of_the_containers_own_is_no_obstacle(container: Container) -> None:
    bundle = container.bundle
    bundle.linux["namespaces"].append({"type": "user"})
    for name in ("uidMappings", "gidMappings"):
        bundle.linux[name] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    bundle.linux["netDevices"] = {"d0": {"name": "eth0"}}
    bundle.args("netif")
    assert "\neth0 " in container.run().stdout


def test_sysctls_of_the_device_are_written(container: Container) -> None:
    bundle = container.bundle
    bundle.linux["netDevices"] = {"d0": {"name": "eth0.5"}}
    bundle.linux["sysctl"] = {"net/ipv4/conf/eth0.5/forwarding": "1"}
    bundle.args("cat", "/proc/sys/net/ipv4/conf/eth0.5/forwarding")
    assert container.run().stdout == "1\n"


def test_hooks_find_the_device_in_the_container(container: Container, tmp_path: Path) -> None:
    pid = """sed 's/.*"pid":\\([0-9]*\\).*/\\1/'"""
    script = f"nsenter -t $({pid}) --net ip link show d0 > {tmp_path}/inside"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/sbin:/usr/bin"]}
    container.bundle.spec["hooks"] = {"createRuntime": [hook]}
    container.bundle.linux["netDevices"] = {"d0": {}}
    container.run()
    assert ",UP" in (tmp_path / "inside").read_text()


class TestRefusal:
    """Nothing is moved, and the host is as it was."""

    def refused(self, container: Container) -> str:
        """What a create says that must fail."""
        container.bundle.write()
        path = container.bundle.path
        result = container.cli("create", "--bundle", path, container.id, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        return result.stderr

    def test_a_device_that_is_not_there(self, container: Container) -> None:
        container.bundle.linux["netDevices"] = {"nosuch": {}}
        message = self.refused(container)
        assert message.startswith("orlop: /linux/netDevices/nosuch: network device nosuch: not in")

    def test_a_name_that_is_taken(self, host: Network, pod: Network, container: Container) -> None:
        pod.add("eth0")
        host.ip("address", "add", "192.0.2.7/24", "dev", "d0")
        join(container.bundle, pod)
        container.bundle.linux["netDevices"] = {"d0": {"name": "eth0"}}
        message = self.refused(container)
        assert "/linux/netDevices/d0: " in message
        assert "%d" in message
        assert host.addresses("d0") == {"192.0.2.7/24"}
        assert list(pod.links()) == ["eth0"]

    def test_what_was_moved_before_one_that_cannot_be_comes_back(
        self, host: Network, pod: Network, container: Container
    ) -> None:
        host.ip("link", "set", "d0", "up")
        host.ip("address", "add", "192.0.2.7/24", "dev", "d0")
        host.ip("address", "add", "2001:db8::7/64", "dev", "d0", "nodad")
        host.add("d1")
        join(container.bundle, pod)
        devices = {"d0": {"name": "eth0"}, "d1": {"name": "eth1"}, "lo": {"name": "lo2"}}
        container.bundle.linux["netDevices"] = devices
        message = self.refused(container)
        assert "/linux/netDevices/lo: network device lo: " in message
        assert pod.links() == {}
        assert set(host.links()) == {"d0", "d1"}
        assert host.addresses("d0") == {"192.0.2.7/24", "2001:db8::7/64"}
        assert (host.is_up("d0"), host.is_up("d1")) == (True, False)

    def test_an_address_that_the_container_may_not_have(
        self, host: Network, pod: Network, container: Container
    ) -> None:
        pod.ip("link", "set", "lo", "up")
        host.ip("address", "add", "2001:db8::7/64", "dev", "d0", "nodad")
        sysctl = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"
        run_in(pod, sysctl)
        join(container.bundle, pod)
        container.bundle.linux["netDevices"] = {"d0": {}}
        assert "address 2001:db8::7/64: " in self.refused(container)
        assert host.addresses("d0") == {"2001:db8::7/64"}
        assert pod.links() == {}

    def test_the_runtimes_own_namespace(self, host: Network, container: Container) -> None:
        join(container.bundle, host)
        container.bundle.linux["netDevices"] = {"d0": {"name": "eth0"}}
        assert "is the runtime's own" in self.refused(container)
        assert list(host.links()) == ["d0"]


@requires("rootless")
def test_a_rootless_runtime_cannot(rootless: Container) -> None:
    rootless.bundle.linux["netDevices"] = {"d0": {}}
    if not any(n["type"] == "network" for n in rootless.bundle.linux["namespaces"]):
        rootless.bundle.linux["namespaces"].append({"type": "network"})
    result = rootless.run(check=False)
    assert result.returncode == 1
    assert "/linux/netDevices: network devices can't be moved by a rootless" in result.stderr


def run_in(network: Network, script: str) -> None:
    """Run a shell script in a network namespace."""
    subprocess.run([*network.prefix(), "sh", "-c", script], check=True, timeout=20)
