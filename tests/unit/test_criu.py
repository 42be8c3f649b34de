# SPDX-License-Identifier: Apache-2.0
"""What criu is told for which flags, and where it is looked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runtime import criu, criu_options, options, protobuf
from runtime.cli import Globals
from runtime.commands import checkpoint, checkpointing, restore
from runtime.criu_options import CriuOptions, Folders
from runtime.errors import Unsupported, UsageError
from runtime.log import Log
from spec.errors import OrlopError

if TYPE_CHECKING:
    from pathlib import Path


def told(wanted: CriuOptions, folder: Path, annotations: dict[str, str]) -> dict[str, object]:
    """The common options by name, as criu reads them."""
    wanted.image_path = str(folder)
    folders = Folders(wanted, "dump.log", make=True)
    try:
        data = criu_options.encode(criu_options.common(wanted, folders, annotations))
    finally:
        folders.close()
    names = {number: name for name, number in criu_options.FIELDS.items()}
    return {names[number]: values[-1] for number, values in protobuf.decode(data).items()}


def parsed(command: object, *words: str) -> CriuOptions:
    """The library's options for these words."""
    given, _ = options.parse(getattr(command, "FLAGS"), words)  # noqa: B009 - a module's
    return checkpointing.criu_options(Globals(options.Options({}), Log()), given)


def test_flags_become_options(tmp_path: Path) -> None:
    words = ("--tcp-established", "--shell-job", "--file-locks", "--manage-cgroups-mode", "strict")
    found = told(parsed(checkpoint, *words), tmp_path, {})
    assert found["tcp_established"] == found["shell_job"] == found["file_locks"] == 1
    assert found["ext_unix_sk"] == found["lazy_pages"] == found["auto_dedup"] == 0
    assert found["manage_cgroups_mode"] == 5
    assert found["empty_ns"] == 0x40000000


def test_a_single_dash_is_enough() -> None:
    given, rest = options.parse(restore.FLAGS, ["-no-subreaper", "-d", "id"])
    assert (given.flag("no-subreaper"), given.flag("detach"), rest) == (True, True, ["id"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("10.0.0.1:27", ("10.0.0.1", 27)), ("[::1]:27", ("::1", 27)), ("host:65535", ("host", 65535))],
)
def test_a_page_server_is_address_and_port(text: str, wanted: tuple[str, int]) -> None:
    assert checkpointing.page_server(text) == wanted


@pytest.mark.parametrize("text", ["host", ":27", "host:", "host:0", "host:65536", "::1:27", "h:x"])
def test_other_page_servers_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        checkpointing.page_server(text)


def test_the_annotation_counts_only_where_it_is_allowed(tmp_path: Path) -> None:
    annotations = {"org.criu.config": "/etc/shadow"}
    wanted = CriuOptions("")
    assert told(wanted, tmp_path, annotations).get("config_file") != b"/etc/shadow"
    wanted.allowed_annotations = ["org.criu."]
    assert told(wanted, tmp_path, annotations)["config_file"] == b"/etc/shadow"


def test_the_log_is_quoted_and_named(tmp_path: Path) -> None:
    folders = Folders(CriuOptions(str(tmp_path)), "dump.log", make=True)
    (tmp_path / "dump.log").write_text("(0.1) fine\n(0.2) Error (criu/tty.c:1): no tty\n")
    error = folders.failure("checkpoint", criu.CriuFailed("Invalid argument"))
    folders.close()
    assert (
        error.message == "criu could not checkpoint: Invalid argument: Error (criu/tty.c:1): no tty"
    )
    assert error.hint == f"the whole log is {tmp_path}/dump.log"


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Error: secret")
    (tmp_path / "dump.log").symlink_to("secret")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OrlopError, match=r"dump.log: a symbolic link"):
        Folders(CriuOptions(str(tmp_path)), "dump.log", make=True)
    assert os.listdir("/proc/self/fd") == before
    (tmp_path / "dump.log").unlink()
    folders = Folders(CriuOptions(str(tmp_path)), "dump.log", make=True)
    (tmp_path / "dump.log").symlink_to("secret")
    error = folders.failure("checkpoint", criu.CriuFailed("no"))
    folders.close()
    assert "secret" not in error.message


def test_a_missing_criu_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(criu, "_SBIN", str(tmp_path))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(Unsupported, match="need criu"), criu.Service():
        pass
    assert os.listdir("/proc/self/fd") == before


def test_a_work_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A shim's is in the bundle: criu would write its log wherever a container wants."""
    victim, images, bundle = (tmp_path / name for name in ("victim", "images", "bundle"))
    for directory in (victim, bundle):
        directory.mkdir()
    (bundle / "criu").symlink_to(victim)
    options = CriuOptions(str(images))
    options.work_path = str(bundle / "criu")
    with pytest.raises(OrlopError, match="criu: Not a directory"):
        Folders(options, "dump.log", make=True)
