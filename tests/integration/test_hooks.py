# SPDX-License-Identifier: Apache-2.0
"""Hooks: when they run, where, what they are told, and what their failure means."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.features import requires
from tests.support.refusal import REFUSED, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = requires("root")

BEFORE_CREATED = ("prestart", "createRuntime", "createContainer")
KINDS = (*BEFORE_CREATED, "startContainer", "poststart", "poststop")
#: Kinds whose path is the host's (config.md#posix-platform-hooks).
ON_HOST = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
#: Kinds that run in the namespaces of the runtime.
OF_RUNTIME = ("prestart", "createRuntime", "poststart", "poststop")


@pytest.fixture
def refuse(orlop: Cli, watch: Watch, bundle: Bundle) -> Refusal:
    """Run what must be refused, with the test's own bundle."""
    return Refusal(orlop, watch, bundle)


def hook(bundle: Bundle, kind: str, script: str, **members: Any) -> None:  # noqa: ANN401
    """Add a hook that runs a shell script on the host, in rootfs/work."""
    text = f"cd {bundle.rootfs}/work && {script}"
    hooks = bundle.spec.setdefault("hooks", {}).setdefault(kind, [])
    hooks.append({"path": "/bin/sh", "args": ["sh", "-c", text], **members})


def probe_hook(bundle: Bundle, kind: str, *argv: str) -> None:
    """Add a hook that runs the container's probe, in the container."""
    hooks = bundle.spec.setdefault("hooks", {}).setdefault(kind, [])
    hooks.append({"path": "/bin/probe", "args": ["probe", *argv]})


def keep_states(bundle: Bundle) -> None:
    """Let each kind of hook keep the state that it gets, in rootfs/work/KIND."""
    for kind in ON_HOST:
        hook(bundle, kind, f"exec cat > {kind}")
    probe_hook(bundle, "startContainer", "save", "/work/startContainer")


def state(bundle: Bundle, kind: str) -> dict[str, Any]:
    """What a hook kept of its state."""
    found: dict[str, Any] = json.loads((bundle.rootfs / "work" / kind).read_text())
    return found


class TestOrder:
    """runtime.md#lifecycle."""

    def test_each_kind_runs_at_its_time(self, container: Container) -> None:
        bundle = container.bundle
        for kind in ON_HOST:
            hook(bundle, kind, f"echo {kind} >> order")
        probe_hook(bundle, "startContainer", "save", "/work/order")

        def seen() -> list[str]:
            text = (bundle.rootfs / "work/order").read_text()
            return re.sub(r"\{.*\}", "startContainer\n", text).split()

        container.create()
        assert seen() == list(BEFORE_CREATED)
        container.start()
        container.wait()
        assert seen() == list(KINDS[:5])
        container.delete()
        assert seen() == list(KINDS)

    @pytest.mark.parametrize("kind", ON_HOST)
    def test_those_of_a_kind_run_in_their_order(self, container: Container, kind: str) -> None:
        for number in (1, 2, 3):
            hook(container.bundle, kind, f"echo {number} >> order")
        container.run()
        assert (container.bundle.rootfs / "work/order").read_text() == "1\n2\n3\n"

    def test_start_container_hooks_end_before_the_program_begins(
        self, container: Container
    ) -> None:
        probe_hook(container.bundle, "startContainer", "write", "/work/file", "by the hook")
        container.bundle.args("cat", "/work/file")
        assert container.run().stdout == "by the hook"


