# SPDX-License-Identifier: Apache-2.0
"""The cache gives back what was compiled, and believes only what nobody else could have written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from native import seccomp as native
from runtime import seccomp, seccomp_cache, seccomp_compiler

if TYPE_CHECKING:
    from collections.abc import Callable

    from spec.types import Seccomp

KEY = "a" * 64
COMPILED = (b"\x06\0\0\0\0\0\xff\x7f" * 3, 1 << 3, ("name", "n\u00e4me"))
PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["getppid", "no_such"], "action": "SCMP_ACT_NOTIFY"}],
    "listenerPath": "/run/agent",
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "state" / "seccomp"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "libseccomp.so.2"
    path.write_text("code")
    return path


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The profiles that reached the compiler."""
    made: list[object] = []
    original = seccomp_compiler.compile_profile

    def compile_profile(profile: Seccomp) -> tuple[bytes, int, tuple[str, ...]]:
        made.append(profile)
        return original(profile)

    monkeypatch.setattr(seccomp_compiler, "compile_profile", compile_profile)
    return made


def get(cache: Path, **changes: object) -> seccomp.Filter:
    return seccomp.compile_filter(cast("Seccomp", {**PROFILE, **changes}), str(cache))


def fields(found: seccomp.Filter) -> list[object]:
    return [getattr(found, name) for name in seccomp.Filter.__slots__]


def test_the_second_time_is_from_the_cache(cache: Path, compilations: list[object]) -> None:
    first, second = get(cache), get(cache)
    assert fields(first) == fields(second)
    assert second.unknown == ("no_such",)
    assert len(compilations) == 1
    assert cache.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in cache.iterdir()] == [0o600]


def test_the_listener_is_not_part_of_the_key(cache: Path, compilations: list[object]) -> None:
    get(cache)
    found = get(cache, listenerPath="/run/other", listenerMetadata="m")
    assert (found.listener_path, found.listener_metadata) == ("/run/other", "m")
    assert len(compilations) == 1


def test_null_and_order_are_not_part_of_the_key(cache: Path, compilations: list[object]) -> None:
    get(cache)
    entry = {"errnoRet": None, "action": "SCMP_ACT_NOTIFY", "names": ["getppid", "no_such"]}
    get(cache, syscalls=[entry], flags=None)
    assert len(compilations) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"flags": []},
        {"architectures": ["SCMP_ARCH_X86"]},
        {"defaultAction": "SCMP_ACT_ERRNO"},
        {"syscalls": []},
        {"syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_NOTIFY"}]},
    ],
)
def test_another_profile_is_compiled(
    cache: Path, compilations: list[object], changes: dict[str, object]
) -> None:
    get(cache)
    get(cache, **changes)
    assert len(compilations) == 2


def test_another_kernel_is_another_key(
    cache: Path, compilations: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    get(cache)
    real = os.uname()
    other = os.uname_result((real.sysname, real.nodename, "9.9", real.version, real.machine))
    monkeypatch.setattr(os, "uname", lambda: other)
    get(cache)
    assert len(compilations) == 2


def test_a_replaced_library_invalidates(cache: Path, library: Path) -> None:
    seccomp_cache.store(str(cache), KEY, COMPILED, str(library))
    assert seccomp_cache.load(str(cache), KEY) == COMPILED
    replacement = library.with_suffix(".new")
    replacement.write_text("news")
    replacement.rename(library)
    assert seccomp_cache.load(str(cache), KEY) is None
    library.unlink()
    assert seccomp_cache.load(str(cache), KEY) is None


def test_the_library_is_the_one_that_is_loaded() -> None:
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    assert str(Path(native.library_path()).resolve()) in mapped


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def replace_by_link(path: Path) -> None:
    path.rename(path.parent.parent / "moved")
    path.symlink_to(path.parent.parent / "moved")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "altered": flip,
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 8),
    "empty": lambda path: os.truncate(path, 0),
    "readable by others": lambda path: path.chmod(0o604),
    "writable by the group": lambda path: path.chmod(0o620),
    "a link": replace_by_link,
    "a fifo": replace_by_fifo,
    "too large": lambda path: os.truncate(path, 2 << 20),
    "in a directory open to others": lambda path: path.parent.chmod(0o711),
    "of another profile": lambda path: shutil.copyfile(path.with_name("b" * 64), path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_ours_is_not_believed(cache: Path, library: Path, damage: str) -> None:
    other = (COMPILED[0] * 2, 0, ())
    seccomp_cache.store(str(cache), KEY, COMPILED, str(library))
    seccomp_cache.store(str(cache), "b" * 64, other, str(library))
    assert seccomp_cache.load(str(cache), KEY) == COMPILED
    assert seccomp_cache.load(str(cache), "b" * 64) == other
    DAMAGE[damage](cache / KEY)
    assert seccomp_cache.load(str(cache), KEY) is None


def test_files_of_another_user_are_not_believed(
    cache: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seccomp_cache.store(str(cache), KEY, COMPILED, str(library))
    uid = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert seccomp_cache.load(str(cache), KEY) is None


def test_a_damaged_file_is_replaced(cache: Path, compilations: list[object]) -> None:
    get(cache)
    (path,) = cache.iterdir()
    flip(path)
    assert [fields(get(cache)), fields(get(cache))] == [fields(get(cache))] * 2
    assert len(compilations) == 2


def test_a_directory_open_to_others_is_not_used(cache: Path, compilations: list[object]) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o755)
    assert fields(get(cache)) == fields(get(cache))
    assert len(compilations) == 2
    assert list(cache.iterdir()) == []


def test_a_linked_directory_is_not_used(cache: Path, compilations: list[object]) -> None:
    target = cache.parent / "target"
    target.mkdir(parents=True, mode=0o700)
    cache.symlink_to(target)
    get(cache)
    assert len(compilations) == 1
    assert list(target.iterdir()) == []


def test_a_cache_that_cannot_be_is_no_error(tmp_path: Path, compilations: list[object]) -> None:
    (tmp_path / "file").touch()
    get(tmp_path / "file" / "cache")
    assert len(compilations) == 1


def test_an_unknown_library_is_not_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library_path", lambda: "")
    get(cache)
    assert not cache.exists()


def test_the_oldest_give_way(cache: Path, library: Path) -> None:
    keys = [f"{index:064}" for index in range(seccomp_cache.CAPACITY + 3)]
    for age, key in enumerate(keys):
        seccomp_cache.store(str(cache), key, COMPILED, str(library))
        os.utime(cache / key, (age, age))
    assert {path.name for path in cache.iterdir()} == set(keys[3:])


def fail(_fd: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("write", [fail, lambda _fd, data: len(data) - 1])
def test_no_space_leaves_nothing(
    cache: Path, library: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[int, bytes], int]
) -> None:
    monkeypatch.setattr(os, "write", write)
    seccomp_cache.store(str(cache), KEY, COMPILED, str(library))
    assert list(cache.iterdir()) == []
