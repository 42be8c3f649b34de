# SPDX-License-Identifier: Apache-2.0
"""`linux.uidMappings`, `linux.gidMappings`: one id to many ranges, by root and by others.

Rootless ranges are what /etc/subuid and /etc/subgid allow. The tests put files of their own over
them, in mount namespaces of their own: the machine's stay as they are.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import probe
from tests.support.cli import Cli
from tests.support.container import Container
from tests.support.features import NOBODY, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle

pytestmark = [requires("root", "userns"), pytest.mark.v2]

FIRST = 700_000
COUNT = 5000


def line(inside: int, outside: int, size: int) -> dict[str, int]:
    """One mapping."""
    return {"containerID": inside, "hostID": outside, "size": size}


def map_ids(bundle: Bundle, *lines: dict[str, int]) -> None:
    """A user namespace with these lines in both maps."""
    bundle.drop_namespace("user")
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = list(lines)


def rows(text: str) -> list[tuple[int, ...]]:
    """Lines of a map file."""
    return [tuple(map(int, row.split())) for row in text.splitlines()]


class TestRoot:
    def test_one_id_is_enough(self, run_probe: RunProbe, bundle: Bundle) -> None:
        map_ids(bundle, line(0, 0, 1))
        (terminals,) = (m for m in bundle.spec["mounts"] if m["type"] == "devpts")
        terminals["options"].remove("gid=5")  # which is not mapped
        assert rows(run_probe("cat", "/proc/self/uid_map")) == [(0, 0, 1)]

    def test_the_longest_map_has_340_lines(self, run_probe: RunProbe, bundle: Bundle) -> None:
        lines = [line(n, 2 * n, 1) for n in range(340)]
        map_ids(bundle, *lines)
        assert len(rows(run_probe("cat", "/proc/self/gid_map"))) == 340

    def test_a_map_of_a_page_is_refused_with_its_size(self, container: Container) -> None:
        lines = [line(0, 0, 1), *(line(1000 + n, 1_000_000 + 2 * n, 1) for n in range(339))]
        map_ids(container.bundle, *lines)
        result = container.run(check=False)
        assert result.returncode == 1
        assert "/linux/gidMappings: 340 lines of " in result.stderr
        assert "the kernel takes 4095" in result.stderr

    def test_a_user_of_a_later_range(self, run_probe: RunProbe, bundle: Bundle) -> None:
        map_ids(bundle, line(0, 0, 1), line(5, 1, 2), line(1000, 65534, 1))
        bundle.process["user"] = {"uid": 1000, "gid": 6, "additionalGids": [5]}
        facts = probe.facts(run_probe("id"))
        assert (facts["uid"], facts["gid"], facts["groups"]) == ("1000", "6", "5")

    @pytest.mark.parametrize(
        ("user", "pointer"),
        [
            ({"uid": 7, "gid": 0}, "/process/user/uid"),
            ({"uid": 0, "gid": 7}, "/process/user/gid"),
            ({"uid": 0, "gid": 0, "additionalGids": [0, 7]}, "/process/user/additionalGids/1"),
        ],
    )
    def test_a_user_that_is_not_mapped_is_refused(
        self, container: Container, user: dict[str, Any], pointer: str
    ) -> None:
        map_ids(container.bundle, line(0, 0, 5))
        container.bundle.process["user"] = user
        result = container.run(check=False)
        assert result.returncode == 1
        assert f"{pointer}: " in result.stderr

    def test_a_map_without_id_0_is_refused(self, container: Container) -> None:
        map_ids(container.bundle, line(1, 0, 5))
        container.bundle.process["user"] = {"uid": 1, "gid": 1}
        result = container.run(check=False)
        assert result.returncode == 1
        assert "hint: the user namespace must map id 0" in result.stderr

    def test_a_user_that_a_joined_namespace_does_not_map_is_refused(
        self, container: Container
    ) -> None:
        command = ["unshare", "--user", "sh", "-c", "echo ready; exec cat"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{holder.pid}/{name}").write_text("0 0 6\n")
            path = f"/proc/{holder.pid}/ns/user"
            container.bundle.linux["namespaces"].append({"type": "user", "path": path})
            container.bundle.process["user"] = {"uid": 7, "gid": 0}
            result = container.run(check=False)
            holder.communicate()
        assert result.returncode == 1
        assert "/process/user: " in result.stderr
        assert "does not map this id" in result.stderr


class SubordinateCli(Cli):
    """The runtime as nobody, with subordinate ids that a file of the test's grants."""

    def __init__(self, cli: Cli, grants: str) -> None:
        super().__init__(cli.directory)
        self._numbers = cli._numbers
        self.grants = cli.directory / "subid"
        self.grants.write_text(grants)

    def command(self, *argv: str | Path) -> list[str]:
        """As Cli's, with the file over /etc/subuid and /etc/subgid."""
        user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        script = (
            f"mount --bind {self.grants} /etc/subuid && mount --bind {self.grants} /etc/subgid"
            ' && exec "$@"'
        )
        alone = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
        return [*alone, "setpriv", *user, "--", *super().command(*argv)]


