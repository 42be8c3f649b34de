# SPDX-License-Identifier: Apache-2.0
"""All rules for a configuration: those for its parts, one after another."""

from __future__ import annotations

from spec.rules import devices, document, mounts, namespaces, process, resources, seccomp, sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spec.errors import Violation
    from spec.types import Spec

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
        found += process.violations(spec["process"], "/process")
        found += process.ids_are_mapped(spec)
    return found


def missing_to_run(spec: Spec) -> list[Violation]:
    """Return what `create` and `run` need on Linux and the spec doesn't have."""
    return [*document.root_is_given(spec), *process.process_is_given(spec)]


def warnings(spec: Spec) -> list[Violation]:
    """Return what a runtime accepts but should say something about."""
    found = [violation for rule in WARNINGS for violation in rule(spec)]
    if "process" in spec:
        found += process.warnings(spec["process"], "/process")
    return found
