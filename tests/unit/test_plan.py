# SPDX-License-Identifier: Apache-2.0
"""native/plan.py against native/plan.h, and docs/plan.md against both."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native import plan
from native._syscalls import ffi
from native.plan import ANSWER, HEADER, MESSAGE, NAMES, OPERATION, Message, Op, Plan, lib
from tests.native import header, plans

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "plan.md"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
CODES = [c for c in header.enums()["plan_code"] if c.name.startswith("OP_") and c.value]


class TestHeader:
    @pytest.mark.parametrize(
        ("name", "packed"),
        [
            ("plan_header", HEADER),
            ("plan_op", OPERATION),
            ("plan_message", MESSAGE),
            ("plan_answer", ANSWER),
        ],
    )
    def test_sizes_are_the_compilers(self, name: str, packed: struct.Struct) -> None:
        assert packed.size == ffi.sizeof(f"struct {name}")

    def test_members_stand_where_the_compiler_puts_them(self) -> None:
        data = bytearray(OPERATION.pack(1, 2, 3, *range(10, 16), *range(20, 24)))
        op = ffi.from_buffer("struct plan_op *", data)
        assert (op.code, op.flags, op.fd) == (1, 2, 3)
        assert list(op.string) == list(range(10, 16))
        assert list(op.number) == list(range(20, 24))

    def test_a_messages_members_too(self) -> None:
        data = bytearray(MESSAGE.pack(1, 2, 3, 4, -5, b"step", b"text"))
        message = ffi.from_buffer("struct plan_message *", data)
        numbers = (message.kind, message.op, message.code, message.value, message.error)
        assert numbers == (1, 2, 3, 4, -5)
        assert (ffi.string(message.step), ffi.string(message.text)) == (b"step", b"text")

    def test_numbers_are_those_of_the_header(self) -> None:
        assert {name: getattr(lib, name) for name in header.VALUES} == header.VALUES

    def test_every_operation_has_a_name_of_its_own(self) -> None:
        assert NAMES.keys() == {c.value for c in CODES}
        assert len(set(NAMES.values())) == len(NAMES)
        assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in NAMES.values())

    def test_codes_are_numbered_without_a_gap(self) -> None:
        assert sorted(c.value for c in CODES) == list(range(1, header.VALUES["PLAN_CODES"]))

    def test_flags_are_single_bits_of_16(self) -> None:
        flags = [c.value for c in header.enums()["plan_flag"]]
        assert len(set(flags)) == len(flags)
        assert all(flag & flag - 1 == 0 and flag < 1 << 16 for flag in flags)


class Unpacked:
    """A plan, read as plan.h says, by nothing of native/plan.py."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        fields = struct.unpack_from(plans.HEADER, data)
        self.header = dict(zip(plans.HEADER_FIELDS, fields, strict=True))
        self.ops = [
            struct.unpack_from(plans.OPERATION, data, 24 + 64 * index)
            for index in range(self.header["op_count"])
        ]
        self.blob = data[self.header["blob_offset"] :]

    def string(self, op: int, index: int) -> str:
        start = self.ops[op][3 + index]
        return self.blob[start : self.blob.index(b"\0", start)].decode("utf-8", "surrogateescape")

    def strings(self, op: int, index: int, count: int) -> list[str]:
        start = self.ops[op][3 + index]
        parts = self.blob[start:].split(b"\0", count)[:count]
        return [part.decode("utf-8", "surrogateescape") for part in parts]

    def bytes(self, op: int, index: int, size: int) -> bytes:
        start = self.ops[op][3 + index]
        return self.blob[start : start + size]

    def numbers(self, op: int) -> list[int]:
        return list(self.ops[op][9:])


def packed(*ops: Op) -> Unpacked:
    made = Plan()
    for op in ops:
        made.add(op)
    return Unpacked(made.pack())


