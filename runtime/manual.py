# SPDX-License-Identifier: Apache-2.0
"""What `--help` and the man pages say beyond the table of commands: examples, exit status, files.

Nothing here is loaded by a start. A verb without an entry has the usual exit status and no example.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = (
    "A bundle is a directory with a root file system and a configuration, config.json, of the OCI "
    "runtime specification. orlop runs it in a container, with the commands of runc(8)."
)
#: verb -> (command line, what it does)
EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("orlop spec && orlop check", "a configuration for ./rootfs; would it run here?"),
        ("orlop run hello", "the bundle in this directory, in the foreground"),
        ("orlop --debug run hello", "the same, and the plan of it on standard error"),
    ),
    "spec": (
        ("orlop spec", "config.json in this directory, for a shell in ./rootfs"),
        ("orlop spec --rootless", "for an unprivileged user, whose id becomes root inside"),
    ),
    "plan": (
        ("orlop plan /srv/hello", "each operation, and the line that asked for it"),
        ("orlop plan --format json | jq '.operations[].pointer'", "for programs"),
    ),
    "check": (
        ("orlop check /srv/hello", "every property that this host can't provide, and why"),
        ("orlop check --format json /srv/hello", "the same for programs"),
        ("orlop check --strict /srv/hello", "null and other habits of engines count as well"),
        ("orlop --systemd-cgroup check", "as it would run with the systemd driver"),
    ),
    "planner": (
        ("orlop planner", "until SIGTERM: calls of orlop are quicker meanwhile"),
        ("orlop --debug planner --socket /run/mine.sock", "and say what becomes of each call"),
    ),
    "create": (
        ("orlop create --bundle /srv/hello hello </dev/null >log 2>&1", "its output goes to log"),
        ("orlop create --console-socket /run/c.sock hello", "the terminal's master goes there"),
    ),
    "start": (("orlop start hello", "fails if the program can't be executed"),),
    "run": (
        ("orlop run hello", "with the caller's terminal, if the configuration asks for one"),
        ("orlop run --timeline hello.svg hello", "a picture of where the time of the start went"),
        ("orlop run --detach --pid-file hello.pid hello", "returns when it runs"),
    ),
    "exec": (
        ("orlop exec -t hello sh", "a shell with a terminal"),
        ("orlop exec --user 1000:1000 --cwd /tmp --env A=b hello id", "as somebody else"),
        ("orlop exec --process process.json hello", "all of it from a file, as engines do"),
    ),
    "state": (("orlop state hello", "its status, pid, bundle and annotations"),),
    "list": (
        ("orlop list", "a table"),
        ("orlop list -q | xargs -n 1 orlop delete --force", "removes all containers"),
    ),
    "ps": (
        ("orlop ps hello", "the container's processes, as the host's ps shows them"),
        ("orlop ps --format json hello", "their pids"),
        ("orlop ps hello -o pid,rss,comm", "what follows the id goes to ps(1)"),
    ),
    "events": (
        ("orlop events --stats hello", "its usage now, as one line of JSON"),
        ("orlop events --interval 1s hello", "a line each second, and one for each OOM kill"),
    ),
    "update": (
        ("orlop update --memory 268435456 --pids-limit 100 hello", "the rest stays as it is"),
        ("orlop update --resources - hello <resources.json", "linux.resources from a file"),
    ),
    "pause": (("orlop pause hello", "until `orlop resume hello`"),),
    "resume": (("orlop resume hello", "undoes `orlop pause hello`"),),
    "kill": (
        ("orlop kill hello", "SIGTERM"),
        ("orlop kill hello KILL", "by name, with or without SIG, or by number"),
    ),
    "checkpoint": (
        ("orlop checkpoint --image-path /var/tmp/hello hello", "writes images, then ends it"),
        ("orlop checkpoint --leave-running --image-path /var/tmp/hello hello", "and goes on"),
    ),
    "restore": (
        ("orlop restore --detach --image-path /var/tmp/hello --bundle /srv/hello hello", "goes on"),
    ),
    "delete": (
        ("orlop delete hello", "once its process has ended"),
        ("orlop delete --force hello", "ends it first; no error if it is gone"),
    ),
    "features": (("orlop features | jq .linux.seccomp", "what of seccomp works here"),),
}

_USUAL = (("0", "it is done"), ("1", "it is not; standard error and the log say why"))
_PROCESS = (
    ("0-255", "the process's own"),
    ("128+N", "signal N ended it"),
)
#: verb -> (status, meaning)
STATUS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "run": (*_PROCESS, ("1", "also: it could not be run"), ("0", "also: with --detach, it runs")),
    "exec": (*_PROCESS, ("255", "it could not be run"), ("0", "also: with --detach, it runs")),
    "restore": (*_PROCESS, ("1", "also: it could not be restored")),
    "check": (
        ("0", "nothing was found that keeps the bundle from running here"),
        ("1", "it can't run; with --strict, also: it is not as the standard wants it"),
    ),
}


def status(verb: str) -> tuple[tuple[str, str], ...]:
    """Exit statuses of a verb and what they mean."""
    return STATUS.get(verb, _USUAL)


FILES = (
    ("/run/orlop", "state of root's containers; --root names another directory"),
    ("$XDG_RUNTIME_DIR/orlop", "that of an unprivileged user's"),
    ("config.json", "in the bundle: the configuration, see the OCI runtime specification"),
)
ENVIRONMENT = (
    ("XDG_RUNTIME_DIR", "where an unprivileged user's state is"),
    ("LISTEN_FDS, LISTEN_PID", "sd_listen_fds(3): create and run pass these sockets on"),
)
