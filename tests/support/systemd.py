# SPDX-License-Identifier: Apache-2.0
"""systemd's view of the units that tests make, by systemctl; and a runtime that uses its driver."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support.cli import ENVIRONMENT, Cli
from tests.support.waiting import limit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Running


def systemctl(*argv: str, user: int | None = None) -> str:
    """What `systemctl argv...` prints; with `user`, that user's systemd is asked."""
    command = ["systemctl", *(["--user"] if user is not None else []), *argv]
    env = ENVIRONMENT if user is None else user_environment(user)
    result = subprocess.run(
        command,
        user=user,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=limit(30),
    )
    return result.stdout


def show(unit: str, *names: str, user: int | None = None) -> dict[str, str]:
    """Properties of a unit."""
    lines = systemctl("show", unit, *(f"--property={name}" for name in names), user=user)
    return dict(line.split("=", 1) for line in lines.splitlines())


def is_known(unit: str, user: int | None = None) -> bool:
    """Whether the unit is loaded, in whatever state."""
    return show(unit, "LoadState", user=user)["LoadState"] != "not-found"


def user_environment(user: int) -> dict[str, str]:
    """The environment of a user's session, as far as the runtime looks at it."""
    return {**ENVIRONMENT, "XDG_RUNTIME_DIR": f"/run/user/{user}"}


class SystemdCli(Cli):
    """The runtime with `--systemd-cgroup` (unless `driver` is false) and global `flags`.

    With `user`, in the environment of that user's session.
    """

    def __init__(self, directory: Path, user: int | None = None) -> None:
        super().__init__(directory, user)
        self.driver = True
        self.flags: list[str] = []

    def command(self, *argv: str | Path) -> list[str]:
        """See Cli."""
        driver = ["--systemd-cgroup"] if self.driver else []
        return super().command(*self.flags, *driver, *argv)

    def spawn(self, *argv: str | Path, **keywords: object) -> Running:
        """See Cli."""
        if self.user is not None and keywords.get("env") is None:
            keywords["env"] = user_environment(self.user)
        return super().spawn(*argv, **keywords)  # type: ignore[arg-type]
