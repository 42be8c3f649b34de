# SPDX-License-Identifier: Apache-2.0
"""Each word on mount attributes of a tree and on propagation, in a container that is run with it.

That words without an r mean what they mean to mount(8) is in tests/native.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime.mount_options import RECURSIVE
from tests.support import probe
from tests.support.cli import is_orlop
from tests.support.features import requires
from tests.support.mounting import add

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import RunProbe
    from tests.support import leaks
    from tests.support.bundle import Bundle

pytestmark = [
    requires("root"),
    pytest.mark.v2,
    pytest.mark.skipif(not is_orlop(), reason="runc 1.1 does otherwise"),
]

PLAIN = {"rw", "relatime"}
#: What a tree has whose every mount restricts what it can, and its access times.
STRICT = {"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"}
#: Word -> the options of mounts that were PLAIN, with it.
SET = {
    "rro": {"ro", "relatime"},
    **{f"r{word}": {*PLAIN, word} for word in STRICT - {"ro", "noatime"}},
    "rnoatime": {"rw", "noatime"},
    "rstrictatime": {"rw"},
}
#: Word -> the options of mounts that were STRICT, with it.
CLEARED = {
    "rrw": STRICT - {"ro"} | {"rw"},
    "rsuid": STRICT - {"nosuid"},
    "rdev": STRICT - {"nodev"},
    "rexec": STRICT - {"noexec"},
    "rdiratime": STRICT - {"nodiratime"},
    "rsymfollow": STRICT - {"nosymfollow"},
    "rstrictatime": STRICT - {"noatime"},
    **{
        word: STRICT - {"noatime"} | {"relatime"}
        for word in ("ratime", "rrelatime", "rnorelatime", "rnostrictatime")
    },
}


@pytest.fixture
def tree(tmp_path: Path, watch: leaks.Watch) -> Iterator[Path]:
    """A mount with one below it, in a peer group each."""
    assert not watch.found()
    top = tmp_path / "tree"
    for directory in (top, top / "below"):
        directory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tree", directory], check=True)
        subprocess.run(["mount", "--make-shared", directory], check=True)
    yield top
    subprocess.run(["umount", "--recursive", top], check=True)


def options_of(run_probe: RunProbe, bundle: Bundle, tree: Path, words: list[str]) -> list[set[str]]:
    """The options of the bound tree's mounts, with one word each."""
    for word in words:
        add(bundle, f"/work/{word}", "bind", tree, "rbind", word)
    mounts = probe.mounts(run_probe("mounts"))
    for word in words:
        assert mounts[f"/work/{word}"].options == mounts[f"/work/{word}/below"].options, word
    return [set(mounts[f"/work/{word}"].options) for word in words]


def test_a_word_with_an_r_is_in_force_in_the_whole_tree(
    run_probe: RunProbe, bundle: Bundle, tree: Path
) -> None:
    found = options_of(run_probe, bundle, tree, list(SET))
    assert dict(zip(SET, found, strict=True)) == SET


def test_a_word_with_an_r_ends_a_restriction_of_the_whole_tree(
    run_probe: RunProbe, bundle: Bundle, tree: Path
) -> None:
    for directory in (tree, tree / "below"):
        options = ",".join(["remount", "bind", *STRICT])
        command = ["mount", "-o", options, str(directory)]
        subprocess.run(command, check=True)
    found = options_of(run_probe, bundle, tree, list(CLEARED))
    assert dict(zip(CLEARED, found, strict=True)) == CLEARED


def test_no_word_is_left_out() -> None:
    assert SET.keys() | CLEARED.keys() == RECURSIVE.keys()


WORDS = ["private", "slave", "shared", "unbindable"]
WORDS += [f"r{word}" for word in WORDS]
ROOT = [None, *WORDS]


def first(root: str | None) -> set[str]:
    """What a mount of a peer group is when it comes into a container with a rootfsPropagation.

    Absent is rslave. The words without an r are about the root alone, and leave the mount shared.
    """
    if root in (None, "rslave"):
        return {"master"}
    return {"shared"} if root in ("private", "slave", "shared", "rshared") else set()


def after(state: set[str], word: str) -> set[str]:
    """The propagation of a mount that gets a word, by mount_namespaces(7)."""
    if word == "shared":
        return state - {"unbindable"} | {"shared"}
    if word == "slave":
        return state - {"shared"} | {"master"} if "shared" in state else state
    return {"unbindable"} if word == "unbindable" else set()


def expected(root: str | None, word: str) -> tuple[set[str], set[str]]:
    """What the top of the tree is, and the mount below it, with a word for the tree."""
    kind = word.removeprefix("r")
    top, below = after(first(root), kind), first(root)
    if word != kind:
        below = after(below, kind)
    if root in ("rshared", "runbindable"):  # the last word, on all mounts
        return after(top, root[1:]), after(below, root[1:])
    return top, below


@pytest.mark.parametrize("root", ROOT)
def test_propagation_of_a_tree_and_of_the_root(
    run_probe: RunProbe, bundle: Bundle, tree: Path, root: str | None
) -> None:
    if root is not None:
        bundle.linux["rootfsPropagation"] = root
    for word in WORDS:
        add(bundle, f"/work/{word}", "bind", tree, "rbind", word)
    mounts = probe.mounts(run_probe("mounts"))

    def propagation(target: str) -> set[str]:
        return {field.partition(":")[0] for field in mounts[target].propagation}

    found = {
        word: (propagation(f"/work/{word}"), propagation(f"/work/{word}/below")) for word in WORDS
    }
    assert found == {word: expected(root, word) for word in WORDS}
