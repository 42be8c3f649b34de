# SPDX-License-Identifier: Apache-2.0
"""Many verbs on one container at once: each answers what was true, and nothing is left."""

from __future__ import annotations

import collections
import json
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import is_orlop
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.cli import Cli, Running
    from tests.support.container import Container
    from tests.support.leaks import Watch

pytestmark = [
    requires("root"),
    pytest.mark.slow,
    pytest.mark.skipif(not is_orlop(), reason="runc's verbs race"),
]

GONE = "container does not exist"
ENDED = "container not running"
#: verb -> what it may say instead of doing it, whatever the others did before.
ANSWERS = {
    "state": {GONE},
    "start": {
        GONE,
        "cannot start an already running container",
        "cannot start a container in the paused state",
        "cannot start a container that has stopped",
    },
    "kill": {GONE, ENDED},
    "pause": {GONE, ENDED, "container paused"},
    "resume": {GONE, ENDED, "container not paused"},
    "delete": {GONE, "that is not stopped: running", "that is not stopped: paused"},
    "exec": {
        GONE,
        "cannot exec in a stopped container",
        "cannot exec in a paused container",
        "container not running",
    },
}
AT_ONCE, ROUNDS = 12, 12


def command(verb: str, container_id: str, dice: random.Random) -> list[str]:
    words = [verb, container_id]
    if verb == "kill":
        words.append(dice.choice(["0", "CONT", "TERM", "KILL"]))
    elif verb == "exec":
        words += ["/bin/probe", "true"]
    return words


def is_right(verb: str, running: Running, text: str) -> bool:
    """Whether it succeeded without a word, or said in one line what was the case."""
    result = running.result()
    if result.returncode == 0:
        return not result.stderr
    if verb == "exec" and result.returncode in (128 + 9, 128 + 15):  # it ran, and was ended
        return not result.stderr
    if result.returncode not in (1, 255) or result.stderr.count("\n") != 1:
        return False
    return any(answer in text for answer in ANSWERS[verb])


@pytest.mark.parametrize("seed", range(3))
def test_each_verb_answers_what_was_true(container: Container, watch: Watch, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    container.bundle.args("sleep").write()
    wrong: collections.Counter[str] = collections.Counter()
    for _ in range(ROUNDS):
        container.cli("create", "--bundle", container.bundle.path, container.id)
        verbs = ["start", *dice.choices(sorted(ANSWERS), k=AT_ONCE - 1)]
        started = [(v, container.cli.spawn(*command(v, container.id, dice))) for v in verbs]
        for verb, running in started:
            if verb not in ("exec", "start"):  # which wait where it was paused meanwhile
                running.result()
        container.delete("--force")
        for verb, running in started:
            result = running.result()
            if not is_right(verb, running, result.stderr):
                wrong[f"{verb}: {result.returncode} {result.stderr}"] += 1
        assert watch.settled() == []
    assert not wrong


def test_state_is_the_truth_while_others_work(container: Container, orlop: Cli) -> None:
    """Who looks after a verb has ended sees nothing of the time before it."""
    order = ["created", "running", "stopped", ""]
    container.bundle.args("sleep").write()
    for _ in range(5):
        container.cli("create", "--bundle", container.bundle.path, container.id)
        lookers = [orlop.spawn("state", container.id) for _ in range(2)]
        container.start()
        lookers += [orlop.spawn("state", container.id) for _ in range(2)]
        container.delete("--force")
        lookers += [orlop.spawn("state", container.id) for _ in range(2)]
        seen = [result.stdout for result in (looker.result() for looker in lookers)]
        states = [json.loads(text)["status"] if text else "" for text in seen]
        assert set(states[:2]) <= set(order)
        assert "created" not in states[2:]
        assert states[4:] == ["", ""]
