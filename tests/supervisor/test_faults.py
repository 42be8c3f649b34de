# SPDX-License-Identifier: Apache-2.0
"""orlopd, shims and inits are killed at random during many operations; then the books must balance.

`make faults` goes on for longer (FAULTS_SECONDS), and FAULTS_SEED repeats a run's choices.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.supervisor.books import balance
from tests.supervisor.conftest import Refused
from tests.support import leaks
from tests.support.waiting import limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.supervisor.conftest import Client, Orlopd
    from tests.support.bundle import Bundle
    from tests.support.leaks import Watch

SECONDS = float(os.environ.get("FAULTS_SECONDS", "30"))
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(SECONDS * 2 + 600)]

SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
BUNDLES = 6
#: What is done how often, of a hundred.
WEIGHTS = {
    "run": 30, "kill": 12, "delete": 12, "pause": 8, "exec": 8, "start": 6, "list": 10,
    "kill_init": 6, "kill_shim": 4, "kill_orlopd": 4,
}  # fmt: skip


class Chaos:
    """One client that does this and that, and somebody who kills."""

    def __init__(self, orlopd: Orlopd, bundles: list[Bundle]) -> None:
        self.orlopd, self.bundles = orlopd, bundles
        self.chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
        self.client = orlopd.client()
        self.done: Counter[str] = Counter()
        self.names = 0

    def step(self) -> None:
        """One operation; whatever is not possible now is refused, which is fine."""
        (what,) = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        with contextlib.suppress(Refused):
            getattr(self, f"_{what}")()
            self.done[what] += 1

    def _call(self, method: str, **params: object) -> Any:  # noqa: ANN401
        """A call; one in ten is not waited for."""
        if self.chance.random() < 0.1:
            self.client.begin(method, **params)
            return None
        return self.client.call(method, **params)

    def _some(self) -> str:
        found = self.client.call("container.list")
        return str(self.chance.choice(found)["id"]) if found else "nobody"

    def _run(self) -> None:
        self.names += 1
        policy = self.chance.choice(["no", "no", "on-failure", "always"])
        bundle = self.chance.choice(self.bundles)
        self._call("container.run", id=f"c{self.names}", bundle=str(bundle.path),
                   restart={"policy": policy})  # fmt: skip

    def _kill(self) -> None:
        self._call("container.kill", id=self._some(), signal=self.chance.choice(["KILL", "TERM"]))

    def _delete(self) -> None:
        self._call("container.delete", id=self._some(), force=self.chance.random() < 0.7)

    def _pause(self) -> None:
        name = self._some()
        self._call("container.pause", id=name)
        self._call("container.resume", id=name)

    def _exec(self) -> None:
        self._call("container.exec", id=self._some(), args=["/bin/probe", "true"])

    def _start(self) -> None:
        self._call("container.start", id=self._some())

    def _list(self) -> None:
        self._call("container.list", status=self.chance.choice(["running", "stopped"]))

    def _kill_init(self) -> None:
        name = self._some()

        def inits() -> list[int]:
            return [self.client.call("container.state", id=name).get("pid", 0)]

        _end(inits()[0], inits)

    def _kill_shim(self) -> None:
        _end(self.chance.choice([*self.orlopd.shims(), 0]), self.orlopd.shims)

    def _kill_orlopd(self) -> None:
        self.client.begin("container.delete", id=self._some(), force=True)
        self.client.close()
        self.client = self.orlopd.restart()


def _end(pid: int, known: Callable[[], list[int]]) -> None:
    """Kill a process, if it is yet one of those when nobody else can have its pid any more."""
    if not pid:
        return
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            if pid in known():
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


def test_the_books_balance_whatever_is_killed(
    orlopd: Orlopd,
    make_bundle: Callable[[], Bundle],
    watch: Watch,
    record_property: Callable[[str, object], None],
) -> None:
    print(f"FAULTS_SEED={SEED}")  # noqa: T201 - shown where it fails
    orlopd.errors_allowed = True  # shims die, and it says so
    config = orlopd.root / "orlopd.toml"
    config.write_text("[restart]\ndelay = 0.01\nlongest = 1\n[events]\nkept = 1000000\n")
    orlopd.flags = (f"--config={config}",)
    orlopd.restart()
    bundles = [make_bundle() for _ in range(BUNDLES)]
    for number, bundle in enumerate(bundles):
        bundle.args(*(("sleep",) if number % 3 else ("exit", str(number)))).write()
    chaos, end = Chaos(orlopd, bundles), time.monotonic() + limit(SECONDS)
    while time.monotonic() < end:
        chaos.step()
    record_property("done", dict(chaos.done))
    print(dict(chaos.done))  # noqa: T201
    client = settle(orlopd)
    balance(client)
    assert orlopd.shims() == []
    assert [line for line in watch.found() if not line.startswith("descriptor ")] == []
    assert leaks.state(orlopd.root / "state" / "orlopd") == []
    assert list((orlopd.root / "logs").iterdir()) == list((orlopd.root / "s").iterdir()) == []


def settle(orlopd: Orlopd) -> Client:
    """Remove what is left, whatever it takes; a fresh orlopd has finished what was half done."""
    client = orlopd.restart()
    while found := client.call("container.list"):
        for state in found:
            with contextlib.suppress(Refused):
                client.call("container.delete", id=state["id"], force=True)
    orlopd.shims_end()
    return client
