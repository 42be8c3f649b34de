# SPDX-License-Identifier: Apache-2.0
"""`@requires` skips, and MUST_RUN makes failures of its skips."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.support import features

if TYPE_CHECKING:
    from collections.abc import Iterator


class Item:
    """As much of a pytest item as `enforce` looks at."""

    def __init__(self, *needed: str) -> None:
        self.mark = features.requires(*needed).mark

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [self.mark] if name == self.mark.name else []


def enforce(*needed: str) -> None:
    features.enforce(cast("pytest.Item", Item(*needed)))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with root, without user namespaces and criu."""
    monkeypatch.delenv("MUST_RUN", raising=False)
    monkeypatch.setitem(features.FEATURES, "root", lambda: "")
    monkeypatch.setitem(features.FEATURES, "userns", lambda: "disabled")
    monkeypatch.setitem(features.FEATURES, "criu", lambda: "not installed")
    features.missing.cache_clear()
    yield
    features.missing.cache_clear()


def test_what_is_there_runs() -> None:
    enforce("root")


def test_what_is_missing_skips_with_the_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="userns: disabled"):
        enforce("root", "userns")


@pytest.mark.parametrize("must_run", ["userns", "root,userns", "all-here"])
def test_must_run_makes_it_a_failure(monkeypatch: pytest.MonkeyPatch, must_run: str) -> None:
    monkeypatch.setenv("MUST_RUN", must_run)
    with pytest.raises(pytest.fail.Exception, match="userns: disabled"):
        enforce("userns")


def test_all_here_does_not_ask_for_what_set_up_does_not_provide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUST_RUN", "all-here")
    with pytest.raises(pytest.skip.Exception):
        enforce("criu")


def test_an_unknown_feature_is_an_error() -> None:
    with pytest.raises(ValueError, match="cgrup1"):
        features.requires("cgrup1")
