# SPDX-License-Identifier: Apache-2.0
"""native/init/process.c: session, limits, stdio, executable."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native import syscalls
from native.memory_file import memory_file
from tests.native.header import VALUES
from tests.native.plans import RawOp, give, pack, shell
from tests.support import waiting
from tests.support.features import NOBODY, requires

if TYPE_CHECKING:
    from tests.native.harness import Init


def test_oom_score_is_set(init: Init) -> None:
    plan = [RawOp("OP_OOM_SCORE", numbers=[789]), *shell("cat /proc/self/oom_score_adj")]
    assert init(plan, clone_flags=0).output == "789\n"


@pytest.mark.parametrize("score", [1001, -1001, 2**63 - 1, -(2**63)])
def test_an_oom_score_out_of_range_is_the_kernels_to_refuse(init: Init, score: int) -> None:
    failure = init([RawOp("OP_OOM_SCORE", numbers=[score])], clone_flags=0).failure
    assert failure.step == "write"
    assert failure.error in (errno.EINVAL, errno.ERANGE)


@requires("root")
@pytest.mark.parametrize("dumpable", [True, False])
def test_non_dumpable_takes_proc_from_the_user(sanitized: Path, *, dumpable: bool) -> None:
    """Files of /proc/PID belong to root where the process is not dumpable (proc(5))."""
    sync = RawOp("OP_SYNC", numbers=[VALUES["SYNC_HOOKS"]])
    plan = memory_file("plan", pack([sync] if dumpable else [RawOp("OP_NON_DUMPABLE"), sync]))
    base = 310
    with tempfile.TemporaryDirectory(prefix="orlop-init-") as directory:
        program = Path(directory, "init")
        shutil.copy(sanitized, program)
        Path(directory).chmod(0o755)
        parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        give(parent, [plan])
        os.dup2(child.fileno(), base)
        process = subprocess.Popen(
            [program, str(base)], pass_fds=(base,), user=NOBODY, group=NOBODY
        )
        for fd in (child.detach(), plan, base):
            os.close(fd)
        try:
            waiting.readable(parent.fileno(), 20, "the sync")
            assert os.stat(f"/proc/{process.pid}/maps").st_uid == (NOBODY if dumpable else 0)
        finally:
            parent.close()
            process.wait(20)


def test_setsid_makes_a_session(init: Init) -> None:
    seen = []

    def look(pid: int, _fd: int) -> tuple[int, int]:
        seen.append(os.getsid(pid) == pid)
        return 0, -1

    plan = [RawOp("OP_SETSID"), RawOp("OP_SYNC", numbers=[VALUES["SYNC_HOOKS"]])]
    init(plan, clone_flags=0, answers={"SYNC_HOOKS": look})
    assert seen == [True]


def test_setsid_twice_is_refused(init: Init) -> None:
    failure = init([RawOp("OP_SETSID"), RawOp("OP_SETSID")], clone_flags=0).failure
    assert (failure.op, failure.step, failure.error) == (1, "setsid", errno.EPERM)


def test_keyring_is_a_new_one(init: Init) -> None:
    plan = [RawOp("OP_KEYRING", "_ses.of-this-test"), *shell("cat /proc/keys")]
    assert "_ses.of-this-test" in init(plan, clone_flags=0).output


def test_keyring_with_a_reserved_name_is_refused(init: Init) -> None:
    failure = init([RawOp("OP_KEYRING", ".system")], clone_flags=0).failure
    assert (failure.step, failure.error) == ("keyctl", errno.EPERM)
    assert failure.subject == ".system"


def test_rlimit_is_set(init: Init) -> None:
    plan = [RawOp("OP_RLIMIT", numbers=[7, 100, 200]), *shell("ulimit -Sn; ulimit -Hn")]
    assert init(plan, clone_flags=0).output == "100\n200\n"


@pytest.mark.parametrize("numbers", [[99, 1, 1], [resource.RLIMIT_NOFILE, 2, 1]])
def test_rlimit_that_is_none_is_refused(init: Init, numbers: list[int]) -> None:
    failure = init([RawOp("OP_RLIMIT", numbers=numbers)], clone_flags=0).failure
    assert (failure.step, failure.error) == ("prlimit64", errno.EINVAL)


def test_umask_is_set(init: Init) -> None:
    plan = [RawOp("OP_UMASK", numbers=[0o027]), *shell("umask")]
    assert init(plan, clone_flags=0).output == "0027\n"


@requires("root")
def test_stdio_gets_the_owner(init: Init, tmp_path: Path) -> None:
    file = tmp_path / "stdin"
    file.touch()
    fd = os.open(file, os.O_RDONLY)
    try:
        init([RawOp("OP_STDIO_OWNER", numbers=[1234])], clone_flags=0, stdin=fd)
    finally:
        os.close(fd)
    assert file.stat().st_uid == 1234


def test_stdio_that_is_a_character_device_keeps_its_owner(init: Init) -> None:
    before = os.stat("/dev/null").st_uid
    plan = [RawOp("OP_STDIO_OWNER", numbers=[1234]), *shell("stat -Lc %u /proc/self/fd/0")]
    assert init(plan, clone_flags=0).output == f"{before}\n"


def test_signals_are_reset(init: Init) -> None:
    """Python ignores SIGPIPE and SIGXFSZ, which survive an exec; the init ends that."""
    status = init(shell("cat /proc/self/status"), clone_flags=0).output
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (fields["SigIgn"], fields["SigBlk"]) == ("0" * 16, "0" * 16)


def test_no_descriptor_leaks_to_the_program(init: Init) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        output = init(shell("echo /proc/self/fd/*"), clone_flags=0, fds=(null, null)).output
    finally:
        os.close(null)
    names = {name.rpartition("/")[2] for name in output.split()}
    assert names <= {"0", "1", "2", "3"}  # 3: the shell reads the directory


def test_exec_passes_arguments_and_environment_as_they_are(init: Init) -> None:
    script = 'printf "%s|" "$0" "$1" "$A"'
    argv, env = ["a b", "-c", script, "", "ä\n"], ["A=b=c"]
    plan = [
        RawOp("OP_LOOKUP", "sh", ["/bin/sh"], numbers=[1]),
        RawOp("OP_EXEC", "sh", argv, env, numbers=[len(argv), len(env)]),
    ]
    outcome = init(plan, clone_flags=0)
    assert (outcome.status, outcome.output) == (0, "|ä\n|b=c|")


def test_exec_ends_the_channel_without_a_message(init: Init) -> None:
    outcome = init(shell("exit 7"), clone_flags=0)
    assert (outcome.status, outcome.messages) == (7, [])


def test_exec_without_a_lookup_is_refused(init: Init) -> None:
    failure = init([RawOp("OP_EXEC", "sh", ["sh"], [], numbers=[1, 0])], clone_flags=0).failure
    assert failure.error == errno.EPROTO


def test_exec_of_what_is_no_program_is_refused(init: Init, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("no program\n")
    file.chmod(0o755)
    plan = [
        RawOp("OP_LOOKUP", str(file), [str(file)], numbers=[1]),
        RawOp("OP_EXEC", str(file), ["x"], [], numbers=[1, 0]),
    ]
    failure = init(plan, clone_flags=0).failure
    assert (failure.op, failure.step, failure.error) == (1, "execve", errno.ENOEXEC)
    assert failure.subject == str(file)


def test_lookup_takes_the_first_that_can_be_executed(init: Init, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "plain").write_text("")
    (tmp_path / "plain").chmod(0o644)
    names = [*(str(tmp_path / n) for n in ("missing", "directory", "plain")), "/bin/sh"]
    plan = [
        RawOp("OP_LOOKUP", "x", names, numbers=[len(names)]),
        RawOp("OP_EXEC", "x", ["sh", "-c", "echo found"], [], numbers=[3, 0]),
    ]
    assert init(plan, clone_flags=0).output == "found\n"


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ([], errno.ENOENT),
        (["missing"], errno.ENOENT),
        (["plain/below"], errno.ENOTDIR),
        (["missing", "plain/below"], errno.ENOENT),
        (["directory"], errno.EISDIR),
        (["missing", "plain"], errno.EACCES),
        (["plain", "missing"], errno.EACCES),
    ],
)
def test_lookup_says_what_is_worst(
    init: Init, tmp_path: Path, names: list[str], error: int
) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "plain").write_text("")
    (tmp_path / "plain").chmod(0o644)
    paths = [str(tmp_path / name) for name in names]
    plan = [RawOp("OP_LOOKUP", "asked-for", paths, numbers=[len(paths)], pointer="/process/args/0")]
    failure = init(plan, clone_flags=0).failure
    assert failure.error == error
    assert (failure.pointer, failure.subject) == ("/process/args/0", "asked-for")


@requires("root")
@pytest.mark.parametrize(
    ("passwd", "uid", "home"),
    [
        ("root:x:0:0:root:/root:/bin/sh\nu:x:1000:5:U:/home/u:/bin/sh\n", 1000, "/home/u"),
        ("u:x:1000:5:U:/home/u", 1000, "/home/u"),  # no newline at the end, no shell
        ("a:x:7:7::/first:\nb:x:7:7::/second:\n", 7, "/first"),
        ("u:x:1000:5:U:/home/u:\n", 100, "/"),
        ("u:x:10000000000000000000001000:5:U:/wrong:\n", 1000, "/"),
        ("u:x:-1:5:U:/wrong:\nu:x::5:U:/wrong:\nu:x:0x0:5:U:/wrong:\n", 0, "/"),
        ("u:x:0:0\nU:/wrong:\n", 0, "/"),  # fields of two lines
        ("u:x:0:0::\n", 0, "/"),
        ("", 0, "/"),
        ("x" * 5000 + ":x:0:0::/long:\n", 0, "/long"),
        ("u:x:0:0:" + "y" * 5000 + ":/long:\n", 0, "/long"),
        (None, 0, "/"),
    ],
)
def test_home_is_what_the_images_passwd_says(
    init: Init, rootfs: Path, passwd: str | None, uid: int, home: str
) -> None:
    assert _home(init, rootfs, passwd, uid) == home


@requires("root")
def test_a_home_longer_than_a_path_is_cut(init: Init, rootfs: Path) -> None:
    home = _home(init, rootfs, f"u:x:0:0::/{'h' * 10000}:\n", 0)
    assert home.startswith("/hhh")
    assert len(home) < 4096


@requires("root")
def test_a_passwd_that_is_a_fifo_holds_nobody_up(init: Init, rootfs: Path) -> None:
    (rootfs / "etc").mkdir()
    os.mkfifo(rootfs / "etc" / "passwd")
    assert _home(init, rootfs, None, 0) == "/"


def _home(init: Init, rootfs: Path, passwd: str | None, uid: int) -> str:
    """HOME of a program in a rootfs with this /etc/passwd."""
    if passwd is not None:
        (rootfs / "etc").mkdir()
        (rootfs / "etc" / "passwd").write_text(passwd)
    binds = [
        RawOp("OP_BIND", path, path, flags=VALUES["FLAG_RECURSIVE"])
        for path in ("/usr", "/bin", "/lib", "/lib64")
        if Path(path).is_dir()
    ]
    plan = [
        RawOp("OP_PROPAGATION", "/", numbers=[syscalls.MS_SLAVE | syscalls.MS_REC]),
        RawOp("OP_ROOTFS", str(rootfs)),
        *binds,
        RawOp("OP_PIVOT"),
        RawOp("OP_HOME", numbers=[uid]),
        *shell('printf %s "$A$HOME"', "A="),
    ]
    return init(plan).output


def test_a_plan_without_an_end_fails(init: Init) -> None:
    assert init([RawOp("OP_UMASK")], clone_flags=0).status == 1
