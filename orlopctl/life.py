# SPDX-License-Identifier: Apache-2.0
"""Commands that change a container. Quiet when it is done."""

from __future__ import annotations

import os

from orlopctl import creation, output, sizes
from orlopctl.verb import Call, Verb
from runtime import options
from runtime.errors import UsageError
from runtime.options import Flag
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.options import Options


def each(call: Call, ids: Sequence[str], work: Callable[[str], object]) -> int:
    """Do it to each; one that fails is told of, and the rest is done all the same."""
    if len(ids) == 1:
        call.answer(work(ids[0]))
        return 0
    status = 0
    for container in ids:
        try:
            call.answer(work(container))
        except ConnectionError:
            raise
        except OrlopError as error:
            output.complain(f"orlopctl: {output.cell(container)}: {error}")
            status = 1
    return status


def start(call: Call, _given: Options, ids: Sequence[str]) -> int:
    """Start the program of a created container, or of one that has stopped: it begins again."""
    return each(call, ids, call.client.start)


def stop(call: Call, given: Options, ids: Sequence[str]) -> int:
    """Ask a container to end (SIGTERM), and end it (SIGKILL) if it doesn't in time."""
    grace = sizes.seconds(given.text("time"), "time") if given.given("time") else None
    return each(call, ids, lambda container: call.client.stop(container, grace=grace))


def kill(call: Call, given: Options, ids: Sequence[str]) -> int:
    """Send a signal to the init of a container, or to all its processes."""
    name, everyone = given.text("signal", "KILL"), given.flag("all") or None
    return each(call, ids, lambda one: call.client.kill(one, name, everyone=everyone))


def pause(call: Call, _given: Options, ids: Sequence[str]) -> int:
    """Freeze the processes of a container."""
    return each(call, ids, call.client.pause)


def resume(call: Call, _given: Options, ids: Sequence[str]) -> int:
    """Let the processes of a paused container go on."""
    return each(call, ids, call.client.resume)


def remove(call: Call, given: Options, ids: Sequence[str]) -> int:
    """Remove a container that doesn't run, and its output."""
    force = given.flag("force") or None
    return each(call, ids, lambda container: call.client.delete(container, force=force))


def wait(call: Call, _given: Options, ids: Sequence[str]) -> int:
    """Wait until a container has ended, and print its exit status."""
    for container in ids:
        found = call.client.wait(container)
        call.answer(found, f"{found['exitStatus']}\n")
    return 0


def rename(call: Call, _given: Options, words: Sequence[str]) -> None:
    """Give a container another id."""
    call.answer(call.client.rename(words[0], words[1]))


def label(call: Call, given: Options, words: Sequence[str]) -> None:
    """Set labels of a container, and remove some; without either, print them."""
    container, *texts = words
    found = call.client.label(
        container, set=creation.pairs(texts, "label"), remove=given.texts("remove")
    )["labels"]
    shown = "".join(f"{output.cell(k)}={output.cell(v)}\n" for k, v in sorted(found.items()))
    call.answer(found, "" if texts or given.given("remove") else shown)


def update(call: Call, given: Options, ids: Sequence[str]) -> int:
    """Change limits, or the restart policy, of a container; the rest stays as it is."""
    limits = creation.limits(given) or None
    policy = creation.restart(given.text("restart")) if given.given("restart") else None
    if limits is None and policy is None:
        raise UsageError("nothing to change: name a limit, or --restart")
    return each(call, ids, lambda one: call.client.update(one, limits=limits, restart=policy))


def checkpoint(call: Call, given: Options, words: Sequence[str]) -> None:
    """Write the processes of a container to files in a directory (criu), and end it."""
    call.answer(
        call.client.checkpoint(
            words[0],
            os.path.abspath(words[1]),
            leave_running=given.flag("leave-running") or None,
            tcp_established=given.flag("tcp-established") or None,
            file_locks=given.flag("file-locks") or None,
        )
    )


def restore(call: Call, given: Options, words: Sequence[str]) -> None:
    """Make a container from the files of a checkpoint; it goes on where it was."""
    if not given.given("bundle"):
        raise UsageError("--bundle is missing: the bundle that it ran in")
    bundle = os.path.abspath(given.text("bundle"))
    call.answer(call.client.restore(words[0], bundle, os.path.abspath(words[1])))


_MANY = (1, None)
VERBS = {
    "start": Verb("start ID ...", start, takes=_MANY,
                  examples=[("orlopctl start web", "of a created, or a stopped container")]),
    "stop": Verb(
        "stop [flags] ID ...", stop,
        [Flag("time", "how long it has (default: 10s)", options.VALUE, short="t", metavar="TIME")],
        takes=_MANY,
        examples=[("orlopctl stop -t 1m web", "SIGKILL after a minute")],
    ),
    "kill": Verb(
        "kill [flags] ID ...", kill,
        [
            Flag("signal", "name or number (default: KILL)", options.VALUE, short="s",
                 metavar="SIGNAL"),
            Flag("all", "to all its processes", short="a"),
        ],
        takes=_MANY,
        examples=[("orlopctl kill -s HUP web", "a signal by name, or by number")],
    ),
    "pause": Verb("pause ID ...", pause, takes=_MANY,
                  examples=[("orlopctl pause web", "until `orlopctl resume web`")]),
    "resume": Verb("resume ID ...", resume, takes=_MANY,
                   examples=[("orlopctl resume web", "undoes `orlopctl pause web`")]),
    "rm": Verb(
        "rm [flags] ID ...", remove, [Flag("force", "also one that runs", short="f")], takes=_MANY,
        examples=[("orlopctl ps -aq | xargs orlopctl rm -f", "removes all containers")],
    ),
    "wait": Verb("wait ID ...", wait, takes=_MANY,
                 examples=[("orlopctl wait web", "prints 137 if it was killed")]),
    "rename": Verb("rename ID NAME", rename, takes=(2, 2),
                   examples=[("orlopctl rename web old-web", "its labels and output stay")]),
    "label": Verb(
        "label [flags] ID [NAME=VALUE ...]", label,
        [Flag("remove", "remove a label (repeatable)", options.LIST, short="r", metavar="NAME")],
        takes=_MANY,
        examples=[("orlopctl label web tier=front", "ps -f label=tier=front finds it")],
    ),
    "update": Verb(
        "update [flags] ID ...", update, [*creation.LIMITS, creation.RESTART], takes=_MANY,
        examples=[("orlopctl update --memory 256m web", "at once, while it runs")],
    ),
    "checkpoint": Verb(
        "checkpoint [flags] ID DIR", checkpoint,
        [
            Flag("leave-running", "let it run on"),
            Flag("tcp-established", "keep established TCP connections"),
            Flag("file-locks", "keep file locks"),
        ],
        takes=(2, 2),
        examples=[("orlopctl checkpoint web /var/tmp/web", "for `orlopctl restore`")],
    ),
    "restore": Verb(
        "restore [flags] ID DIR", restore,
        [Flag("bundle", "the bundle that it ran in", options.VALUE, short="b", metavar="DIR")],
        takes=(2, 2),
        examples=[("orlopctl restore -b /srv/web web /var/tmp/web", "it goes on")],
    ),
}  # fmt: skip
