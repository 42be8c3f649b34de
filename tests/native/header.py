# SPDX-License-Identifier: Apache-2.0
"""native/plan.h as its readers see it: names, numbers and comments, without cffi or a compiler."""

from __future__ import annotations

import re
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "native" / "plan.h"
_ENUM = re.compile(r"enum (\w* ?)\{(.*?)\n\};", re.DOTALL)
_MEMBER = re.compile(r"(\w+)\s*=\s*(\w+),?\s*(?:/\*(.*?)\*/)?", re.DOTALL)


class Constant:
    """A member of an enum: its number, and the comment that says what it means."""

    __slots__ = ("comment", "name", "value")

    def __init__(self, name: str, value: int, comment: str) -> None:
        self.name, self.value, self.comment = name, value, comment


def enums() -> dict[str, list[Constant]]:
    """The members of each enum by its name; "" for the one without."""
    found: dict[str, list[Constant]] = {}
    for name, body in _ENUM.findall(PATH.read_text()):
        members = [
            Constant(member, int(value, 0), " ".join(comment.split()))
            for member, value, comment in _MEMBER.findall(body)
        ]
        found[name.strip()] = members
    return found


#: name -> number, of all enums.
VALUES = {constant.name: constant.value for members in enums().values() for constant in members}
