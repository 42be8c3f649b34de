# SPDX-License-Identifier: Apache-2.0
"""One value for one cgroup file, and the writing of many: what resources are compiled to.

Some files are coupled: the kernel refuses (EINVAL) a memory limit above memory plus swap, a
period that makes the quota exceed the parent's, and so on, so that the right order depends on the
values that are there. Instead of reading those, a coupled setting that is refused is tried again
after the others.
"""

from __future__ import annotations

import errno
import os

from runtime.cgroups import files
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Setting:
    """A value to write.

    controller: as the kernel calls it. file: its name. value: the text. pointer: where
    config.json asks for it. instead: file and value for where `file` doesn't exist. coupled: see
    above. dispensable: when there is no such file, what the value says is so already.
    """

    __slots__ = ("controller", "coupled", "dispensable", "file", "instead", "pointer", "value")

    def __init__(
        self,
        controller: str,
        file: str,
        value: str,
        pointer: str,
        *,
        instead: tuple[str, str] | None = None,
        coupled: bool = False,
        dispensable: bool = False,
    ) -> None:
        self.controller = controller
        self.file = file
        self.value = value
        self.pointer = pointer
        self.instead = instead
        self.coupled = coupled
        self.dispensable = dispensable

    def __repr__(self) -> str:
        """Return `FILE = VALUE (POINTER)`, for test reports."""
        return f"<{self.file} = {self.value} ({self.pointer})>"


def write_all(
    settings: Iterable[Setting],
    locate: Callable[[str], str],
    settle: Callable[[], None] | None = None,
) -> None:
    """Write settings to the directories that `locate` finds for their controllers.

    locate: raises LookupError with the reason when there is none. settle: waits until files of
    controllers that another process is enabling are there; called when one is missing. Raises
    OrlopError at the first setting that fails.
    """
    refused: list[tuple[Setting, OSError]] = []
    for setting in settings:
        try:
            _write(setting, locate, settle)
        except OSError as error:
            if not setting.coupled or error.errno != errno.EINVAL:
                raise _explained(setting, locate(setting.controller), error) from error
            refused.append((setting, error))
    while refused:
        again = _retry(refused, locate)
        if len(again) == len(refused):
            setting, first = refused[0]
            raise _explained(setting, locate(setting.controller), first) from first
        refused = again


def change_all(
    settings: Iterable[Setting],
    locate: Callable[[str], str],
    settle: Callable[[], None] | None = None,
) -> None:
    """Write settings as `write_all` does, and put back what was there when one fails."""
    wanted = list(settings)
    before = current(wanted, locate)
    try:
        write_all(wanted, locate, settle)
    except BaseException:
        restore(before, locate)
        raise


def restore(before: list[Setting], locate: Callable[[str], str]) -> None:
    """Write settings, the last first, as far as the kernel takes them."""
    unset = OSError()
    left = [(setting, unset) for setting in reversed(before)]
    while left:
        again = _retry(left, locate)
        if len(again) == len(left):
            return
        left = again


def current(settings: list[Setting], locate: Callable[[str], str]) -> list[Setting]:
    """Return what the files hold that settings are for, as settings."""
    found = []
    for setting in settings:
        try:
            directory = locate(setting.controller)
        except LookupError:
            continue
        for file, value in ((setting.file, setting.value), setting.instead or ("", "")):
            content = files.read_if_there(f"{directory}/{file}") if file else None
            if content is not None:
                line = line_before(file, value, content)
                found.append(Setting(setting.controller, file, line, setting.pointer))
                break
    return found


def line_before(file: str, value: str, content: str) -> str:
    """Return the line to write to get back to `content`; files by device take one at a time."""
    device, _, rest = value.partition(" ")
    if ":" not in device:
        return content.strip() or "\n"
    for line in content.splitlines():
        if line.split()[:1] == [device]:
            return line
    if file == "io.max":
        return f"{device} {rest.partition('=')[0]}=max"
    return f"{device} default" if file.startswith("io.") else f"{device} 0"


def _retry(
    refused: list[tuple[Setting, OSError]], locate: Callable[[str], str]
) -> list[tuple[Setting, OSError]]:
    """Write again what was refused; return what still is."""
    again = []
    for setting, _ in refused:
        try:
            _write(setting, locate, None)
        except OSError as error:
            again.append((setting, error))
    return again


