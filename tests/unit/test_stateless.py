# SPDX-License-Identifier: Apache-2.0
"""Nothing of a call stays in modules: a planner's worker does one after another."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).parents[2]
MODULES = [
    path
    for package in ("runtime", "shim", "spec", "native")
    for path in sorted((TREE / package).rglob("*.py"))
    if not path.name.endswith("build.py")
]
CHANGING = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove",
    "setdefault", "update",
}  # fmt: skip
#: What is kept, and why that is no call's.
ALLOWED = {
    "runtime/warm.py: caller.current": "the call's caller; runtime.worker puts it back",
    "runtime/worker.py: caller.current": "the same",
    "runtime/cli.py: sys.stdout": "of a process that was started without one",
    "runtime/cli.py: sys.stderr": "the same",
    "runtime/steps.py: _watch.timeline": "put back at the end; and with --timeline a call is cold",
    "shim/inherited.py: launch.fork": "set anew for each call, before its rights are looked at",
    "shim/launch.py: caller.current": "in the shim alone, a fork of the worker",
    "shim/log_file.py: _files": "in the shim alone",
    "shim/log_file.py: _files[file.path]": "the same",
    "shim/log_file.py: _files[path]": "the same",
    "shim/log_file.py: _writers": "the same",
    "shim/planner.py: launch.title": "the planner's, before its first worker",
    "shim/planner.py: launch.pool": "the same",
    "shim/pool.py: caller.current": "the work's shim; runtime.worker puts it back",
    "shim/rehearsal.py: log_file._writers": "put back at the end",
    "native/executable.py: _held": "the init, read once by a program that outlives its files",
    "spec/explain.py: cache": "of the schemas, which are the same for all calls",
}


def kept(text: str) -> Iterator[str]:
    """What of a module could outlast a call: variables that functions change, caches."""
    tree = ast.parse(text)
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    modules = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    } - {"TYPE_CHECKING"}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in function.decorator_list:
            name = ast.unparse(decorator).partition("(")[0].rpartition(".")[2]
            if name in ("cache", "lru_cache", "cached_property"):
                yield name
        local = {argument.arg for argument in function.args.args}
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                yield from node.names
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                local.add(node.id)
        for node in ast.walk(function):
            yield from _changed(node, names - local, modules - local)


def _changed(node: ast.AST, names: set[str], modules: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        changed = node.func.value
        if node.func.attr in CHANGING and isinstance(changed, ast.Name) and changed.id in names:
            yield changed.id
        return
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        of = target.value if isinstance(target, ast.Attribute | ast.Subscript) else None
        if isinstance(of, ast.Name) and of.id in names | modules:
            yield ast.unparse(target)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TREE)))
def test_a_module_keeps_nothing(path: Path) -> None:
    found = {f"{path.relative_to(TREE)}: {name}" for name in kept(path.read_text())}
    assert found <= ALLOWED.keys()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = []\ndef f():\n    x.append(1)", ["x"]),
        ("x = {}\ndef f():\n    x['a'] = 1", ["x['a']"]),
        ("x = 0\ndef f():\n    global x\n    x += 1", ["x"]),
        ("import m\ndef f():\n    m.a = 1", ["m.a"]),
        ("from functools import cache\n@cache\ndef f():\n    pass", ["cache"]),
        ("x = []\ndef f(x):\n    x.append(1)", []),
        ("def f():\n    x = []\n    x.append(1)", []),
    ],
)
def test_what_is_kept_is_found(text: str, found: list[str]) -> None:
    assert list(kept(text)) == found
