# SPDX-License-Identifier: Apache-2.0
"""Makes the archive of compiled modules that a cold start imports from (runtime.archived).

    python -IS -X no_debug_ranges scripts/archive.py ARCHIVE PROGRAM PACKAGES DIRECTORY...

ARCHIVE gets what PROGRAM imports: orlop, or the shim. DIRECTORYs are where that is, our packages
first; PACKAGES is where these will be. To be run by the interpreter that will import them: another
one ignores the archive.

    size of the code of runtime.archived (8 hexadecimal digits), that code,
    size of the table of contents, the table: importlib's magic number, and by module the
    arguments of runtime.archived.Entry,
    the modules' code
"""

import __future__

import ast
import marshal
import os
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import MAGIC_NUMBER

#: Our packages. Of other modules those that are extension modules.
OURS = ("native", "runtime", "shim", "spec")


class Source:
    """A module's source. path: where it is now. shown: where it will be."""

    def __init__(self, path: str, shown: str) -> None:
        self.path = path
        self.shown = shown
        with open(path, "rb") as file:
            self.tree = ast.parse(file.read(), path)

    def code(self) -> bytes:
        """What it compiles to, without docstrings but the module's own: nobody asks for them.

        Annotations are not evaluated, as `from __future__ import annotations` has it; that module
        itself is imported for nothing.
        """
        self.tree.body = [node for node in self.tree.body if not _is_future(node)]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
        flag = __future__.annotations.compiler_flag
        return marshal.dumps(compile(self.tree, self.shown, "exec", flag, dont_inherit=True))

    def needs(self) -> list[str]:
        """The modules that it imports when it is imported, each after the packages that it is in.

        May name what is no module: `from PACKAGE import NAME` doesn't tell.
        """
        found = []
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.append(node.module)
                found += [f"{node.module}.{alias.name}" for alias in node.names]
        parts = [name.split(".") for name in found]
        above = [".".join(each[: i + 1]) for each in parts for i in range(len(each))]
        return list(dict.fromkeys(above))


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def contents(
    program: str, final: dict[str, str]
) -> tuple[dict[str, tuple[object, ...]], list[bytes]]:
    """The table of contents and the code. final: where each directory will be."""

    def place(path: str) -> str:
        for directory, there in final.items():
            if path.startswith(f"{directory}/"):
                return f"{there}/{path.removeprefix(f'{directory}/')}"
        return path

    table: dict[str, tuple[object, ...]] = {}
    codes: list[bytes] = []
    at = 0
    names = WANTED[program]()
    for name in names:
        spec = getattr(sys.modules[name], "__spec__", None)
        if spec is not None and isinstance(spec.loader, ExtensionFileLoader):
            table[name] = (place(spec.origin),)
        elif spec is not None and name.partition(".")[0] in OURS:
            source = Source(spec.origin, place(spec.origin))
            code = source.code()
            needs = tuple(sys.intern(each) for each in source.needs() if each in names)
            status = os.stat(source.path)
            stamp = (source.shown, status.st_size, int(status.st_mtime))
            is_package = spec.submodule_search_locations is not None
            table[name] = (*stamp, at, len(code), needs, is_package)
            codes.append(code)
            at += len(code)
    return table, codes


def of_command_line() -> list[str]:
    """Names of the modules that the command line imports, and of some that came with this one."""
    import runtime.cli  # noqa: F401 - what it imports
    from runtime import planner

    planner.preload()
    return sorted(sys.modules)


def of_shim() -> list[str]:
    """The same for the shim, whatever it is started as."""
    import shim.bootstrap
    import shim.cleanup
    import shim.daemon
    import shim.launch
    import shim.template  # noqa: F401 - what they import
    from shim import preload

    preload.preload()
    return sorted(sys.modules)


WANTED = {"orlop": of_command_line, "shim": of_shim}


def main(path: str, program: str, packages: str, directories: list[str]) -> None:
    """Write the archive."""
    sys.path[:0] = directories[:1]
    sys.path += directories[1:]
    table, codes = contents(program, {directories[0]: packages})
    there = "runtime/archived.py"
    finder = Source(f"{directories[0]}/{there}", f"{packages}/{there}").code()
    parts = (finder, marshal.dumps((MAGIC_NUMBER, table)))
    with open(path, "wb") as file:
        file.writelines(b"%08x" % len(part) + part for part in parts)
        file.writelines(codes)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
