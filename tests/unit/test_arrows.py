# SPDX-License-Identifier: Apache-2.0
"""The rooms and arrows of the architecture, held over the syntax trees of all modules.

Imports inside functions count; those under TYPE_CHECKING count for the arrows between packages (a
type is knowledge too), not for cycles within one.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: package -> the packages of ours that it may import.
ARROWS: dict[str, set[str]] = {
    "native": set(),
    "spec": set(),
    "runtime": {"native", "spec"},
    "shim": {"native", "runtime", "spec"},
    "supervisor": {"native", "runtime", "shim", "spec"},  # of shim the protocol: see PROTOCOL
    "orlop": {"runtime", "spec"},  # a client of the supervisor knows its socket alone
    "orlopctl": {"orlop", "runtime", "spec"},
}
#: What the supervisor knows of a shim: the wire and the files, for it talks to it over a socket.
PROTOCOL = {"shim.exits", "shim.messages", "shim.protobuf", "shim.ttrpc"}
#: Names that say nothing about what is inside.
VAGUE = {"common", "helper", "helpers", "misc", "util", "utilities", "utils"}


class Module:
    """A module of ours: its dotted name, its syntax tree, whether it is a package."""

    def __init__(self, file: Path, root: Path = ROOT) -> None:
        parts = file.relative_to(root).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.tree = ast.parse(file.read_bytes(), str(file))

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.name.partition(".")[0]

    def imports(self, *, types: bool) -> set[str]:
        """Dotted names that it imports; `from a import b` gives both a and a.b."""
        found: set[str] = set()
        for node in walk(self.tree, types=types):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(node)
                found.add(source)
                found.update(f"{source}.{alias.name}" for alias in node.names)
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = self.name.split(".")
        base = here[: len(here) - node.level + self.is_package]
        return ".".join([*base, *filter(None, [node.module])])


def is_type_checking(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name | ast.Attribute)
        and "TYPE_CHECKING" in ast.unparse(node.test)
    )


def walk(tree: ast.AST, *, types: bool) -> list[ast.AST]:
    """All nodes, without those under `if TYPE_CHECKING:` unless `types`."""
    nodes = [tree]
    for node in nodes:
        if is_type_checking(node) and not types:
            assert isinstance(node, ast.If)
            nodes.extend(node.orelse)
        else:
            nodes.extend(ast.iter_child_nodes(node))
    return nodes


def modules() -> list[Module]:
    """All modules of ours, without the tests."""
    return [Module(file) for package in ARROWS for file in sorted((ROOT / package).rglob("*.py"))]


MODULES = modules()


def foreign(module: Module) -> list[str]:
    """What `module` imports of ours against the arrows."""
    allowed = ARROWS[module.package] | {module.package}
    names = {name.partition(".")[0] for name in module.imports(types=True)}
    return sorted(names & (ARROWS.keys() | {"tests", "bench"}) - allowed)


def graph(members: list[Module]) -> dict[str, set[str]]:
    """Module -> the modules among `members` that it imports.

    `from package import module` names the module, not the package that holds it: a package's
    __init__ that gathers its modules is not imported back by them in that case.
    """
    names = {m.name for m in members}
    edges: dict[str, set[str]] = {}
    for module in members:
        imported = module.imports(types=False) & names
        inner = {n for n in imported if any(o.startswith(f"{n}.") for o in imported)}
        edges[module.name] = imported - inner - {module.name}
    return edges


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """The names on a cycle or leading to one: what is left when all without imports are gone."""
    left = dict(edges)
    while True:
        leaves = {name for name, targets in left.items() if not targets & left.keys()}
        if not leaves:
            return sorted(left)
        left = {name: targets for name, targets in left.items() if name not in leaves}


def test_there_is_something_to_look_at() -> None:
    assert {"native", "spec", "runtime"} <= {m.package for m in MODULES}


@pytest.mark.parametrize("package", ARROWS)
def test_imports_go_one_way(package: str) -> None:
    wrong = {m.name: foreign(m) for m in MODULES if m.package == package and foreign(m)}
    assert wrong == {}


def test_the_supervisor_knows_the_protocol_of_shims_alone() -> None:
    imported = {
        (m.name, name)
        for m in MODULES
        if m.package == "supervisor"
        for name in m.imports(types=True)
        if name.startswith("shim.")
    }
    assert {pair for pair in imported if ".".join(pair[1].split(".")[:2]) not in PROTOCOL} == set()
    assert imported


@pytest.mark.parametrize("package", ARROWS)
def test_no_import_cycle(package: str) -> None:
    assert cycle(graph([m for m in MODULES if m.package == package])) == []


def test_only_native_knows_cffi() -> None:
    knowing = {
        m.name
        for m in MODULES
        for node in ast.walk(m.tree)
        if (isinstance(node, ast.Name) and node.id == "ffi")
        or (isinstance(node, ast.Attribute) and node.attr == "ffi")
        or (isinstance(node, ast.alias) and node.name.split(".")[0] in {"cffi", "_cffi_backend"})
        or (isinstance(node, ast.alias) and node.name == "ffi")
    }
    assert {name for name in knowing if not name.startswith("native.")} == set()
    assert knowing


def test_names_say_what_is_inside() -> None:
    files = [f for d in (*ARROWS, "tests", "scripts") for f in (ROOT / d).rglob("*")]
    assert [f for f in files if f.stem in VAGUE and "__pycache__" not in f.parts] == []


class TestTheChecksThemselves:
    """On small trees that break the rules."""

    @staticmethod
    def module(directory: Path, name: str, text: str) -> Module:
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return Module(file, directory)

    def test_an_upward_import_in_a_function_is_seen(self, tmp_path: Path) -> None:
        text = "def f():\n    from runtime import cli\n"
        assert foreign(self.module(tmp_path, "spec/a.py", text)) == ["runtime"]

    def test_an_upward_import_of_types_is_seen(self, tmp_path: Path) -> None:
        text = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import shim.task\n"
        assert foreign(self.module(tmp_path, "runtime/a.py", text)) == ["shim"]

    def test_relative_imports_are_resolved(self, tmp_path: Path) -> None:
        module = self.module(
            tmp_path, "spec/rules/__init__.py", "from . import a\nfrom .. import b\n"
        )
        assert module.imports(types=True) == {"spec.rules", "spec.rules.a", "spec", "spec.b"}

    def test_a_cycle_is_seen(self, tmp_path: Path) -> None:
        members = [
            self.module(tmp_path, "spec/a.py", "from spec import b\n"),
            self.module(tmp_path, "spec/b.py", "def f():\n    from spec.c import x\n"),
            self.module(tmp_path, "spec/c.py", "import spec.a\n"),
            self.module(tmp_path, "spec/d.py", "import spec.a\n"),
        ]
        assert cycle(graph(members)) == ["spec.a", "spec.b", "spec.c", "spec.d"]
        assert cycle(graph(members[1:])) == []
