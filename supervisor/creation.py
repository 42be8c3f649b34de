# SPDX-License-Identifier: Apache-2.0
"""The record of a new container, from what a request says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.errors import InvalidId
from runtime.state import check_id
from spec import bundle as bundles
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.records import Record

if TYPE_CHECKING:
    from supervisor.container import Container
    from supervisor.method import Params
    from supervisor.store import Store


def add(store: Store, params: Params) -> tuple[Container, bool]:
    """The container, and whether it is new: not that of the same request before.

    Raises Failure, OrlopError.
    """
    check(params["id"], "/id")
    before = store.made_with(params["id"], params.get("key"))
    if before is not None:
        return before, False
    if "bundle" not in params:
        raise Failure(INVALID_PARAMS, "/bundle: is missing", pointer="/bundle")
    bundle = params["bundle"]
    if not os.path.isabs(bundle):
        raise Failure(INVALID_PARAMS, "/bundle: is no absolute path", pointer="/bundle")
    found = bundles.load(bundle)
    record = Record(params["id"], found.path, params.get("key"))
    record.labels = params.get("labels", {})
    record.settings = {
        "terminal": found.spec.get("process", {}).get("terminal", False),
        "stdin": params.get("stdin", False) or params.get("descriptors", False),
        "annotations": found.spec.get("annotations", {}),
        "restart": params.get("restart"),
        "health": params.get("health"),
    }
    return store.add(record), True


def check(container_id: str, pointer: str) -> None:
    """Whether the runtime takes it as an id. Raises Failure."""
    try:
        check_id(container_id)
    except InvalidId as error:
        raise Failure(INVALID_PARAMS, f"{pointer}: {error}", pointer=pointer) from error
