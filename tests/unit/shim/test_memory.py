# SPDX-License-Identifier: Apache-2.0
"""shim.memory: what the first shims tell of their pages."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING

import pytest

from native import shared_heap
from shim.memory import Copies

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What is asked to be copied."""
    asked: list[list[int]] = []

    def copy(pages: Sequence[int]) -> None:
        asked.append(list(pages))

    monkeypatch.setattr(shared_heap, "copy", copy)
    return asked


def test_the_pages_of_the_first_shims_are_copied(copied: list[list[int]]) -> None:
    copies = Copies()
    for told in ([8192, 4096], [4096, 12288], []):
        assert not copies.are_known
        copies.add(marshal.dumps(told))
    assert copies.are_known
    copies.make()
    assert copied == [[4096, 8192, 12288]]


@pytest.mark.parametrize("told", [b"", b"[", marshal.dumps([1, 2, 3])[:-2]])
def test_a_shim_that_is_killed_while_it_tells_tells_nothing(
    copied: list[list[int]], told: bytes
) -> None:
    copies = Copies()
    copies.add(told)
    copies.make()
    assert copied == [[]]