class TestState:
    """The state on a hook's standard input (runtime.md#state)."""

    def test_each_kind_has_its_status(self, container: Container) -> None:
        keep_states(container.bundle)
        container.run()
        statuses = {kind: state(container.bundle, kind)["status"] for kind in KINDS}
        assert statuses == {
            "prestart": "creating",
            "createRuntime": "creating",
            "createContainer": "creating",
            "startContainer": "created",
            "poststart": "running",
            "poststop": "stopped",
        }

    def test_it_names_the_container_and_its_bundle(self, container: Container) -> None:
        container.bundle.spec["annotations"] = {"key": "value"}
        keep_states(container.bundle)
        container.run()
        for kind in KINDS:
            found = state(container.bundle, kind)
            assert found["id"] == container.id
            assert found["bundle"] == str(container.bundle.path)
            assert found["annotations"] == {"key": "value"}

    def test_hooks_of_the_runtime_see_the_hosts_pid(self, container: Container) -> None:
        keep_states(container.bundle)
        container.bundle.args("sleep")
        container.run_detached()
        pids = {state(container.bundle, kind)["pid"] for kind in OF_RUNTIME[:3]}
        assert pids == {container.pid}

    def test_hooks_in_the_container_see_the_containers_pid(self, container: Container) -> None:
        keep_states(container.bundle)
        container.run()
        assert state(container.bundle, "createContainer")["pid"] == 1
        assert state(container.bundle, "startContainer")["pid"] == 1

    def test_a_hook_need_not_read_it(self, container: Container) -> None:
        container.bundle.spec["annotations"] = {"big": "x" * 300_000}  # more than a pipe holds
        for kind in ON_HOST:
            hook(container.bundle, kind, "exec true <&-")
        container.run()


class TestSurroundings:
    """Where a hook runs."""

    def test_hooks_of_the_runtime_are_in_its_namespaces(self, container: Container) -> None:
        kinds = ("ipc", "mnt", "net", "pid", "uts")
        for kind in OF_RUNTIME:
            hook(container.bundle, kind, f"ls -l /proc/self/ns > {kind}")
        container.run()
        for kind in OF_RUNTIME:
            text = (container.bundle.rootfs / "work" / kind).read_text()
            assert all(os.readlink(f"/proc/self/ns/{name}") in text for name in kinds)

    def test_create_container_hooks_are_in_the_containers(self, container: Container) -> None:
        hook(container.bundle, "createContainer", "ls -l /proc/self/ns > ns")
        container.run()
        text = (container.bundle.rootfs / "work/ns").read_text()
        for name in ("ipc", "mnt", "net", "pid", "uts"):
            assert os.readlink(f"/proc/self/ns/{name}") not in text

    def test_create_container_hooks_see_the_mounts_of_the_container(
        self, container: Container, tmp_path: Path
    ) -> None:
        (tmp_path / "source").mkdir()
        (tmp_path / "source/file").write_text("bound")
        container.bundle.spec["mounts"].append(
            {"destination": "/etc", "source": str(tmp_path / "source"), "options": ["bind"]}
        )
        hook(container.bundle, "createContainer", "cat ../etc/file > seen")
        container.run()
        assert (container.bundle.rootfs / "work/seen").read_text() == "bound"

    @pytest.mark.parametrize("kind", ON_HOST)
    def test_a_hook_has_its_own_environment_only(self, container: Container, kind: str) -> None:
        hook(container.bundle, kind, "exec env > env", env=["A=b=c", "D="])
        container.run(env={"PATH": "/usr/bin:/bin", "CALLER": "1"})
        lines = set((container.bundle.rootfs / "work/env").read_text().splitlines())
        assert {"A=b=c", "D="} <= lines
        names = {line.partition("=")[0] for line in lines - {"A=b=c", "D="}}
        assert names <= {"PWD", "OLDPWD", "SHLVL", "_"}  # which a shell adds

    def test_a_hook_has_no_descriptors_but_its_stdio(self, container: Container) -> None:
        for kind in ON_HOST:
            # The shell's own: that of ls's directory.
            hook(container.bundle, kind, f"exec ls /proc/self/fd > {kind}")
        container.run()
        for kind in ON_HOST:
            text = (container.bundle.rootfs / "work" / kind).read_text()
            assert text.split() == ["0", "1", "2", "3"], kind

    def test_without_args_the_path_is_the_only_one(
        self, container: Container, tmp_path: Path
    ) -> None:
        program = tmp_path / "hook"
        program.write_text(f'#!/bin/sh\necho "$0 $#" > {container.bundle.rootfs}/work/args\n')
        program.chmod(0o755)
        container.bundle.spec["hooks"] = {"createRuntime": [{"path": str(program)}]}
        container.run()
        assert (container.bundle.rootfs / "work/args").read_text() == f"{program} 0\n"

    def test_what_a_hook_prints_is_not_the_runtimes_output(self, container: Container) -> None:
        for kind in ON_HOST:
            hook(container.bundle, kind, "echo noise; echo noise >&2")
        result = container.run()
        assert (result.stdout, result.stderr) == ("", "")


