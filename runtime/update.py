# SPDX-License-Identifier: Apache-2.0
"""update: other limits for a container that is there.

What the container has is kept where nothing else is named, and the kernel's files are the record of
it: so a second update adds to the first, and to what others wrote meanwhile. Zero leaves a value as
it is where `linux.resources` treats it as unset (runtime.cgroups.resources_v1), which engines rely
on: `docker update` sends zeros for all that its user did not name.
"""

from __future__ import annotations

from runtime.container import Container
from runtime.errors import NotRunning
from spec import jsontext
from spec.errors import InvalidSpec, OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from runtime.intelrdt import Group
    from spec.types import LinuxIntelRdt, LinuxResources

_WHERE = "/linux/resources"


def update(
    root: str,
    container_id: str,
    resources: LinuxResources,
    intel_rdt: LinuxIntelRdt | None = None,
) -> None:
    """Change the limits of a container that has not stopped.

    resources: what to change; `devices` is left alone, as other tools (of GPUs, say) add to that
    list behind the runtime's back, and runc leaves it, too. intel_rdt: schemas to change. When a
    value is refused, those before it are put back. Raises NotFound, NotRunning, OrlopError.
    """
    wanted: LinuxResources = {**resources}
    wanted.pop("devices", None)
    container = Container.open(root, container_id)
    try:
        container.lock()
        if container.status() == "stopped":
            raise NotRunning("container not running")
        cgroup = container.cgroup()
        if cgroup is None:
            raise OrlopError("the container has no cgroup yet", hint="it is being created")
        group = _resctrl(container, intel_rdt) if intel_rdt else None
        before = group.replace(intel_rdt) if group and intel_rdt else []
        try:
            cgroup.apply(wanted, pointer="")
        except BaseException:
            if group:
                group.restore(before)
            raise
    finally:
        container.close()


def _resctrl(container: Container, config: LinuxIntelRdt) -> Group:
    """The container's resctrl group, which must be there. Raises OrlopError with runc's texts."""
    from runtime import intelrdt
    from runtime.errors import Unsupported

    try:
        root = intelrdt.mount_point()
    except Unsupported:
        root = ""
    if config.get("l3CacheSchema") and not intelrdt.has_cache_allocation(root):
        raise Unsupported("Intel RDT/CAT: l3 cache schema is not enabled")
    if config.get("memBwSchema") and not intelrdt.has_bandwidth_allocation(root):
        raise Unsupported("Intel RDT/MBA: memory bandwidth schema is not enabled")
    group = container.resctrl()
    if group is None:
        text = "updating a non-existent Intel RDT configuration is not supported"
        raise OrlopError(text, hint="create the container with linux.intelRdt")
    return group


def parse(data: bytes, name: str) -> LinuxResources:
    """The resources of a JSON document, checked like those of config.json.

    name: the file's, for messages. Raises InvalidSpec, with pointers into the document.
    """
    from spec import bundle, tolerance

    text = jsontext.decode(data, name)
    document = jsontext.loads(text, name=name)
    config = {"ociVersion": "1.0.0", "linux": {"resources": document}}
    tolerance.apply(config, text)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidSpec(f"{name}: found {jsontext.dumps(document)}, expected an object")
    found = [item for item in bundle.check(config)[0] if item.pointer.startswith(_WHERE)]
    for item in found:
        item.pointer = item.pointer.removeprefix(_WHERE)
        item.file, item.line = name, jsontext.locate(text, item.pointer)[0]
    if found:
        raise InvalidSpec(violations=found)
    linux: Mapping[str, object] = config["linux"]  # type: ignore[assignment]  # as made above
    checked: LinuxResources = linux.get("resources", {})  # type: ignore[assignment]  # was checked
    return checked


def of_flags(given: Mapping[str, str]) -> tuple[LinuxResources, LinuxIntelRdt]:
    """What the flags of the command line ask for, by name; empty texts ask for nothing.

    Raises OrlopError.
    """
    resources: dict[str, dict[str, object]] = {}
    for flag, text in given.items():
        if text and flag in FLAGS:
            section, member, kind = FLAGS[flag]
            value = text if kind == "text" else _number(flag, text, kind)
            if not (flag == "blkio-weight" and value == 0):
                resources.setdefault(section, {})[member] = value
    rdt: LinuxIntelRdt = {}
    if schema := given.get("l3-cache-schema"):
        rdt["l3CacheSchema"] = schema
    if schema := given.get("mem-bw-schema"):
        rdt["memBwSchema"] = schema
    return resources, rdt  # type: ignore[return-value]  # has the shape, says the table


#: flag -> section and member of linux.resources, and what its value is
FLAGS = {
    "blkio-weight": ("blockIO", "weight", "unsigned"),
    "cpu-period": ("cpu", "period", "unsigned"),
    "cpu-quota": ("cpu", "quota", "signed"),
    "cpu-burst": ("cpu", "burst", "unsigned"),
    "cpu-share": ("cpu", "shares", "unsigned"),
    "cpu-rt-period": ("cpu", "realtimePeriod", "unsigned"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", "signed"),
    "cpu-idle": ("cpu", "idle", "signed"),
    "cpuset-cpus": ("cpu", "cpus", "text"),
    "cpuset-mems": ("cpu", "mems", "text"),
    "memory": ("memory", "limit", "size"),
    "memory-reservation": ("memory", "reservation", "size"),
    "memory-swap": ("memory", "swap", "size"),
    "pids-limit": ("pids", "limit", "signed"),
}
_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_MAX = {"signed": (1 << 63) - 1, "unsigned": (1 << 64) - 1, "size": (1 << 63) - 1}


def _number(flag: str, text: str, kind: str) -> int:
    if kind == "size" and text != "-1":
        value = _size(flag, text)
    else:
        digits = text[1:] if text[0] in "+-" else text
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > len(
            str(_MAX["unsigned"])
        ):
            _refuse(flag, text)
        value = int(text)
    if value > _MAX[kind] or value < (0 if kind == "unsigned" else -_MAX["signed"]):
        _refuse(flag, text)
    return value


def _size(flag: str, text: str) -> int:
    """Bytes, from go-units' RAMInBytes: `512m`, `1.5 GiB`; units are powers of 1024."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(number) :].strip().lower()
    unit = unit if unit == "b" else unit.removesuffix("b").removesuffix("i")
    whole, dot, fraction = number.partition(".")
    digits = whole + fraction
    sound = digits.isascii() and digits.isdecimal() and whole and bool(dot) == bool(fraction)
    if unit not in _UNITS or not sound:
        _refuse(flag, text)
    return (int(digits) << (10 * _UNITS[unit])) // int("1" + "0" * len(fraction))


def _refuse(flag: str, text: str) -> NoReturn:
    raise OrlopError(f"invalid value for {flag}: {text!r}")
