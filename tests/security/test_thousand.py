# SPDX-License-Identifier: Apache-2.0
"""A thousand containers at once on one machine, and nothing of them afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import ENVIRONMENT, is_orlop
from tests.support.features import requires
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.slow,
    pytest.mark.skipif(not is_orlop(), reason="another runtime is no library"),
]
ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("ORLOP_TEST_CONTAINERS", "1000"))
WORKERS = 8  # most of the time goes by in the kernel, waiting for grace periods

#: python -c MAKER ROOT BUNDLE NAME COUNT: makes them, says so, waits, deletes them; tells what
#: grew in itself.
MAKER = """
import os, sys
from runtime import create, delete
root, bundle, name, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
null = os.open("/dev/null", os.O_RDWR)
options = create.CreateOptions()
options.stdio = (null, null, null)

def kib(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))

def life(number):
    pid = create.create(root, f"{name}-{number}", bundle, options)
    return lambda: (delete.delete(root, f"{name}-{number}", force=True), os.waitpid(pid, 0))

life("warm")()
before = len(os.listdir("/proc/self/fd")), kib("VmRSS")
ends = [life(number) for number in range(count)]
print("made", flush=True)
sys.stdin.read()
for end in ends:
    end()
print(len(os.listdir("/proc/self/fd")) - before[0], kib("VmRSS") - before[1])
"""


def test_a_thousand_containers_are_kept_and_deleted(
    orlop: Cli, make_bundle: Callable[[], Bundle], watch: Watch
) -> None:
    orlop.root.mkdir()
    name = f"orlop-test-thousand-{os.getpid()}"
    share = COUNT // WORKERS
    makers = []
    for worker in range(WORKERS):
        bundle = make_bundle()
        bundle.linux["cgroupsPath"] = ""  # one for each, by its id
        bundle.write()
        argv = [sys.executable, "-c", MAKER, orlop.root, bundle.path]
        makers.append(
            subprocess.Popen(
                [*map(str, argv), f"{name}-{worker}", str(share)],
                cwd=ROOT,
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "made\n"
    assert len(orlop("list", "--quiet", seconds=60).stdout.split()) == COUNT
    grown = [maker.communicate(timeout=limit(120))[0].split() for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * WORKERS
    assert [int(fds) for fds, _ in grown] == [0] * WORKERS
    assert all(int(kib) < 4096 for _, kib in grown), grown  # a closure each, and no more
    assert watch.found() == []
    assert list(Path("/sys/fs/cgroup").glob(f"**/{name}*")) == []
