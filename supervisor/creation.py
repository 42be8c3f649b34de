# SPDX-License-Identifier: Apache-2.0
"""The record of a new container, from what a request says."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from runtime.errors import InvalidId
from runtime.state import check_id
from spec import bundle as bundles
from supervisor import short_spec
from supervisor.failure import INVALID_PARAMS, Failure
from supervisor.records import Record

if TYPE_CHECKING:
    from supervisor.container import Container
    from supervisor.method import Params
    from supervisor.store import Store

#: What the short specification says beside the rootfs.
SHORT = {
    "args", "env", "cwd", "user", "hostname", "terminal", "consoleSize", "readonly", "mounts",
    "limits", "capabilities", "network", "hooks", "annotations", "noNewPrivileges", "seccomp",
}  # fmt: skip


def add(store: Store, params: Params) -> tuple[Container, bool]:
    """The container, and whether it is new: not that of the same request before.

    Raises Failure, OrlopError.
    """
    check(params["id"], "/id")
    before = store.made_with(params["id"], params.get("key"))
    if before is not None:
        return before, False
    if "rootfs" in params:
        return _from_rootfs(store, params), True
    if "bundle" not in params:
        raise Failure(INVALID_PARAMS, "/bundle: is missing, and so is rootfs", pointer="/bundle")
    for name in sorted(params.keys() & SHORT):
        text = f"/{name}: goes with rootfs; the bundle says it"
        raise Failure(INVALID_PARAMS, text, pointer=f"/{name}")
    bundle = params["bundle"]
    if not os.path.isabs(bundle):
        raise Failure(INVALID_PARAMS, "/bundle: is no absolute path", pointer="/bundle")
    return store.add(_record(bundle, params)), True


def _from_rootfs(store: Store, params: Params) -> Container:
    """With a bundle of our own, which goes with the container."""
    for name, is_wrong, why in (
        ("bundle", "bundle" in params, "and rootfs exclude each other"),
        ("args", "args" not in params, "is missing"),
    ):
        if is_wrong:
            raise Failure(INVALID_PARAMS, f"/{name}: {why}", pointer=f"/{name}")
    token = secrets.token_hex(8)
    spec = short_spec.build(params, cgroups_path=f"/{params['id']}-{token}")
    bundle = store.bundle_path(token)
    os.mkdir(bundle, 0o700)
    try:
        config = os.path.join(bundle, bundles.CONFIG)
        with open(config, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(json.dumps(spec))
        return store.add(_record(bundle, params))
    except BaseException:
        shutil.rmtree(bundle)
        raise


def _record(bundle: str, params: Params) -> Record:
    """Raises OrlopError: the bundle can't be read. What it says is judged by who makes it."""
    found = bundles.load_shape(bundle)
    record = Record(params["id"], found.path, params.get("key"))
    record.labels = params.get("labels", {})
    record.settings = {
        "terminal": found.spec.get("process", {}).get("terminal", False),
        "stdin": params.get("stdin", False) or params.get("descriptors", False),
        "annotations": found.spec.get("annotations", {}),
        "restart": params.get("restart"),
        "health": params.get("health"),
    }
    return record


def check(container_id: str, pointer: str) -> None:
    """Whether the runtime takes it as an id. Raises Failure."""
    try:
        check_id(container_id)
    except InvalidId as error:
        raise Failure(INVALID_PARAMS, f"{pointer}: {error}", pointer=pointer) from error
