# SPDX-License-Identifier: Apache-2.0
"""Mount options: words to numbers. That the words mean so to mount(8) is in tests/native."""

from __future__ import annotations

import itertools

import pytest

from runtime import mount_options
from runtime.errors import Unsupported
from runtime.mount_options import Options, parse

# <linux/mount.h>
RDONLY, NOSUID, NODEV, NOEXEC, ATIME = 1, 2, 4, 8, 0x70
NOATIME, STRICTATIME, NODIRATIME, NOSYMFOLLOW = 0x10, 0x20, 0x80, 0x200000
MS_REC, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = (
    1 << 14,
    1 << 17,
    1 << 18,
    1 << 19,
    1 << 20,
)
#: config.md#linux-mount-options: word -> (to set, to clear)
TABLE = {
    "ro": (RDONLY, 0),
    "rw": (0, RDONLY),
    "nosuid": (NOSUID, 0),
    "suid": (0, NOSUID),
    "nodev": (NODEV, 0),
    "dev": (0, NODEV),
    "noexec": (NOEXEC, 0),
    "exec": (0, NOEXEC),
    "noatime": (NOATIME, ATIME),
    "atime": (0, ATIME),
    "relatime": (0, ATIME),
    "norelatime": (0, ATIME),
    "strictatime": (STRICTATIME, ATIME),
    "nostrictatime": (0, ATIME),
    "nodiratime": (NODIRATIME, 0),
    "diratime": (0, NODIRATIME),
    "nosymfollow": (NOSYMFOLLOW, 0),
    "symfollow": (0, NOSYMFOLLOW),
}


def parsed(*words: str) -> Options:
    return parse(words, "/mounts/0")


@pytest.mark.parametrize("word", TABLE)
def test_an_attribute(word: str) -> None:
    options = parsed(word)
    assert (options.set, options.clear) == TABLE[word]
    assert (options.rset, options.rclear, options.data) == (0, 0, [])


@pytest.mark.parametrize("word", TABLE)
def test_an_attribute_of_the_tree(word: str) -> None:
    options = parsed("r" + word)
    assert (options.rset, options.rclear) == TABLE[word]
    assert (options.set, options.clear, options.data) == (0, 0, [])


def test_the_kernel_takes_any_two_words() -> None:
    """mount_setattr(2) refuses what is set and cleared at once, and an atime without clearing."""
    for words in itertools.permutations(TABLE, 2):
        options = parsed(*words)
        assert options.set & options.clear & ~ATIME == 0, words
        assert not options.set & ATIME or options.clear & ATIME == ATIME, words
        assert options.clear & ATIME in (0, ATIME), words


def test_the_later_word_wins() -> None:
    for words in itertools.permutations(TABLE, 2):
        options = parsed(*words)
        to_set, to_clear = TABLE[words[1]]
        assert options.set & to_set == to_set, words
        assert options.set & to_clear & ~to_set == 0, words
        assert options.clear & to_clear == to_clear, words


@pytest.mark.parametrize(
    ("word", "flags"),
    [
        ("private", MS_PRIVATE),
        ("rprivate", MS_PRIVATE | MS_REC),
        ("shared", MS_SHARED),
        ("rshared", MS_SHARED | MS_REC),
        ("slave", MS_SLAVE),
        ("rslave", MS_SLAVE | MS_REC),
        ("unbindable", MS_UNBINDABLE),
        ("runbindable", MS_UNBINDABLE | MS_REC),
    ],
)
def test_propagation(word: str, flags: int) -> None:
    assert parsed(word).propagation == flags
    assert parsed("rshared", word).propagation == flags


def test_binds() -> None:
    assert (parsed("bind").bind, parsed("bind").recursive) == (True, False)
    assert (parsed("rbind").bind, parsed("rbind").recursive) == (True, True)
    assert parsed("rbind", "bind").recursive
    assert not parsed("ro").bind


def test_words_of_the_runtime() -> None:
    assert parsed("tmpcopyup").copy_up
    assert parsed("src-nofollow").source_nofollow
    assert parsed("dest-nofollow").target_nofollow
    options = parsed()
    assert (options.copy_up, options.source_nofollow, options.target_nofollow) == (False,) * 3


