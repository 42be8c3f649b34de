# SPDX-License-Identifier: Apache-2.0
"""The standard's process, from what a request of exec says and the container's own process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runtime import execute
from runtime.container import Container
from supervisor import users

if TYPE_CHECKING:
    from supervisor.method import Params


def build(state_root: str, runtime_id: str, params: Params) -> dict[str, Any]:
    """What is not said is as in the container, without its terminal. Raises OrlopError, Failure."""
    container = Container.open(state_root, runtime_id)
    try:
        spec = execute.container_spec(container)
        bundle = container.record.bundle
    finally:
        container.close()
    own = spec["process"]
    process: dict[str, Any] = {
        "args": params["args"],
        "cwd": params.get("cwd", own["cwd"]),
        "env": merged(own.get("env", []), params.get("env", {})),
        "user": dict(own.get("user", {})),
        "noNewPrivileges": own.get("noNewPrivileges", False),
        "terminal": params.get("terminal", False),
    }
    if "user" in params:
        rootfs = os.path.join(bundle, spec["root"]["path"])
        process["user"] = users.resolve(rootfs, params["user"])
    if "consoleSize" in params:
        process["consoleSize"] = params["consoleSize"]
    if "capabilities" in params:
        sets = own.get("capabilities", {})
        wanted = capabilities(sets.get("bounding", []), params["capabilities"])
        process["capabilities"] = {**sets, **wanted}
    return process


def merged(env: list[str], changes: dict[str, str]) -> list[str]:
    """An environment with other values, and more of them."""
    values = dict(entry.partition("=")[::2] for entry in env)
    return [f"{name}={value}" for name, value in {**values, **changes}.items()]


def capabilities(base: list[str], changes: dict[str, list[str]]) -> dict[str, list[str]]:
    """A set with some more and some less, as what a process may use; never what it passes on."""
    dropped = set(changes.get("drop", []))
    found = [] if "ALL" in dropped else [name for name in base if name not in dropped]
    found = list(dict.fromkeys([*found, *changes.get("add", [])]))
    return dict.fromkeys(("bounding", "effective", "permitted"), found)
