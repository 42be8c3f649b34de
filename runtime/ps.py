# SPDX-License-Identifier: Apache-2.0
"""The processes of a container: those of its cgroup, wherever below it they moved."""

from __future__ import annotations

from runtime.container import Container
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULT = ("-ef",)


def pids(root: str, container_id: str) -> list[int]:
    """Pids in the caller's pid namespace, sorted; none of a stopped container.

    Raises NotFound, OrlopError where the container has no cgroup to ask.
    """
    container = Container.open(root, container_id)
    try:
        cgroup = container.cgroup()
        if cgroup is not None and cgroup.mode != "none":
            return sorted(cgroup.pids())
        if container.status() == "stopped":
            return []
    finally:
        container.close()
    raise OrlopError("the container has no cgroup", hint="only that tells which processes it has")


def table(found: Sequence[int], options: Sequence[str] = ()) -> list[str]:
    """The lines that ps(1) prints of these processes, and its heading.

    options: of ps, `-ef` when there are none; they must leave the column PID in. ps is asked for
    all that the options select, because `-p` would add to them. Raises OrlopError.
    """
    heading, *lines = _run_ps([*options] or [*_DEFAULT])
    titles = heading.split()
    if "PID" not in titles:
        hint = "the column tells which processes are the container's"
        raise OrlopError("couldn't find PID field in ps output", hint=hint)
    column = titles.index("PID")
    wanted = frozenset(map(str, found))
    return [heading, *(line for line in lines if _field(line, column) in wanted)]


def _field(line: str, column: int) -> str:
    fields = line.split(maxsplit=column + 1)
    return fields[column] if len(fields) > column else ""


def _run_ps(options: list[str]) -> list[str]:
    import subprocess

    try:
        done = subprocess.run(
            ["ps", *options],  # noqa: S607 - as a shell would find it
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError as error:
        hint = "install procps, or use --format json"
        raise OrlopError("ps: executable file not found in $PATH", hint=hint) from error
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise OrlopError(f"ps {' '.join(options)}: exit status {done.returncode}: {said}")
    return done.stdout.splitlines() or [""]
