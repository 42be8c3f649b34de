# SPDX-License-Identifier: Apache-2.0
"""The wire format of protocol buffers, against the examples of its documentation."""

from __future__ import annotations

import pytest

from runtime import protobuf


def test_integers_are_varints() -> None:
    assert protobuf.encode([(1, 150)]) == bytes.fromhex("089601")
    assert protobuf.encode([(1, 0), (2, True)]) == bytes.fromhex("08001001")


def test_a_negative_integer_takes_ten_bytes() -> None:
    assert protobuf.encode([(1, -1)]) == bytes.fromhex("08ffffffffffffffffff01")


def test_text_has_its_length_in_front() -> None:
    assert protobuf.encode([(2, "testing")]) == bytes.fromhex("120774657374696e67")


def test_a_message_in_a_message_is_bytes() -> None:
    inner = protobuf.encode([(1, 150)])
    assert protobuf.encode([(3, inner)]) == bytes.fromhex("1a03089601")


def test_what_was_encoded_is_decoded() -> None:
    fields: list[tuple[int, int | str | bytes]] = [
        (1, 150),
        (2, "testing"),
        (16, -2),
        (2, b"\xff\0"),
        (400, 1 << 63),
    ]
    decoded = protobuf.decode(protobuf.encode(fields))
    assert decoded == {1: [150], 2: [b"testing", b"\xff\0"], 16: [(1 << 64) - 2], 400: [1 << 63]}
    assert protobuf.integer(decoded, 16) == -2


def test_fixed_widths_are_read() -> None:
    data = b"\x0d" + bytes([1, 0, 0, 0]) + b"\x11" + bytes([2, 0, 0, 0, 0, 0, 0, 0])
    assert protobuf.decode(data) == {1: [1], 2: [2]}


def test_the_last_value_of_a_singular_field_counts() -> None:
    fields = protobuf.decode(protobuf.encode([(1, 5), (2, "a"), (1, 7), (2, "b")]))
    assert protobuf.integer(fields, 1) == 7
    assert protobuf.text(fields, 2) == "b"


def test_an_absent_field_has_its_default() -> None:
    assert protobuf.integer({}, 1, 9) == 9
    assert protobuf.text({}, 2) == ""


def test_a_field_of_the_other_kind_is_refused() -> None:
    fields = protobuf.decode(protobuf.encode([(1, 5), (2, "a")]))
    with pytest.raises(protobuf.Malformed, match="field 2 is not an integer"):
        protobuf.integer(fields, 2)
    with pytest.raises(protobuf.Malformed, match="field 1 is an integer"):
        protobuf.octets(fields, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",  # no value
        b"\x08\xff",  # a varint that goes on
        b"\x08" + b"\xff" * 11,  # a varint that is too long
        b"\x12\x05abc",  # text that is too short
        b"\x0d\x01",  # four bytes, of which one is there
        b"\x0b",  # a group, which nobody has used for years
        b"\x00\x01",  # field number 0
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(protobuf.Malformed, match=r"cut off|too long|wire type|number 0"):
        protobuf.decode(data)
