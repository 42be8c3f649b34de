# SPDX-License-Identifier: Apache-2.0
"""The standard's process, from what a request of exec says and the container's own process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runtime import execute
from runtime.container import Container
from spec.capabilities import CAPABILITIES
from supervisor import users
from supervisor.failure import INVALID_PARAMS, Failure

if TYPE_CHECKING:
    from supervisor.method import Params

_ALL = "CAP_ALL"


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
    """A set with some more and some less, as what a process may use; never what it passes on.

    A name may lack its CAP_; ALL is all there are. Raises Failure for one that there is not.
    """
    added, dropped = _named(changes, "add"), _named(changes, "drop")
    found = [] if _ALL in dropped else [*base, *(CAPABILITIES if _ALL in added else ())]
    found = [name for name in found if name not in dropped]
    found = list(dict.fromkeys([*found, *(name for name in added if name != _ALL)]))
    return dict.fromkeys(("bounding", "effective", "permitted"), found)


def _named(changes: dict[str, list[str]], what: str) -> list[str]:
    found = []
    for place, text in enumerate(changes.get(what, [])):
        name = f"CAP_{text.upper().removeprefix('CAP_')}"
        if name not in CAPABILITIES and name != _ALL:
            pointer = f"/capabilities/{what}/{place}"
            raise Failure(
                INVALID_PARAMS, f"{pointer}: there is no capability {text!r}", pointer=pointer
            )
        found.append(name)
    return found
