# SPDX-License-Identifier: Apache-2.0
"""What a configuration must satisfy beyond its schema.

Rules of the standard's prose, of the kernel, and of good sense.

A rule is a small function from the spec to the violations it finds; its docstring names its source.
All rules are applied, so that a user sees every problem at once. They are pure: what depends on the
host (is the kernel new enough, does the path exist, is a joined namespace the host's own) is the
runtime's to check. All of them expect a spec that its schema accepts.
"""

from __future__ import annotations

from spec.rules import devices, document, mounts, namespaces, process, resources, seccomp, sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spec.errors import Violation
    from spec.types import Process, Spec

    Rule = Callable[[Spec], Iterator[Violation]]

RULES: tuple[Rule, ...] = (
    *document.RULES,
    *mounts.RULES,
    *namespaces.RULES,
    *sysctl.RULES,
    *devices.RULES,
    *resources.RULES,
    *seccomp.RULES,
)
"""The rules for every spec, but for its process."""

WARNINGS: tuple[Rule, ...] = (*document.WARNINGS, *namespaces.WARNINGS, *devices.WARNINGS)
"""What is accepted, and yet not as the standard wants it or without effect."""


def violations(spec: Spec) -> list[Violation]:
    """Return what the rules find wrong with any spec, runnable or not."""
    found = [violation for rule in RULES for violation in rule(spec)]
    if "process" in spec:
        found += process_violations(spec["process"], "/process")
        found += process.ids_are_mapped(spec)
    return found


def missing_to_run(spec: Spec) -> list[Violation]:
    """Return what `create` and `run` need on Linux and the spec doesn't have."""
    return [*document.root_is_given(spec), *process.process_is_given(spec)]


def process_violations(part: Process, at: str) -> list[Violation]:
    """Return what the rules find wrong with a process.

    `at` is its JSON pointer, "" for a process file.
    """
    return [violation for rule in process.RULES for violation in rule(part, at)]


def process_warnings(part: Process, at: str) -> list[Violation]:
    """Return what of a process will have no effect.

    `at` is its JSON pointer, "" for a process file.
    """
    return [violation for rule in process.WARNINGS for violation in rule(part, at)]


def warnings(spec: Spec) -> list[Violation]:
    """Return what a runtime accepts but should say something about."""
    found = [violation for rule in WARNINGS for violation in rule(spec)]
    if "process" in spec:
        found += process_warnings(spec["process"], "/process")
    return found
