# SPDX-License-Identifier: Apache-2.0
"""The command line: `run` of a program that ends at once, and each verb of a life on its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import peers
from bench.launcher import Launcher
from bench.measure import Row, interleave
from tests.support import waiting
from tests.support.warm import Planner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.measure import Attempt
    from bench.workplace import Workplace
    from tests.support.bundle import Bundle

_VERBS = ("create", "start", "state", "exec", "kill", "delete")
LIFE = [Row(verb, verb) for verb in _VERBS] + [
    Row("life", "create + start + state + kill + delete")
]
RUN = [Row("run", "run true")]
RUN_DOCKER = [Row("run-docker", "run true, Docker's default configuration")]
SEQUENCE = [Row("sequence", "run true, each of 100 in sequence")]
PARALLEL = [Row("parallel", "run true, each of 100 at once")]
_MANY = 100


class Runtime:
    """A runtime as engines call it: a command line. env: what it finds in its environment."""

    def __init__(
        self, place: Workplace, name: str, program: str, launcher: Launcher, env: Mapping[str, str]
    ) -> None:
        self._place, self.name, self._launcher, self._env = place, name, launcher, env
        self._command = [
            program,
            "--root",
            str(place.directory / f"state-{name.replace(' ', '-')}"),
        ]

    def __call__(self, *argv: str) -> float:
        """Milliseconds of one call. Raises RuntimeError where it fails."""
        return self._launcher.time([*self._command, *argv], env=self._env)

    def text(self) -> str:
        """What the last call wrote."""
        return self._launcher.text()

    def clear(self) -> None:
        """Remove what a failed call left."""
        self("list", "--quiet")
        for name in self.text().split():
            self("delete", "--force", name)

    def run(self, bundle: Bundle) -> float:
        """`run` to the end of the program."""
        return self("run", "--bundle", str(bundle.path), f"b{self._place.number()}")

    def many(self, bundle: Bundle, count: int) -> float:
        """As many `run`s at once."""
        words = [*self._command, "run", "--bundle", str(bundle.path)]
        names = [f"b{self._place.number()}" for _ in range(count)]
        return self._launcher.time(*([*words, name] for name in names), env=self._env)

    def live(self, bundle: Bundle) -> dict[str, float]:
        """Every verb once, on one container."""
        name = f"b{self._place.number()}"
        pid_file = self._place.directory / f"{name}.pid"
        words = ("--bundle", str(bundle.path), "--pid-file", str(pid_file))
        took = {"create": self("create", *words, name)}
        took["start"] = self("start", name)
        took["state"] = self("state", name)
        took["exec"] = self("exec", name, "/bin/probe", "true")
        took["kill"] = self("kill", name, "KILL")
        waiting.ended(int(pid_file.read_text()))
        took["delete"] = self("delete", name)
        return took | {"life": sum(took.values()) - took["exec"]}


class Runtimes:
    """The contenders, as a context manager: launchers and a planner live as long as it does."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __enter__(self) -> dict[str, Runtime]:
        place = self._place
        self._launchers = [Launcher(place.directory)]
        self._planner = Planner()
        found = {
            "orlop": self._runtime("orlop", str(peers.ORLOP), {"ORLOP_PLANNER": ""}),
            "orlop warm": self._runtime(
                "orlop warm", str(peers.ORLOP), {"ORLOP_PLANNER": str(self._planner.socket)}
            ),
        }
        if runc := peers.find("runc"):
            found["runc"] = self._runtime("runc", runc, {})
        if crun := peers.find("crun"):
            self._launchers.append(Launcher(place.directory, peers.without_v2))
            found["crun"] = self._runtime("crun", crun, {})
        place.skip({"runc", "crun"} - found.keys(), "not installed")
        return found

    def _runtime(self, name: str, program: str, env: Mapping[str, str]) -> Runtime:
        return Runtime(self._place, name, program, self._launchers[-1], env)

    def __exit__(self, *exception: object) -> None:
        for launcher in self._launchers:
            launcher.close()
        self._planner.stop()


def measure(place: Workplace) -> None:
    """All rows of the command line, and of the floor beside them."""
    with Runtimes(place) as runtimes:
        _run(place, runtimes)
        bundle = place.bundle("life", "sleep")
        lives = {name: partial(each.live, bundle) for name, each in runtimes.items()}
        interleave(place.results, LIFE, lives, place.rounds)
        _many(place, runtimes)


def _run(place: Workplace, runtimes: Mapping[str, Runtime]) -> None:
    plain = place.bundle("run", "true")
    program, launcher = peers.floor(place.directory), Launcher(place.directory)
    command = [str(program), str(plain.rootfs), "/bin/probe", "true"]
    attempts: dict[str, Attempt] = {"floor": lambda: {"run": launcher.time(command)}}
    attempts |= _attempts(runtimes, "run", lambda runtime: runtime.run(plain))
    try:
        interleave(place.results, RUN, attempts, place.rounds)
    finally:
        launcher.close()
    docker = place.bundle("run-docker", "true", seccomp=True)
    attempts = _attempts(runtimes, "run-docker", lambda runtime: runtime.run(docker))
    interleave(place.results, RUN_DOCKER, attempts, place.rounds)


def _many(place: Workplace, runtimes: Mapping[str, Runtime]) -> None:
    bundle = place.bundle("many", "true")
    del bundle.linux["cgroupsPath"]  # each has its own
    bundle.write()
    rounds, count = max(1, place.rounds // 10), min(_MANY, place.most)
    sequence = _attempts(
        runtimes, "sequence", lambda runtime: sum(runtime.run(bundle) for _ in range(count)) / count
    )
    interleave(place.results, SEQUENCE, sequence, rounds)
    parallel = _attempts(runtimes, "parallel", lambda r: r.many(bundle, count) / count)
    interleave(place.results, PARALLEL, parallel, rounds)


def _attempts(
    runtimes: Mapping[str, Runtime], key: str, once: Callable[[Runtime], float]
) -> dict[str, Attempt]:
    """An attempt for each runtime at the row `key`."""

    def attempt(runtime: Runtime) -> dict[str, float]:
        return {key: once(runtime)}

    return {name: partial(attempt, runtime) for name, runtime in runtimes.items()}
