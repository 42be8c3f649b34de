# SPDX-License-Identifier: Apache-2.0
"""What hooks written for other runtimes count on: order, state, environment, directory, clean-up.

What the standard leaves open is as in runc; the comparison runs both and looks at what a recording
hook has seen. tests/integration/test_hooks.py has the standard's own words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import hierarchies
from tests.support.bundle import Bundle
from tests.support.cli import Cli, is_orlop
from tests.support.container import Container
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.leaks import Watch

pytestmark = [requires("root"), pytest.mark.v2]

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
#: What busybox's shell exports where nothing is given.
BUSYBOX_PATH = "/sbin:/usr/sbin:/bin:/usr/bin"
CALLER = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CALLER": "1"}


class Runc(Cli):
    """Debian's runc in the runtime's place."""

    def command(self, *argv: str | Path) -> list[str]:
        """As Cli's."""
        return ["runc", "--root", str(self.root), *map(str, argv)]


def hook(bundle: Bundle, kind: str, script: str, **members: Any) -> None:  # noqa: ANN401
    """Add a hook that runs a shell script; the rootfs has a busybox for those inside."""
    shell = "/bin/sh"
    hooks = bundle.spec.setdefault("hooks", {}).setdefault(kind, [])
    hooks.append({"path": shell, "args": ["sh", "-c", script], **members})


def add_shell(bundle: Bundle) -> None:
    """Let startContainer hooks have a shell: the machine's busybox is static."""
    import shutil

    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, bundle.rootfs / "bin/sh")
    for name in ("cat", "env", "pwd"):
        (bundle.rootfs / "bin" / name).symlink_to("sh")


def record(bundle: Bundle) -> None:
    """Let a hook of each kind record what it sees, in rootfs/work."""
    add_shell(bundle)
    for kind in KINDS:
        work = "/work" if kind == "startContainer" else f"{bundle.rootfs}/work"
        lines = (
            f"cat > {work}/{kind}.state",
            f"env > {work}/{kind}.env",
            f"pwd > {work}/{kind}.cwd",
            f"echo {kind} >> {work}/order",
        )
        hook(bundle, kind, "; ".join(lines))


def environment(bundle: Bundle, kind: str) -> dict[str, str]:
    """The environment of a hook, without what a shell adds."""
    lines = (bundle.rootfs / "work" / f"{kind}.env").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    if found.get("PATH") == BUSYBOX_PATH:
        del found["PATH"]
    return {name: found[name] for name in found.keys() - {"PWD", "OLDPWD", "SHLVL", "_"}}


def seen(container: Container) -> dict[str, Any]:
    """What the hooks of a container have recorded, without what differs from run to run."""
    bundle = container.bundle
    work = bundle.rootfs / "work"
    found: dict[str, Any] = {"order": (work / "order").read_text().split()}
    pids = set()
    for kind in KINDS:
        state = json.loads((work / f"{kind}.state").read_text())
        assert state.pop("ociVersion")
        assert state.pop("id") == container.id
        assert state.pop("bundle") == str(bundle.path)
        pid = state.pop("pid", 0)
        if pid > 1:
            pids.add(pid)
        state["pid"] = "the host's" if pid > 1 else pid
        cwd = (work / f"{kind}.cwd").read_text().strip()
        found[kind] = state, cwd.replace(str(bundle.path), "BUNDLE"), environment(bundle, kind)
    assert len(pids) == 1
    return found


