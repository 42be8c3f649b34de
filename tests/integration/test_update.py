# SPDX-License-Identifier: Apache-2.0
"""update: what is named changes, all else stays, and a refused change leaves all as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies
from tests.support.features import requires

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support.container import Container

pytestmark = [pytest.mark.root, pytest.mark.v2, requires("root")]

_MIB = 1 << 20


def value(container: Container, controller: str, file: str) -> str:
    return (hierarchies.directory(controller, container.bundle.cgroup) / file).read_text().strip()


def update(
    container: Container, resources: object, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    text = json.dumps(resources)
    return container.cli("update", "--resources", "-", container.id, input=text, check=check)


def sleeping(container: Container) -> None:
    container.bundle.args("sleep")
    container.run_detached()


def on_v2() -> bool:
    return hierarchies.mode() == "v2"


def memory(container: Container) -> tuple[str, str]:
    """The limit of memory, and of swap: with memory on v1, alone on v2."""
    if on_v2():
        return value(container, "memory", "memory.max"), value(
            container, "memory", "memory.swap.max"
        )
    return value(container, "memory", "memory.limit_in_bytes"), value(
        container, "memory", "memory.memsw.limit_in_bytes"
    )


def limits(megabytes: int, total: int) -> tuple[str, str]:
    swap = total - megabytes if on_v2() else total
    return str(megabytes * _MIB), str(swap * _MIB)


def processors(container: Container) -> list[str]:
    """Quota and period."""
    if on_v2():
        return value(container, "cpu", "cpu.max").split()
    return [value(container, "cpu", f"cpu.cfs_{name}_us") for name in ("quota", "period")]


def test_memory_and_swap_are_raised_and_lowered_together(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 32 * _MIB, "swap": 64 * _MIB}
    sleeping(container)
    for megabytes, total in ((128, 256), (16, 24), (512, 512), (32, 64)):
        arguments = ("--memory", f"{megabytes}m", "--memory-swap", f"{total}m")
        container.cli("update", *arguments, container.id)
        assert memory(container) == limits(megabytes, total)


def test_a_new_memory_limit_keeps_the_sum_with_swap(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 32 * _MIB, "swap": 64 * _MIB}
    sleeping(container)
    container.cli("update", "--memory", "48M", container.id)
    assert memory(container) == limits(48, 64)


def test_memory_without_a_limit(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 32 * _MIB, "swap": 64 * _MIB}
    sleeping(container)
    container.cli("update", "--memory", "-1", container.id)
    whole = "max" if on_v2() else str((1 << 63) - 4096)
    assert memory(container) == (whole, whole)


def test_quota_and_period_change_apart(container: Container) -> None:
    container.bundle.resources["cpu"] = {"quota": 20000, "period": 50000}
    sleeping(container)
    container.cli("update", "--cpu-quota", "30000", container.id)
    assert processors(container) == ["30000", "50000"]
    container.cli("update", "--cpu-period", "100000", container.id)
    assert processors(container) == ["30000", "100000"]
    container.cli("update", "--cpu-quota", "-1", container.id)
    assert processors(container) == ["max" if on_v2() else "-1", "100000"]


def test_zeros_leave_values_as_they_are(container: Container) -> None:
    """What `docker update --pids-limit 30` sends for all that its user did not name."""
    container.bundle.resources["memory"] = {"limit": 32 * _MIB, "swap": 64 * _MIB}
    container.bundle.resources["cpu"] = {"quota": 20000, "period": 50000}
    sleeping(container)
    zeros = {
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0},
        "pids": {"limit": 30},
    }
    update(container, zeros)
    assert (memory(container), processors(container)) == (limits(32, 64), ["20000", "50000"])
    assert value(container, "pids", "pids.max") == "30"


def test_the_list_of_devices_is_left_alone(container: Container) -> None:
    sleeping(container)
    update(container, {"devices": [{"allow": True, "access": "rwm"}], "pids": {"limit": 9}})
    assert value(container, "pids", "pids.max") == "9"
    if not on_v2():
        assert value(container, "devices", "devices.list") != "a *:* rwm"


def test_what_is_null_or_unknown_is_not_named(container: Container) -> None:
    sleeping(container)
    update(container, {"memory": None, "cpu": {"shares": None}, "pids": {"limit": -1}})
    assert value(container, "pids", "pids.max") == "max"


def test_a_refused_value_is_named_and_all_else_put_back(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 32 * _MIB, "swap": 64 * _MIB}
    sleeping(container)
    # pids come after memory on v1, and before it on v2
    bad = {"memory": {"limit": 48 * _MIB}, "pids": {"limit": 5}, "cpu": {"cpus": "4000"}}
    before = value(container, "pids", "pids.max")
    done = update(container, bad, check=False)
    assert (done.returncode, "/cpu/cpus" in done.stderr) == (1, True)
    assert memory(container) == limits(32, 64)
    assert value(container, "pids", "pids.max") == before


def test_a_quota_that_is_refused_puts_memory_back(container: Container) -> None:
    container.bundle.resources["memory"] = {"limit": 32 * _MIB, "swap": 64 * _MIB}
    sleeping(container)
    bad = {"memory": {"limit": 48 * _MIB}, "cpu": {"quota": 1}}
    done = update(container, bad, check=False)
    assert (done.returncode, "/cpu/quota" in done.stderr) == (1, True)
    assert memory(container) == limits(32, 64)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"memory": {"limit": "1"}}', "/memory/limit"),
        ('{"memory": ', "line 1"),
        ("[]", "expected an object"),
    ],
)
def test_a_file_that_is_no_resources_is_refused(container: Container, text: str, said: str) -> None:
    sleeping(container)
    arguments = ("update", "--resources", "-", container.id)
    done = container.cli(*arguments, input=text, check=False)
    assert (done.returncode, said in done.stderr) == (1, True)


@pytest.mark.parametrize("flag", ["memory", "cpu-quota", "cpu-share", "pids-limit", "blkio-weight"])
def test_a_flag_that_is_no_number_is_refused(container: Container, flag: str) -> None:
    sleeping(container)
    done = container.cli("update", f"--{flag}", "much", container.id, check=False)
    assert (done.returncode, flag in done.stderr) == (1, True)


def test_obsolete_flags_warn_and_change_nothing(container: Container, tmp_path: Path) -> None:
    sleeping(container)
    before, log = memory(container), tmp_path / "log"
    container.cli("--log", log, "update", "--kernel-memory", "1G", container.id)
    assert ("ignored" in log.read_text(), memory(container)) == (True, before)


def test_a_stopped_container_is_refused(container: Container) -> None:
    sleeping(container)
    container.kill("KILL")
    container.wait()
    done = container.cli("update", "--memory", "64m", container.id, check=False)
    assert (done.returncode, "container not running" in done.stderr) == (1, True)


def test_a_paused_container_stays_paused(container: Container) -> None:
    sleeping(container)
    container.cli("pause", container.id)
    container.cli("update", "--pids-limit", "7", container.id)
    assert (container.status, value(container, "pids", "pids.max")) == ("paused", "7")


def test_resctrl_that_is_not_there_is_refused(container: Container) -> None:
    sleeping(container)
    done = container.cli("update", "--l3-cache-schema", "L3:0=f", container.id, check=False)
    said = "l3 cache schema is not enabled" in done.stderr or "non-existent" in done.stderr
    assert (done.returncode, said) == (1, True)
