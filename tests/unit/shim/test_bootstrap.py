# SPDX-License-Identifier: Apache-2.0
"""How a shim is asked for: flags, standard input of containerd 1.6 to 2.4, groups, options."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shim import exits, launch, messages, options
from shim.bootstrap import Flags
from shim.exits import Exit
from shim.launch import Wanted, answer, bootstrap_params, group, socket_path
from shim.log_file import File
from shim.logger import unquote
from shim.rootfs import _parsed
from shim.ttrpc import RpcError

PROGRAM = Path(sys.executable).with_name("containerd-shim-orlop-v1")
WORDS = ("-namespace", "ns", "--address=/a", "-publish-binary", "", "-id", "c", "-debug", "start")


def test_flags_are_read_as_go_does() -> None:
    flags = Flags(WORDS)
    assert (flags.text("namespace"), flags.text("address"), flags.action) == ("ns", "/a", "start")
    assert flags.flag("debug")
    with pytest.raises(ValueError, match="not defined: -nope"):
        Flags(["-nope"])
    with pytest.raises(ValueError, match="needs an argument: -id"):
        Flags(["-id"])


OPTIONS = messages.ANY.encode({"type_url": "containerd.runc.v1.Options", "value": b"\x48\x01"})
PARAMS = messages.BOOTSTRAP_PARAMS.encode(
    {"instance_id": "c", "namespace": "ns", "ttrpc_address": "/t", "socket_dir": "/s"}
)


@pytest.mark.parametrize("stdin", [b"", OPTIONS])
def test_an_older_containerd_gets_plain_text(stdin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTRPC_ADDRESS", "/env")
    wanted = Wanted(Flags(WORDS), stdin)
    assert (wanted.events, wanted.socket_dir) == ("/env", launch.SOCKETS)
    assert wanted.options.systemd == bool(stdin)
    assert answer(wanted, "unix:///x") == b"unix:///x"


def test_a_newer_containerd_gets_what_it_sent_parameters_for() -> None:
    wanted = Wanted(Flags(WORDS), PARAMS)
    assert (wanted.events, wanted.socket_dir) == ("/t", "/s")
    result = messages.BOOTSTRAP_RESULT.decode(answer(wanted, "unix:///x"))
    assert (result["version"], result["address"], result["protocol"]) == (3, "unix:///x", "ttrpc")
    assert bootstrap_params(PARAMS, "other", "ns") is None


def test_containers_of_a_group_have_one_socket(tmp_path: Path) -> None:
    wanted = Wanted(Flags(WORDS), b"")
    assert socket_path(wanted, "pod") == socket_path(Wanted(Flags(WORDS), b""), "pod")
    assert socket_path(wanted, "pod") != socket_path(wanted, "c")
    annotations = {launch.GROUPS[1]: "pod", launch.GROUPS[0]: "first"}
    (tmp_path / "config.json").write_text(json.dumps({"annotations": annotations}))
    assert group(str(tmp_path)) == "first"
    (tmp_path / "config.json").write_text("not json")
    assert group(str(tmp_path)) == ""
    wanted.socket_dir = "/" + "d" * 90
    with pytest.raises(ValueError, match="longer than 106 bytes"):
        socket_path(wanted, "pod")


def test_options_come_as_protobuf_toml_and_json() -> None:
    runc = messages.RUNC_OPTIONS.encode(
        {"no_pivot_root": True, "io_uid": 5, "root": "/r", "systemd_cgroup": True}
    )
    body = 'SystemdCgroup = true\nNoPivotRoot = true\nIoUid = 5\nRoot = "/r"\n'
    toml = messages.RUNTIME_OPTIONS.encode({"config_body": body})
    text = json.dumps({"systemd_cgroup": True, "noPivotRoot": True, "io_uid": 5, "root": "/r"})
    for url, value in (
        ("containerd.runc.v1.Options", runc),
        ("runtimeoptions.v1.Options", toml),
        ("types.containerd.io/containerd.runc.v1.Options", text.encode()),
    ):
        found = options.load({"type_url": url, "value": value})
        assert (found.systemd, found.no_pivot, found.io_uid, found.root) == (True, True, 5, "/r")
        assert found.new_keyring
    legacy = messages.LEGACY_OPTIONS.encode({"io_uid": 5, "no_new_keyring": True})
    found = options.load({"type_url": "containerd.linux.runc.CreateOptions", "value": legacy})
    assert (found.io_uid, found.new_keyring) == (5, False)
    assert options.load(None).root == options.default_root()
    with pytest.raises(RpcError, match="not a type"):
        options.load({"type_url": "other.Options", "value": b""})


def test_info_and_version_are_told() -> None:
    info = subprocess.run([PROGRAM, "-info"], input=b"", capture_output=True, check=True)
    found = messages.RUNTIME_INFO.decode(info.stdout)
    assert found["name"] == "io.containerd.orlop.v1"
    features = json.loads(found["features"]["value"])
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True
    version = subprocess.run([PROGRAM, "-v"], capture_output=True, check=True, text=True)
    assert "Version:" in version.stdout


def test_an_unknown_action_fails_on_stderr_alone() -> None:
    result = subprocess.run([PROGRAM, "-id", "c", "dance"], capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"unknown action 'dance'" in result.stderr


def test_a_shim_imports_nothing_that_is_large() -> None:
    code = Path(f"{PROGRAM}-cold").read_text()
    code = code.replace("from shim.bootstrap import main", "import shim.daemon, shim.launch")
    code = code.replace("sys.exit(main())", "print(*sys.modules)")
    words = [sys.executable, "-I", "-S", "-c", code]
    loaded = set(subprocess.run(words, capture_output=True, check=True, text=True).stdout.split())
    large = {"asyncio", "collections", "ctypes", "dataclasses", "enum", "hashlib", "json"}
    large |= {"jsonschema", "logging", "re", "socket", "subprocess", "threading", "typing"}
    assert not large & loaded


def test_an_exit_is_kept_and_forgotten(tmp_path: Path) -> None:
    bundle = str(tmp_path)
    exits.write_record(bundle, "/root/ns", mounted=True)
    exits.write(bundle, "", 7, Exit(3, 99))
    exits.write(bundle, "init", 8, Exit(4, 100))
    kept = exits.read(bundle)
    assert kept is not None
    assert (kept[0], kept[1].status, kept[1].at) == (7, 3, 99)
    assert exits.read_record(bundle) == ("/root/ns", True)
    exits.forget(bundle, "init")
    assert exits.read(bundle, "init") is None
    exits.clear(bundle)
    exits.clear(bundle)
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_rotated_before_it_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = File(str(path), 10, 3)
    for line in (b"one 789\n", b"two 789\n", b"three 9\n", b"four 89\n"):
        file.write([line])
    file.close()
    assert path.read_text() == "four 89\n"
    assert (tmp_path / "log.1").read_text() == "three 9\n"
    assert (tmp_path / "log.2").read_text() == "two 789\n"
    assert not (tmp_path / "log.3").exists()


def test_percent_signs_of_uris_are_undone() -> None:
    assert unquote("/a%20b%2Fc%zz%") == "/a b/c%zz%"


def test_mount_options_are_flags_and_data() -> None:
    flags, data = _parsed(["rbind", "ro", "rw", "nosuid", "lowerdir=/a:/b", "index=off"])
    assert flags == 4096 | 16384 | 2
    assert data == ["lowerdir=/a:/b", "index=off"]
