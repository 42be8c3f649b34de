# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore through CRIU: what runs goes on from its files, what fails is undone.

Debian 12's criu 3.17 does not start on kernels that are much newer; QEMU's guest has one it knows:
`QEMU=1 scripts/test-vm.sh -- tests/integration/test_checkpoint.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies
from tests.support.checkpointing import Trap, read, restored
from tests.support.cli import is_orlop
from tests.support.descriptor_socket import DescriptorSocket
from tests.support.features import requires
from tests.support.waiting import limit, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = [requires("root"), pytest.mark.v2]
works = requires("criu-works")
beyond_runc = pytest.mark.skipif(not is_orlop(), reason="runc says it otherwise")


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Where the images go."""
    return str(tmp_path / "images")


@pytest.fixture
def trap(container: Container) -> Iterator[Trap]:
    """One of `bundle`, running."""
    trap = Trap(container)
    yield trap
    os.close(trap.output)


@works
def test_a_restored_container_goes_on(trap: Trap, images: str, orlop: Cli, tmp_path: Path) -> None:
    orlop("checkpoint", "--image-path", images, trap.container.id)
    assert orlop("state", trap.container.id, check=False).returncode != 0
    pid_file = tmp_path / "pid"
    with restored(trap.container, images, "--pid-file", str(pid_file)) as output:
        assert trap.container.status == "running"
        assert pid_file.read_text() == str(trap.container.pid)
        assert trap.goes_on(output)


@works
def test_a_restored_container_has_all_verbs(trap: Trap, images: str, orlop: Cli) -> None:
    orlop("checkpoint", "--image-path", images, trap.container.id)
    with restored(trap.container, images):
        assert trap.container.exec("id").returncode == 0
        orlop("pause", trap.container.id)
        assert trap.container.status == "paused"
        orlop("resume", trap.container.id)
        trap.container.kill()
        trap.container.wait()
        assert trap.container.status == "stopped"
        trap.container.delete()


@works
def test_it_runs_on_with_leave_running(trap: Trap, images: str, orlop: Cli) -> None:
    pid = trap.container.pid
    orlop("checkpoint", "--leave-running", "--image-path", images, trap.container.id)
    assert (trap.container.status, trap.container.pid) == ("running", pid)
    assert trap.goes_on()


@works
def test_bind_mounts_come_back_from_their_sources(
    bundle: Bundle, container: Container, images: str, orlop: Cli, tmp_path: Path
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "sub").mkdir()
    (source / "file").write_text("from the host")
    bundle.spec["mounts"] += [
        {"destination": "/data", "source": str(source), "type": "bind", "options": ["rbind"]},
        {"destination": "/work/file", "source": str(source / "file"), "options": ["bind", "ro"]},
    ]
    trap = Trap(container)
    os.close(trap.output)
    orlop("checkpoint", "--image-path", images, container.id)
    with restored(container, images) as output:
        assert container.exec("cat", "/data/file").stdout == "from the host"
        assert container.exec("cat", "/work/file").stdout == "from the host"
        assert trap.goes_on(output)


@works
def test_hooks_of_the_runtime_run_at_a_restore(
    bundle: Bundle, container: Container, images: str, orlop: Cli, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {told}"]}
    bundle.spec["hooks"] = {"createRuntime": [hook]}
    trap = Trap(container)
    os.close(trap.output)
    orlop("checkpoint", "--image-path", images, container.id)
    told.unlink()
    with restored(container, images):
        state = json.loads(told.read_text())
        assert (state["id"], state["pid"]) == (container.id, container.pid)


@works
def test_after_a_failed_hook_nothing_of_a_restore_is_left(
    trap: Trap, images: str, orlop: Cli
) -> None:
    orlop("checkpoint", "--image-path", images, trap.container.id)
    trap.container.bundle.spec["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    trap.container.bundle.write()
    argv = (
        "restore",
        "-d",
        "--bundle",
        trap.container.bundle.path,
        "--image-path",
        images,
        trap.container.id,
    )
    result = orlop(*argv, check=False)
    assert result.returncode == 1
    assert "/hooks/createRuntime/0" in result.stderr
    assert orlop("list", "-q").stdout == ""


@works
def test_a_pre_dump_is_the_parent_of_a_checkpoint(trap: Trap, tmp_path: Path, orlop: Cli) -> None:
    first, images = tmp_path / "first", tmp_path / "images"
    result = orlop(
        "checkpoint", "--pre-dump", "--image-path", first, trap.container.id, check=False
    )
    if "memory tracking" in result.stderr:
        pytest.skip("the kernel has no CONFIG_MEM_SOFT_DIRTY")
    assert result.returncode == 0, result.stderr
    assert trap.container.status == "running"
    orlop("checkpoint", "--parent-path", "../first", "--image-path", images, trap.container.id)
    with restored(trap.container, str(images)) as output:
        assert trap.goes_on(output)


@works
def test_pages_come_through_a_page_server(trap: Trap, images: str, orlop: Cli) -> None:
    os.mkdir(images)
    status, written = os.pipe()
    port = str(free_port())
    server = subprocess.Popen(
        ["criu", "page-server", "--images-dir", images, "--address", "127.0.0.1", "--port", port,
         "--status-fd", str(written)],
        pass_fds=[written],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(written)
    try:
        readable(status, 20, "the page server")
        assert os.read(status, 1) == b"\0"
        address = f"127.0.0.1:{port}"
        orlop("checkpoint", "--page-server", address, "--image-path", images, trap.container.id)
        assert server.wait(timeout=limit(20)) == 0
    finally:
        server.kill()
        server.communicate()
        os.close(status)
    assert any(name.startswith("pages-") for name in os.listdir(images))
    with restored(trap.container, images) as output:
        assert trap.goes_on(output)


def free_port() -> int:
    """One that nobody listens at; criu takes no 0."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@works
def test_pages_are_fetched_when_they_are_touched(
    bundle: Bundle,
    trap: Trap,
    make_container: Callable[[Bundle], Container],
    images: str,
    orlop: Cli,
    tmp_path: Path,
) -> None:
    port, work = str(free_port()), tmp_path / "work"
    work.mkdir()
    status, written = os.pipe()
    source = orlop.spawn(
        "checkpoint", "--lazy-pages", "--page-server", f"127.0.0.1:{port}", "--status-fd",
        str(written), "--image-path", images, trap.container.id, pass_fds=[written],
    )  # fmt: skip
    os.close(written)
    readable(status, 60, "the pages' server")
    assert os.read(status, 1) == b"\0", source.stderr.read_text()
    os.close(status)
    fetcher = subprocess.Popen(
        ["criu", "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", port,
         "--images-dir", images, "--work-dir", str(work)],
    )  # fmt: skip
    try:
        bundle.linux["cgroupsPath"] = f"{bundle.cgroup}-again"  # the first is still there
        again = make_container(bundle)
        with restored(again, images, "--lazy-pages", "--work-path", str(work)) as output:
            again.kill("SIGUSR1")
            assert read(output) == "SIGUSR1\n"
        assert source.result(60).returncode == 0
        assert fetcher.wait(timeout=limit(60)) == 0
        again.delete("--force")  # the first made what is above both, and went first
        hierarchies.remove(bundle.cgroup.rpartition("/")[0])
    finally:
        fetcher.kill()
        fetcher.wait()


@works
def test_tcp_and_file_lock_flags_reach_criu(trap: Trap, images: str, orlop: Cli) -> None:
    flags = ["--tcp-established", "--file-locks", "--ext-unix-sk", "--shell-job"]
    orlop(
        "checkpoint", *flags, "--link-remap", "--empty-ns=network", "--image-path", images,
        trap.container.id,
    )  # fmt: skip
    with restored(trap.container, images, *flags, "--empty-ns=network") as output:
        assert trap.goes_on(output)


@works
def test_a_terminal_is_handed_over_again(
    bundle: Bundle, container: Container, images: str, orlop: Cli, tmp_path: Path
) -> None:
    bundle.process["terminal"] = True
    bundle.args("trap", "SIGUSR1")
    bundle.write()
    for verb, more in (("run", []), ("restore", ["--image-path", images])):
        with contextlib.closing(DescriptorSocket(tmp_path / f"{verb}.sock")) as console:
            orlop(
                verb, "--detach", "--bundle", bundle.path, *more,
                "--console-socket", console.path, container.id,
            )  # fmt: skip
            master = console.accept()
            if verb == "run":
                assert read(master) == "ready\r\n"
                orlop("checkpoint", "--image-path", images, container.id)
            else:
                container.kill("SIGUSR1")
                assert read(master) == "SIGUSR1\r\n"


@works
def test_the_foreground_has_the_status(trap: Trap, images: str, orlop: Cli) -> None:
    orlop("checkpoint", "--image-path", images, trap.container.id)
    reader, writer = os.pipe()
    argv = (
        "restore",
        "--bundle",
        trap.container.bundle.path,
        "--image-path",
        images,
        trap.container.id,
    )
    running = orlop.spawn(*argv, stdout=writer)
    os.close(writer)
    try:
        while " running " not in orlop("list").stdout:
            assert running.process.poll() is None, running.stderr.read_text()
        trap.container.kill("KILL")
        assert running.result().returncode == 137
    finally:
        os.close(reader)
    assert orlop("list", "-q").stdout == ""


@beyond_runc
@requires("criu")
def test_a_container_that_criu_refuses_runs_on(trap: Trap, images: str, orlop: Cli) -> None:
    options = ["--page-server", "127.0.0.1:1"]  # where nobody listens
    wanted = f"criu could not checkpoint container {trap.container.id}"
    result = orlop("checkpoint", *options, "--image-path", images, trap.container.id, check=False)
    assert result.returncode == 1
    assert wanted in result.stderr
    assert trap.container.status == "running"
    assert trap.goes_on()


@beyond_runc
@requires("criu")
@pytest.mark.parametrize("name", ["restore.log", "stats-restore", "descriptors.json"])
def test_nothing_is_written_through_a_link_among_the_images(
    container: Container, images: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / "host").write_text("mine")
    os.mkdir(images)
    os.symlink(tmp_path / "host", f"{images}/{name}")
    container.bundle.write()
    result = container.cli(
        *("restore", "--image-path", images, "--bundle", container.bundle.path, container.id),
        check=False,
    )
    assert result.returncode == 1
    assert f"{name}: a symbolic link, among images" in result.stderr
    assert (tmp_path / "host").read_text() == "mine"


@requires("criu")
def test_images_that_are_none_leave_nothing(
    bundle: Bundle, container: Container, images: str, orlop: Cli
) -> None:
    bundle.write()
    os.mkdir(images)
    with open(f"{images}/descriptors.json", "w") as file:
        file.write("[]")
    argv = ("restore", "-d", "--bundle", bundle.path, "--image-path", images, container.id)
    result = orlop(*argv, check=False)
    assert result.returncode == 1
    assert f"criu could not restore container {container.id}" in result.stderr
    assert orlop("list", "-q").stdout == ""


@beyond_runc
@pytest.mark.parametrize("verb", ["checkpoint", "restore"])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--manage-cgroups-mode", "some"], "invalid manage-cgroups-mode value"),
        (["--empty-ns", "pid"], "is not supported"),
    ],
)
def test_wrong_values_are_refused(orlop: Cli, verb: str, options: list[str], wanted: str) -> None:
    result = orlop(verb, *options, "nobody", check=False)
    assert result.returncode == 1
    assert wanted in result.stderr


def test_a_created_container_can_not_be_checkpointed(
    container: Container, images: str, orlop: Cli
) -> None:
    container.create()
    result = orlop("checkpoint", "--image-path", images, container.id, check=False)
    assert result.returncode == 1
    assert "cannot be checkpointed in created state" in result.stderr


def test_podmans_probes_are_answered(orlop: Cli) -> None:
    result = orlop("restore", "--lsm-mount-context", check=False)
    assert "flag needs an argument" in result.stderr + result.stdout
    assert orlop("checkpoint", "--help").returncode == 0
