# SPDX-License-Identifier: Apache-2.0
"""What a program sees of itself is what Debian's runc and crun show of the same bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies, namespaces
from tests.support.cli import Cli, is_orlop
from tests.support.features import requires
from tests.support.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.skipif(not is_orlop(), reason="compares this runtime with others"),
    pytest.mark.v2,
]
PEERS = [pytest.param(name, marks=requires(name)) for name in ("runc", "crun")]

#: What the probe is asked, all in one run.
QUESTIONS = (
    "id", "umask", "caps", "signals", "rlimits", "oom_score_adj", "affinity", "env", "cwd",
    "hostname", "machine", "pid", "args one two", "netif",
    "ls /dev", "stat /dev/zero", "stat /dev/random", "readlink /dev/fd", "readlink /dev/ptmx",
    "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    "cat /proc/sys/kernel/shm_rmid_forced", "cat /proc/self/uid_map", "cat /proc/self/gid_map",
    "cat /proc/self/setgroups",
)  # fmt: skip
CAPABILITIES = ["CAP_KILL", "CAP_CHOWN", "CAP_NET_BIND_SERVICE"]
SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def as_it_is(bundle: Bundle) -> None:
    """The default configuration."""
    assert bundle.process["user"] == {"uid": 0, "gid": 0}


def as_a_user(bundle: Bundle) -> None:
    """A user with groups, a umask and ambient capabilities."""
    bundle.process.update(
        user={"uid": 1000, "gid": 1001, "umask": 0o027, "additionalGids": [5, 2000]},
        capabilities=dict.fromkeys(SETS, CAPABILITIES),
        noNewPrivileges=False,
        cwd="/work",
    )


def without_privilege(bundle: Bundle) -> None:
    """Root without a capability, and with no_new_privs."""
    bundle.process.update(capabilities={}, noNewPrivileges=True)


def limited(bundle: Bundle) -> None:
    """Resource limits, a score, system controls; of the root user."""
    limits = {"RLIMIT_NOFILE": (64, 128), "RLIMIT_CORE": (0, 0), "RLIMIT_NPROC": (50, 60)}
    limits |= {"RLIMIT_MSGQUEUE": (4096, 8192), "RLIMIT_STACK": (1 << 20, 1 << 21)}
    bundle.process["rlimits"] = [
        {"type": kind, "soft": soft, "hard": hard} for kind, (soft, hard) in limits.items()
    ]
    bundle.process.update(oomScoreAdj=321, env=["PATH=/bin", "A=1", "EMPTY=", "A=2"])
    bundle.linux["sysctl"] = {
        "net.ipv4.ip_unprivileged_port_start": "80",
        "kernel.shm_rmid_forced": "1",
    }


def filtered(bundle: Bundle) -> None:
    """Behind a filter."""
    rule = {"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


def on_another_machine(bundle: Bundle) -> None:
    """uname(2) tells of 32 bits."""
    bundle.linux["personality"] = {"domain": "LINUX32"}


SETTINGS = [as_it_is, as_a_user, without_privilege, limited, filtered, on_another_machine]


def answers(cli: Cli, bundle: Bundle, name: str) -> dict[str, str]:
    """What a program says to each question."""
    words: list[str] = []
    for question in QUESTIONS:
        words += ["--", "args", f"?{question}", "--", *question.split()]
    bundle.args(*words[1:]).write()
    # Not the host's /dev/null: crun 1.8 gives it to the user of a user namespace.
    result = cli("run", "--bundle", bundle.path, name, check=False, input="")
    assert f"?{QUESTIONS[-1]}" in result.stdout, result.stderr
    parts = result.stdout.split("?")[1:]
    found = dict(part.removesuffix("args\n").split("\n", 1) for part in parts)
    found["ls /dev"] = found["ls /dev"].removeprefix("core\n")  # crun's, without a /proc/kcore too
    return found


@pytest.fixture
def mapped(
    make_container: Callable[[Bundle], Container], cgroup: str, watch: Watch
) -> Iterator[namespaces.Mapped]:
    assert not watch.found()
    mapped = namespaces.Mapped(make_container, cgroup)
    yield mapped
    mapped.close()


def assert_same(tmp_path: Path, bundle: Bundle, peer: str) -> None:
    """Programs of both runtimes' containers have the same answers."""
    bundle.spec["ociVersion"] = "1.0.2"  # what crun 1.8 knows
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours = answers(Cli(tmp_path / "ours"), bundle, f"ours-{tmp_path.name}")
    # Ignored signals come from whoever started the tests, and runc and crun pass them on.
    assert "SigIgn 0000000000000000\n" in ours["signals"]
    theirs = answers(Peer(tmp_path / "theirs", peer), bundle, f"theirs-{tmp_path.name}")
    hierarchies.remove(bundle.cgroup.rpartition("/")[0])  # runc leaves what is above its own
    assert len(ours) == len(QUESTIONS)
    ignored = next(line for line in theirs["signals"].splitlines() if line.startswith("SigIgn"))
    theirs["signals"] = theirs["signals"].replace(ignored, "SigIgn 0000000000000000")
    assert ours == theirs


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_program_sees_the_same(
    tmp_path: Path, bundle: Bundle, watch: Watch, peer: str, setting: Callable[[Bundle], None]
) -> None:
    assert not watch.found()
    if setting is on_another_machine and peer == "runc":
        pytest.skip("runc 1.1 ignores the personality")
    setting(bundle)
    assert_same(tmp_path, bundle, peer)


@pytest.mark.parametrize("peer", PEERS)
def test_a_program_in_a_user_namespace_too(
    tmp_path: Path, mapped: namespaces.Mapped, peer: str
) -> None:
    bundle = mapped().bundle
    bundle.process["user"] = {"uid": 1006, "gid": 1, "additionalGids": [1000]}
    assert_same(tmp_path, bundle, peer)
