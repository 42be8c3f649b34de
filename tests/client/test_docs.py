# SPDX-License-Identifier: Apache-2.0
"""docs/python.md: every block is run, in its order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from orlopctl import cli

if TYPE_CHECKING:
    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "python.md"


def test_every_block_runs(
    orlopd: Orlopd, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.args("sleep").write()
    path = str(orlopd.socket)
    with orlop.Client(path) as client:
        names: dict[str, object] = {
            "path": path, "bundle": str(bundle.path),
            "root": str(tmp_path / "state"), "output": str(tmp_path / "output"),
        }  # fmt: skip
        blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        for block in blocks:
            names["client"] = client  # an example may have had another, closed by now
            exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert len(blocks) == 5
    assert capsys.readouterr().out.splitlines() == [
        *("running", r"0 b'hello\n'", "137", "6 web 137"),
        *("there is no container 'nothing'", "0", "137"),
    ]
    assert "further" in (tmp_path / "output").read_text()


def test_every_method_is_on_the_page() -> None:
    text = PAGE.read_text()
    public = [name for name in dir(orlop.Runtime) if not name.startswith("_")]
    assert [name for name in public if f"`{name}`" not in text and name != "wait"] == []


def test_every_command_of_orlopctl_is_on_its_page() -> None:
    text = (DOCS / "orlopctl.md").read_text()
    listed = re.findall(r"^\| (`.*`) \|", text, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(listed))) == sorted(cli.VERBS)
