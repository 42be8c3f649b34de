# SPDX-License-Identifier: Apache-2.0
"""Samples, taken in turns: what a machine does meanwhile hits all contenders alike."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, NamedTuple

from shim.ttrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    #: Measures once: the figures of one or more rows, by their keys.
    Attempt = Callable[[], Mapping[str, float]]


class Row(NamedTuple):
    """A line of the table. key: "run"; unit: of its figures, "ms" where less is better."""

    key: str
    title: str
    unit: str = "ms"


class Figures:
    """What one contender took in one row, attempt by attempt."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = list(values)

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the third quartile; the value itself where there is but one."""
        if len(self.values) == 1:
            return (self.values[0], self.values[0])
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return (low, high)


class Results:
    """All figures of a run, and why some are missing."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.figures: dict[str, dict[str, Figures]] = {}
        self.missing: dict[str, str] = {}  # a contender, or a theme: why

    def add(self, row: Row, contender: str, values: Iterable[float]) -> None:
        """Take figures in."""
        self.rows[row.key] = row
        self.figures.setdefault(row.key, {})[contender] = Figures(values)

    def median(self, key: str, contender: str) -> float | None:
        """A median, None where it was not measured."""
        found = self.figures.get(key, {}).get(contender)
        return found.median if found else None


def interleave(
    results: Results, rows: Iterable[Row], contenders: Mapping[str, Attempt], rounds: int
) -> None:
    """Let all contenders measure once a round, the first in one round the last in the next.

    One round goes before, and isn't counted: caches are then as full for the first as for the last.
    A contender that fails is left out from then on, and `results.missing` says why.
    """
    order = list(contenders)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in order}
    for number in range(rounds + 1):
        for name in tuple(order):
            try:
                figures = contenders[name]()
            except (OSError, AssertionError, RuntimeError, RpcError) as error:
                order.remove(name)
                results.missing[name] = str(error).strip()[:500]
                continue
            for key, value in figures.items() if number else ():
                found[name].setdefault(key, []).append(value)
        order.append(order.pop(0)) if order else None
        _progress(number, rounds)
    for row in rows:
        for name, figures_of in found.items():
            if values := figures_of.get(row.key):
                results.add(row, name, values)


def _progress(number: int, rounds: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{number}/{rounds} " if number < rounds else "\r\033[K")
        sys.stderr.flush()
