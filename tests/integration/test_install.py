# SPDX-License-Identifier: Apache-2.0
"""`make install` and `make uninstall`: a program that needs nothing of its caller, then nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orlopctl import cli as orlopctl
from runtime import cli, documents
from supervisor import documents as orlopd
from tests.support.features import requires
from tests.support.waiting import limit

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [requires("cc"), pytest.mark.slow]


def script(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/NAME.sh as make does."""
    return subprocess.run(
        [ROOT / "scripts" / f"{name}.sh"],
        env={**os.environ, "DESTDIR": "", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(300),
    )


def cold(program: Path) -> Path:
    """The program beside `orlop` that starts the interpreter."""
    return program.resolve().with_name("orlop-cold")


def installed(prefix: Path) -> list[str]:
    """The installations' names."""
    base = prefix / "lib" / "orlop"
    return sorted(entry.name for entry in base.iterdir() if entry.is_dir())


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One installation, for the tests that only look at it."""
    prefix = tmp_path_factory.mktemp("installed") / "prefix"
    result = script("install", PREFIX=str(prefix))
    assert result.returncode == 0, result.stderr
    return prefix


def test_it_runs_with_an_empty_environment_from_anywhere(prefix: Path, tmp_path: Path) -> None:
    # Python would import these from the working directory, were it in the path.
    for name in ("spec", "native", "runtime", "os"):
        (tmp_path / f"{name}.py").write_text(
            "raise SystemExit('imported from the working directory')"
        )
    result = subprocess.run(
        [prefix / "bin" / "orlop", "--version"],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(30),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("orlop version 0.")


def test_the_shim_is_beside_it(prefix: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [prefix / "bin" / "containerd-shim-orlop-v1", "-v"],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(30),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Version:  0." in result.stdout


def test_orlopd_is_beside_it(prefix: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [prefix / "bin" / "orlopd", "--version"],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(30),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("orlopd 0.")
    client = subprocess.run(
        [prefix / "bin" / "orlopctl", "--root", str(tmp_path), "ps"],
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit(30),
    )
    assert (client.returncode, "no orlopd listens here" in client.stderr) == (1, True)


def test_the_source_tree_is_not_used(prefix: Path) -> None:
    launcher = cold(prefix / "bin" / "orlop").read_text()
    assert str(ROOT) not in launcher
    assert launcher.startswith("#!/")
    assert launcher.splitlines()[0].endswith(" -IS")


def test_what_was_built_is_there_and_what_builds_is_not(prefix: Path) -> None:
    packages = prefix / "lib" / "orlop" / installed(prefix)[0] / "packages"
    files = {str(f.relative_to(packages)) for f in packages.rglob("*")}
    assert {"native/orlop-init", "spec/_config_check.py", "spec/schemas/config.json"} <= files
    assert os.access(packages / "native" / "orlop-init", os.X_OK)
    assert any(f.startswith("spec/__pycache__/") for f in files)
    assert not files & {"native/build.py", "spec/compile_schema.py", "pytest", "tests"}


def test_an_upgrade_leaves_the_running_version_alone_and_uninstall_nothing(tmp_path: Path) -> None:
    prefix = tmp_path / "deep" / "prefix"
    assert script("install", PREFIX=str(prefix)).returncode == 0
    link = prefix / "bin" / "orlop"
    first = link.resolve()
    # Living as a shim lives: a module of this installation is mapped.
    program = (
        f"import sys; sys.path.insert(0, {str(first.parents[1] / 'packages')!r}); "
        "import native._syscalls; print(flush=True); sys.stdin.read()"
    )
    living = subprocess.Popen(
        [
            *(cold(first).read_text().splitlines()[0][2:].split()),
            "-c",
            program,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert living.stdout is not None
        assert living.stdout.readline() == b"\n"
        for _ in range(3):
            assert script("install", PREFIX=str(prefix)).returncode == 0
        assert first.exists()
        assert link.resolve() != first
        assert len(installed(prefix)) == 3  # the living one, the one before the newest, the newest
    finally:
        living.communicate(timeout=limit(10))
    assert script("install", PREFIX=str(prefix)).returncode == 0
    assert not first.exists() or link.resolve() == first
    assert len(installed(prefix)) == 2
    (prefix / "bin" / "other").touch()
    assert script("uninstall", PREFIX=str(prefix)).returncode == 0
    assert [str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()] == [
        "deep/prefix/bin/other"
    ]


def test_a_staged_installation_names_its_final_place(tmp_path: Path) -> None:
    variables = {"PREFIX": "/opt/orlop-test", "DESTDIR": str(tmp_path / "stage")}
    assert script("install", **variables).returncode == 0
    (installation,) = (tmp_path / "stage/opt/orlop-test/lib/orlop").glob("*/bin/orlop-cold")
    launcher = installation.read_text()
    assert "'/opt/orlop-test/lib/orlop/" in launcher
    assert str(tmp_path) not in launcher
    assert script("uninstall", **variables).returncode == 0
    assert list((tmp_path / "stage").iterdir()) == []


def test_man_pages_and_completion_are_where_they_are_looked_for(prefix: Path) -> None:
    share = {str(f.relative_to(prefix)) for f in (prefix / "share").rglob("*") if f.is_file()}
    assert share == {
        *documents.documents(cli.program()),
        *documents.documents(orlopctl.program()),
        *(path for path in orlopd.documents(str(prefix)) if path.startswith("share/")),
    }
    assert {"share/man/man1/orlop.1", "share/man/man1/orlop-create.1"} < share
    assert {path.stat().st_mode & 0o777 for path in map(prefix.joinpath, share)} == {0o644}


def test_the_units_start_what_was_installed(prefix: Path) -> None:
    units = prefix / "lib/systemd/system"
    assert {unit.name for unit in units.iterdir()} == {
        "orlop-planner.service",
        "orlop-planner.socket",
        "orlop-shim-planner.service",
        "orlop-shim-planner.socket",
        "orlopd.service",
        "orlopd.socket",
    }
    assert f"ExecStart={prefix}/bin/orlopd\n" in (units / "orlopd.service").read_text()
    assert (prefix / "bin" / "orlopd").exists()
    sample = prefix / "share/doc/orlop/orlopd.toml"
    checked = subprocess.run(
        [prefix / "bin" / "orlopd", "--check", "--config", sample], check=False, timeout=limit(30)
    )
    assert checked.returncode == 0


def test_a_page_of_a_command_that_is_gone_goes_with_the_next_version(tmp_path: Path) -> None:
    assert script("install", PREFIX=str(tmp_path)).returncode == 0
    known = tmp_path / "lib/orlop/.documents"
    page = tmp_path / "share/man/man1/orlop-bygone.1"
    page.touch()
    lines = [*known.read_text().splitlines(), "share/man/man1/orlop-bygone.1"]
    known.write_text("".join(f"{line}\n" for line in sorted(lines)))
    (tmp_path / "share/man/man1/other.1").touch()
    assert script("install", PREFIX=str(tmp_path)).returncode == 0
    assert not page.exists()
    assert (tmp_path / "share/man/man1/other.1").exists()


def test_a_page_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    page = tmp_path / "share/man/man1/orlop.1"
    page.parent.mkdir(parents=True)
    page.write_text("mine")
    result = script("install", PREFIX=str(tmp_path))
    assert result.returncode == 1
    assert "orlop.1: exists, and is not ours" in result.stderr
    assert page.read_text() == "mine"
    assert not (tmp_path / "bin" / "orlop").exists()


def test_a_program_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "orlop").write_text("mine")
    result = script("install", PREFIX=str(tmp_path))
    assert result.returncode == 1
    assert "not ours" in result.stderr
    assert (tmp_path / "bin" / "orlop").read_text() == "mine"
