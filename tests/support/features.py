# SPDX-License-Identifier: Apache-2.0
"""What this machine has, and what a test does where it lacks something.

`@requires("root", "cgroup1")` skips with the reason. MUST_RUN turns that into a failure, so that a
machine meant to run everything can't go quiet: a list of features (`MUST_RUN=root,cgroup2`), or
`all-here` for those that any machine of the README has once it is set up (HERE below).
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies

if TYPE_CHECKING:
    from collections.abc import Callable

#: Features that set-up provides, or that come with being root on a machine of the README.
HERE = frozenset(
    {
        *("root", "rootless", "userns", "cc", "mypy", "ruff", "shellcheck"),
        *("bandit", "bash", "cppcheck", "zsh", "fish", "groff"),
    }
)

#: An unprivileged user that every Debian has (nobody); the tests' rootless containers are its.
NOBODY = 65534


def _root() -> str:
    return "" if os.geteuid() == 0 else "not root"


def _creates_userns(user: int | None) -> bool:
    """Whether `user` (None: ourselves) may create a user namespace."""
    command = [
        sys.executable,
        "-IS",
        "-c",
        "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000))",
    ]
    return subprocess.run(command, user=user, check=False, timeout=30).returncode == 0


def _userns() -> str:
    return "" if _creates_userns(None) else "user namespaces are disabled"


def _rootless() -> str:
    if os.geteuid() != 0:
        return _userns()
    try:
        return "" if _creates_userns(NOBODY) else "user namespaces are disabled for other users"
    except PermissionError:
        return f"{sys.executable}: other users can't execute it"


def _cgroup1() -> str:
    return "" if hierarchies.mode() in ("v1", "hybrid") else "no controller is on cgroup v1"


def _cgroup2() -> str:
    return "" if hierarchies.mode() == "v2" else "the controllers are not on cgroup v2"


def _idmap() -> str:
    """mount_setattr(2), "ID-mapped mounts": tmpfs allows them since Linux 6.3."""
    command = ["stat", "--file-system", "--format", "%T", tempfile.gettempdir()]
    kind = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    unable = kind == "overlayfs" or (kind == "tmpfs" and release < (6, 3))
    return f"{tempfile.gettempdir()}: {kind} can't map ids on this kernel" if unable else ""


def _systemd() -> str:
    return "" if Path("/run/systemd/system").is_dir() else "systemd is not pid 1"


def _ipv6() -> str:
    return "" if Path("/proc/net/if_inet6").exists() else "the kernel has no IPv6"


def _timens() -> str:
    return "" if Path("/proc/self/ns/time").exists() else "the kernel has no time namespaces"


def _criu_works() -> str:
    """`criu check`: criu is as old as its distribution, the kernel may be newer than it knows."""
    if not shutil.which("criu"):
        return "criu is not installed"
    result = subprocess.run(
        ["criu", "check"], capture_output=True, text=True, check=False, timeout=300
    )
    return "" if result.returncode == 0 else f"criu check: {result.stderr.strip()[-120:]}"


def _vm() -> str:
    cache = Path(os.environ.get("OCI_VM_CACHE") or Path("~/.cache/oci-vm").expanduser())
    return "" if (cache / "ready").exists() else "the guest is not set up (make test-vm)"


#: Where `scripts/setup.sh test` puts what it takes from npm.
NODE_MODULES = Path(sys.executable).parents[1] / "node_modules"


def _loop() -> str:
    if not Path("/dev/loop-control").exists():
        return "the kernel has no loop devices"
    lack = [name for name in ("fsfreeze", "mkfs.ext4") if not shutil.which(name)]
    return f"{lack[0]} is not installed" if lack else ""


def _npm_json_rpc() -> str:
    if shutil.which("node") is None:
        return "node is not installed"
    there = (NODE_MODULES / "json-rpc-2.0").is_dir()
    return "" if there else "npm's json-rpc-2.0 is not installed (scripts/setup.sh test)"


def _program(name: str) -> Callable[[], str]:
    beside = Path(sys.executable).parent / name
    return lambda: "" if beside.exists() or shutil.which(name) else f"{name} is not installed"


#: name -> function that returns the reason why it is missing, "" where it is there.
FEATURES: dict[str, Callable[[], str]] = {
    "bandit": _program("bandit"),
    "bash": _program("bash"),
    "buildah": _program("buildah"),
    "cc": _program("gcc"),
    "cgroup1": _cgroup1,
    "cgroup2": _cgroup2,
    "containerd": _program("containerd"),
    "criu": _program("criu"),
    "criu-works": _criu_works,
    "ip": _program("ip"),
    "ipv6": _ipv6,
    "clang-tidy": _program("clang-tidy-14"),
    "cppcheck": _program("cppcheck"),
    "crun": _program("crun"),
    "docker": _program("dockerd"),
    "fish": _program("fish"),
    "groff": _program("groff"),
    "idmap": _idmap,
    "libfuzzer": _program("clang-14"),
    "mypy": _program("mypy"),
    "loop": _loop,
    "newuidmap": _program("newuidmap"),
    "npm-json-rpc": _npm_json_rpc,
    "podman": _program("podman"),
    "root": _root,
    "rootless": _rootless,
    "ruff": _program("ruff"),
    "runc": _program("runc"),
    "shellcheck": _program("shellcheck"),
    "slirp4netns": _program("slirp4netns"),
    "systemd": _systemd,
    "timens": _timens,
    "tini": _program("tini"),
    "userns": _userns,
    "vm": _vm,
    "zsh": _program("zsh"),
}


@functools.cache
def missing(feature: str) -> str:
    """Why this machine lacks `feature`; "" where it has it. Raises KeyError for an unknown one."""
    return FEATURES[feature]()


def must_run(feature: str) -> bool:
    """Whether MUST_RUN turns a skip for the lack of `feature` into a failure."""
    wanted = set(filter(None, os.environ.get("MUST_RUN", "").split(",")))
    unknown = wanted - FEATURES.keys() - {"all-here"}
    if unknown:
        pytest.exit(f"MUST_RUN: unknown: {', '.join(sorted(unknown))}", returncode=2)
    return feature in wanted or ("all-here" in wanted and feature in HERE and _can_be_here(feature))


def _can_be_here(feature: str) -> bool:
    """Rootless tests can't run in a checkout below a directory that others can't enter."""
    entries = [Path(sys.prefix), *Path(sys.prefix).parents]
    return feature != "rootless" or all(entry.stat().st_mode & 0o001 for entry in entries)


def requires(*features: str) -> pytest.MarkDecorator:
    """Mark a test, a class or (in pytestmark) a module that needs all of `features`."""
    unknown = set(features) - FEATURES.keys()
    if unknown:
        raise ValueError(f"unknown features: {', '.join(sorted(unknown))}")
    return pytest.mark.requires(*features)


def enforce(item: pytest.Item) -> None:
    """Skip or fail `item` for the first feature that it requires and the machine lacks."""
    for mark in item.iter_markers("requires"):
        for feature in mark.args:
            reason = missing(feature)
            if reason and must_run(feature):
                pytest.fail(f"MUST_RUN: {feature}: {reason}", pytrace=False)
            if reason:
                pytest.skip(f"{feature}: {reason}")
