# SPDX-License-Identifier: Apache-2.0
"""A process that swaps names of a shared volume while containers start there, and exec in them.

tests/integration/test_mount_races.py races each operation of a create; here are the sources that
the runtime takes from /dev, and exec.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shim import rootfs
from spec.errors import OrlopError
from tests.security.attacker import program as attacks
from tests.support import probe
from tests.support.cli import ENVIRONMENT, is_orlop
from tests.support.features import requires
from tests.support.mounting import add, drop_dev
from tests.support.running import started
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.security.attacker import Attacker
    from tests.support.bundle import Bundle
    from tests.support.cli import Cli
    from tests.support.container import Container

pytestmark = [
    requires("root"),
    pytest.mark.slow,
    pytest.mark.skipif(not is_orlop(), reason="for this runtime"),
]
SECONDS = 4
STOP = 4  # milliseconds
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file of the host that a container must never read, write or have in place of another."""
    file = tmp_path / "canary"
    file.write_text("the host's\n")
    return file


def rounds(least: int = 3) -> Iterator[int]:
    """Numbers from 0 on for some time, at least a few."""
    end = time.monotonic() + limit(SECONDS)
    numbers = itertools.count()
    return itertools.takewhile(lambda n: n < least or time.monotonic() < end, numbers)


def test_a_swapped_null_device_masks_nothing_with_the_hosts_files(
    make_container: Callable[[Bundle], Container],
    make_bundle: Callable[[], Bundle],
    attacker: Callable[..., Attacker],
    canary: Path,
    tmp_path: Path,
) -> None:
    """CVE-2025-31133: the runtime masks with its own null device, not with the container's."""
    devices = tmp_path / "devices"
    devices.mkdir()
    os.mknod(devices / "null", 0o20666, os.makedev(1, 3))
    (devices / "link").symlink_to("/outside")
    swapper = attacker("swap", devices / "null", devices / "link")
    ends = set()
    for _ in rounds():
        bundle = make_bundle().args("stat", "/etc/secret", "--", "save", "/etc/secret")
        drop_dev(bundle)
        add(bundle, "/dev", "bind", devices, "bind")
        add(bundle, "/outside", "bind", canary, "bind")
        (bundle.rootfs / "etc" / "secret").write_text("secret")
        bundle.linux["maskedPaths"] = ["/etc/secret"]
        result = make_container(bundle).run(check=False, input="overwritten")
        ends.add(result.returncode)
        assert "the host's" not in result.stdout
        if result.returncode == 0:
            assert " 1:3 " in result.stdout
    assert 0 in ends
    assert canary.read_text() == "the host's\n"
    assert swapper.stop()["swaps"] > 1000


def test_a_swapped_terminal_becomes_no_console(
    make_container: Callable[[Bundle], Container],
    make_bundle: Callable[[], Bundle],
    attacker: Callable[..., Attacker],
    canary: Path,
    tmp_path: Path,
) -> None:
    """CVE-2025-52565: the console's place, and the directory of terminals, are swapped for links.

    The terminal itself is opened from its master (TIOCGPTPEER), by no path.
    """
    devices = tmp_path / "devices"
    (devices / "pts").mkdir(parents=True)
    (devices / "console").touch()
    for name in ("pts", "console"):
        (devices / f"{name}.link").symlink_to(f"/outside/{name}")
    outside = tmp_path / "outside"
    (outside / "pts").mkdir(parents=True)
    canary.rename(outside / "console")
    os.mknod(devices / "ptmx", 0o20666, os.makedev(5, 2))
    swappers = [attacker("swap", devices / n, devices / f"{n}.link") for n in ("pts", "console")]
    ends = set()
    for _ in rounds():
        bundle = make_bundle().args("tty", "--", "mounts")
        drop_dev(bundle)
        add(bundle, "/dev", "bind", devices, "bind")
        add(bundle, "/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666")
        add(bundle, "/outside", "bind", outside, "bind")
        bundle.process["terminal"] = True
        container = make_container(bundle)
        bundle.write()
        status, shown = at_a_terminal(container)
        ends.add(status)
        if status == 0:
            assert "controlling yes" in shown
    assert 0 in ends
    assert (outside / "console").read_text() == "the host's\n"
    assert os.listdir(outside / "pts") == []
    assert str(outside) not in Path("/proc/self/mountinfo").read_text()
    assert all(swapper.stop()["swaps"] > 1000 for swapper in swappers)


def at_a_terminal(container: Container) -> tuple[int, str]:
    """`run` in the foreground with a terminal of its own: the status, and what it showed."""
    master, slave = os.openpty()
    argv = ("run", "--bundle", container.bundle.path, container.id)
    process = subprocess.Popen(
        container.cli.command(*argv), stdin=slave, stdout=slave, stderr=slave, env=ENVIRONMENT
    )
    os.close(slave)
    text = b""
    with contextlib.suppress(OSError):  # EIO: the last slave is closed
        while data := os.read(master, 65536):
            text += data
    os.close(master)
    return process.wait(limit(30)), text.decode(errors="replace")


