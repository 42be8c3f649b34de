# SPDX-License-Identifier: Apache-2.0
"""SIGKILL before every single thing that the shim, or a worker, does in a container's life.

Whatever was done by then, `delete` leaves nothing, and an exit that anybody was told of is the one
that it prints.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
from typing import TYPE_CHECKING, TypeVar

import pytest

from shim import ttrpc
from shim.messages import DELETED, RUNC_OPTIONS
from shim.ttrpc import RpcError
from tests.shim.conftest import NAMESPACE, OPTIONS, PROGRAM
from tests.support.cli import ENVIRONMENT
from tests.support.features import requires
from tests.support.killer import KILLED
from tests.support.ttrpc import Client
from tests.support.waiting import ended

if TYPE_CHECKING:
    from pathlib import Path

    from tests.shim.conftest import Shim
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch
    from tests.support.ttrpc import Pending

pytestmark = [requires("root"), pytest.mark.slow]
_STATUS, _NEVER_RAN = 3, 255
SLEEP = json.dumps({"args": ["/bin/probe", "sleep"], "cwd": "/",
                    "user": {"uid": 0, "gid": 0}}).encode()  # fmt: skip
#: Fewer would mean that the calls are not seen any more.
LEAST = {"shim": 20, "worker": 30}
LEAST_OF_EXEC = {"shim": 10, "worker": 10}


class Life:
    """A container's life, as far as it comes. told: somebody was told of the exit."""

    def __init__(self, shim: Shim, address: str) -> None:
        self.shim, self.told = shim, False
        with contextlib.suppress(OSError), contextlib.closing(Client(address)) as client:
            self._go(client)

    def _go(self, client: Client) -> None:
        options = {"type_url": OPTIONS, "value": RUNC_OPTIONS.encode({"root": str(self.shim.root)})}
        name, bundle = self.shim.id, str(self.shim.bundle.path)
        with contextlib.suppress(RpcError):
            client.call("Create", id=name, bundle=bundle, options=options)
            waiting = client.begin("Wait", id=name)
            with contextlib.suppress(RpcError):
                client.call("Start", id=name)
                self._wait(waiting)
            self._delete(client)
        client.call("Shutdown", id=name)

    def _wait(self, waiting: Pending) -> None:
        assert waiting.result()["exit_status"] == _STATUS
        self.told = True

    def _delete(self, client: Client) -> None:
        """Again, where a worker was killed; the second time nothing is in the way."""
        try:
            client.call("Delete", id=self.shim.id)
        except RpcError as error:
            if error.code == ttrpc.FAILED_PRECONDITION:  # its Start failed, though the program runs
                client.call("Kill", id=self.shim.id, signal=9)
                client.call("Wait", id=self.shim.id)
            client.call("Delete", id=self.shim.id)


class ExecLife:
    """A container's, with an exec process that goes on until it is killed; then the shim is.

    What a killed worker had started ends; for the master it never ran.
    """

    def __init__(self, shim: Shim, address: str) -> None:
        self.shim = shim
        with contextlib.suppress(OSError), contextlib.closing(Client(address)) as client:
            self._go(client)

    def _go(self, client: Client) -> None:
        name, bundle = self.shim.id, str(self.shim.bundle.path)
        options = {"type_url": OPTIONS, "value": RUNC_OPTIONS.encode({"root": str(self.shim.root)})}
        init = client.call("Create", id=name, bundle=bundle, options=options)["pid"]
        client.call("Start", id=name)
        client.call("Exec", id=name, exec_id="e", spec={"type_url": "process", "value": SLEEP})
        try:
            client.call("Start", id=name, exec_id="e")
        except RpcError:
            assert client.call("Wait", id=name, exec_id="e")["exit_status"] == _NEVER_RAN
        else:
            client.call("Kill", id=name, exec_id="e", signal=9)
            assert client.call("Wait", id=name, exec_id="e")["exit_status"] == 128 + 9
        for process in client.call("Pids", id=name)["processes"]:
            if process["pid"] != init:
                ended(process["pid"])
        client.call("Delete", id=name, exec_id="e")
        assert client.call("State", id=name)["pid"] == init
        os.kill(client.call("Connect", id=name)["shim_pid"], 9)


T = TypeVar("T", Life, ExecLife)


def is_killed(
    shim: Shim, victim: str, point: int, directory: Path, live: type[T], **env: str
) -> T | None:
    """What became of a life whose `victim` is killed before effect `point`; None: it has fewer."""
    marker, path = directory / "marker", f"{shim.socket_directory}/shim"
    marker.unlink(missing_ok=True)
    words: list[str] = [*KILLED, str(point), victim, str(marker), f"{PROGRAM}-cold"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        pid = os.posix_spawn(
            words[0],
            [*words, "-namespace", NAMESPACE, "-socket", path],
            {**ENVIRONMENT, "TTRPC_ADDRESS": "", **env},
            file_actions=[(os.POSIX_SPAWN_DUP2, listener.fileno(), 3)],
        )
    try:
        life = live(shim, path)
        ended(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
        os.waitpid(pid, 0)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # of a shim that was killed
    return life if marker.exists() else None


@pytest.mark.parametrize("victim", ["shim", "worker"])
def test_nothing_is_left_and_no_exit_is_lost(
    shim: Shim, bundle: Bundle, watch: Watch, tmp_path: Path, victim: str
) -> None:
    bundle.args("exit", str(_STATUS)).write()
    os.mkdir(shim.socket_directory)
    for point in itertools.count(1):
        life = is_killed(shim, victim, point, tmp_path, Life)
        if life is None:
            break
        kept = (bundle.path / "exits" / "init.json").exists()
        deleted = not (bundle.path / "shim.json").exists()
        assert kept or deleted or not life.told, f"killed before effect {point}"
        status = DELETED.decode(shim.run("delete").stdout)["exit_status"]
        assert status == (_STATUS if kept else 128 + 9), f"killed before effect {point}"
        left = [line for line in watch.settled() if not line.startswith("descriptor")]
        assert left == [], f"killed before effect {point}"
        assert not (bundle.path / "shim.json").exists()
    assert point > LEAST[victim]


@pytest.mark.parametrize("victim", ["shim", "worker"])
def test_an_exec_process_does_not_outlive_its_start(
    shim: Shim, bundle: Bundle, watch: Watch, tmp_path: Path, victim: str
) -> None:
    """Or, where the shim is gone, the `delete` of its container."""
    bundle.args("sleep").write()
    os.mkdir(shim.socket_directory)
    for point in itertools.count(1):
        life = is_killed(shim, victim, point, tmp_path, ExecLife, KILLED_FROM="_start_exec")
        status = DELETED.decode(shim.run("delete").stdout)["exit_status"]
        assert status == 128 + 9, f"killed before effect {point}"
        left = [line for line in watch.settled() if not line.startswith("descriptor")]
        assert left == [], f"killed before effect {point}"
        if life is None:
            break
    assert point > LEAST_OF_EXEC[victim]
