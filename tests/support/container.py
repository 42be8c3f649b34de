# SPDX-License-Identifier: Apache-2.0
"""One container of a test: the runtime's verbs as methods, and what its program wrote."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from typing import TYPE_CHECKING, Any

from tests.support import waiting

if TYPE_CHECKING:
    import subprocess

    from tests.support.bundle import Bundle
    from tests.support.cli import Cli

_numbers = itertools.count(1)


class Container:
    """A container id, unique on this machine while the tests run, and its bundle.

    Keyword arguments of the verbs are those of Cli: `check`, `env`, `input`, `seconds`, ....
    """

    def __init__(self, cli: Cli, bundle: Bundle, name: str = "c") -> None:
        self.cli, self.bundle = cli, bundle
        self.id = f"{name}-{os.getpid()}-{next(_numbers)}"
        self._reader: int | None = None
        self._text = b""

    def create(self, *options: str, **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """`create --bundle B options... ID`; the program's output can be read with `output`."""
        return self._detached("create", *options, **keywords)

    def run_detached(self, *options: str, **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """`run --detach --bundle B options... ID`."""
        return self._detached("run", "--detach", *options, **keywords)

    def run(self, *options: str, **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """`run --bundle B options... ID` in the foreground, to its end."""
        self.bundle.write()
        return self.cli("run", "--bundle", self.bundle.path, *options, self.id, **keywords)

    def start(self, **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """`start ID`."""
        return self.cli("start", self.id, **keywords)

    def exec(self, *argv: str, **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """`exec ID /bin/probe argv...`; for options call `cli` itself."""
        return self.cli("exec", self.id, "/bin/probe", *argv, **keywords)

    def kill(self, signal: str = "KILL", **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """`kill ID SIGNAL`."""
        return self.cli("kill", self.id, signal, **keywords)

    def delete(self, *options: str, **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """`delete options... ID`."""
        return self.cli("delete", *options, self.id, **keywords)

    def state(self) -> dict[str, Any]:
        """The OCI state."""
        state: dict[str, Any] = json.loads(self.cli("state", self.id).stdout)
        return state

    @property
    def status(self) -> str:
        """creating, created, running, paused or stopped."""
        return str(self.state()["status"])

    @property
    def pid(self) -> int:
        """The init's pid, as `state` has it."""
        return int(self.state()["pid"])

    def wait(self, seconds: float = 20) -> None:
        """Wait until the container's init has ended."""
        if pid := self.pid:
            waiting.ended(pid, seconds)

    def read_line(self, seconds: float = 20) -> str:
        """The next line of the program's output ("ready", for instance). Raises TimeoutError."""
        while b"\n" not in self._text:
            if not self._read_more(seconds):
                raise EOFError(f"{self.id}: output ended: {self._text!r}")
        line, _, self._text = self._text.partition(b"\n")
        return line.decode(errors="surrogateescape")

    def output(self, seconds: float = 20) -> str:
        """The program's output until all its processes have closed it. Raises TimeoutError."""
        end = time.monotonic() + waiting.limit(seconds)
        while self._read_more(seconds):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.id}: output goes on after {seconds} s")
        return self._text.decode(errors="surrogateescape")

    def close(self) -> None:
        """Remove whatever is left of the container; no error where nothing is."""
        self.cli("delete", "--force", self.id, check=False)
        if self._reader is not None:
            with contextlib.suppress(OSError):
                os.close(self._reader)
            self._reader = None

    def _detached(self, *argv: str, **keywords: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        self.bundle.write()
        self._reader, writer = os.pipe()
        try:
            return self.cli(*argv, "--bundle", self.bundle.path, self.id, stdout=writer, **keywords)
        finally:
            os.close(writer)

    def _read_more(self, seconds: float) -> bool:
        if self._reader is None:
            raise ValueError(f"{self.id}: was not created by this test")
        waiting.readable(self._reader, seconds, f"output of {self.id}")
        data = os.read(self._reader, 65536)
        self._text += data
        return bool(data)
