# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of the tests' own: no test touches an interface of the machine."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Self

from tests.support.cli import Cli
from tests.support.waiting import limit

if TYPE_CHECKING:
    from pathlib import Path


class Network:
    """A network namespace that a process of the test's holds; a context manager.

    cable: where the other ends of devices that are added are; None: nothing is to be added.
    """

    def __init__(self, cable: Network | None = None) -> None:
        self._cable = cable

    def __enter__(self) -> Self:
        script = "echo ready; exec cat"
        command = ["unshare", "--net", "sh", "-c", script]
        self._holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *exception: object) -> None:
        self._holder.communicate(timeout=limit(20))

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._holder.pid

    @property
    def path(self) -> str:
        """Where it can be joined."""
        return f"/proc/{self.pid}/ns/net"

    def prefix(self) -> list[str]:
        """The words in front of a command that is to run in it."""
        return ["nsenter", f"--net={self.path}", "--"]

    def ip(self, *words: str) -> str:
        """`ip words...` in it."""
        command = [*self.prefix(), "ip", *words]
        result = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=limit(20)
        )
        return result.stdout

    def add(self, name: str) -> None:
        """Add a device: one end of a pair, since a kernel may have no other kind of device."""
        assert self._cable is not None
        number = len(json.loads(self._cable.ip("-json", "link")))
        peer = ["peer", "name", f"end{number}", "netns", str(self._cable.pid)]
        self.ip("link", "add", name, "type", "veth", *peer)

    def links(self) -> dict[str, dict[str, Any]]:
        """Its devices by name, as `ip -json address` shows them, without loopback."""
        shown = json.loads(self.ip("-json", "address"))
        return {link["ifname"]: link for link in shown if link["ifname"] != "lo"}

    def addresses(self, name: str) -> set[str]:
        """The addresses of a device, as ADDRESS/PREFIX, without those of link scope."""
        found = self.links()[name]["addr_info"]
        return {f"{a['local']}/{a['prefixlen']}" for a in found if a["scope"] != "link"}

    def is_up(self, name: str) -> bool:
        """Whether a device is administratively up."""
        return "UP" in self.links()[name]["flags"]


class NetworkCli(Cli):
    """The runtime, in a network namespace of the test's."""

    def __init__(self, directory: Path, network: Network) -> None:
        super().__init__(directory)
        self.network = network

    def command(self, *argv: str | Path) -> list[str]:
        """As Cli's, inside the namespace."""
        return [*self.network.prefix(), *super().command(*argv)]
