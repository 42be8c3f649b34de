# SPDX-License-Identifier: Apache-2.0
"""Trees of directories, parsers of statistics, and what a start imports."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cgroups import files, setting, stats_v2, tree
from spec.errors import OrlopError

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    *("asyncio", "cgroupspy", "collections", "contextlib", "dataclasses", "enum", "functools"),
    *("json", "jsonschema", "logging", "pathlib", "re", "select", "shutil", "signal", "socket"),
    *("subprocess", "tempfile", "typing", "argparse"),
}


@pytest.mark.parametrize("mode", ["v1", "v2"])
def test_a_start_imports_little(mode: str) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from runtime import cgroups
from runtime.cgroups import host
place = host.Hierarchy(1, ("memory",), "/nowhere", "/", "/")
unified = host.Hierarchy(2, ("",), "/nowhere", "/", "/")
here = host.Host({mode!r}, [place] if {mode!r} == "v1" else [], unified)
cgroup = cgroups.resolve("/x", "x", host=here)
cgroups.load(cgroup.saved())
cgroup.verify_unused()
try:
    cgroup.create({{"memory": {{"limit": 1}}, "pids": {{"limit": 1}}}})
except Exception as error:
    assert "make cgroup /nowhere/x: No such file or directory" in str(error), error
else:
    raise AssertionError
cgroup.kill()
cgroup.remove()
print(*sys.modules)
"""
    command = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert not loaded & FORBIDDEN
    assert f"runtime.cgroups.cgroupfs_{mode}" in loaded


def test_make_and_undo(tmp_path: Path) -> None:
    made: list[str] = []
    (tmp_path / "a").mkdir()
    assert tree.make(f"{tmp_path}/a/b/c", str(tmp_path), made)
    assert made == [f"{tmp_path}/a/b", f"{tmp_path}/a/b/c"]
    assert not tree.make(f"{tmp_path}/a/b/c", str(tmp_path), made)
    (tmp_path / "a" / "b" / "other").mkdir()
    tree.undo(made)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "other"]
    assert made == []


def test_make_stops_at_the_mount_point(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tree.make(f"{tmp_path}/gone/a/b", f"{tmp_path}/gone", [])
    assert not (tmp_path / "gone").exists()


def test_remove_goes_deeper_than_paths_and_recursion_do(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("n" * 10, dir_fd=fd)
        os.mkdir("sibling", dir_fd=fd)
        below = os.open("n" * 10, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    assert tree.remove(str(top))
    assert not top.exists()
    assert len(os.listdir("/proc/self/fd")) == before
    assert tree.remove(str(top))


def test_remove_leaves_what_is_busy(tmp_path: Path) -> None:
    (tmp_path / "top" / "used").mkdir(parents=True)
    (tmp_path / "top" / "empty" / "below").mkdir(parents=True)
    (tmp_path / "top" / "used" / "file").touch()
    assert not tree.remove(str(tmp_path / "top"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "top", "used"]


def test_remove_parents_stops_at_the_first_in_use(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "used").mkdir()
    (tmp_path / "a" / "b" / "c").rmdir()
    tree.remove_parents(str(tmp_path / "a" / "b" / "c"), 2)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "used"]


def test_walk_closes_its_descriptor_when_it_is_broken_off(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in itertools.islice(tree.walk(os.open(tmp_path, os.O_RDONLY)), 2):
        assert len(os.listdir("/proc/self/fd")) > before
    assert len(os.listdir("/proc/self/fd")) == before


def test_process_ids(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "cgroup.procs").write_text("12\n0\n7\n")
    (tmp_path / "below" / "cgroup.procs").write_text("5\n")
    assert tree.process_ids(str(tmp_path), recursive=True) == [12, 7, 5]
    assert tree.process_ids(str(tmp_path), recursive=False) == [12, 7]
    assert tree.process_ids(str(tmp_path / "gone"), recursive=True) == []


def test_files_are_never_created_and_links_never_followed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write(f"{tmp_path}/new", "1")
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(OSError, match="symbolic links"):
        files.write(f"{tmp_path}/link", "1")
    assert files.read_if_there(f"{tmp_path}/new") is None
    (tmp_path / "long").write_text("x" * 200_000)
    assert len(files.read(f"{tmp_path}/long")) == 200_000


def write(settings: list[setting.Setting], directory: Path, *, there: bool = True) -> None:
    def locate(controller: str) -> str:
        if not there:
            raise LookupError(f'controller "{controller}" is not available on this host')
        return str(directory)

    setting.write_all(settings, locate)


def test_missing_controller_and_missing_file_name_the_property(tmp_path: Path) -> None:
    asked = setting.Setting("cpuset", "cpuset.cpus", "0", "/linux/resources/cpu/cpus")
    with pytest.raises(OrlopError, match='controller "cpuset" is not available') as caught:
        write([asked], tmp_path, there=False)
    assert caught.value.pointer == "/linux/resources/cpu/cpus"
    with pytest.raises(OrlopError, match=r"this kernel has no cpuset\.cpus") as caught:
        write([asked], tmp_path)
    assert caught.value.pointer == "/linux/resources/cpu/cpus"


def test_dispensable_and_alternative_files(tmp_path: Path) -> None:
    (tmp_path / "second").touch()
    one = setting.Setting("x", "first", "1", "", instead=("second", "2"))
    two = setting.Setting("x", "third", "0", "", dispensable=True)
    write([one, two], tmp_path)
    write([two], tmp_path, there=False)
    assert (tmp_path / "second").read_text() == "2"


def test_flat_keyed() -> None:
    assert files.flat_keyed("populated 1\nlimit max\n\nodd line here\n") == {
        "populated": 1,
        "limit": -1,
    }


def test_statistics_of_v2_files() -> None:
    assert stats_v2.io_stat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n") == {
        "bytes": [
            {"device": "8:0", "operation": "read", "value": 1},
            {"device": "8:0", "operation": "write", "value": 2},
            {"device": "8:0", "operation": "discard", "value": 5},
        ],
        "operations": [
            {"device": "8:0", "operation": "read", "value": 3},
            {"device": "8:0", "operation": "write", "value": 4},
            {"device": "8:0", "operation": "discard", "value": 6},
        ],
    }
    assert stats_v2.number_list("0-2,5\n") == [0, 1, 2, 5]
    assert stats_v2.number_list("\n") == []
    line = "some avg10=1.50 avg60=0.00 avg300=0.25 total=12\n"
    assert stats_v2.pressure(line) == {
        "some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.25, "total_ns": 12000}
    }
