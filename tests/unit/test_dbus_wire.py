# SPDX-License-Identifier: Apache-2.0
"""D-Bus messages: what we write is what busctl writes, and what systemd writes is understood."""

from __future__ import annotations

import pytest

from runtime.cgroups import dbus_wire as wire
from runtime.cgroups.dbus_wire import Message, Variant
from tests.support import dbus_messages

PROPERTIES = [
    ("Slice", Variant("s", "a.slice")),
    ("Delegate", Variant("b", value=True)),
    ("PIDs", Variant("au", [42])),
    ("MemoryMax", Variant("t", 64 << 20)),
    ("AllowedCPUs", Variant("ay", b"\5\1")),
    ("DeviceAllow", Variant("a(ss)", [("/dev/char/1:3", "rwm")])),
    ("Wants", Variant("as", [])),
]
FIELDS = {
    wire.PATH: "/org/freedesktop/systemd1",
    wire.MEMBER: "StartTransientUnit",
    wire.INTERFACE: "org.freedesktop.systemd1.Manager",
    wire.DESTINATION: "org.freedesktop.systemd1",
}
ARGUMENTS: tuple[object, ...] = ("a-b.scope", "fail", PROPERTIES, [])
SIGNATURE = "ssa(sv)a(sa(sv))"


def read(data: bytes) -> Message:
    assert wire.length(data[: wire.FIXED_PART]) == len(data)
    return wire.unpack(data)


def test_a_call_is_busctls_but_for_the_flags() -> None:
    data = bytearray(wire.pack_call(2, FIELDS, SIGNATURE, ARGUMENTS))
    recorded = bytearray(dbus_messages.CALL)
    data[2] = recorded[2] = 0  # busctl allows interactive authorization
    assert data == recorded


def test_a_call_is_read_back() -> None:
    message = read(wire.pack_call(7, FIELDS, SIGNATURE, ARGUMENTS))
    assert (message.kind, message.serial) == (wire.METHOD_CALL, 7)
    assert message.fields == {**FIELDS, wire.SIGNATURE: SIGNATURE}
    expected = [(name, variant) for name, variant in PROPERTIES if name != "AllowedCPUs"]
    unit, mode, properties, auxiliary = message.arguments()
    assert (unit, mode, auxiliary) == ("a-b.scope", "fail", [])
    assert isinstance(properties, list)
    assert [each for each in properties if each[0] != "AllowedCPUs"] == expected
    assert dict(properties)["AllowedCPUs"].value == [5, 1]


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        ("y", 255),
        ("n", -2),
        ("q", 65535),
        ("i", -(1 << 31)),
        ("u", (1 << 32) - 1),
        ("x", -1),
        ("t", (1 << 64) - 1),
        ("d", 1.5),
        ("b", False),
        ("s", "héllo"),
        ("o", "/a/b"),
        ("g", "a{sv}"),
        ("(yt)", (1, 2)),
        ("aat", [[1], [], [2, 3]]),
        ("v", Variant("as", ["x"])),
        ("a{sv}", [("k", Variant("t", 3))]),
    ],
)
def test_values_survive(signature: str, value: object) -> None:
    # a byte before it, so that alignment matters
    message = read(wire.pack_call(1, {}, f"y{signature}y", [9, value, 8]))
    assert message.arguments() == [9, value, 8]


def test_what_systemd_says() -> None:
    reply = read(dbus_messages.VERSION)
    assert reply.kind == wire.METHOD_RETURN
    assert reply.fields[wire.REPLY_SERIAL] == 1
    assert reply.arguments() == [Variant("s", "252.38-1~deb12u1")]

    removed = read(dbus_messages.JOB_REMOVED)
    assert (removed.kind, removed.fields[wire.MEMBER]) == (wire.SIGNAL, "JobRemoved")
    number, path, unit, result = removed.arguments()
    assert path == f"/org/freedesktop/systemd1/job/{number}"
    assert (unit, result) == ("x.scope", "done")

    error = read(dbus_messages.UNIT_EXISTS)
    assert error.kind == wire.ERROR
    assert error.fields[wire.ERROR_NAME] == "org.freedesktop.systemd1.UnitExists"
    assert error.arguments() == ["Unit x.scope was already loaded or has a fragment file."]

    changed = read(dbus_messages.PROPERTIES_CHANGED)
    assert changed.fields[wire.SIGNATURE] == "sa{sv}as"
    _, pairs, _ = changed.arguments()
    assert isinstance(pairs, list)
    assert all(isinstance(value, Variant) for _, value in pairs)


def big_endian() -> bytes:
    """Return a signal with one u of 258, made by hand as a big-endian machine would."""
    fields = b"\x08\x01g\x00\x01u\x00"
    return (
        b"B\x04\x00\x01" + b"\0\0\0\x04" + b"\0\0\0\x09" + b"\0\0\0\x07" + fields + b"\0"
    ) + b"\0\0\x01\x02"


def test_the_other_byte_order() -> None:
    message = read(big_endian())
    assert (message.kind, message.serial, message.arguments()) == (wire.SIGNAL, 9, [258])


@pytest.mark.parametrize("cut", [20, 60, 120])
def test_a_truncated_message_is_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match=r"ends too|decode"):
        wire.unpack(dbus_messages.JOB_REMOVED[:-cut]).arguments()


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"HTTP/1.1 400 Bad", "not a message of D-Bus"),
        (b"l\x02\x00\x02" + bytes(12), "not a message of D-Bus"),
        (b"l\x02\x00\x01" + b"\xff\xff\xff\x7f" + bytes(8), "a message of"),
    ],
)
def test_what_is_no_message(head: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        wire.length(head)


@pytest.mark.parametrize(
    "signature", ["", "a", "(", "()", "(s", "z", "ss", "a{", "v" * 2, "a" * 40 + "s"]
)
def test_what_is_no_type(signature: str) -> None:
    with pytest.raises(ValueError, match=r"signature|not known|members|not a variant"):
        wire.pack_call(1, {}, "v", [Variant(signature, "x")])


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        ("t", -1),
        ("t", "1"),
        ("y", 256),
        ("s", "a\0b"),
        ("s", 5),
        ("as", 5),
        ("v", 5),
        ("(ss)", "a"),
    ],
)
def test_a_value_of_another_type_is_an_error(signature: str, value: object) -> None:
    with pytest.raises(ValueError, match="is not"):
        wire.pack_call(1, {}, signature, [value])


def nested(depth: int) -> Variant:
    value = Variant("s", "x")
    for _ in range(depth):
        value = Variant("v", value)
    return value


def test_nesting_has_an_end() -> None:
    message = read(wire.pack_call(1, {}, "v", [nested(40)]))
    with pytest.raises(ValueError, match="nests too deep"):
        message.arguments()
