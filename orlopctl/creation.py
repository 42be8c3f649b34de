# SPDX-License-Identifier: Apache-2.0
"""The flags of run and create, and the short specification that they make."""

from __future__ import annotations

import os

from orlopctl import mount_flags, sizes
from runtime import options
from runtime.errors import UsageError
from runtime.options import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.types import Creation, Execution, HealthCheck, Limits, RestartPolicy
    from runtime.options import Options


def _value(name: str, text: str, metavar: str, short: str = "") -> Flag:
    return Flag(name, text, options.VALUE, metavar=metavar, short=short)


def _list(name: str, text: str, metavar: str, short: str = "") -> Flag:
    return Flag(name, f"{text} (repeatable)", options.LIST, metavar=metavar, short=short)


LIMITS = (
    _value("memory", "limit of memory: 64m, 1g", "SIZE", "m"),
    _value("memory-swap", "limit of swap", "SIZE"),
    _value("cpus", "processors it may use: 1.5", "NUMBER"),
    _value("cpu-shares", "weight beside others", "NUMBER"),
    _value("cpuset-cpus", "the processors: 0-3,6", "LIST"),
    _value("pids-limit", "limit of processes and threads", "NUMBER"),
)
RESTART = Flag(
    "restart", "when it begins again: no, on-failure[:N] or always", options.VALUE, metavar="POLICY"
)
PROCESS = (
    _list("env", "set a variable; without a value: to ours", "NAME[=VALUE]", "e"),
    _value("workdir", "working directory", "PATH", "w"),
    _value("user", "as this user: UID[:GID], or a name", "USER", "u"),
    Flag("interactive", "pass our standard input on", short="i"),
    Flag("tty", "give it a terminal", short="t"),
    _list("cap-add", "add a capability", "CAP"),
    _list("cap-drop", "drop a capability", "CAP"),
)
FLAGS = (
    _value("name", "the container's id (default: made up)", "NAME"),
    _value("bundle", "a bundle, in place of ROOTFS and COMMAND", "DIR", "b"),
    *PROCESS,
    _list("volume", "bind a directory or file", "SOURCE:PATH[:ro]", "v"),
    _list("mount", "mount: type=...,source=...,destination=...[,readonly]", "MOUNT"),
    *LIMITS,
    RESTART,
    _list("label", "label it", "NAME=VALUE", "l"),
    _list("annotation", "annotate it", "NAME=VALUE"),
    _value("hostname", "its host name", "NAME"),
    Flag("read-only", "its root file system can't be written"),
    Flag("network", "none (the default) or host", options.VALUE, metavar="KIND",
         choices=("none", "host")),
    Flag("seccomp", "default or unconfined", options.VALUE, metavar="PROFILE",
         choices=("default", "unconfined")),
    _value("health-cmd", "command of its shell that says whether it is well", "COMMAND"),
    _value("health-interval", "time between two checks", "TIME"),
    _value("health-timeout", "time that a check may take", "TIME"),
    _value("health-retries", "failures in a row until it is unhealthy", "NUMBER"),
    _value("health-start-period", "time until failures count", "TIME"),
    _value("key", "a repeated call with it creates nothing new", "TEXT"),
)  # fmt: skip
#: What a bundle's config.json says instead.
_OF_ROOTFS = (
    *("env", "workdir", "user", "cap-add", "cap-drop", "volume", "mount", "annotation"),
    *("hostname", "read-only", "network", "seccomp", *(flag.name for flag in LIMITS)),
)


def creation(given: Options, arguments: Sequence[str]) -> Creation:
    """What `create` and `run` of a client take. Raises UsageError."""
    made: Creation = {}
    if given.given("bundle"):
        _check_bundle(given, arguments)
        made["bundle"] = os.path.abspath(given.text("bundle"))
    else:
        _of_rootfs(made, given, arguments)
    if given.given("label"):
        made["labels"] = pairs(given.texts("label"), "label")
    if given.given("key"):
        made["key"] = given.text("key")
    if given.given("restart"):
        made["restart"] = restart(given.text("restart"))
    if given.given("health-cmd"):
        made["health"] = _health(given)
    if given.flag("interactive"):
        made["stdin"] = True
    return made


