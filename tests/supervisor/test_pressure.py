# SPDX-License-Identifier: Apache-2.0
"""An orlopd with no space, descriptors or processes left: said, and nothing is lost."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from supervisor import failure
from tests.security.conftest import attacker
from tests.supervisor.conftest import Orlopd, Refused
from tests.support.pressure import descriptors, fill, limited, no_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.security.attacker import Attacker
    from tests.supervisor.conftest import Client
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

__all__ = ["attacker"]

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.v2]
_KILLED = 128 + signal.SIGKILL


@pytest.fixture
def small(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orlopd]:
    """An orlopd whose directory has 2 MiB."""
    assert not watch.found()
    place = tempfile.mkdtemp(prefix="orlopd-small-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "small", place], check=True)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", place)
        daemon = Orlopd()
    daemon.errors_allowed = True
    daemon.start()
    yield daemon
    daemon.close()
    # Detached: the kernel may let go of a socket's place a moment after its last process has ended.
    subprocess.run(["umount", "--lazy", place], check=True)
    os.rmdir(place)


def topics(client: Client, last: str) -> list[str]:
    """The topics of all events up to this one."""
    found: list[str] = []
    client.call("events.subscribe", since=0)
    while last not in found:
        while not client.events:
            client._take()
        found.append(client.events.pop(0)["topic"])
    return found


def sleeping(client: Client, bundle: Bundle) -> None:
    """Run a container `a` that sleeps."""
    bundle.args("sleep").write()
    client.call("container.run", id="a", bundle=str(bundle.path))


def test_what_is_new_is_refused_without_space_and_what_happens_is_recorded_later(
    small: Orlopd, bundle: Bundle, make_bundle: Callable[[], Bundle]
) -> None:
    client = small.client()
    sleeping(client, bundle)
    filler = fill(small.root)
    other = make_bundle()
    other.write()
    true = {"args": ["/bin/probe", "true"], "exec": "e"}
    for method, params in (
        ("container.create", {"id": "b", "bundle": str(other.path)}),
        ("container.exec", {"id": "a", **true}),
    ):
        with pytest.raises(Refused, match=r"records\.db: database or disk is full") as refused:
            client.call(method, **params)
        assert refused.value.code == failure.RUNTIME_FAILED
    client.call("container.pause", id="a")
    client.call("container.resume", id="a")
    client.call("container.kill", id="a", signal="KILL")
    assert client.call("container.wait", id="a")["exitStatus"] == _KILLED
    filler.unlink()
    small.says("records can be written again")
    assert topics(small.client(), "exit") == ["create", "start", "pause", "resume", "exit"]
    small.shims_end()
    client.call("container.run", id="b", bundle=str(other.path))
    client.call("container.start", id="a")
    client.call("container.exec", id="a", **true)


def test_an_exit_that_could_not_be_recorded_is_found_by_the_next_orlopd(
    small: Orlopd, bundle: Bundle
) -> None:
    client = small.client()
    sleeping(client, bundle)
    filler = fill(small.root)
    client.call("container.kill", id="a", signal="KILL")
    assert client.call("container.wait", id="a")["exitStatus"] == _KILLED
    small.end(signal.SIGKILL)
    filler.unlink()
    small.start()
    client = small.client()
    assert client.call("container.wait", id="a")["exitStatus"] == _KILLED
    assert topics(client, "exit") == ["create", "start", "exit"]


def test_too_few_descriptors_are_said(
    orlopd: Orlopd, client: Client, make_bundle: Callable[[], Bundle]
) -> None:
    """What could be begun ends as it should, once there are descriptors again."""
    orlopd.errors_allowed = True
    before = descriptors(orlopd.pid)
    refused, ran = [], 0
    for more in range(0, 12, 2):
        bundle = make_bundle()
        bundle.args("exit", "3").write()
        try:
            with limited(orlopd.pid, resource.RLIMIT_NOFILE, before[-1] + 1 + more):
                client.call("container.run", id="a", bundle=str(bundle.path))
        except Refused as error:
            refused.append(str(error).lower())
            continue
        assert client.call("container.wait", id="a")["exitStatus"] == 3
        client.call("container.delete", id="a")
        ran += 1
    assert refused
    assert all("too many open files" in text for text in refused), refused
    assert ran
    assert client.call("container.list") == []


def test_an_exit_is_recorded_although_no_process_can_be_started(
    orlopd: Orlopd, client: Client, bundle: Bundle, cgroup: str
) -> None:
    orlopd.errors_allowed = True
    sleeping(client, bundle)
    with no_processes(orlopd.pid, cgroup):
        client.call("container.kill", id="a", signal="KILL")
        assert client.call("container.wait", id="a")["exitStatus"] == _KILLED
        client.call("container.delete", id="a")
    assert client.call("container.list") == []


def test_signals_interrupt_nothing(
    orlopd: Orlopd, client: Client, bundle: Bundle, attacker: Callable[..., Attacker]
) -> None:
    bundle.args("exit", "3").write()
    sender = attacker("send", orlopd.pid)
    for _ in range(3):
        client.call("container.run", id="a", bundle=str(bundle.path))
        assert client.call("container.wait", id="a")["exitStatus"] == 3
        client.call("container.delete", id="a")
    assert sender.stop()["sent"] > 100