def test_a_swapped_working_directory_of_exec_stays_inside(
    container: Container, attacker: Callable[..., Attacker], canary: Path, tmp_path: Path
) -> None:
    """CVE-2024-21626, raced: a directory, and a link to what may be a descriptor of the host's."""
    volume = tmp_path / "volume"
    (volume / "place").mkdir(parents=True)
    (volume / "link").symlink_to("/proc/self/fd/5")
    add(container.bundle, "/work", "bind", volume, "bind")
    started(container)
    swapper = attacker("swap", volume / "place", volume / "link")
    ends = set()
    for _ in rounds():
        words = ("--cwd", "/work/place", container.id, "/bin/probe", "cwd")
        result = container.cli("exec", *words, check=False)
        ends.add((result.returncode, result.stdout))
    assert (0, "/work/place\n") in ends
    assert {out for _, out in ends} <= {"", "/work/place\n", "/work/link\n"}
    assert canary.read_text() == "the host's\n"
    assert swapper.stop()["swaps"] > 1000


def test_a_swapped_passwd_of_exec_is_read_inside(
    container: Container, attacker: Callable[..., Attacker]
) -> None:
    """HOME comes from the image: a link in its place leads to the image's file, or nowhere."""
    etc = container.bundle.rootfs / "etc"
    (etc / "passwd").write_text("root:x:0:0::/inside:\n")
    (etc / "link").symlink_to("../../../../../../etc/passwd")
    started(container)
    swapper = attacker("swap", etc / "passwd", etc / "link")
    homes = {container.exec("env", "HOME", check=False).stdout for _ in rounds()}
    assert homes <= {"/inside\n", "/\n"}
    assert "/inside\n" in homes
    assert swapper.stop()["swaps"] > 1000


def test_a_swapped_proc_takes_no_sysctl(
    make_container: Callable[[Bundle], Container],
    make_bundle: Callable[[], Bundle],
    attacker: Callable[..., Attacker],
    tmp_path: Path,
) -> None:
    """CVE-2025-52881: written through the host's /proc before the container's is there."""
    volume = tmp_path / "volume"
    (volume / "sys" / "net" / "ipv4").mkdir(parents=True)
    (volume / "sys" / "net" / "ipv4" / "ip_forward").write_text("false\n")
    (volume / "link").symlink_to("/proc/1")
    swapper = attacker("swap", volume / "sys", volume / "link")
    for _ in rounds():
        bundle = make_bundle().args("cat", "/mnt/sys/net/ipv4/ip_forward")
        mounts = bundle.spec["mounts"]
        bundle.spec["mounts"] = [m for m in mounts if m["destination"] != "/proc"]
        add(bundle, "/proc", "bind", volume, "bind")
        add(bundle, "/mnt", "proc", "proc")
        bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
        del bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"]
        result = make_container(bundle).run(check=False)
        assert (result.returncode == 0) == (result.stdout == "1\n"), result
    assert swapper.stop()["swaps"] > 1000
    kept = [f.read_text() for f in volume.rglob("ip_forward")]
    assert kept == ["false\n"]


def test_a_host_directory_is_reached_through_no_descriptor(
    container: Container, orlop: Cli, make_container: Callable[[Bundle], Container]
) -> None:
    """CVE-2024-21626: whatever number a descriptor of the runtime's may have.

    That of the container's own root is no harm.
    """
    started(container)
    program = ("/bin/probe", "cwd")
    for fd in range(3, 21):
        argv = ("--cwd", f"/proc/self/fd/{fd}", container.id, *program)
        result = orlop("exec", *argv, check=False)
        assert (result.returncode, result.stdout) in ((255, ""), (0, "/\n")), fd
    for fd in (3, 5, 6, 7, 8, 9, 12, 16):
        container.bundle.process.update(cwd=f"/proc/self/fd/{fd}", args=program)
        result = make_container(container.bundle).run(check=False)
        assert (result.returncode, result.stdout) in ((1, ""), (0, "/\n")), fd


def programs_of_the_host() -> dict[str, str]:
    """Digests of all files that a running runtime maps: interpreter, libraries, modules."""
    script = "import runtime.commands.run, native.syscalls; print(open('/proc/self/maps').read())"
    maps = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = {Path(line.split(None, 5)[5]) for line in maps.splitlines() if "/" in line}
    files |= {ROOT / "native" / "orlop-init", Path(sys.executable).with_name("orlop")}
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


