# SPDX-License-Identifier: Apache-2.0
"""What `runtime` imports late, imported early: a worker would do it anew each time, and lose it.

And an upgrade may have put other files in the place of a living shim's.

The command line imports these where they are needed, because a verb needs few of them. A shim's
workers are forked from it, and find here what the whole life of a container takes.
"""

from __future__ import annotations

from spec.errors import OrlopError

_ALWAYS = (
    "encodings.ascii",
    "runtime.cgroups.device_rules",
    "runtime.cgroups.setting",
    "runtime.cgroups.stats_v1",
    "runtime.cgroups.stats_v2",
    "runtime.hooks",
    "runtime.labels",
    "runtime.scheduling",
    "runtime.update",
    "shim.log",
    "shim.log_file",
    "shim.logger",
    "shim.tee",
    "spec._config_check",
    "spec._process_check",
    "spec.rules.config",
)
_V1 = ("runtime.cgroups.resources_v1",)
_V2 = (
    "runtime.cgroups.delegation", "runtime.cgroups.device_filter", "runtime.cgroups.resources_v2",
)  # fmt: skip


def preload() -> None:
    """Import what every create, exec and delete on this host needs. Raises OSError."""
    from native import executable
    from runtime import cgroups
    from runtime.cgroups import host

    executable.hold()
    try:
        # the driver's modules, of the version that this host has; nothing is made
        cgroup = cgroups.resolve("/preload", "preload", host=host.detect())
    except OrlopError:
        return  # no cgroups here: Create says so, or goes without
    for name in (*_ALWAYS, *(_V2 if cgroup.mode == "v2" else _V1)):
        __import__(name)
