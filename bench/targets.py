# SPDX-License-Identifier: Apache-2.0
"""How fast and small it is meant to be: ratios of medians within one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bench.measure import Results


class Target(NamedTuple):
    """`row`'s median of `contender`, divided by that of `peer` (in `peer_row`), and its limit.

    peer None: the figure itself. least: the limit is the least, not the most.
    """

    title: str
    row: str
    contender: str
    peer: str | None
    limit: float
    peer_row: str | None = None
    least: bool = False

    def reached(self, results: Results) -> tuple[float, bool] | None:
        """The ratio, and whether it is within its limit; None where it was not measured."""
        ours = results.median(self.row, self.contender)
        theirs = 1.0 if self.peer is None else results.median(self.peer_row or self.row, self.peer)
        if ours is None or not theirs:
            return None
        ratio = ours / theirs
        return ratio, ratio >= self.limit if self.least else ratio <= self.limit


_DAEMON, _PSS, _DOCKER = "orlopd", "pss-100", "docker, orlop warm"
_FORKED = "orlop shim warm"
_WARM, _COLD, _SHIM, _THEIRS = "orlop warm", "orlop", "orlop shim", "containerd shim, runc"
TARGETS = (
    Target("cold run / runc run", "run", _COLD, "runc", 0.7),
    Target("cold exec / runc exec", "exec", _COLD, "runc", 0.8),
    Target("warm run / crun run", "run", _WARM, "crun", 0.9),
    Target("warm create+start+state+kill+delete / crun's", "life", _WARM, "crun", 0.7),
    Target("warm exec / crun exec", "exec", _WARM, "crun", 0.9),
    Target("docker run, orlop warm / runc", "docker-run", _DOCKER, "docker, runc", 0.9),
    Target("container.run over orlopd / crun run", "daemon-run", _DAEMON, "crun", 0.6, "run"),
    Target("the same / ctr run with runc", "daemon-run", _DAEMON, _THEIRS, 0.07, "ctr-run"),
    Target("the same / the floor", "daemon-run", _DAEMON, "floor", 2.5, "run"),
    Target("ctr run, our shim warm / containerd's and runc", "ctr-run", _FORKED, _THEIRS, 0.6),
    Target("exec through our shim warm / containerd's", "shim-exec", _FORKED, _THEIRS, 0.3),
    Target("memory of our shim / containerd's", _PSS, _DAEMON, _THEIRS, 0.2, "shim-pss"),
    Target("the last container / the first", "growth-last", _DAEMON, _DAEMON, 1.2, "growth-first"),
    Target("smallest memory limit, KiB", "memory-limit", _COLD, None, 512),
    Target("stdio through our shim / containerd's", "stdio", _SHIM, _THEIRS, 1.0, least=True),
)  # fmt: skip