@pytest.fixture
def looked_at(container: Container) -> Iterator[Callable[[], list[str]]]:
    """A container whose root reaches into all that it sees; call it for what was reached, once."""
    shutil.copy(attacks(), container.bundle.rootfs / "bin" / "attack")
    container.bundle.process["args"] = ["/bin/attack", "look"]
    hold, stdin = os.pipe()
    said, stdout = os.pipe()
    container.bundle.write()
    argv = ("run", "--detach", "--bundle", container.bundle.path, container.id)
    assert container.cli.spawn(*argv, stdin=hold, stdout=stdout).result().returncode == 0
    os.close(hold)
    os.close(stdout)
    with open(said) as lines:
        assert lines.readline() == "ready\n"

        def end() -> list[str]:
            # A program of the container's can be reached: the attack would see it of an init too.
            container.cli("exec", "--detach", container.id, "/bin/probe", "sleep")
            found = list(iter(lines.readline, "reached exe of probe: /bin/probe\n"))
            os.close(stdin)
            return [line for line in found + lines.readlines() if " of probe: " not in line]

        yield end


def judge(found: list[str], least: int) -> None:
    """Nothing was reached, though inits were looked at so often."""
    counts = dict(line.split() for line in found if not line.startswith("reached"))
    assert [line for line in found if line.startswith("reached")] == []
    assert int(counts["inits"]) > least


@pytest.mark.parametrize("how", ["exec", "create"])
def test_nothing_of_the_runtime_can_be_reached_while_it_works(
    container: Container,
    make_container: Callable[[Bundle], Container],
    make_bundle: Callable[[], Bundle],
    looked_at: Callable[[], list[str]],
    how: str,
) -> None:
    """CVE-2016-9962, CVE-2019-5736: root of a pod, beside each init that comes into it."""
    before = programs_of_the_host()
    for _ in rounds():
        if how == "exec":
            container.cli("exec", container.id, "/bin/attack", "true")
        else:
            make_container(of_the_pod(make_bundle(), container.pid)).run()
    judge(looked_at(), 3)
    assert programs_of_the_host() == before


@pytest.mark.parametrize("how", ["exec", "create"])
def test_nothing_can_be_reached_at_any_system_call_of_the_init(
    container: Container,
    make_container: Callable[[Bundle], Container],
    make_bundle: Callable[[], Bundle],
    looked_at: Callable[[], list[str]],
    how: str,
) -> None:
    """The same, with the init stopped before each call for longer than a look at all takes."""
    program = probe.build(Path(__file__).with_name("step.c"))
    if how == "exec":
        command = container.cli.command("exec", container.id, "/bin/attack", "true")
    else:
        other = make_container(of_the_pod(make_bundle(), container.pid))
        other.bundle.write()
        command = other.cli.command("run", "--bundle", other.bundle.path, other.id)
    result = subprocess.run(
        [program, str(STOP), *command],
        capture_output=True,
        text=True,
        check=False,
        env={**ENVIRONMENT, "ORLOP_PLANNER": ""},  # the init is to be below the command
        timeout=limit(120),
    )
    assert result.returncode == 0, result.stderr
    stops = int(result.stderr.split("stops ")[1])
    assert stops > 30
    judge(looked_at(), 10 * stops)


def of_the_pod(bundle: Bundle, pid: int) -> Bundle:
    """Let the bundle's container join a process's pid namespace."""
    shutil.copy(attacks(), bundle.rootfs / "bin" / "attack")
    bundle.process["args"] = ["/bin/attack", "true"]
    bundle.drop_namespace("pid")
    bundle.linux["namespaces"].append({"type": "pid", "path": f"/proc/{pid}/ns/pid"})
    return bundle


def test_a_swapped_directory_leads_no_mount_of_create_outside(
    attacker: Callable[..., Attacker], tmp_path: Path
) -> None:
    """What a master has mounted at a `target` in the rootfs, which containers write to already."""
    lower, outside, place = (tmp_path / name for name in ("lower", "outside", "rootfs"))
    for directory in (lower / "volume" / "in", outside / "in", place):
        directory.mkdir(parents=True)
    (lower / "link").symlink_to(outside)
    mounts = [
        {"type": "bind", "source": str(lower), "target": "", "options": ["rbind"]},
        {"type": "bind", "source": "/proc/self", "target": "/volume/in", "options": ["ro"]},
        {"type": "tmpfs", "source": "none", "target": "/volume/in", "options": ["nosuid"]},
    ]
    swapper = attacker("swap", lower / "volume", lower / "link")
    ends = set()
    for _ in rounds():
        try:
            rootfs.mount(mounts, str(place))
            ends.add("mounted")
            rootfs.unmount(str(place))
        except OrlopError as error:
            ends.add(str(error).rpartition(": ")[2])
        assert str(outside) not in Path("/proc/self/mountinfo").read_text()
    assert ends >= {"mounted", "leads out of the bundle"}
    assert swapper.stop()["swaps"] > 1000
