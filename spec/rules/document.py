# SPDX-License-Identifier: Apache-2.0
"""Rules for the spec as a whole and its simple members.

Version, root, names, annotations, hooks, strings.
"""

from __future__ import annotations

from spec.describe import pointer_step, shown
from spec.errors import Violation
from spec.rules.lookup import namespace
from spec.version import OCI_VERSION, OCI_VERSION_MIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from spec.types import Process, Spec

    _HookKind = Literal[
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"
    ]

_HOOKS: tuple[_HookKind, ...] = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
_NAMES: tuple[Literal["hostname", "domainname"], ...] = ("hostname", "domainname")
_NAME_MAX = 64
"""HOST_NAME_MAX of sethostname(2), the same for setdomainname(2)."""
_PARTS = 3
"""Major, minor and patch."""
_DIGITS = 9
"""The longest number of a version that is looked at."""


def version_is_supported(spec: Spec) -> Iterator[Violation]:
    """config.md, "Specification version": SemVer 2.0.0.

    Minor versions only add what may be ignored.
    """
    version = spec["ociVersion"]
    core = _semver(version)
    if core is None or core[0] != int(OCI_VERSION_MIN.partition(".")[0]):
        allowed = (
            f"a SemVer 2.0.0 version from {OCI_VERSION_MIN} to {OCI_VERSION}, or a later 1.x.y"
        )
        yield Violation("/ociVersion", shown(version), allowed)


def version_is_known(spec: Spec) -> Iterator[Violation]:
    """A warning: config.md, "Extensibility": what a newer version added is ignored."""
    core = _semver(spec["ociVersion"])
    known = _semver(OCI_VERSION)
    if core and known and core[:2] > known[:2]:
        yield Violation("/ociVersion", shown(spec["ociVersion"]), f"a version up to {OCI_VERSION}")


def root_is_given(spec: Spec) -> Iterator[Violation]:
    """config.md, "Root": required on Linux."""
    if "root" not in spec:
        yield Violation("", 'no "root"', "this required member, a container has a root file system")


def root_path_is_given(spec: Spec) -> Iterator[Violation]:
    """config.md, "Root": a directory must exist at the path."""
    if "root" in spec and not spec["root"]["path"]:
        yield Violation("/root/path", '""', "the path of a directory")


def names_need_uts_namespace(spec: Spec) -> Iterator[Violation]:
    """uts_namespaces(7): without a namespace of its own a container would rename the host."""
    if namespace(spec, "uts") is None:
        for name in _NAMES:
            value = spec.get(name)
            if value:
                yield Violation(
                    f"/{name}",
                    f"{shown(value)} without a uts namespace",
                    "a uts namespace, new or joined",
                )


def names_are_short(spec: Spec) -> Iterator[Violation]:
    """sethostname(2), setdomainname(2): EINVAL beyond 64 bytes."""
    for name in _NAMES:
        value = spec.get(name, "")
        if len(value.encode("utf-8", "surrogateescape")) > _NAME_MAX:
            yield Violation(f"/{name}", shown(value), f"at most {_NAME_MAX} bytes")


def annotations_have_keys(spec: Spec) -> Iterator[Violation]:
    """config.md, "Annotations": keys must not be empty."""
    if "" in spec.get("annotations", ()):
        yield Violation("/annotations", 'the key ""', "keys that aren't empty")


def hook_paths_are_absolute(spec: Spec) -> Iterator[Violation]:
    """config.md, "POSIX-platform Hooks": path must be absolute."""
    hooks = spec.get("hooks", {})
    for kind in _HOOKS:
        for index, hook in enumerate(hooks.get(kind, ())):
            if not hook["path"].startswith("/"):
                at = f"/hooks/{kind}/{index}/path"
                yield Violation(at, shown(hook["path"]), "an absolute path")


def strings_have_no_null_bytes(spec: Spec | Process) -> Iterator[Violation]:
    """path_resolution(7), execve(2).

    C strings end at the first null byte, so the kernel would see less than is written.

    Every string counts, keys included (sysctl), except annotations, which stay data.
    """
    pending: list[tuple[str, object]] = [
        (f"/{pointer_step(name)}", value) for name, value in spec.items() if name != "annotations"
    ]
    for pointer, value in pending:  # which grows while it is walked
        if isinstance(value, str):
            if "\0" in value:
                yield _null_byte(pointer)
        elif isinstance(value, dict):
            if any("\0" in name for name in value):
                yield _null_byte(pointer)
            pending += ((f"{pointer}/{pointer_step(name)}", value[name]) for name in value)
        elif isinstance(value, list):
            pending += ((f"{pointer}/{index}", item) for index, item in enumerate(value))


def _null_byte(pointer: str) -> Violation:
    return Violation(pointer, "a null byte", "text without null bytes")


def _semver(version: str) -> tuple[int, int, int] | None:
    """Return major, minor and patch of a SemVer 2.0.0 version, or None if it isn't one."""
    core, plus, build = version.partition("+")
    core, dash, prerelease = core.partition("-")
    numbers = core.split(".")
    if len(numbers) != _PARTS or not all(map(_is_number, numbers)):
        return None
    if (plus and not _are_identifiers(build)) or (dash and not _are_identifiers(prerelease)):
        return None
    if any(part.isdigit() and part != "0" and part[0] == "0" for part in prerelease.split(".")):
        return None
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


def _is_number(text: str) -> bool:
    """SemVer 2.0.0, item 2: ASCII digits without leading zeros; not so many that int() refuses."""
    return (
        text.isascii()
        and text.isdigit()
        and text[: len(text) - 1][:1] != "0"
        and len(text) <= _DIGITS
    )


def _are_identifiers(text: str) -> bool:
    """SemVer 2.0.0, items 9 and 10.

    Identifiers of ASCII letters, digits and hyphens between dots.
    """
    return text.isascii() and all(part.replace("-", "0").isalnum() for part in text.split("."))


RULES = (
    version_is_supported,
    root_path_is_given,
    names_need_uts_namespace,
    names_are_short,
    annotations_have_keys,
    hook_paths_are_absolute,
)
WARNINGS = (version_is_known,)
