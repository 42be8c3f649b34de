# SPDX-License-Identifier: Apache-2.0
"""Completion of orlopctl's command lines, asked of the shells themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlopctl import cli
from runtime.completion import zsh
from tests.client.command import PROGRAM
from tests.integration.test_completion import Bash, Fish, zsh_line
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    import orlop
    from tests.supervisor.conftest import Orlopd
    from tests.support.bundle import Bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]
ORLOPCTL = cli.program()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("bin", "rootfs"):
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home" / "bin" / "orlopctl").symlink_to(PROGRAM)
    return tmp_path / "home"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(Bash, marks=requires("bash"), id="bash"),
        pytest.param(Fish, marks=requires("fish"), id="fish"),
    ],
)
def test_commands_flags_and_containers(
    home: Path, client: orlop.Client, orlopd: Orlopd, bundle: Bundle, kind: type[Bash | Fish]
) -> None:
    bundle.args("sleep").write()
    client.create("web", bundle=str(bundle.path))
    complete, root = kind(home, ORLOPCTL), ("--root", str(orlopd.root))
    assert complete("") >= set(cli.VERBS)
    assert complete("--") == {f"--{flag.name}" for flag in ORLOPCTL.flags}
    assert complete("top", "--sort", "m") == {"memory"}
    assert complete(*root, "logs", "") == {"web"}
    assert complete(*root, "rm", "other", "another", "w") == {"web"}
    assert complete(*root, "logs", "other", "w") == set()
    assert complete("kill", "--sig") == {"--signal"}


@requires("zsh")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("orlopctl insp", "orlopctl inspect "),
        ("orlopctl --root ROOT rm ", "orlopctl --root ROOT rm web "),
        ("orlopctl --root ROOT rm other w", "orlopctl --root ROOT rm other web "),
        ("orlopctl top --sort pi", "orlopctl top --sort pids "),
    ],
)
def test_zsh(
    home: Path, client: orlop.Client, orlopd: Orlopd, bundle: Bundle, typed: str, completed: str
) -> None:
    bundle.args("sleep").write()
    client.create("web", bundle=str(bundle.path))
    (home / "_orlopctl").write_text(zsh.script(ORLOPCTL))
    root = str(orlopd.root)
    assert zsh_line(home, typed.replace("ROOT", root)) == completed.replace("ROOT", root)
