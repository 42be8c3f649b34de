# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of real containers, driven through the command line.

`orlop(*argv)` runs the runtime; `bundle` is a bundle to edit; `container` a container of it;
`make_bundle()` and `make_container(bundle)` make more; `rootless` is a container of an unprivileged
user. All is deleted afterwards, and whatever is left then fails the test (`watch`).
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.support import hierarchies, leaks
from tests.support.bundle import Bundle
from tests.support.cli import Cli, is_orlop
from tests.support.container import Container
from tests.support.features import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = itertools.count(1)


class RunProbe(Protocol):
    """The type of the fixture `run_probe`."""

    def __call__(self, *argv: str) -> str:
        """Run a container whose program is `probe argv...`; its standard output."""


@pytest.fixture
def cgroup(request: pytest.FixtureRequest) -> Iterator[str]:
    """The cgroup ("/orlop-test-...") below which all of this test is; the runtime makes it."""
    name = re.sub(r"\W+", "-", request.node.name)[:40].strip("-")
    path = f"/orlop-test-{os.getpid()}-{next(_numbers)}-{name}"
    yield path
    hierarchies.remove(path)


@pytest.fixture
def watch(tmp_path: Path, cgroup: str) -> Iterator[leaks.Watch]:
    """Fails a test that leaves something behind. Use `watch.found()` to look meanwhile."""
    watch = leaks.Watch(tmp_path, cgroup, parents=is_orlop())
    yield watch
    watch.check()


@pytest.fixture
def orlop(tmp_path: Path, watch: leaks.Watch) -> Cli:
    """The runtime under test, with a state directory of its own."""
    assert not watch.found()
    return Cli(tmp_path)


@pytest.fixture
def make_bundle(tmp_path: Path, cgroup: str) -> Callable[[], Bundle]:
    """Make a bundle, each with a cgroup of its own."""
    count = itertools.count(1)

    def make() -> Bundle:
        n = next(count)
        return Bundle(tmp_path / f"bundle-{n}", f"{cgroup}/{n}")

    return make


@pytest.fixture
def bundle(make_bundle: Callable[[], Bundle]) -> Bundle:
    """A bundle to edit."""
    return make_bundle()


@pytest.fixture
def make_container(
    orlop: Cli, request: pytest.FixtureRequest
) -> Iterator[Callable[[Bundle], Container]]:
    """Make a container of a bundle; deleted with --force after the test."""
    made: list[Container] = []
    name = re.sub(r"\W+", "-", request.node.name)[:60].strip("-")

    def make(bundle: Bundle) -> Container:
        made.append(Container(orlop, bundle, name))
        return made[-1]

    yield make
    for container in reversed(made):
        container.close()


@pytest.fixture
def container(make_container: Callable[[Bundle], Container], bundle: Bundle) -> Container:
    """A container of `bundle`, not created yet."""
    return make_container(bundle)


@pytest.fixture
def run_probe(make_container: Callable[[Bundle], Container], bundle: Bundle) -> RunProbe:
    """Run a container of `bundle` in the foreground: `run_probe("id", "--", "caps")`."""

    def run(*argv: str) -> str:
        return make_container(bundle.args(*argv)).run().stdout

    return run


@pytest.fixture
def rootless(cgroup: str, request: pytest.FixtureRequest) -> Iterator[Container]:
    """A container of an unprivileged user: of nobody, where root runs the tests.

    Needs `@requires("rootless")`. Its directory is not tmp_path, which only its owner can enter.
    """
    user = NOBODY if os.geteuid() == 0 else os.geteuid()
    directory = Path(tempfile.mkdtemp(prefix="orlop-rootless-"))
    os.chown(directory, user, user)
    watch = leaks.Watch(directory, cgroup, parents=is_orlop())
    cli = Cli(directory, None if user == os.geteuid() else user)
    name = re.sub(r"\W+", "-", request.node.name)[:60].strip("-")
    container = Container(cli, Bundle(directory / "bundle", cgroup, user), name)
    try:
        yield container
    finally:
        container.close()
        found = watch.found()
        shutil.rmtree(directory, ignore_errors=True)
    assert not found, "left behind:\n" + "\n".join(found)
