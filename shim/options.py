# SPDX-License-Identifier: Apache-2.0
"""The options of Create: containerd's for runc, CRI's for other runtimes, or JSON."""

from __future__ import annotations

import os

from shim import messages, ttrpc
from shim.protobuf import Malformed
from shim.ttrpc import RpcError
from spec import jsontext
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.protobuf import Values


class Options:
    """What they say, with defaults. root: state root without the namespace."""

    __slots__ = ("io_gid", "io_uid", "new_keyring", "no_pivot", "root", "shim_cgroup", "systemd")

    def __init__(self, values: Values | None = None) -> None:
        given = values or {}
        self.no_pivot = bool(given.get("no_pivot_root"))
        self.new_keyring = not given.get("no_new_keyring")
        self.shim_cgroup = str(given.get("shim_cgroup") or "")
        self.io_uid = int(given.get("io_uid") or 0)
        self.io_gid = int(given.get("io_gid") or 0)
        self.root = str(given.get("root") or "") or default_root()
        self.systemd = bool(given.get("systemd_cgroup"))


def default_root() -> str:
    """Where containerd's own shim keeps runc's state, with our name at the end."""
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    base = runtime_dir if os.geteuid() != 0 and runtime_dir else "/run"
    return os.path.join(base, "containerd", "orlop")


def type_name(any_: Values) -> str:
    """The type of an Any: the part behind the last slash names it."""
    return str(any_["type_url"]).rpartition("/")[2]


def load(any_: Values | None) -> Options:
    """From an Any, or the lack of one. Raises RpcError."""
    if not any_ or not any_["type_url"]:
        return Options()
    try:
        return Options(_values(any_))
    except (Malformed, OrlopError, ValueError, TypeError) as error:
        text = f"options {any_['type_url']}: {error}"
        raise RpcError(ttrpc.INVALID_ARGUMENT, text) from error


def _values(any_: Values) -> Values:
    name, value = type_name(any_), any_["value"]
    if value.lstrip().startswith(b"{"):
        return _from_json(value)
    if name == "containerd.runc.v1.Options":
        return messages.RUNC_OPTIONS.decode(value)
    if name == "containerd.linux.runc.CreateOptions":
        return messages.LEGACY_OPTIONS.decode(value)
    if name == "runtimeoptions.v1.Options":
        return _from_toml(messages.RUNTIME_OPTIONS.decode(value))
    raise Malformed("not a type of options that is known")


def _from_json(value: bytes) -> Values:
    found = jsontext.loads(value.decode())
    return _snake_case(found if isinstance(found, dict) else {})


def _from_toml(options: Values) -> Values:
    text = options["config_body"]
    if isinstance(text, bytes):
        text = text.decode()
    if not text and options["config_path"]:
        with open(options["config_path"], encoding="utf-8") as file:
            text = file.read()
    if not text:
        return {}
    import tomllib  # rare: only the CRI plugin sends it, and only where the user configured some

    return _snake_case(tomllib.loads(text))


def _snake_case(values: Values) -> Values:
    """Names as TOML has them (SystemdCgroup) and as protobuf's JSON has them, in one form."""
    found: Values = {}
    for name, value in values.items():
        short = name.replace("_", "").lower()
        for field in messages.RUNC_OPTIONS.by_name:
            if field.replace("_", "") == short:
                found[field] = value
    return found