def test_what_is_no_option_of_mount_goes_to_the_file_system_in_order() -> None:
    words = ("size=64k", "nosuid", "mode=755", "lowerdir=/a:/b", "sync", "gid=5", "x")
    assert parsed(*words).data == ["size=64k", "mode=755", "lowerdir=/a:/b", "sync", "gid=5", "x"]


@pytest.mark.parametrize("word", sorted(mount_options.IGNORED))
def test_words_without_a_meaning_go_nowhere(word: str) -> None:
    options = parsed(word)
    assert (options.data, options.words, options.set, options.clear) == ([], [], 0, 0)


@pytest.mark.parametrize("word", ["idmap", "ridmap"])
def test_an_id_map(word: str) -> None:
    assert (parsed("bind", word).idmap, parsed("bind").idmap) == (word, "")
    assert (parsed("idmap", "ridmap").idmap, parsed("ridmap", "idmap").idmap) == ("ridmap", "idmap")


def test_propagation_words_apply_one_by_one() -> None:
    options = parsed("rslave", "ro", "shared", "private")
    assert options.earlier == [MS_SLAVE | MS_REC, MS_SHARED]
    assert options.propagation == MS_PRIVATE


def test_a_remount() -> None:
    everything = RDONLY | NOSUID | NODEV | NOEXEC | NODIRATIME | NOSYMFOLLOW
    assert parsed("remount").remount
    assert parsed("remount").unnamed == everything
    assert parsed("remount", "ro", "suid").unnamed == everything & ~RDONLY & ~NOSUID


@pytest.mark.parametrize("word", sorted(mount_options.NOT_RECURSIVE))
def test_flags_of_file_systems_have_no_recursive_form(word: str) -> None:
    """crun knows the words; mount_setattr(2) has no such attribute."""
    with pytest.raises(Unsupported, match=word) as caught:
        parsed("bind", "ro", word)
    assert caught.value.pointer == "/mounts/0/options/2"
    assert word[1:] in caught.value.hint


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("bind", "size=1k"), 1),
        (("rbind", "ro", "acl"), 2),
        (("bind", "tmpcopyup"), 1),
        (("bind", "src-nofollow", "copy-symlink"), 2),
        (("copy-symlink", "bind", "dest-nofollow"), 0),
    ],
)
def test_a_bind_refuses_what_it_would_have_to_ignore(words: tuple[str, ...], refused: int) -> None:
    with pytest.raises(Unsupported) as caught:
        mount_options.check_bind(parsed(*words))
    assert caught.value.pointer == f"/mounts/0/options/{refused}"


def test_a_bind_passes_over_flags_of_the_file_system() -> None:
    """mount(8), "Bind mount operation": the kernel ignores them."""
    mount_options.check_bind(parsed("bind", *sorted(mount_options.SUPERBLOCK), "iversion"))


@pytest.mark.parametrize("word", ["tmpcopyup", "copy-symlink", "src-nofollow", "idmap", "ridmap"])
def test_a_file_system_refuses_words_of_binds(word: str) -> None:
    with pytest.raises(Unsupported) as caught:
        mount_options.check_filesystem(parsed("ro", word), "ext4")
    assert caught.value.pointer == "/mounts/0/options/1"


def test_a_tmpfs_may_be_filled() -> None:
    mount_options.check_filesystem(parsed("tmpcopyup", "dest-nofollow"), "tmpfs")


def test_a_bind_with_any_attribute_loses_those_that_are_not_named() -> None:
    """As the remount that mount(8) and runc make of it; where the kernel allows."""
    everything = RDONLY | NOSUID | NODEV | NOEXEC | NODIRATIME | NOSYMFOLLOW
    assert parsed("bind").soft_clear == 0
    assert parsed("bind", "ro").soft_clear == everything & ~RDONLY
    assert parsed("bind", "rw", "nosuid").soft_clear == everything & ~RDONLY & ~NOSUID


def test_flags_of_the_old_call() -> None:
    options = parsed("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime")
    assert options.legacy_flags() == 1 | 2 | 4 | 8 | 1024 | 2048
    assert parsed("strictatime").legacy_flags() == 1 << 24
    assert parsed("ro", "rw").legacy_flags() == 0
    assert parsed("sync", "dirsync", "mand").legacy_flags() == 16 | 128 | 64
    assert parsed("lazytime", "iversion", "nosymfollow").legacy_flags() == 1 << 25 | 1 << 23 | 256
