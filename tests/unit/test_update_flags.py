# SPDX-License-Identifier: Apache-2.0
"""What the flags of update and events mean, before any container is asked for."""

from __future__ import annotations

import pytest

from runtime import duration, runc_stats, update
from runtime.cgroups import resources_v2, setting
from runtime.errors import UsageError
from spec.errors import OrlopError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("12b", 12),
        ("1k", 1 << 10),
        ("1.5m", 3 << 19),
        ("2 GiB", 2 << 30),
        ("3GB", 3 << 30),
        ("1T", 1 << 40),
        ("-1", -1),
    ],
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert update.of_flags({"memory": text})[0] == {"memory": {"limit": size}}


@pytest.mark.parametrize("text", ["", "1x", "-2", "1.m", ".5", "1e3", "9999999p", "m", "1 2", "bb"])
def test_what_is_no_size_is_refused(text: str) -> None:
    if not text:
        assert update.of_flags({"memory": text}) == ({}, {})
        return
    with pytest.raises(OrlopError, match="invalid value for memory"):
        update.of_flags({"memory": text})


def test_each_flag_is_one_property() -> None:
    given = {"cpu-quota": "-1", "cpu-idle": "0", "cpuset-cpus": "0-1", "pids-limit": "0"}
    expected = {"cpu": {"quota": -1, "idle": 0, "cpus": "0-1"}, "pids": {"limit": 0}}
    assert update.of_flags({**given, "blkio-weight": "0"})[0] == expected
    assert update.of_flags({"l3-cache-schema": "L3:0=f"})[1] == {"l3CacheSchema": "L3:0=f"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("1h2m3.5s", 3723.5),
        ("0s", 0),
    ],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert duration.parse(text, "interval") == seconds


@pytest.mark.parametrize("text", ["", "+", "0", "5", "-1s", "s", "1x", ".s", "1.2.3s", "9999999h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="interval"):
        duration.parse(text, "interval")


def test_v2_keeps_the_sum_of_memory_and_swap() -> None:
    files = {"memory.max": "100", "memory.swap.max": "50"}
    found = resources_v2.memory({"memory": {"limit": 120}}, "", files.get)
    assert [(item.file, item.value) for item in found] == [
        ("memory.swap.max", "30"),
        ("memory.max", "120"),
    ]
    with pytest.raises(OrlopError, match="less than the memory limit"):
        resources_v2.memory({"memory": {"limit": 160}}, "", files.get)


def test_runc_counts_memory_and_swap_together_on_v2() -> None:
    stats = {"memory": {"usage": 5, "limit": 10, "swap_usage": 2, "swap_limit": -1}}
    memory = runc_stats.shape(stats)["memory"]
    assert memory == {
        "usage": {"limit": 10, "usage": 5, "failcnt": 0},
        "swap": {"limit": (1 << 64) - 1, "usage": 7, "failcnt": 0},
        "kernel": {"limit": 0, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 0},
    }


def test_io_of_a_device_in_runcs_words() -> None:
    entry = {"device": "8:0", "operation": "read", "value": 7}
    blkio = runc_stats.shape({"io": {"bytes": [entry], "queued": [entry]}})["blkio"]
    shown = [{"major": 8, "op": "Read", "value": 7}]
    assert blkio == {"ioServiceBytesRecursive": shown, "ioQueueRecursive": shown}


@pytest.mark.parametrize(
    ("file", "value", "content", "line"),
    [
        ("pids.max", "5", "max\n", "max"),
        ("io.max", "8:0 rbps=5", "", "8:0 rbps=max"),
        ("io.max", "8:0 rbps=5", "8:0 rbps=9 wbps=max\n", "8:0 rbps=9 wbps=max"),
        ("blkio.throttle.read_bps_device", "8:0 5", "8:1 3\n", "8:0 0"),
        ("cpuset.cpus", "0", "\n", "\n"),
    ],
)
def test_the_line_that_undoes_a_setting(file: str, value: str, content: str, line: str) -> None:
    assert setting.line_before(file, value, content) == line
