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
    from collections.abc import Callable
    from typing import TypeVar

    from runtime.criu_options import CriuOptions
    from shim.protobuf import Table, Values

    Result = TypeVar("Result")

_ID_MAX = 2**32 - 2  # chown(2) takes the next one for "as it is"


class Options:
    """What they say, with defaults. root: state root without the namespace."""

    __slots__ = (
        "criu_work",
        "io_gid",
        "io_uid",
        "new_keyring",
        "no_pivot",
        "root",
        "shim_cgroup",
        "systemd",
    )

    def __init__(self, values: Values | None = None) -> None:
        given = values or {}
        self.no_pivot = bool(given.get("no_pivot_root"))
        self.new_keyring = not given.get("no_new_keyring")
        self.shim_cgroup = str(given.get("shim_cgroup") or "")
        self.io_uid = _id(given, "io_uid")
        self.io_gid = _id(given, "io_gid")
        self.root = str(given.get("root") or "") or default_root()
        self.systemd = bool(given.get("systemd_cgroup"))
        self.criu_work = str(given.get("criu_work_path") or "")


class CheckpointOptions:
    """Those of Checkpoint."""

    __slots__ = ("_given",)

    def __init__(self, values: Values | None = None) -> None:
        self._given = values or {}

    def criu(self, path: str, log: str) -> CriuOptions:
        """For `runtime`. log: directory of criu's log, where the master names none."""
        from runtime.criu_options import CGROUP_MODES, CriuOptions

        given = self._given
        wanted = CriuOptions(path or str(given.get("image_path") or ""))
        wanted.work_path = str(given.get("work_path") or log)
        wanted.parent_path = str(given.get("parent_path") or "")
        wanted.leave_running = not given.get("exit")
        wanted.tcp_established = bool(given.get("open_tcp"))
        wanted.ext_unix_sk = bool(given.get("external_unix_sockets"))
        wanted.shell_job = bool(given.get("terminal"))
        wanted.file_locks = bool(given.get("file_locks"))
        wanted.manage_cgroups_mode = str(given.get("cgroups_mode") or "")
        if not wanted.image_path:
            raise OrlopError("checkpoint: no path for the images")
        if wanted.manage_cgroups_mode not in CGROUP_MODES:
            modes = ", ".join(filter(None, CGROUP_MODES))
            raise OrlopError(f"cgroups_mode {wanted.manage_cgroups_mode!r}: none of {modes}")
        return wanted


def _id(given: Values, name: str) -> int:
    value = given.get(name) or 0
    if type(value) is not int or not 0 <= value <= _ID_MAX:
        raise ValueError(f"{name}: {value!r} is no number from 0 to {_ID_MAX}")
    return value


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
    return _read(any_, lambda given: Options(_values(given)))


def load_checkpoint(any_: Values | None) -> CheckpointOptions:
    """The same of Checkpoint's options."""
    if not any_ or not any_["type_url"]:
        return CheckpointOptions()
    return _read(any_, lambda given: CheckpointOptions(_checkpoint_values(given)))


def _read(any_: Values, read: Callable[[Values], Result]) -> Result:
    try:
        return read(any_)
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


def _checkpoint_values(any_: Values) -> Values:
    name, value = type_name(any_), any_["value"]
    if value.lstrip().startswith(b"{"):
        return _from_json(value, messages.CHECKPOINT_OPTIONS)
    if name == "containerd.runc.v1.CheckpointOptions":
        return messages.CHECKPOINT_OPTIONS.decode(value)
    raise Malformed("not a type of options that is known")


def _from_json(value: bytes, table: Table = messages.RUNC_OPTIONS) -> Values:
    found = jsontext.loads(value.decode())
    return _snake_case(found if isinstance(found, dict) else {}, table)


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


def _snake_case(values: Values, table: Table = messages.RUNC_OPTIONS) -> Values:
    """Names as TOML has them (SystemdCgroup) and as protobuf's JSON has them, in one form."""
    found: Values = {}
    for name, value in values.items():
        short = name.replace("_", "").lower()
        for field in table.by_name:
            if field.replace("_", "") == short:
                found[field] = value
    return found