class NestedCli(SubordinateCli):
    """The runtime as root of a user namespace with all ids granted, as rootless Podman runs it."""

    def command(self, *argv: str | Path) -> list[str]:
        """As SubordinateCli's, inside."""
        command = super().command(*argv)
        start = command.index("--") + 1
        nested = ["unshare", "--user", "--map-root-user", "--map-auto", "--"]
        return [*command[:start], *nested, *command[start:]]


@requires("rootless", "newuidmap")
class TestRootless:
    @pytest.fixture
    def container(self, rootless: Container) -> Iterator[Callable[..., Container]]:
        """Make a container of nobody's, who is granted these ids."""
        made: list[Container] = []

        def make(grants: str, kind: type[SubordinateCli] = SubordinateCli) -> Container:
            rootless.bundle.path.parent.chmod(0o755)
            cli = kind(rootless.cli, grants)
            made.append(Container(cli, rootless.bundle, "sub"))
            return made[-1]

        for name in ("subuid", "subgid"):
            if not os.path.exists(f"/etc/{name}"):
                pytest.skip(f"/etc/{name} is not there to be covered")
        yield make
        for container in made:
            container.close()

    def test_ranges_that_are_granted(self, container: Callable[..., Container]) -> None:
        made = container(f"{NOBODY}:{FIRST}:{COUNT}\n")
        map_ids(made.bundle, line(0, NOBODY, 1), line(1, FIRST, COUNT))
        made.bundle.process["user"] = {"uid": 33, "gid": 34, "additionalGids": [35]}
        made.bundle.args("id", "--", "cat", "/proc/self/uid_map", "--", "cat", "/proc/self/gid_map")
        made.bundle.rootfs.chmod(0o755)
        identity, _, maps = made.run().stdout.partition("groups 35\n")
        facts = probe.facts(identity)
        assert (facts["uid"], facts["gid"]) == ("33", "34")
        expected = [(0, NOBODY, 1), (1, FIRST, COUNT)]
        assert rows(maps) == [*expected, *expected]

    def test_ranges_that_are_not_granted(self, container: Callable[..., Container]) -> None:
        made = container(f"{NOBODY}:{FIRST}:10\n")
        map_ids(made.bundle, line(0, NOBODY, 1), line(1, FIRST, 11))
        result = made.run(check=False)
        assert result.returncode == 1
        assert "/linux/gidMappings: newgidmap: " in result.stderr
        assert "hint: see /etc/subuid and /etc/subgid" in result.stderr

    def test_root_of_a_user_namespace_maps_what_that_has(
        self, container: Callable[..., Container]
    ) -> None:
        """/etc/subuid names ids of the machine, not of that namespace."""
        made = container(f"nobody:{FIRST}:{COUNT}\n", NestedCli)
        map_ids(made.bundle, line(0, 1, 100), line(100, 0, 1))
        made.bundle.process["user"] = {"uid": 33, "gid": 34, "additionalGids": [35]}
        made.bundle.args("cat", "/proc/self/uid_map", "--", "cat", "/proc/self/gid_map")
        made.bundle.rootfs.chmod(0o755)
        assert rows(made.run().stdout) == [(0, 1, 100), (100, 0, 1)] * 2

    def test_the_own_id_alone_needs_no_grant(self, container: Callable[..., Container]) -> None:
        made = container("")
        made.bundle.args("cat", "/proc/self/uid_map", "--", "cat", "/proc/self/setgroups")
        assert made.run().stdout.split() == ["0", str(NOBODY), "1", "deny"]