def _check_bundle(given: Options, arguments: Sequence[str]) -> None:
    if arguments:
        raise UsageError("--bundle stands in place of ROOTFS and COMMAND")
    for name in _OF_ROOTFS:
        if given.given(name):
            raise UsageError(f"--{name} is for a ROOTFS; a bundle's config.json says it")


def _of_rootfs(made: Creation, given: Options, arguments: Sequence[str]) -> None:
    if len(arguments) < 2:  # noqa: PLR2004 - a directory and a command
        raise UsageError("ROOTFS and COMMAND are missing, or --bundle")
    made["rootfs"] = os.path.abspath(arguments[0])
    made["args"] = [*arguments[1:]]
    of_process(made, given)
    for name in ("hostname", "network", "seccomp"):
        if given.given(name):
            made[name] = given.text(name)
    if given.flag("read-only"):
        made["readonly"] = True
    mounts = [mount_flags.volume(text) for text in given.texts("volume")]
    mounts += [mount_flags.mount(text) for text in given.texts("mount")]
    if mounts:
        made["mounts"] = mounts
    found = limits(given)
    if found:
        made["limits"] = found
    if given.given("annotation"):
        made["annotations"] = pairs(given.texts("annotation"), "annotation")


def of_process(made: Creation | Execution, given: Options) -> None:
    """What is said of a process: the flags PROCESS. Raises UsageError."""
    if given.given("env"):
        made["env"] = environment(given.texts("env"))
    if given.given("workdir"):
        made["cwd"] = given.text("workdir")
    if given.given("user"):
        made["user"] = given.text("user")
    if given.flag("tty"):
        made["terminal"] = True
    if given.given("cap-add") or given.given("cap-drop"):
        made["capabilities"] = {"add": given.texts("cap-add"), "drop": given.texts("cap-drop")}


def limits(given: Options) -> Limits:
    """Those that were named. Raises UsageError."""
    found: Limits = {}
    if given.given("memory"):
        found["memory"] = sizes.size(given.text("memory"), "memory")
    if given.given("memory-swap"):
        found["swap"] = sizes.size(given.text("memory-swap"), "memory-swap")
    if given.given("cpus"):
        found["cpus"] = sizes.decimal(given.text("cpus"), "cpus")
    if given.given("cpu-shares"):
        found["cpuShares"] = sizes.whole(given.text("cpu-shares"), "cpu-shares")
    if given.given("cpuset-cpus"):
        found["cpuset"] = given.text("cpuset-cpus")
    if given.given("pids-limit"):
        found["pids"] = sizes.whole(given.text("pids-limit"), "pids-limit")
    return found


def restart(text: str) -> RestartPolicy:
    """`on-failure:3`. Raises UsageError."""
    policy, colon, maximum = text.partition(":")
    found: RestartPolicy
    if policy == "on-failure":
        found = {"policy": "on-failure"}
        if colon:
            found["maximum"] = sizes.whole(maximum, "restart")
        return found
    if text in ("no", "always"):
        return {"policy": "no" if text == "no" else "always"}
    raise UsageError(f"invalid value {text!r} of --restart: no, on-failure, on-failure:N or always")


def environment(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE`, or `NAME` for our own value; one that we don't have is left out."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals or name in os.environ:
            found[name] = value if equals else os.environ[name]
    return found


def pairs(texts: Sequence[str], flag: str) -> dict[str, str]:
    """`NAME=VALUE`. Raises UsageError."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"invalid value {text!r} of --{flag}: NAME=VALUE")
        found[name] = value
    return found


def _health(given: Options) -> HealthCheck:
    found: HealthCheck = {"args": ["/bin/sh", "-c", given.text("health-cmd")]}
    if given.given("health-interval"):
        found["interval"] = sizes.seconds(given.text("health-interval"), "health-interval")
    if given.given("health-timeout"):
        found["timeout"] = sizes.seconds(given.text("health-timeout"), "health-timeout")
    if given.given("health-start-period"):
        text = given.text("health-start-period")
        found["startPeriod"] = sizes.seconds(text, "health-start-period")
    if given.given("health-retries"):
        found["retries"] = sizes.whole(given.text("health-retries"), "health-retries")
    return found