@requires("runc")
def test_hooks_see_what_they_see_with_runc(tmp_path: Path, cgroup: str, watch: Watch) -> None:
    assert not watch.found()
    results = []
    for kind, name in ((Runc, "runc"), (Cli, "orlop")):
        directory = tmp_path / name
        directory.mkdir()
        bundle = Bundle(directory / "bundle", f"{cgroup}/{name}")
        bundle.spec["annotations"] = {"key": "value"}
        record(bundle)
        container = Container(kind(directory), bundle, name)
        try:
            container.run(env=CALLER)
        finally:
            container.close()
            hierarchies.remove(cgroup)  # runc leaves the parent of its container's
        results.append(seen(container))
    theirs, ours = results
    assert ours.pop("order") == list(KINDS)
    # runc 1.1 runs poststart hooks before the program; fixed after 1.5 (its issue 4347).
    assert ours["poststart"][0].pop("status") == "running"
    assert theirs["poststart"][0].pop("status") == "created"
    assert set(theirs.pop("order")) == set(KINDS)
    # runc 1.1 gives createContainer hooks the process's environment, later versions none.
    assert ours["createContainer"][2] == {}
    theirs["createContainer"][2].clear()
    assert ours == theirs


class TestEnvironment:
    def test_an_empty_list_is_an_empty_environment(self, container: Container) -> None:
        record(container.bundle)
        for kind in KINDS:
            container.bundle.spec["hooks"][kind][0]["env"] = []
        container.run(env=CALLER)
        assert [kind for kind in KINDS if environment(container.bundle, kind)] == []

    def test_start_container_hooks_have_the_processs_with_its_home(
        self, container: Container
    ) -> None:
        bundle = container.bundle
        record(bundle)
        (bundle.rootfs / "etc/passwd").write_text("root:x:0:0:root:/my/home:/bin/sh\n")
        bundle.process["env"] = ["PATH=/bin", "A=1"]
        container.run(env=CALLER)
        assert environment(bundle, "startContainer") == {
            "PATH": "/bin",
            "A": "1",
            "HOME": "/my/home",
        }


class TestEnd:
    def test_poststop_hooks_come_after_the_container_is_deleted(self, container: Container) -> None:
        work = container.bundle.rootfs / "work"
        states = f"ls {container.cli.root} > {work}/states"
        hook(container.bundle, "poststop", states)
        container.run()
        assert (work / "states").read_text() == ""

    def test_poststop_hooks_of_a_failed_create_too_and_their_failure_is_a_warning(
        self, container: Container, tmp_path: Path
    ) -> None:
        bundle = container.bundle
        hook(bundle, "createRuntime", "exit 3")
        hook(bundle, "poststop", f"ls {container.cli.root} > {bundle.rootfs}/work/states")
        hook(bundle, "poststop", "exit 4")
        bundle.write()
        log = tmp_path / "log"
        options = ("--log", log, "--log-format", "json")
        result = container.cli(
            *options, "create", "--bundle", bundle.path, container.id, check=False
        )
        assert result.stderr.startswith("orlop: /hooks/createRuntime/0: ")
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        assert [entry["level"] for entry in entries] == ["warning", "error"]
        assert entries[0]["msg"].startswith("/hooks/poststop/1: ")
        assert (bundle.rootfs / "work/states").read_text() == ""

    def test_a_poststart_hook_that_takes_too_long_ends_the_container(
        self, container: Container
    ) -> None:
        fifo = container.bundle.rootfs / "work/fifo"
        hook(container.bundle, "poststart", f"mkfifo {fifo}; exec cat {fifo}", timeout=1)
        container.bundle.args("sleep")
        container.create()
        result = container.start(check=False)
        assert result.returncode == 1
        assert "/hooks/poststart/0: " in result.stderr
        assert "1 s" in result.stderr
        assert container.status == "stopped"

    @pytest.mark.skipif(not is_orlop(), reason="runc 1.1 runs it before the program")
    def test_poststart_hooks_find_the_program_running(self, container: Container) -> None:
        name = container.bundle.rootfs / "work/comm"
        pid = """sed 's/.*"pid":\\([0-9]*\\).*/\\1/'"""
        hook(container.bundle, "poststart", f"cat /proc/$({pid})/comm > {name}")
        container.bundle.args("sleep")
        container.run_detached()
        assert name.read_text() == "probe\n"
