# SPDX-License-Identifier: Apache-2.0
"""What a warm planner does before its first call, so that a worker does it as if it knew the call.

The interpreter adapts its code to what it meets, in place (PEP 659), after some rounds. In a worker
that would come to nothing: it serves one call, and each page of code that it adapts is one that it
has to copy first (fork(2)). So the planner goes through what a call does, up to its first effect.
"""

from __future__ import annotations

from runtime import cgroups, cli, host, options, prepare, processes, state
from runtime.cgroups import device_rules
from runtime.compile import compile_container
from runtime.container import Container
from runtime.warm import Surroundings
from spec import bundle, jsontext
from spec.errors import OrlopError
from spec.template import default_spec

ROUNDS = 20  # a function is adapted after 8 (Python 3.11), what it calls after as many more


def rehearse() -> None:
    """Go through a container's start and an exec. Where this host allows neither, calls say so."""
    text = jsontext.dumps(default_spec())
    process = jsontext.dumps(default_spec()["process"]).encode()
    ours = Surroundings.of("/proc/self", "")
    try:
        for _ in range(ROUNDS):
            ours.difference(Surroundings.of("/proc/self", ""))
            _start(text)
            bundle.parse_process(process, "process")
    except (OrlopError, OSError):
        return


def _start(text: str) -> None:
    """Nothing is made; of the host only /proc and cgroups are looked at."""
    words = ["--root", "/", "create", "--bundle", "/", "rehearsal"]
    _, rest = options.parse(cli.GLOBAL_FLAGS, words)
    options.parse(cli.load_command("create").FLAGS, rest[1:])
    spec, _ = bundle.judge_text(text)
    facts = host.gather()
    cgroup = prepare.resolve_cgroup(spec, "rehearsal", facts)
    record = state.Record("rehearsal", "/", "/rootfs")
    record.init = processes.Identity.of(state.creator().pid)
    record.cgroup = cgroup.saved()
    container = Container(state.Directory("/", "rehearsal", -1), state.Record.load(record.save()))
    cgroups.load(record.cgroup)
    device_rules.evaluate((), "").lines()
    request = prepare.request_for(container.record.id, "/rootfs", cgroup)
    cgroup.settings(spec["linux"].get("resources", {}))
    for op in (made := compile_container(spec, facts, request, None)).ops:
        op.describe()
    made.pack()
