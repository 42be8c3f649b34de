# SPDX-License-Identifier: Apache-2.0
"""The words of mount options mean to the init what they mean to mount(8)."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

from native.executable import PATH
from runtime.mount_options import ATTRIBUTES, IGNORED, PROPAGATION, SUPERBLOCK, parse
from tests.native.harness import Init
from tests.native.plans import RawOp
from tests.native.test_mounts import within
from tests.support import probe
from tests.support.features import requires

pytestmark = requires("root")
OPPOSITES = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("noatime", "atime"),
    ("strictatime", "nostrictatime"),
    ("nodiratime", "diratime"),
    ("nosymfollow", "symfollow"),
    ("sync", "async"),
    ("lazytime", "nolazytime"),
]
#: The kernel has no mandatory locks since 5.15; mount(8) may know no words of its own for these.
NOT_COMPARED = {"mand", "nomand"}
CASES = [
    *((word,) for pair in OPPOSITES for word in pair),
    *OPPOSITES,
    *((b, a) for a, b in OPPOSITES),
    # Of contradicting words on access times mount(8) takes the strongest; here the last one wins.
    *(("relatime",), ("norelatime",), ("relatime", "strictatime")),
    ("dirsync",),
    *((word,) for word in sorted(IGNORED - {"remount", "acl", "noacl"})),
    ("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"),
]


def of_mount(words: tuple[str, ...], rootfs: Path) -> tuple[set[str], set[str]]:
    """What mountinfo shows of a tmpfs that mount(8) made with these words."""
    target = rootfs / "tmp"
    script = 'mount -t tmpfs -o "$1" source "$2" && cat /proc/self/mountinfo'
    command = ["unshare", "-m", "sh", "-c", script, "sh", ",".join(words), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    mount = probe.mounts(result.stdout)[str(target)]
    return set(mount.options), set(mount.superoptions)


def of_init(words: tuple[str, ...], rootfs: Path) -> tuple[set[str], set[str]]:
    """The same of one that the init made."""
    options = parse(words, "")
    data = [*options.data, *(["ro"] if "ro" in words and options.set & 1 else [])]
    numbers = [options.set, options.propagation, len(data), options.legacy_flags()]
    op = RawOp("OP_MOUNT", "/tmp", "tmpfs", "source", data, numbers=numbers)
    mount = within(Init(Path(PATH)), rootfs, op).mounts["/tmp"]
    return set(mount.options), set(mount.superoptions)


@pytest.mark.parametrize("words", CASES, ids=",".join)
def test_words_mean_what_they_mean_to_mount(words: tuple[str, ...], rootfs: Path) -> None:
    if not shutil.which("mount"):
        pytest.skip("mount(8) is not installed")
    assert of_init(words, rootfs) == of_mount(words, rootfs)


def test_no_word_is_left_out() -> None:
    compared = set(itertools.chain(*CASES))
    assert ATTRIBUTES.keys() - compared == set()
    assert SUPERBLOCK - compared == NOT_COMPARED


@pytest.mark.parametrize("word", PROPAGATION)
def test_propagation_is_what_mountinfo_says(word: str, rootfs: Path) -> None:
    options = parse([word], "")
    op = RawOp("OP_MOUNT", "/tmp", "tmpfs", "t", [], numbers=[0, options.propagation, 0, 0])
    found = within(Init(Path(PATH)), rootfs, op).mounts["/tmp"].propagation
    kind = word.removeprefix("r") if word.startswith("r") else word
    assert [text.partition(":")[0] for text in found] == {
        "private": [],
        "shared": ["shared"],
        "slave": [],  # of nothing: a mount that was in no peer group stays private
        "unbindable": ["unbindable"],
    }[kind]
