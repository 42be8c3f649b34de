# SPDX-License-Identifier: Apache-2.0
"""Rules for the mounts and for the paths that are masked or made read-only.

Single options are the runtime's.
"""

from __future__ import annotations

from spec.describe import shown
from spec.errors import Violation
from spec.rules.lookup import namespace
from spec.rules.namespaces import map_violations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from spec.types import Mount, Spec


def destinations_are_given(spec: Spec) -> Iterator[Violation]:
    """config.md, "Mounts".

    A relative destination counts from "/", as 1.3.0 permits; an empty one is no path.
    """
    for index, mount in enumerate(spec.get("mounts", ())):
        if not mount["destination"]:
            yield Violation(f"/mounts/{index}/destination", '""', "a path in the container")


def bind_mounts_have_sources(spec: Spec) -> Iterator[Violation]:
    """mount(2), "Creating a bind mount". An empty source would mean the bundle itself."""
    for index, mount in enumerate(spec.get("mounts", ())):
        if _is_bind(mount) and not mount.get("source"):
            yield Violation(f"/mounts/{index}", 'a bind mount without "source"', "the path to bind")


def id_mappings_are_usable(spec: Spec) -> Iterator[Violation]:
    """config.md, "Linux mount options" and mount_setattr(2), "ID-mapped mounts".

    Both maps or neither, on bind mounts.

    Without maps of its own an idmap mount uses those of the container's user namespace, which must
    then exist.
    """
    for index, mount in enumerate(spec.get("mounts", ())):
        at = f"/mounts/{index}"
        uids, gids = mount.get("uidMappings"), mount.get("gidMappings")
        if bool(uids) != bool(gids):
            lonely, missing = ("uid", "gid") if uids else ("gid", "uid")
            yield Violation(at, f"{lonely}Mappings without {missing}Mappings", "both or neither")
        yield from map_violations(uids or (), f"{at}/uidMappings")
        yield from map_violations(gids or (), f"{at}/gidMappings")
        option = _idmap_option(mount)
        if not (uids or gids or option):
            continue
        if not _is_bind(mount):
            yield Violation(at, "id mappings on a mount that isn't bound", "a bind mount")
        if option and not uids and not gids and namespace(spec, "user") is None:
            yield Violation(
                at,
                f"{shown(option)} without mappings",
                "uidMappings and gidMappings, or a user namespace",
            )


def mounts_need_mount_namespace(spec: Spec) -> Iterator[Violation]:
    """mount_namespaces(7): in the runtime's own namespace these would change the host."""
    if namespace(spec, "mount") is not None:
        return
    linux = spec.get("linux", {})
    for pointer, part in (
        ("/mounts", spec.get("mounts")),
        ("/linux/maskedPaths", linux.get("maskedPaths")),
        ("/linux/readonlyPaths", linux.get("readonlyPaths")),
        ("/linux/devices", linux.get("devices")),
    ):
        if part:
            yield Violation(
                pointer,
                f"{len(part)} entries without a mount namespace",
                "a mount namespace of its own",
            )


def restricted_paths_are_absolute(spec: Spec) -> Iterator[Violation]:
    """config-linux.md, "Masked Paths" and "Readonly Paths": absolute in the container."""
    linux = spec.get("linux", {})
    for name in ("maskedPaths", "readonlyPaths"):
        paths: object = linux.get(name, ())
        for index, path in enumerate(paths if isinstance(paths, list) else ()):
            if not path.startswith("/"):
                yield Violation(f"/linux/{name}/{index}", shown(path), "an absolute path")


def _is_bind(mount: Mount) -> bool:
    """config.md, "Mounts".

    `bind` or `rbind` among the options makes a bind mount, whatever the type.
    """
    return not {"bind", "rbind"}.isdisjoint(mount.get("options", ()))


def _idmap_option(mount: Mount) -> str:
    """Return `idmap` or `ridmap` if it is among the options."""
    options = mount.get("options", ())
    return next((option for option in ("idmap", "ridmap") if option in options), "")


RULES = (
    destinations_are_given,
    bind_mounts_have_sources,
    id_mappings_are_usable,
    mounts_need_mount_namespace,
    restricted_paths_are_absolute,
)
