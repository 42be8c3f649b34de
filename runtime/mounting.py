# SPDX-License-Identifier: Apache-2.0
"""`mounts`, in the order of the configuration, each by its kind."""

from __future__ import annotations

from runtime import cgroup_mount, mount_options, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from spec.types import Mount


def operations(context: Context) -> None:
    """Operations of all elements of `mounts`. Raises Unsupported with the option's pointer."""
    for index, mount in enumerate(context.spec.get("mounts", ())):
        one(context, mount, f"/mounts/{index}")


def one(context: Context, mount: Mount, pointer: str) -> None:
    """Operations of one element. Raises Unsupported."""
    options = mount_options.parse(mount.get("options", ()), pointer)
    kind = mount.get("type")
    if options.remount:
        mounts.remount(context, mount, options, pointer)
    elif options.bind or kind == "bind":  # config.md#mounts: whatever the type
        mounts.bind(context, mount, options, pointer)
    elif kind == "cgroup" or (kind == "cgroup2" and context.facts.cgroup.mode == "v2"):
        cgroup_mount.operations(context, mount, options, pointer)
    else:
        mounts.filesystem(context, mount, options, pointer)
