# SPDX-License-Identifier: Apache-2.0
"""Containers that share a volume: one swaps its directories for links while another starts.

CVE-2021-30465 and CVE-2024-45310: what the runtime checked and what it then used were two things.
Each operation that makes something in the root file system is raced, a hundred starts in all.
"""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.mounting import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.slow,
    pytest.mark.v2,
    pytest.mark.skipif(not is_orlop(), reason="for this runtime"),
]
STARTS = 15
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fs.h


class Swapper(threading.Thread):
    """Exchanges two names, over and over, until `stop` is set (renameat2(2))."""

    def __init__(self, first: Path, second: Path) -> None:
        super().__init__()
        self._names = os.fsencode(first), os.fsencode(second)
        self._call = ctypes.CDLL(None, use_errno=True).renameat2
        self.stop = threading.Event()
        self.swaps = 0

    def run(self) -> None:
        first, second = self._names
        while not self.stop.is_set():
            assert self._call(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE) == 0
            self.swaps += 1


def files(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Everything in a directory: mode, owner and group."""
    found = {}
    for path in [directory, *directory.rglob("*")]:
        status = path.lstat()
        found[str(path)] = status.st_mode, status.st_uid, status.st_gid
    return found


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that must stay as it is."""
    directory = tmp_path / "canary"
    (directory / "sub").mkdir(parents=True)
    (directory / "file").write_text("the host's")
    before = files(directory)
    yield directory
    assert files(directory) == before
    assert (directory / "file").read_text() == "the host's"


@pytest.fixture
def volume(tmp_path: Path, canary: Path) -> Iterator[Path]:
    """A volume whose `place` is a directory and then a link to the canary, and back."""
    directory = tmp_path / "volume"
    (directory / "place" / "sub").mkdir(parents=True)
    (directory / "link").symlink_to(canary)
    swapper = Swapper(directory / "place", directory / "link")
    swapper.start()
    yield directory
    swapper.stop.set()
    swapper.join()
    assert swapper.swaps > STARTS


def device(bundle: Bundle, number: int) -> None:
    bundle.linux["devices"] = [
        {"path": f"/work/place/made-{number}/null", "type": "c", "major": 1, "minor": 3,
         "uid": 7, "gid": 7}
    ]  # fmt: skip


def masks(bundle: Bundle, number: int) -> None:
    assert number >= 0
    bundle.linux["maskedPaths"] = ["/work/place/file", "/work/place/sub"]
    bundle.linux["readonlyPaths"] = ["/work/place"]


def working_directory(bundle: Bundle, number: int) -> None:
    bundle.process["cwd"] = f"/work/place/cwd-{number}"


def mount(kind: str, target: str, *options: str) -> Callable[[Bundle, int], None]:
    """A mount on a path of the volume; `{}` in `target` is the start's number."""

    def edit(bundle: Bundle, number: int) -> None:
        add(bundle, target.format(number), kind, "/etc" if kind == "bind" else "raced", *options)

    return edit


EDITS: dict[str, Callable[[Bundle, int], None]] = {
    "tmpfs": mount("tmpfs", "/work/place/sub"),
    "new-directory": mount("tmpfs", "/work/place/deep-{}/er"),
    "bind": mount("bind", "/work/place/bound-{}", "bind", "ro"),
    "tmpcopyup": mount("tmpfs", "/work/place", "tmpcopyup"),
    "remount": mount("tmpfs", "/work/place/sub", "ro"),
    "device": device,
    "cwd": working_directory,
    "masks": masks,
}


@pytest.mark.parametrize("what", EDITS)
def test_nothing_lands_outside(
    make_container: Callable[[Bundle], Container],
    make_bundle: Callable[[], Bundle],
    volume: Path,
    canary: Path,
    what: str,
) -> None:
    statuses = []
    for number in range(STARTS):
        bundle = make_bundle().args("mounts")
        add(bundle, "/work", "bind", volume, "rbind")
        EDITS[what](bundle, number)
        container: Any = make_container(bundle)
        result = container.run(check=False)
        statuses.append(result.returncode)
        mounts = probe.mounts(result.stdout).values()
        raced = [each for each in mounts if each.source == "raced"]
        if what in ("tmpfs", "new-directory", "remount", "tmpcopyup"):
            assert len(raced) == (result.returncode == 0)
        container.delete("--force", check=False)
    assert 0 in statuses
    assert stat.S_ISDIR(canary.stat().st_mode)
