# SPDX-License-Identifier: Apache-2.0
"""Command lines that Debian's runc refuses or takes: the same status, with a container and without.

Texts differ (docs/engines.md); those that callers look for have tests of their own.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support import hierarchies
from tests.support.container import Container
from tests.support.features import requires
from tests.support.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli

pytestmark = [requires("root", "runc")]

#: Of nobody, or of no container at all.
ALONE = """
nope
help nope
list x
list -z
list --quiet=maybe
--debug=maybe list
--log-format yaml list
--nope list
features x
spec x
state
state a b
state a/b
state nope
start nope
kill
kill a b c
kill nope
kill --all nope
kill nope KILL --all
kill -9 nope
delete
delete nope
delete --force nope
delete -force nope
delete --force=false nope
delete nope --force
delete nope -f
exec
exec --process
exec -e
exec nope
exec nope true
exec nope -- true
ps
ps nope -ef
events
events nope
events --stats nope
events --interval abc nope
pause nope
resume nope
update nope
update --pids-limit abc nope
update nope --pids-limit 5
checkpoint nope
restore
restore --lsm-mount-context
create
create a b
create a/b
create ..
create --pid-file
create --bundle /nope c
run --bundle /nope c
run --keep --no-subreaper
""".strip().splitlines()

#: To one that runs ("C"), in order.
RUNNING = """
state C
start C
create C
delete C
resume C
exec C
exec C /bin/probe true
exec C /bin/probe exit 3
exec C nope
exec C /
exec --cwd /nope C /bin/probe true
exec --cwd work C /bin/probe true
exec --user nobody C /bin/probe true
exec --user 5:6:7 C /bin/probe true
exec --user 5:6 -g 7 -g 8 C /bin/probe true
exec --cap CAP_NOPE C /bin/probe true
exec --cap CAP_NET_RAW C /bin/probe true
exec -e A=1 -e B= C /bin/probe true
exec --no-new-privs C /bin/probe true
exec --no-new-privs=false C /bin/probe true
exec --console-socket /nope C /bin/probe true
exec -t -d C /bin/probe true
exec -d -t --console-socket /nope C /bin/probe true
exec --process-label x C /bin/probe true
exec --cgroup ../.. C /bin/probe true
exec --cgroup nope:/ C /bin/probe true
exec --cgroup /nope C /bin/probe true
exec --ignore-paused C /bin/probe true
exec --process /nope C
kill C 0
kill C WINCH
kill C sigwinch
kill C 28
kill C FOO
kill C 65
kill C WINCH --all
ps C
ps -f json C
ps C -o comm
ps C aux
ps C --nope
events --stats C
update C
update --pids-limit 50 C
update C --pids-limit -1
update --memory 50M C
update --memory nope C
update --kernel-memory 50000000 C
update --cpuset-cpus x C
update --cpu-share 100 C
update --cpu-shares 100 C
update --blkio-weight 5 C
update -r /nope C
update -r - C
list
list -q
list -f json
pause C
pause C
exec C /bin/probe true
delete C
ps C
kill C WINCH
update --pids-limit 60 C
resume C
resume C
kill C KILL
""".strip().splitlines()

#: To one that has stopped.
STOPPED = """
state C
exec C /bin/probe true
start C
pause C
resume C
ps -f json C
kill C
kill --all C
checkpoint C
events --stats C
delete C
delete C
delete --force C
""".strip().splitlines()


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    directory = tmp_path / "peer"
    directory.mkdir()
    peer = Peer(directory)
    peer.root.mkdir()
    return peer


def status(cli: Cli, words: str, name: str = "C") -> int:
    argv = [name if word == "C" else word for word in shlex.split(words)]
    return cli(*argv, check=False, input="").returncode


@pytest.mark.parametrize("words", ALONE)
def test_without_a_container(orlop: Cli, peer: Peer, words: str) -> None:
    orlop.root.mkdir()
    assert status(orlop, words) == status(peer, words)


@pytest.fixture
def both(container: Container, bundle: Bundle, peer: Peer) -> Iterator[tuple[Container, Container]]:
    """One of ours that runs, and one of runc's of the same bundle, in another cgroup."""
    bundle.args("sleep")
    container.run_detached()
    path = bundle.linux["cgroupsPath"]
    bundle.linux["cgroupsPath"] = f"{path}-theirs"
    theirs = Container(peer, bundle)
    theirs.run_detached()
    bundle.linux["cgroupsPath"] = path
    bundle.write()
    yield container, theirs
    theirs.close()
    container.close()
    hierarchies.remove(bundle.cgroup.rpartition("/")[0])  # runc leaves what is above its own


def test_of_a_container_in_each_status(both: tuple[Container, Container]) -> None:
    ours, theirs = both
    differences = []
    for stage in (RUNNING, STOPPED):
        for words in stage:
            found = [status(each.cli, words, each.id) for each in both]
            if found[0] != found[1]:
                differences.append((words, *found))
        for each in both:
            if stage is RUNNING:
                each.wait()
    assert differences == []
    assert ours.cli("list", "-q").stdout == theirs.cli("list", "-q").stdout == ""
