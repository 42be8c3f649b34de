# SPDX-License-Identifier: Apache-2.0
"""Messages of rtnetlink: what is packed can be unpacked, and what is broken ends the reading."""

from __future__ import annotations

import errno
from _struct import pack

import pytest

from runtime import rtnetlink
from runtime.rtnetlink import Address, messages, pack_attributes, unpack_attributes


def test_attributes_are_aligned_and_keep_their_bytes() -> None:
    attributes = {3: b"eth0\0", 28: b"\1\2\3\4", 9: b""}
    data = pack_attributes(attributes)
    assert len(data) == 12 + 8 + 4
    assert unpack_attributes(data) == attributes


def test_flags_in_an_attributes_type_are_not_its_name() -> None:
    assert unpack_attributes(pack_attributes({0x8000 | 5: b"abcd"})) == {5: b"abcd"}


@pytest.mark.parametrize("data", [b"", b"\4", b"\0\0\1\0abcd", b"\3\0\1\0"])
def test_attributes_that_are_too_short_end_the_list(data: bytes) -> None:
    assert unpack_attributes(data) == {}


def test_a_datagram_has_several_messages() -> None:
    first = pack("=IHHII", 16 + 5, 16, 2, 7, 0) + b"abcde" + bytes(3)
    second = pack("=IHHII", 16, 3, 2, 7, 0)
    assert list(messages(first + second)) == [(16, 2, 7, b"abcde"), (3, 2, 7, b"")]


def test_a_message_shorter_than_its_header_ends_the_datagram() -> None:
    assert list(messages(pack("=IHHII", 8, 16, 2, 7, 0))) == []


def test_an_error_has_the_kernels_own_words() -> None:
    body = pack("=i", -errno.EEXIST) + bytes(16) + pack_attributes({1: b"File name is taken.\0"})
    with pytest.raises(FileExistsError) as caught:
        rtnetlink._check(2, 0x200, body)
    assert caught.value.strerror == "File exists (File name is taken)"


def test_no_error_is_an_acknowledgement() -> None:
    rtnetlink._check(2, 0x100, pack("=i", 0) + bytes(16))


def test_an_address_is_given_without_what_was_the_old_links() -> None:
    attributes = {1: bytes([192, 0, 2, 7]), 2: bytes([192, 0, 2, 7]), 3: b"d0\0", 6: bytes(16)}
    address = Address(2, 24, 0x80 | 0x200, 0, attributes)
    assert address.text() == "192.0.2.7/24"
    head, rest = address.message(5)[:8], unpack_attributes(address.message(5)[8:])
    assert head == pack("=BBBBI", 2, 24, 0, 0, 5)
    assert rest == {1: attributes[1], 2: attributes[2], 8: pack("=I", 0x200)}
