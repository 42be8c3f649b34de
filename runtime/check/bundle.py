# SPDX-License-Identifier: Apache-2.0
"""All that keeps a bundle from running.

What a start would say up to its first side effect, and what it would find out later.
"""

from __future__ import annotations

import os
from functools import partial

from native.plan import lib
from runtime import compile as compiler
from runtime import mounting, prepare, sysctl
from runtime.check import linux, paths, process
from runtime.check.observed import Observed
from runtime.check.problem import Problem, of_error, of_violation
from runtime.context import Context, Request
from runtime.trees import Trees
from spec import bundle as bundles
from spec import jsontext
from spec.bundle import Bundle
from spec.errors import OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from native.plan import Op
    from runtime.seccomp import Filter


class Check:
    """One check. id: what the container would be called. systemd, allowed: as for a create.

    problems: what keeps it from running. warnings: what is accepted, and is not as the standard
    wants it, or without effect.
    """

    def __init__(self, container_id: str, *, systemd: bool, allowed: Sequence[str] = ()) -> None:
        self.id = container_id
        self.systemd = systemd
        self.allowed = allowed
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def run(self, path: str) -> None:
        """Look at the bundle at this path, and change nothing."""
        try:
            path, spec, text, violations = bundles.judge(path)
        except OrlopError as error:
            self.problems = list(of_error(error))
            return
        self.problems = [of_violation(violation) for violation in violations]
        if "\\u0000" in text:  # no path of it can be looked at
            return
        bundle = Bundle(path, spec, text)
        if violations:
            self._found(paths.mounts(bundle, Observed()))
            self._found(paths.hooks(spec))
            return
        self._strict(bundle)
        try:
            prepare.check_rootfs(bundle)
        except OrlopError as error:
            self.problems += of_error(error)
        host = Observed()
        self._as_started(bundle, host)
        self._host(bundle, host)

    def _strict(self, bundle: Bundle) -> None:
        """The standard's verdict on what was tolerated when it was loaded."""
        violations, warnings = bundles.check(jsontext.loads(bundle.text))
        self.warnings = [of_violation(item) for item in (*violations, *warnings)]

    def _found(self, found: Iterable[Problem]) -> None:
        """Keep them; of two about one property the first is enough."""
        known = {problem.pointer for problem in self.problems} - {""}
        self.problems += [problem for problem in found if problem.pointer not in known]

    def _try(self, step: Callable[[], Iterable[Problem] | None]) -> None:
        """Do as a start does; what it would fail with is a problem, as what it returns."""
        try:
            self._found(step() or ())
        except OrlopError as error:
            self._found(of_error(error))

    def _as_started(self, bundle: Bundle, host: Observed) -> None:
        """What runtime.create does before it makes anything, each step although another failed."""
        spec = bundle.spec
        start = _Start(self, bundle, host)
        self._try(lambda: prepare.check_labels(spec["process"], spec.get("linux", {})))
        self._try(lambda: sysctl.check_joined(spec))
        for step in (start.seccomp, start.resctrl, start.cgroup, start.compile):
            self._try(step)

    def _host(self, bundle: Bundle, host: Observed) -> None:
        spec = bundle.spec
        self._found(process.problems(spec, host))
        self._found(linux.problems(spec, host))
        self._found(linux.devices(spec, host))
        self._found(paths.mounts(bundle, host))
        self._found(paths.hooks(spec))


class _Start:
    """The steps of a start that make nothing."""

    def __init__(self, check: Check, bundle: Bundle, host: Observed) -> None:
        self._check = check
        self._bundle = bundle
        self._host = host
        self._filter: Filter | None = None
        self._request: Request = Request(check.id, bundle.rootfs)

    def seccomp(self) -> None:
        """The profile, compiled; nothing is kept of it."""
        self._filter = prepare.seccomp_filter(self._bundle.spec, cached=False)

    def resctrl(self) -> None:
        """The class of service of the processor's caches."""
        prepare.resolve_resctrl(self._bundle.spec, self._check.id)

    def cgroup(self) -> Iterable[Problem]:
        """The cgroup that it would have, and its limits."""
        spec, host = self._bundle.spec, self._host
        cgroup = prepare.resolve_cgroup(
            spec,
            self._check.id,
            host.facts,
            systemd=self._check.systemd,
            allowed=self._check.allowed,
        )
        self._request = prepare.request_for(self._check.id, self._bundle.rootfs, cgroup)
        cgroup.verify_unused()
        resources = spec.get("linux", {}).get("resources", {})
        return linux.controllers(cgroup.settings(resources), host)

    def compile(self) -> Iterable[Problem]:
        """The plan, stage by stage and mount by mount, so that one refusal hides no other."""
        spec = self._bundle.spec
        self._request.bundle = self._bundle.path
        context = Context(spec, self._host.facts, self._request, self._filter)
        found: list[Problem] = []
        for stage, needs_mounts in compiler.STAGES:
            if needs_mounts and not context.is_new("mount"):
                continue
            for step in self._mounts(context) if stage is mounting.operations else [stage]:
                try:
                    step(context)
                except OrlopError as error:
                    found += of_error(error)
        if os.path.isdir(self._bundle.rootfs):
            found += self._inside(context)
        return found

    def _mounts(self, context: Context) -> list[Callable[[Context], None]]:
        return [
            partial(mounting.one, mount=mount, pointer=f"/mounts/{index}")
            for index, mount in enumerate(context.spec.get("mounts", ()))
        ]

    def _inside(self, context: Context) -> Iterator[Problem]:
        """What the plan will look for in the root file system, and trees with id maps."""
        yield from paths.working_directory(self._bundle)
        trees = Trees()
        try:
            for op in context.plan.ops:
                if op.code == lib.OP_LOOKUP:
                    yield from paths.program(self._bundle, [str(path) for path in op.strings[1]])
                elif op.fd.startswith("tree/") and "idmap" in str(op.strings[2]):
                    yield from _tree(trees, op)
        finally:
            trees.close()


def _tree(trees: Trees, op: Op) -> Iterator[Problem]:
    """Whether the file system can map ids: on a detached copy, which nobody sees."""
    try:
        os.close(trees.open(op))
    except OrlopError as error:
        yield from of_error(error)
