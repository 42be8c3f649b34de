# SPDX-License-Identifier: Apache-2.0
"""Log files that the shim writes itself: all of the output, once the shim has gone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle

pytestmark = requires("root")
TIMES = 12  # the probe is written: megabytes, more than what waits for the disk


def written(shim: Shim, bundle: Bundle, uri: str) -> bytes:
    """Have a container write to a log file and end; what it wrote."""
    bundle.args("cat", *["/bin/probe"] * TIMES)
    client = shim.start()
    shim.create(client, stdout=uri)
    client.call("Start", id=shim.id)
    assert client.call("Wait", id=shim.id)["exit_status"] == 0
    shim.finish(client)
    return (bundle.rootfs / "bin" / "probe").read_bytes() * TIMES


def test_a_file_has_the_bytes_as_they_came(shim: Shim, bundle: Bundle, tmp_path: Path) -> None:
    expected = written(shim, bundle, f"file://{tmp_path}/log")
    assert (tmp_path / "log").read_bytes() == expected


def test_a_file_of_lines_has_all_of_them(shim: Shim, bundle: Bundle, tmp_path: Path) -> None:
    expected = written(shim, bundle, f"cri://{tmp_path}/log")
    mark = re.compile(rb"[-\dT:.]{29}Z stdout ([FP]) ")
    found = []
    for entry in (tmp_path / "log").read_bytes().split(b"\n")[:-1]:
        match = mark.match(entry)
        assert match is not None
        found.append(entry[match.end() :] + b"\n" * (match[1] == b"F"))
    assert b"".join(found) == expected


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_files_that_are_rotated_are_no_larger_than_they_may_be(
    shim: Shim, bundle: Bundle, tmp_path: Path, size: int
) -> None:
    """But for what comes at once, and the marks of its lines."""
    written(shim, bundle, f"cri://{tmp_path}/log?max-size={size}&max-files=3")
    sizes = [path.stat().st_size for path in tmp_path.glob("log*")]
    assert len(sizes) == 3
    assert max(sizes) <= max(size, 4 << 16)


def test_a_program_that_says_nothing_costs_no_thread(
    shim: Shim, bundle: Bundle, tmp_path: Path
) -> None:
    """And has an empty log all the same; its first word begins the thread."""
    program = shutil.which("busybox")
    assert program is not None
    shutil.copy(program, bundle.rootfs / "bin" / "busybox")
    bundle.process["args"] = ["/bin/busybox", "sleep", "1000"]
    client = shim.start()
    shim.create(client, stdout=f"cri://{tmp_path}/log", stderr=f"cri://{tmp_path}/log")
    client.call("Start", id=shim.id)
    assert (tmp_path / "log").read_bytes() == b""
    assert len(list(Path(f"/proc/{shim.pid}/task").iterdir())) == 1
    process = json.dumps({"args": ["/bin/probe", "args", "word"], "cwd": "/"}).encode()
    spec = {"type_url": "types.containerd.io/opencontainers/runtime-spec/1/Process",
            "value": process}  # fmt: skip
    client.call("Exec", id=shim.id, exec_id="e", spec=spec, stdout=f"cri://{tmp_path}/log")
    client.call("Start", id=shim.id, exec_id="e")
    assert client.call("Wait", id=shim.id, exec_id="e")["exit_status"] == 0
    client.call("Delete", id=shim.id, exec_id="e")
    assert len(list(Path(f"/proc/{shim.pid}/task").iterdir())) == 2
    shim.end(client)
    assert b"word" in (tmp_path / "log").read_bytes()
