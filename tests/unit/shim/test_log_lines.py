# SPDX-License-Identifier: Apache-2.0
"""Lines of logs, however the bytes came."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.log_lines import Lines

LINE = 16384
TEXT = st.lists(st.sampled_from([b"\n", b"a", b"\xff\x00", b"\n\n", b"x" * 5000, b"y" * LINE]))


def entries(layout: str, parts: list[bytes]) -> list[tuple[str, bytes, bool]]:
    """Stream, text and wholeness of what these bytes become, part by part."""
    lines = Lines(layout, "stderr")
    text = b"".join(map(lines.add, parts)) + lines.end()
    found = []
    for entry in text.split(b"\n")[:-1]:
        if layout == "cri":
            match = re.fullmatch(rb"[-\dT:.]{29}Z (\w+) ([FP]) (.*)", entry, re.DOTALL)
            assert match is not None
            found.append((match[1].decode(), match[3], match[2] == b"F"))
        else:
            value = json.loads(entry)
            line = value["log"].encode()
            found.append((value["stream"], line.removesuffix(b"\n"), line.endswith(b"\n")))
    assert text == b"" or text.endswith(b"\n")
    return found


def expected(data: bytes, layout: str) -> list[tuple[str, bytes, bool]]:
    """The same, as the formats have it."""
    found = []
    *lines, rest = data.split(b"\n")
    for line in lines:
        pieces = [line[at : at + LINE] for at in range(0, len(line), LINE)] or [b""]
        found += [("stderr", piece, False) for piece in pieces[:-1]]
        found.append(("stderr", pieces[-1], True))
    pieces = [rest[at : at + LINE] for at in range(0, len(rest), LINE)]
    found += [("stderr", piece, False) for piece in pieces]
    if layout == "json" and pieces and len(pieces[-1]) < LINE:
        found[-1] = ("stderr", pieces[-1], True)
    return found


@pytest.mark.parametrize("layout", ["cri", "json"])
@given(parts=TEXT)
def test_all_at_once_is_as_the_formats_have_it(layout: str, parts: list[bytes]) -> None:
    data = b"".join(parts)
    wanted = expected(data, layout)
    if layout == "json":  # JSON is text
        wanted = [(s, t.decode(errors="replace").encode(), w) for s, t, w in wanted]
    assert entries(layout, [data]) == wanted


@given(parts=TEXT)
def test_no_byte_is_lost_or_moved_when_it_comes_in_parts(parts: list[bytes]) -> None:
    """A long line may be cut where it came, so what is compared is what readers put together."""

    def joined(found: list[tuple[str, bytes, bool]]) -> bytes:
        return b"".join(line + b"\n" * whole for _, line, whole in found)

    assert joined(entries("cri", parts)) == b"".join(parts)
    assert all(len(line) <= LINE for _, line, _ in entries("cri", parts))
