# SPDX-License-Identifier: Apache-2.0
"""What the configuration names by path: mount sources, hooks, the program in the rootfs."""

from __future__ import annotations

import errno
import os
import stat
from typing import cast

from runtime import mount_options
from runtime.check.problem import Problem
from runtime.check.rootfs import Rootfs
from runtime.mounts import inside
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.check.observed import Observed
    from spec.bundle import Bundle
    from spec.types import Hook, Mount, Spec

#: Hooks that run before the container's root is the root (config.md#posix-platform-hooks).
_ON_HOST = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
_EMPTY = frozenset({"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"})


def mounts(bundle: Bundle, host: Observed) -> Iterator[Problem]:
    """Sources of bind mounts, and file systems that the kernel has."""
    kinds = [entry["type"] for entry in bundle.spec.get("linux", {}).get("namespaces", ())]
    for index, mount in enumerate(bundle.spec.get("mounts", ())):
        pointer = f"/mounts/{index}"
        try:
            options = mount_options.parse(mount.get("options", ()), pointer)
        except OrlopError:
            continue  # found by compiling it
        if options.remount:
            continue
        if options.bind or mount.get("type") == "bind":
            yield from _source(bundle, mount, pointer)
        else:
            yield from _filesystem(mount, host, pointer, users="user" in kinds)


def _source(bundle: Bundle, mount: Mount, pointer: str) -> Iterator[Problem]:
    source = os.path.join(bundle.path, mount.get("source", ""))
    if source.startswith(bundle.rootfs.rstrip("/") + "/"):
        return  # an earlier mount may put it there
    try:
        os.lstat(source) if "copy-symlink" in mount.get("options", ()) else os.stat(source)
    except OSError as error:
        yield Problem(f"{pointer}/source", f"{source}: {(error.strerror or '').lower()}")


def _filesystem(mount: Mount, host: Observed, pointer: str, *, users: bool) -> Iterator[Problem]:
    kind = (mount.get("type") or "none").partition(".")[0]  # fuse.sshfs
    if kind not in host.filesystems and not _has_module(kind, host):
        yield Problem(f"{pointer}/type", f"the kernel has no file system {kind}")
    elif users and host.filesystems.get(kind):
        text = f"{kind} is on a device, and can't be mounted in a user namespace"
        yield Problem(f"{pointer}/type", text, "mount it on the host, and bind it")


def _has_module(kind: str, host: Observed) -> bool:
    """Whether the kernel would load one when asked for the type (modules.alias of depmod(8))."""
    try:
        with open(f"{host.modules}/modules.alias", encoding="utf-8", errors="replace") as file:
            return any(line.startswith(f"alias fs-{kind} ") for line in file)
    except OSError:
        return False


def hooks(spec: Spec) -> Iterator[Problem]:
    """Hooks of the runtime's namespaces: there, and executable."""
    for kind, given in spec.get("hooks", {}).items():
        if kind not in _ON_HOST:
            continue
        for index, hook in enumerate(cast("Sequence[Hook]", given)):
            path, pointer = hook["path"], f"/hooks/{kind}/{index}/path"
            try:
                mode = os.stat(path).st_mode
            except OSError as error:
                yield Problem(pointer, f"{path}: {(error.strerror or '').lower()}")
                continue
            if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
                yield Problem(pointer, f"{path}: not an executable file")


def program(bundle: Bundle, candidates: Sequence[str]) -> Iterator[Problem]:
    """The executable, at one of these paths of the container.

    Where a mount could put it there, nothing is known before the mount is made.
    """
    covers = [
        inside(mount["destination"])
        for mount in bundle.spec.get("mounts", ())
        if mount.get("type") not in _EMPTY
    ]
    rootfs = Rootfs(bundle.rootfs)
    try:
        refusals = [(path, rootfs.refusal(path)) for path in candidates]
        found = next((path for path, refusal in refusals if not refusal), None)
        if found is not None:
            yield from _contents(rootfs, found, covers)
        elif not any(_may_be_mounted(rootfs, path, covers) for path in candidates):
            name = bundle.spec["process"]["args"][0]
            yield _not_executable(name, [refusal for _, refusal in refusals])
    finally:
        rootfs.close()


def _not_executable(name: str, refusals: Sequence[int]) -> Problem:
    pointer = "/process/args/0"
    absent = (errno.ENOENT, errno.ENOTDIR)
    why = [number for number in refusals if number not in absent]
    if why:
        text = "not an executable file" if why[-1] == errno.EACCES else os.strerror(why[-1]).lower()
        return Problem(pointer, f"{name}: {text}")
    where = "in the root file system" if "/" in name else "on PATH in the root file system"
    return Problem(pointer, f"{name}: executable file not found {where}")


def _contents(rootfs: Rootfs, path: str, covers: Sequence[str]) -> Iterator[Problem]:
    pointer = "/process/args/0"
    if _below(path, covers):
        return
    interpreter = rootfs.interpreter(path)
    if rootfs.foreign(path):
        yield Problem(pointer, f"{path} is for another architecture")
    elif (
        interpreter.startswith("/")
        and rootfs.refusal(interpreter)
        and not _may_be_mounted(rootfs, interpreter, covers)
    ):
        text = f"{path}: its interpreter {interpreter} is no executable file of the rootfs"
        yield Problem(pointer, text)


def _may_be_mounted(rootfs: Rootfs, path: str, covers: Sequence[str]) -> bool:
    """Whether a mount covers it, or a link of the image leads to where one might."""
    if _below(path, covers):
        return True
    if not covers:
        return False
    parts = inside(path).split("/")[1:]
    for count in range(1, len(parts) + 1):
        try:
            if stat.S_ISLNK(rootfs.mode("/".join(parts[:count]), follow=False)):
                return True
        except OSError:
            return False
    return False


def _below(path: str, covers: Sequence[str]) -> bool:
    return any(f"{inside(path)}/".startswith(f"{cover.rstrip('/')}/") for cover in covers)


def working_directory(bundle: Bundle) -> Iterator[Problem]:
    """`process.cwd`, which is made where the image lacks it: something else must not be there."""
    cwd = inside(bundle.spec["process"]["cwd"])
    rootfs = Rootfs(bundle.rootfs)
    try:
        there = rootfs.mode(cwd)
    except OSError:
        return
    finally:
        rootfs.close()
    if not stat.S_ISDIR(there) and not any(
        _below(cwd, [inside(mount["destination"])]) for mount in bundle.spec.get("mounts", ())
    ):
        yield Problem("/process/cwd", f"{cwd} is not a directory")