class TestPacking:
    def test_the_header_tells_the_truth(self) -> None:
        found = packed(Op(lib.OP_UMASK, ""), Op(lib.OP_CGROUP, "", fd="a"))
        assert found.header == {
            "magic": lib.PLAN_MAGIC,
            "version": lib.PLAN_VERSION,
            "op_size": 64,
            "total": len(found.data),
            "op_count": 2,
            "blob_offset": 24 + 2 * 64,
            "fd_count": 1,
        }
        assert found.data[:4] == b"ORLP"
        assert (found.blob[0], found.blob[-1]) == (0, 0)

    def test_an_operation_is_what_was_said(self) -> None:
        op = Op(lib.OP_BIND, "x", "/a", "/b", pointer="/p", numbers=[1, 2**64 - 1, -1], flags=5)
        found = packed(op)
        assert found.ops[0][:3] == (lib.OP_BIND, 5, -1)
        assert [found.string(0, index) for index in range(6)] == ["/p", "/a", "/b", "", "", ""]
        assert found.numbers(0) == [1, 2**64 - 1, 2**64 - 1, 0]

    def test_descriptors_are_indices_in_the_order_of_their_first_use(self) -> None:
        names = ["b", "a", "b", "", "c"]
        found = packed(*(Op(lib.OP_CGROUP, "", fd=name) for name in names))
        assert [op[2] for op in found.ops] == [0, 1, 0, -1, 2]
        made = Plan()
        made.ops = [Op(lib.OP_CGROUP, "", fd=name) for name in names]
        assert made.descriptors() == ["b", "a", "c"]

    @given(TEXT, TEXT, st.lists(TEXT), st.lists(TEXT), st.binary(max_size=20))
    def test_what_goes_in_comes_out(
        self, pointer: str, text: str, one: list[str], two: list[str], raw: bytes
    ) -> None:
        found = packed(
            Op(lib.OP_EXEC, "", text, one, two, pointer=pointer, numbers=[len(one), len(two)]),
            Op(lib.OP_GROUPS, "", raw, text, numbers=[len(raw)]),
        )
        assert (found.string(0, 0), found.string(0, 1)) == (pointer, text)
        assert found.strings(0, 2, len(one)) == one
        assert found.strings(0, 3, len(two)) == two
        assert found.bytes(1, 1, len(raw)) == raw
        assert found.string(1, 2) == text

    def test_bytes_of_paths_that_are_no_utf8_are_kept(self) -> None:
        data = packed(Op(lib.OP_CWD, "", "/\udcff")).data
        assert b"/\xff\0" in data

    def test_a_text_for_people_is_not_packed(self) -> None:
        assert b"for people" not in packed(Op(lib.OP_UMASK, "for people")).data

    def test_a_string_is_stored_once(self) -> None:
        data = packed(*[Op(lib.OP_CWD, "", "/the/same", pointer="/p")] * 3).data
        assert data.count(b"/the/same") == 1

    def test_a_plan_that_is_too_large_is_refused(self) -> None:
        room = lib.PLAN_MAX_SIZE - len(packed(Op(lib.OP_CWD, "", "/")).data)
        assert packed(Op(lib.OP_CWD, "", "/" * (room + 1))).header["total"] == lib.PLAN_MAX_SIZE
        with pytest.raises(ValueError, match="too large"):
            packed(Op(lib.OP_CWD, "", "/" * (room + 2)))

    def test_too_many_descriptors_are_refused(self) -> None:
        ops = [Op(lib.OP_CGROUP, "", fd=str(n)) for n in range(lib.PLAN_MAX_FDS + 1)]
        assert packed(*ops[:-1]).header["fd_count"] == lib.PLAN_MAX_FDS
        with pytest.raises(ValueError, match=f"{len(ops)} descriptors"):
            packed(*ops)

    def test_an_operation_describes_itself(self) -> None:
        assert Op(lib.OP_SETSID, "").describe() == "setsid"
        assert Op(lib.OP_UMASK, "0022").describe() == "umask 0022"


def message(step: bytes = b"", text: bytes = b"", code: int = 0) -> Message:
    return Message(MESSAGE.pack(3, 7, code, 9, 2, step, text))


class TestMessages:
    def test_members_are_named(self) -> None:
        found = message(b"openat2", b"/mounts/1\0/data\0a detail\0", lib.OP_MOUNT)
        assert (found.kind, found.op, found.code, found.value, found.error) == (
            *(3, 7, lib.OP_MOUNT),
            *(9, 2),
        )
        assert (found.step, found.name) == ("openat2", "mount")
        assert (found.pointer, found.subject, found.detail) == ("/mounts/1", "/data", "a detail")

    def test_texts_may_be_missing(self) -> None:
        found = message()
        assert (found.step, found.pointer, found.subject, found.detail) == ("",) * 4
        assert found.name == "init"

    @pytest.mark.parametrize("text", [b"x" * 976, b"\0" * 976, b"a\0" + b"x" * 974, b"\xff\0\xfe"])
    def test_any_text_is_read(self, text: bytes) -> None:
        found = message(b"s" * 28, text)
        assert found.step == "s" * 28
        assert all("\0" not in part for part in (found.pointer, found.subject, found.detail))

    def test_an_unknown_code_has_a_name(self) -> None:
        assert message(code=60000).name == "init"

    @pytest.mark.parametrize("size", [0, 1, MESSAGE.size - 1, MESSAGE.size + 1])
    def test_another_size_is_no_message(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"message of {size} bytes"):
            Message(b"\0" * size)


def table(enum: str) -> str:
    """An enum of plan.h as a table of docs/plan.md."""
    constants = [c for c in header.enums()[enum] if c.name not in ("OP_NONE", "PLAN_CODES")]
    if enum == "plan_code":
        rows = [f"| {c.value} | `{c.name}` | {NAMES[c.value]} | {c.comment} |" for c in constants]
        lines = [
            "| code | constant | name in texts | strings, numbers, flags |",
            "|---|---|---|---|",
        ]
    else:
        rows = [f"| {c.value} | `{c.name}` | {c.comment} |" for c in constants]
        lines = ["| value | constant | meaning |", "|---|---|---|"]
    return "\n".join([*lines, *(row.replace("*", "\\*").replace("  |", " |") for row in rows)])


def test_the_document_has_what_the_header_says() -> None:
    """UPDATE_GOLDEN=1 rewrites its tables."""
    text = DOCUMENT.read_text()
    pattern = r"(<!-- from native/plan.h: enum (\w+) -->\n).*?(<!-- end -->)"
    expected = re.sub(pattern, lambda m: f"{m[1]}{table(m[2])}\n{m[3]}", text, flags=re.DOTALL)
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(expected)
        text = expected
    assert set(re.findall(pattern, text, re.DOTALL)) != set()
    assert text == expected
    assert all(f"`{c.name}`" in text for c in CODES)
    assert all(f"| {name} |" in text for name in plan.NAMES.values())