class TestFailure:
    """A hook that fails, can't be run or takes too long."""

    @pytest.mark.parametrize("kind", BEFORE_CREATED)
    def test_create_fails_with_what_it_said(self, refuse: Refusal, kind: str) -> None:
        hook(refuse.bundle, kind, "true")
        hook(refuse.bundle, kind, "echo the reason >&2; exit 3")
        message = refuse.create()
        assert message.startswith(f"/hooks/{kind}/1: ")
        assert "/bin/sh" in message
        assert "the reason" in message

    @pytest.mark.parametrize("kind", BEFORE_CREATED)
    def test_its_exit_status_is_said(self, refuse: Refusal, kind: str) -> None:
        hook(refuse.bundle, kind, "exit 3")
        assert "exit status 3" in refuse.create()

    @pytest.mark.parametrize("kind", BEFORE_CREATED)
    def test_a_missing_one_is_said(self, refuse: Refusal, kind: str) -> None:
        refuse.bundle.spec["hooks"] = {kind: [{"path": "/no/such/hook"}]}
        message = refuse.create()
        assert message.startswith(f"/hooks/{kind}/0: ")
        assert "/no/such/hook" in message
        assert "no such file or directory" in message.lower()

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", BEFORE_CREATED)
    def test_one_that_takes_too_long_is_killed(self, refuse: Refusal, kind: str) -> None:
        hook(refuse.bundle, kind, f"exec sleep 1000 < {refuse.bundle.path}", timeout=1)
        message = refuse.create()
        assert message.startswith(f"/hooks/{kind}/0: ")
        assert "1 s" in message

    def test_later_hooks_do_not_run(self, refuse: Refusal) -> None:
        hook(refuse.bundle, "createRuntime", "false")
        hook(refuse.bundle, "createRuntime", "echo ran > later")
        hook(refuse.bundle, "createContainer", "echo ran > later")
        refuse.create()  # which also checks that no file has appeared

    def test_poststop_hooks_run_after_a_create_that_failed(
        self, container: Container, watch: Watch
    ) -> None:
        hook(container.bundle, "createRuntime", "false")
        hook(container.bundle, "poststop", "echo ran > poststop")
        assert container.run(check=False).returncode == 1
        assert (container.bundle.rootfs / "work/poststop").read_text() == "ran\n"
        assert watch.found() == []

    def test_start_fails_with_start_container_hooks(self, container: Container) -> None:
        probe_hook(container.bundle, "startContainer", "exit", "3")
        container.bundle.args("write", "/work/ran")
        container.create()
        result = container.start(check=False)
        assert result.returncode == 1
        assert "/hooks/startContainer/0: " in result.stderr
        container.wait()
        assert container.status == "stopped"
        assert not (container.bundle.rootfs / "work/ran").exists()

    def test_start_fails_with_poststart_hooks_and_ends_the_container(
        self, container: Container
    ) -> None:
        hook(container.bundle, "poststart", "exit 3")
        container.bundle.args("sleep")
        container.create()
        result = container.start(check=False)
        assert result.returncode == 1
        assert "/hooks/poststart/0: " in result.stderr
        assert container.status == "stopped"

    def test_run_leaves_nothing(self, refuse: Refusal) -> None:
        hook(refuse.bundle, "poststart", "exit 3")
        os.mkfifo(refuse.bundle.rootfs / "work/fifo")
        refuse.bundle.args("cat", "/work/fifo").write()  # waits for a writer, and says nothing
        message = refuse("run", "--detach", "--bundle", refuse.bundle.path, REFUSED)
        assert message.startswith("/hooks/poststart/0: ")

    def test_delete_goes_on_and_only_the_log_knows(
        self, container: Container, tmp_path: Path, watch: Watch
    ) -> None:
        hook(container.bundle, "poststop", "exit 3")
        hook(container.bundle, "poststop", "echo ran > later")
        container.bundle.write()
        container.cli("create", "--bundle", container.bundle.path, container.id)
        log = tmp_path / "log"
        result = container.cli("--log", log, "--log-format", "json", "delete", container.id)
        assert (result.stdout, result.stderr) == ("", "")
        entry = json.loads(log.read_text())
        assert entry["level"] == "warning"
        assert "/hooks/poststop/0: " in entry["msg"]
        assert (container.bundle.rootfs / "work/later").read_text() == "ran\n"
        assert watch.found() == []
