# SPDX-License-Identifier: Apache-2.0
"""What an image says of itself decides nothing on the host: users, sizes, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = requires("root")
_HUGE = 1 << 40  # bytes; a file of holes
_LIMIT = 1 << 20


def write_passwd(bundle: Bundle, text: str) -> Path:
    passwd = bundle.rootfs / "etc" / "passwd"
    passwd.write_text(text)
    return passwd


@pytest.mark.parametrize("user", ["4294967296", "99999999999999999999", "4294967295", "-1", "0x0"])
def test_a_user_beyond_all_ids_is_no_name_of_the_images(
    orlop: Cli, bundle: Bundle, make_container: Callable[[Bundle], Container], user: str
) -> None:
    """CVE-2026-46680: such a number was looked up as a name, which the image gave the id 0."""
    write_passwd(bundle, f"{user}:x:0:0::/:/bin/sh\n")
    container = make_container(bundle.args("sleep"))
    container.run_detached()
    for option in (f"--user={user}", f"--user=1000:{user}"):
        result = orlop("exec", option, container.id, "/bin/probe", "id", check=False)
        assert (result.returncode, result.stdout) == (255, "")


@pytest.mark.parametrize("uid", [2**32 - 1, 2**32])
@pytest.mark.parametrize("name", ["uid", "gid", "additionalGids"])
def test_the_largest_id_is_not_root(
    bundle: Bundle, container: Container, name: str, uid: int
) -> None:
    """setresuid(2) takes it for "as it is": a program that was to be nobody would be root."""
    value = [uid] if name == "additionalGids" else uid
    bundle.process["user"] = {"uid": 1000, "gid": 1000, name: value}
    refused = container.run(check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"/process/user/{name}" in refused.stderr


def test_a_huge_passwd_costs_neither_time_nor_memory(bundle: Bundle, run_probe: RunProbe) -> None:
    """CVE-2026-47262: a file of the image was read whole, whatever its size."""
    passwd = write_passwd(bundle, "")
    with passwd.open("r+b") as file:
        file.truncate(_HUGE)
    bundle.process["env"] = ["PATH=/bin"]  # HOME is to be found
    bundle.resources["memory"] = {"limit": _LIMIT}
    assert "HOME=/" in run_probe("env").splitlines()


def test_a_huge_passwd_costs_exec_nothing_either(
    orlop: Cli, bundle: Bundle, make_container: Callable[[Bundle], Container]
) -> None:
    passwd = write_passwd(bundle, "root:" + "x" * 100_000)
    with passwd.open("r+b") as file:
        file.truncate(_HUGE)
    container = make_container(bundle.args("sleep"))
    container.run_detached()
    result = orlop("exec", "--user=5", container.id, "/bin/probe", "env", seconds=10)
    assert "HOME=/" in result.stdout.splitlines()


def test_annotations_of_devices_and_logs_are_only_texts(
    bundle: Bundle, run_probe: RunProbe, tmp_path: Path
) -> None:
    """CVE-2026-53492, CVE-2026-53488: an image's words asked for devices, and for a logger."""
    seen = ("ls", "/dev", "--", "env", "--", "caps")
    without = run_probe(*seen)
    ran = tmp_path / "ran"
    bundle.spec["annotations"] = {
        "cdi.k8s.io/all": "vendor.com/device=all",
        "containerd.io/restart.loguri": f"binary:///usr/bin/touch?{ran}=",
        "run.oci.hooks.stderr": str(ran),
    }
    assert run_probe(*seen) == without
    assert not ran.exists()
