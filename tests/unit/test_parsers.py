# SPDX-License-Identifier: Apache-2.0
"""All that reads what others wrote: a value, or an error of ours, whatever the text.

Schemas, JSON, state files, options and filters have tests of this kind beside their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from native.plan import MESSAGE, Message
from runtime import exec_cgroup, explain, intelrdt, mount_options, number_list, options, signals
from runtime.cgroups import host, paths, systemd_annotations
from runtime.exec_process import parse_user
from runtime.warm import Request
from spec.errors import OrlopError

if TYPE_CHECKING:
    from collections.abc import Callable

#: int() refuses more than 4300 digits with an error of its own.
LONG = "9" * 5000
TEXT = st.text(max_size=40) | st.text("0123456789,-:+/.= ", max_size=12)
WORDS = st.lists(TEXT | st.sampled_from(sorted(mount_options.EXTENSIONS)), max_size=5)


def tried(parse: Callable[[], object]) -> object:
    """What it returns; None where it refuses."""
    try:
        return parse()
    except OrlopError as error:
        assert str(error)  # noqa: PT017 - either way is right
        return None


@given(TEXT)
@example("1000")
@example("1000:5")
@example("1000:")
@example(":5")
@example("1000:5x")
@example("-1")
@example("4294967296")
@example("4294967295")
@example("\uff11\uff10")  # digits of another script
@example(LONG)
def test_any_user_is_read_exactly_or_refused(text: str) -> None:
    """CVE-2026-30892."""
    found = tried(lambda: parse_user(text))
    if found is not None:
        uid, gid = parse_user(text)
        parts = [str(int(part)) for part in text.split(":")]
        assert parts == [str(uid), *([] if gid is None else [str(gid)])]
        assert 0 <= uid < 2**32 - 1
        assert gid is None or 0 <= gid < 2**32 - 1


@given(TEXT)
@example(LONG)
@example("RTMIN+" + LONG)
@example("SIGRTMAX-1")
@example("९")
def test_any_signal_is_one_or_refused(text: str) -> None:
    found = tried(lambda: signals.parse(text))
    assert found is None or 0 <= signals.parse(text) <= 64


@given(WORDS)
def test_any_mount_options_are_read_or_refused(words: list[str]) -> None:
    tried(lambda: mount_options.parse(words, "/mounts/0"))


@given(WORDS)
def test_any_places_of_exec_are_read_or_refused(words: list[str]) -> None:
    tried(lambda: exec_cgroup.parse(words))


@given(st.from_regex(r"[0-9]{1,12}(-[0-9]{1,12})?(,[0-9]{1,4}(-[0-9]{1,4})?){0,3}", fullmatch=True))
@example("4294967295-1")
@example("9" * 100 + "-0")
def test_any_list_that_the_schema_allows_is_a_set_or_refused(text: str) -> None:
    found = tried(lambda: number_list.bits(text, "/linux"))
    assert found is None or len(number_list.bits(text, "/linux")) % 8 == 0


@given(TEXT | st.text("[](){}'\"@<>abisu0123456789,. ", max_size=60))
@example("[" * 10000)
@example("'" + "\\u" * 9)
@example("uint32 " + LONG)
@example(LONG)
@example("@" * 50)
def test_any_annotation_is_a_value_or_refused(text: str) -> None:
    try:
        systemd_annotations.parse(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either way is right


@given(st.binary(min_size=MESSAGE.size, max_size=MESSAGE.size))
@example(bytes(MESSAGE.size))
@example(b"\xff" * MESSAGE.size)
def test_any_message_of_an_init_is_a_failure_that_can_be_said(data: bytes) -> None:
    message = Message(data)
    assert str(explain.failure(message))


@given(st.binary(max_size=64))
def test_a_message_of_another_size_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="message of"):
        Message(data)


@pytest.mark.parametrize("text", [LONG, "-" + LONG, "9" * 20, "\uff11"])
def test_a_count_of_any_length_is_read_or_refused(text: str) -> None:
    flag = options.Flag("preserve-fds", "", options.COUNT)
    tried(lambda: options.parse((flag,), ["--preserve-fds", text]))


@given(st.text(max_size=40) | st.text("./a:", max_size=16))
@example("/../../x")
@example("..")
@example("a/../../../b")
@example("//x")
@example("\0")
def test_any_cgroups_path_stays_below_the_top_or_is_refused(text: str) -> None:
    found = tried(lambda: paths.inner(text, "id"))
    assert found is None or isinstance(found, str)
    if found is not None:
        parts = found.removeprefix("/").split("/")
        assert not {"", ".", ".."} & set(parts)
        assert not {"\0", "\n"} & set(found)


@given(TEXT | st.text("L3MBA:=;0123456789abcdef ", max_size=30))
@example("L3:0=" + "f" * 5000)
@example("MB:0=" + LONG)
def test_any_line_of_schemata_is_read_or_refused(text: str) -> None:
    tried(lambda: intelrdt.parse_schema(text))


@given(st.lists(st.text("abc/:,=.0123", max_size=20), max_size=5))
def test_any_membership_of_the_kernels_form_is_read(texts: list[str]) -> None:
    lines = [f"{number}:{text.replace(':', '')}:/{text}" for number, text in enumerate(texts)]
    found = host.parse_memberships("\n".join(lines))
    assert [each.path for each in found] == [f"/{text}" for text in texts]


@given(
    st.binary(max_size=200) | st.lists(st.integers(-2, 9).map(str)).map("\0".join).map(str.encode)
)
@example(b"1\0/bin\x0018\0" + LONG.encode() + b"\0")
@example(b"1\0/bin\x0018\x000\0-1\0")
def test_any_request_to_a_planner_is_read_or_refused(content: bytes) -> None:
    try:
        request = Request(content, [3, 4, 5])
    except (ValueError, IndexError):
        return
    assert request.directory == 3
    assert set(request.fds.values()) <= {4, 5}
