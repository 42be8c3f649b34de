# SPDX-License-Identifier: Apache-2.0
"""What imports from the archive of compiled modules (scripts/archive.py makes it).

Python's own way to a module is a dozen system calls and as many steps in Python: looking for it in
directories, for its source, for its compiled form. Here it is one look at the source, whether that
is still what was compiled, and one read; and what a module imports is there before it asks. A
module that is not in the archive, or has changed, is imported in Python's own way.

The archive begins with this module, compiled: the launcher executes it from there.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, ExtensionFileLoader
from marshal import loads
from posix import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO
    from types import ModuleType

SIZE = 8  # digits of a length


class Entry:
    """A module of the archive.

    path, size, time: of the source. at, length: of the code in the archive; length 0: path is of an
    extension module. needs: what it imports when it is imported. is_package: it has modules.
    """

    __slots__ = ("at", "is_package", "length", "needs", "path", "size", "time")

    def __init__(
        self,
        path: str,
        size: int = 0,
        time: int = 0,
        at: int = 0,
        length: int = 0,
        needs: tuple[str, ...] = (),
        is_package: bool = False,  # noqa: FBT001, FBT002 - as it is in the archive
    ) -> None:
        self.path = path
        self.size = size
        self.time = time
        self.at = at
        self.length = length
        self.needs = needs
        self.is_package = is_package

    def is_current(self) -> bool:
        """Whether the source is the one that was compiled (by the same signs as a .pyc's)."""
        try:
            found = stat(self.path)
        except OSError:
            return False
        return found.st_size == self.size and int(found.st_mtime) == self.time


class Archive:
    """Finder and loader (importlib's "meta path") of the modules in one file.

    contents: an Entry's arguments by module. start: where the code begins.
    """

    def __init__(self, path: str, start: int, contents: dict[str, tuple[object, ...]]) -> None:
        self._path = path
        self._start = start
        self._contents = contents

    def _entry(self, name: str) -> Entry | None:
        found = self._contents.get(name)
        return None if found is None else Entry(*found)  # type: ignore[arg-type]

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        """The spec of a module that is here and current, else None."""
        entry = self._entry(name)
        if entry is None:
            return None
        if not entry.length:
            spec = ModuleSpec(name, ExtensionFileLoader(name, entry.path), origin=entry.path)
        elif entry.is_current():
            spec = ModuleSpec(name, self, origin=entry.path, is_package=entry.is_package)  # type: ignore[arg-type]
            if entry.is_package:
                spec.submodule_search_locations = [_directory(entry)]
        else:
            return None
        spec.has_location = True
        return spec

    def create_module(self, _spec: object) -> None:
        """Nothing special."""

    def exec_module(self, module: ModuleType) -> None:
        """Import what the module needs, and run its code.

        The file is opened each time, so that no descriptor of ours is among the caller's.
        """
        entry = self._entry(module.__name__)
        assert entry is not None  # noqa: S101 - for the type checker: it has a spec of ours
        with open(self._path, "rb", 0) as file:
            self._run(entry, module, file)

    def _run(self, entry: Entry, module: ModuleType, file: FileIO) -> None:
        for name in entry.needs:
            if name not in sys.modules:
                self._load(name, file)
        file.seek(self._start + entry.at)
        # As trustworthy as a .pyc: it is beside the modules, and its owner is theirs.
        code = loads(file.read(entry.length))  # noqa: S302
        exec(code, module.__dict__)  # noqa: S102 - importing is that

    def _load(self, name: str, file: FileIO) -> None:
        """Import a module without importlib, whose steps take as long as the module itself."""
        entry = self._entry(name)
        if entry is None or not entry.length or not entry.is_current():
            return  # whoever needs it finds that it isn't there, and imports it
        module = type(sys)(name)
        module.__file__ = entry.path
        if entry.is_package:
            module.__path__ = [_directory(entry)]
        sys.modules[name] = module
        try:
            self._run(entry, module, file)
        except BaseException:
            del sys.modules[name]
            raise
        package, _, own = name.rpartition(".")
        if package:
            setattr(sys.modules[package], own, module)


def _directory(entry: Entry) -> str:
    return entry.path[: entry.path.rindex("/")]


def begin(file: FileIO, path: str) -> None:
    """Import from the archive at `path`, which was read up to its table of contents."""
    size = int(file.read(SIZE), 16)
    magic, contents = loads(file.read(size))  # noqa: S302 - as above
    if magic == MAGIC_NUMBER:
        sys.meta_path.insert(0, Archive(path, file.tell(), contents))  # type: ignore[arg-type]