def _write(
    setting: Setting, locate: Callable[[str], str], settle: Callable[[], None] | None
) -> None:
    try:
        directory = locate(setting.controller)
    except LookupError as error:
        if setting.dispensable:
            return
        raise OrlopError(str(error.args[0]), pointer=setting.pointer) from error
    try:
        _write_either(setting, directory)
    except FileNotFoundError:
        if settle is not None:
            settle()
            _write(setting, locate, None)
        elif not setting.dispensable:
            raise


def _write_either(setting: Setting, directory: str) -> None:
    try:
        files.write(f"{directory}/{setting.file}", setting.value)
    except FileNotFoundError:
        if setting.instead is None:
            raise
        file, value = setting.instead
        files.write(f"{directory}/{file}", value)


def _explained(setting: Setting, directory: str, error: OSError) -> OrlopError:
    path = f"{directory}/{setting.file}"
    reason = os.strerror(error.errno or 0)
    if error.errno == errno.ENOENT:
        text = f"this kernel has no {setting.file}"
    else:
        text = f"write {setting.value!r} to {path}: {reason}"
    return OrlopError(text, pointer=setting.pointer, hint=_hint(setting, directory, error.errno))


def _hint(setting: Setting, directory: str, number: int | None) -> str:
    """What is known about a failure, for the commonest ones."""
    if number == errno.EBUSY and setting.file == "memory.limit_in_bytes":
        usage = (files.read_if_there(f"{directory}/memory.usage_in_bytes") or "?").strip()
        peak = (files.read_if_there(f"{directory}/memory.max_usage_in_bytes") or "?").strip()
        return f"the limit is too low (current usage: {usage}, peak usage: {peak})"
    if setting.file.startswith("cpuset.") and number in (errno.EACCES, errno.EINVAL, errno.ERANGE):
        parent = os.path.dirname(directory)
        allowed = files.read_if_there(f"{parent}/{setting.file}.effective") or files.read_if_there(
            f"{parent}/{setting.file}"
        )
        return f"the parent cgroup has {(allowed or '?').strip()}"
    return _HINTS.get((setting.file, number), "")


_HINTS: dict[tuple[str, int | None], str] = {
    (
        "memory.memsw.limit_in_bytes",
        errno.ENOENT,
    ): "swap accounting is off: boot with swapaccount=1",
    ("memory.memsw.limit_in_bytes", errno.EINVAL): "swap can't be less than the memory limit",
    ("memory.limit_in_bytes", errno.EINVAL): "the memory limit can't be more than swap",
    ("memory.swap.max", errno.ENOENT): "the kernel has no swap accounting",
    ("cpu.rt_runtime_us", errno.ENOENT): "the kernel lacks CONFIG_RT_GROUP_SCHED",
    ("cpu.rt_period_us", errno.ENOENT): "the kernel lacks CONFIG_RT_GROUP_SCHED",
    ("cpu.rt_runtime_us", errno.EINVAL): "the parent cgroup needs at least as much",
    ("cpu.cfs_burst_us", errno.ENOENT): "needs Linux 5.14",
    ("cpu.max.burst", errno.ENOENT): "needs Linux 5.14",
    ("cpu.idle", errno.ENOENT): "needs Linux 5.15",
    ("cpu.shares", errno.EINVAL): "the cgroup is idle (cpu.idle)",
    ("cpu.weight", errno.EINVAL): "the cgroup is idle (cpu.idle)",
    ("blkio.bfq.weight", errno.ENOENT): "no I/O scheduler with weights is there (bfq)",
    ("blkio.bfq.weight_device", errno.ENOENT): "no I/O scheduler with weights is there (bfq)",
    ("blkio.leaf_weight", errno.ENOENT): "leaf weights went with the CFQ scheduler, in Linux 5.0",
    ("blkio.leaf_weight_device", errno.ENOENT): "leaf weights went with CFQ, in Linux 5.0",
    ("io.bfq.weight", errno.ENOENT): "no I/O controller with weights is there (bfq, iocost)",
}
for _name in ("read_bps", "write_bps", "read_iops", "write_iops"):
    _HINTS[f"blkio.throttle.{_name}_device", errno.ENODEV] = "there is no such block device"
_HINTS["io.max", errno.ENODEV] = "there is no such block device"
