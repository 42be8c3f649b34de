# SPDX-License-Identifier: Apache-2.0
"""What tests of checkpoint and restore share: a program that says that it goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from tests.support.cli import ENVIRONMENT
from tests.support.waiting import limit, readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.container import Container


def launch(container: Container, *argv: str | Path) -> int:
    """Run a verb with pipes as output, as engines do; criu dumps no file of the host. The end."""
    container.bundle.write()
    log = container.cli.directory / f"{argv[0]}.log"
    reader, writer = os.pipe()
    result = subprocess.run(
        container.cli.command(
            "--log", log, *argv, "--detach", "--bundle", container.bundle.path, container.id
        ),
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
        env=ENVIRONMENT,
        timeout=limit(30),
        check=False,
    )
    os.close(writer)
    if result.returncode != 0:
        os.close(reader)
        raise AssertionError(log.read_text())
    return reader


def read(fd: int) -> str:
    """What comes next."""
    readable(fd, 20, "the restored program")
    return os.read(fd, 4096).decode()


class Trap:
    """A running container that waits for SIGUSR1 and says so."""

    def __init__(self, container: Container) -> None:
        self.container = container
        container.bundle.args("trap", "SIGUSR1")
        self.output = launch(container, "run")
        assert read(self.output) == "ready\n"

    def goes_on(self, output: int | None = None) -> bool:
        """Whether it answers the signal."""
        self.container.kill("SIGUSR1")
        return read(self.output if output is None else output) == "SIGUSR1\n"


@contextlib.contextmanager
def restored(container: Container, images: str, *options: str) -> Iterator[int]:
    """`restore --detach` with a new pipe as its output: the end to read from."""
    reader = launch(container, "restore", "--image-path", images, *options)
    try:
        yield reader
    finally:
        os.close(reader)
