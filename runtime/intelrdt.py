# SPDX-License-Identifier: Apache-2.0
"""`linux.intelRdt`: a class of service of the resctrl file system, and a monitoring group in it.

config-linux.md#intelrdt; Documentation/filesystems/resctrl.rst of the kernel. The init writes
itself into `tasks`, as into a cgroup: what it starts is in the group from the beginning.
"""

from __future__ import annotations

import errno
import os

from runtime.errors import Unsupported
from runtime.host import read_small
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from spec.types import LinuxIntelRdt

_WHERE = "/linux/intelRdt"
#: Directories of the file system's own, which no group can be called.
_RESERVED = ("info", "mon_groups", "mon_data")
#: Resources whose values are numbers of a bandwidth; those of caches are bit masks, in hexadecimal.
_BANDWIDTHS = ("MB", "SMBA")


def mount_point() -> str:
    """Where resctrl is mounted. Raises Unsupported where it is not."""
    for line in read_all("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("resctrl "):
            return _unescaped(left.split(" ")[4])
    hint = "mount -t resctrl resctrl /sys/fs/resctrl, if the processor and the kernel have it"
    raise Unsupported("no resctrl file system is mounted", pointer=_WHERE, hint=hint)


def read_all(path: str) -> str:
    """A file of /proc of any length."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _unescaped(text: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, character)
    return text


def has_cache_allocation(root: str) -> bool:
    """Whether the L3 cache can be shared out (CAT). root: where resctrl is mounted, or ""."""
    return bool(root) and any(os.path.isdir(f"{root}/info/{name}") for name in ("L3", "L3CODE"))


def has_bandwidth_allocation(root: str) -> bool:
    """Whether the memory's bandwidth can be shared out (MBA); root: as above."""
    return bool(root) and os.path.isdir(f"{root}/info/MB")


class Group:
    """The group of one container.

    root: where resctrl is mounted. directory: of the class of service. monitoring: directory of the
    container's own monitoring group, or "". owned: the class of service is the container's own, and
    goes with it.
    """

    __slots__ = ("_made", "directory", "monitoring", "owned", "root")

    def __init__(self, root: str, directory: str, monitoring: str, *, owned: bool) -> None:
        self.root = root
        self.directory = directory
        self.monitoring = monitoring
        self.owned = owned
        self._made: list[str] = []

    @classmethod
    def resolve(cls, config: LinuxIntelRdt, container_id: str, root: str) -> Group:
        """The group that a configuration asks for; nothing is made. Raises OrlopError."""
        class_id = config.get("closID", "")
        name = class_id or container_id
        if name in _RESERVED:
            where = f"{_WHERE}/closID" if class_id else _WHERE
            raise OrlopError(f"{name} is a directory of resctrl's own", pointer=where)
        directory = root if class_id == "/" else os.path.join(root, name)
        monitoring = ""
        if config.get("enableMonitoring"):
            monitoring = os.path.join(directory, "mon_groups", container_id)
        owned = not class_id and not os.path.isdir(directory)
        return cls(root, directory, monitoring, owned=owned)

    @classmethod
    def load(cls, saved: Mapping[str, object]) -> Group:
        """From `saved`'s form. Raises OrlopError where it is not of this version."""
        try:
            names = [str(saved[key]) for key in ("root", "directory", "monitoring")]
            return cls(*names, owned=bool(saved["owned"]))
        except KeyError as error:
            raise OrlopError(f"the saved resctrl group has no {error}") from error

    def saved(self) -> dict[str, object]:
        """As it is kept in the state."""
        return {
            "root": self.root,
            "directory": self.directory,
            "monitoring": self.monitoring,
            "owned": self.owned,
        }

    def joined(self) -> list[str]:
        """Directories whose `tasks` the container's processes write themselves into, in order."""
        return [self.directory, self.monitoring] if self.monitoring else [self.directory]

    def create(self, config: LinuxIntelRdt) -> None:
        """Make what is not there, and write the schemata. Raises OrlopError; see `undo`."""
        lines = schemata(config)
        class_id = config.get("closID", "")
        if os.path.isdir(self.directory):
            if class_id:
                self._compare(config)
        elif class_id and not lines:
            text = f"class of service {class_id}: no such directory in {self.root}"
            hint = "make it beforehand, or give schemata"
            raise OrlopError(text, pointer=f"{_WHERE}/closID", hint=hint)
        else:
            self._make(self.directory, f"{_WHERE}/closID" if class_id else _WHERE)
        if lines:
            self._write_schemata(lines)
        if self.monitoring:
            self._make(self.monitoring, f"{_WHERE}/enableMonitoring")

    def lines(self) -> list[str]:
        """The schemata that are in force. Raises OSError."""
        return [line.strip() for line in read_all(f"{self.directory}/schemata").splitlines()]

    def replace(self, config: LinuxIntelRdt) -> list[str]:
        """Change the schemas that `config` has; the lines that were there. Raises OrlopError."""
        lines = schemata(config)
        names = {parse_schema(line)[0] for line in lines}
        before = [line for line in self.lines() if parse_schema(line)[0] in names]
        try:
            self._write_schemata(lines)
        except OrlopError:
            self.restore(before)  # the kernel takes a line at a time
            raise
        return before

    def restore(self, lines: list[str]) -> None:
        """Write back what `replace` gave, as far as the kernel takes it."""
        try:
            self._write_schemata(lines)
        except OrlopError:
            return

    def remove(self) -> None:
        """Remove what is the container's own; its processes fall back to the default class."""
        for directory in (self.monitoring, self.directory if self.owned else ""):
            if directory:
                _rmdir(directory)

    def undo(self) -> None:
        """Remove all that this object's `create` has made, whoever would own it."""
        for directory in reversed(self._made):
            _rmdir(directory)

    def _make(self, directory: str, pointer: str) -> None:
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            return
        except OSError as error:
            raise self._failure(f"make {directory}", error, pointer) from error
        self._made.append(directory)

    def _write_schemata(self, lines: list[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            fd = os.open(f"{self.directory}/schemata", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
        except OSError as error:
            what = f"write {'; '.join(lines)} to {self.directory}/schemata"
            raise self._failure(what, error, _WHERE) from error

    def _compare(self, config: LinuxIntelRdt) -> None:
        """A class of service that others made must have these two already, it may be theirs."""
        text = config.get("l3CacheSchema", ""), config.get("memBwSchema", "")
        if not any(text):
            return
        present = {}
        for line in read_small(f"{self.directory}/schemata").splitlines():
            name, domains = parse_schema(line)
            present[name] = domains
        for key, line in zip(("l3CacheSchema", "memBwSchema"), text, strict=True):
            name, domains = parse_schema(line)
            have = present.get(name, {})
            if name in _BANDWIDTHS:
                domains = {domain: self._rounded(name, domains[domain]) for domain in domains}
            if any(have.get(domain) != domains[domain] for domain in domains):
                message = f"{line} is not what the class of service {self.directory} has"
                raise OrlopError(message, pointer=f"{_WHERE}/{key}", hint="see its file schemata")

    def _rounded(self, resource: str, value: int) -> int:
        """A bandwidth as the kernel keeps it: in steps of the hardware, upwards."""
        try:
            step = int(read_small(f"{self.root}/info/{resource}/bandwidth_gran"))
        except (OSError, ValueError):
            return value
        return -(-value // step) * step if step > 0 else value

    def _failure(self, what: str, error: OSError, pointer: str) -> OrlopError:
        text = f"resctrl: {what}: {error.strerror}"
        try:
            said = read_small(f"{self.root}/info/last_cmd_status").strip()
        except OSError:
            said = ""
        hint = "the hardware has no more groups" if error.errno == errno.ENOSPC else ""
        return OrlopError(
            f"{text} ({said})" if said and said != "ok" else text, pointer=pointer, hint=hint
        )


def _rmdir(directory: str) -> None:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass


def schemata(config: LinuxIntelRdt) -> list[str]:
    """The lines to write in the standard's order: the cache's, the bandwidth's, the others."""
    lines = [config.get("l3CacheSchema", ""), config.get("memBwSchema", "")]
    return [line for line in (*lines, *config.get("schemata", ())) if line]


def parse_schema(line: str) -> tuple[str, dict[str, int]]:
    """A line `RESOURCE:DOMAIN=VALUE;...`: the resource, and the domains' values as numbers.

    Leading zeros, blanks and the order say nothing. Raises OrlopError for what is no such line.
    """
    name, _, rest = line.strip().partition(":")
    domains = {}
    for part in rest.split(";") if rest else ():
        domain, _, value = part.partition("=")
        try:
            domains[domain.strip()] = int(value, 10 if name in _BANDWIDTHS else 16)
        except ValueError:
            raise OrlopError(f"{line}: not a line of schemata", pointer=_WHERE) from None
    return name, domains


def open_tasks(directory: str) -> int:
    """The file that the init writes itself into. Raises OrlopError."""
    try:
        return os.open(f"{directory}/tasks", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise OrlopError(f"resctrl: {directory}/tasks: {error.strerror}", pointer=_WHERE) from error
