# SPDX-License-Identifier: Apache-2.0
"""Many containers, after each other and at once: none fails, and nothing of them is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import waiting
from tests.support.cli import ENVIRONMENT, is_orlop
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli, Running
    from tests.support.leaks import Watch

pytestmark = [requires("root"), pytest.mark.slow]

IN_A_ROW = 200
AT_ONCE = 20
#: Uses the runtime as a library, as a shim does, and tells what its process had before and after.
LIBRARY = """
import os, sys
root, bundle, count = sys.argv[1:]
sys.path.append(os.getcwd())
from runtime.create import CreateOptions, create
from runtime.delete import delete
from runtime.start import start
from spec.errors import OrlopError

def mine():
    fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
           if os.path.lexists(f"/proc/self/fd/{fd}")}
    with open("/proc/self/task/%d/children" % os.getpid()) as file:
        return sorted(fds.items()), file.read().split()

def life(number):
    pid = create(root, f"c{number}", bundle, CreateOptions())
    if number % 2:
        start(root, f"c{number}")
        assert os.waitpid(pid, 0)[1] == 0
    warnings = delete(root, f"c{number}", force=True)
    assert warnings == [], warnings
    if not number % 2:
        os.waitpid(pid, 0)

def failure():
    try:
        create(root, "failing", bundle + "-failing", CreateOptions())
    except OrlopError:
        return
    raise AssertionError("did not fail")

life(0)
failure()
before = mine()
for number in range(1, int(count)):
    life(number)
    failure()
after = mine()
assert before == after, (before, after)
"""


def test_a_container_that_exits_at_once_200_times_in_a_row(
    orlop: Cli, bundle: Bundle, watch: Watch
) -> None:
    bundle.write()
    for number in range(IN_A_ROW):
        result = orlop("run", "--bundle", bundle.path, f"c{number}")
        assert (result.stdout, result.stderr) == ("", "")
    assert watch.found() == []


def test_20_containers_that_exit_at_once_in_parallel(
    orlop: Cli, make_bundle: Callable[[], Bundle], watch: Watch
) -> None:
    watch.parents = False  # a cgroup above several containers' belongs to none of them
    bundles = [make_bundle() for _ in range(AT_ONCE)]
    for bundle in bundles:
        bundle.write()
    started = [
        orlop.spawn("run", "--bundle", bundle.path, f"c{number}")
        for number, bundle in enumerate(bundles)
    ]
    results = [running.result(60) for running in started]
    assert [(r.returncode, r.stdout, r.stderr) for r in results] == [(0, "", "")] * AT_ONCE
    assert watch.found() == []


def test_20_lives_from_create_to_delete_in_parallel(
    orlop: Cli, make_bundle: Callable[[], Bundle], watch: Watch
) -> None:
    watch.parents = False  # as above
    bundles = {f"c{number}": make_bundle().args("sleep") for number in range(AT_ONCE)}
    for bundle in bundles.values():
        bundle.write()

    def every(verb: str, option: str = "") -> None:
        started = [
            orlop.spawn(verb, *filter(None, [option.format(bundle=bundle.path)]), name)
            for name, bundle in bundles.items()
        ]
        results = [running.result(60) for running in started]
        assert [(r.returncode, r.stderr) for r in results] == [(0, "")] * AT_ONCE

    every("create", "--bundle={bundle}")
    every("start")
    listed = json.loads(orlop("list", "--format", "json").stdout)
    assert {state["id"]: state["status"] for state in listed} == dict.fromkeys(bundles, "running")
    every("delete", "--force")
    assert watch.found() == []


def test_list_does_not_stumble_over_containers_that_come_and_go(
    orlop: Cli, make_bundle: Callable[[], Bundle], watch: Watch
) -> None:
    watch.parents = False  # as above
    bundles = [make_bundle() for _ in range(4)]
    for bundle in bundles:
        bundle.write()
    orlop.root.mkdir()

    def start(number: int) -> Running:
        return orlop.spawn("run", "--bundle", bundles[number % 4].path, f"c{number}")

    started = [start(number) for number in range(4)]
    for number in range(4, 24):
        assert started[number - 4].result().returncode == 0
        started.append(start(number))
        assert orlop("list").stderr == ""
    assert [running.result().returncode for running in started] == [0] * len(started)


@pytest.mark.skipif(not is_orlop(), reason="another runtime is no library")
def test_a_process_that_uses_the_runtime_as_a_library_keeps_its_descriptors_and_children(
    orlop: Cli, make_bundle: Callable[[], Bundle], watch: Watch
) -> None:
    bundle, failing = make_bundle(), make_bundle()
    failing.path.rename(f"{bundle.path}-failing")
    failing.path = Path(f"{bundle.path}-failing")
    failing.process["args"] = ["/no/such/program"]
    for each in (bundle, failing):
        each.write()
    result = subprocess.run(
        [sys.executable, "-c", LIBRARY, orlop.root, bundle.path, "20"],
        cwd=Path(__file__).parents[2],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=waiting.limit(60),
    )
    assert result.returncode == 0, result.stderr
    assert watch.found() == []
