# SPDX-License-Identifier: Apache-2.0
"""The eBPF program of `linux.resources.devices` does what a plain reading of the rules says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from runtime.cgroups import device_rules
from runtime.cgroups.device_program import compile_program
from spec.errors import OrlopError
from tests.ebpf import BLOCK, CHAR, MKNOD, READ, WRITE, Program, allowed

if TYPE_CHECKING:
    from spec.types import LinuxDeviceCgroup

#: Few numbers, so that rules meet each other and the requests; those of the default rules too.
MAJORS, MINORS = [0, 1, 5, 8, 0xFFFFFFFF], [0, 2, 3, 0x80000000]

rules = st.lists(
    st.fixed_dictionaries(
        {"allow": st.booleans()},
        optional={
            "type": st.sampled_from(["a", "b", "c"]),
            "major": st.sampled_from([-1, *MAJORS]),
            "minor": st.sampled_from([-1, *MINORS]),
            "access": st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm", ""]),
        },
    ),
    max_size=6,
)
DEFAULTS: list[LinuxDeviceCgroup] = [
    {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}
    for kind, major, minor, access in device_rules.DEFAULT_ALLOWED
]


def program(given_rules: list[LinuxDeviceCgroup]) -> Program:
    compiled = Program(compile_program(device_rules.evaluate(given_rules, "/d")))
    compiled.verify()
    return compiled


@given(
    rules,
    st.sampled_from([BLOCK, CHAR]),
    st.integers(0, MKNOD | READ | WRITE),
    st.sampled_from(MAJORS),
    st.sampled_from(MINORS),
)
@example(
    [{"allow": True}, {"allow": False, "type": "c", "major": 8, "access": "w"}],
    CHAR,
    READ | WRITE,
    8,
    0,
)
@example(
    [
        {"allow": True, "type": "c", "major": 8, "minor": 0, "access": "r"},
        {"allow": True, "type": "c", "major": 8, "access": "w"},
    ],
    CHAR,
    READ | WRITE,
    8,
    0,
)
def test_program_agrees_with_the_rules(
    given_rules: list[LinuxDeviceCgroup], kind: int, access: int, major: int, minor: int
) -> None:
    try:
        compiled = program(given_rules)
    except OrlopError:
        assume(False)  # noqa: FBT003 - a hole in a wider rule, which is refused
    expected = allowed([*given_rules, *DEFAULTS], kind, access, major, minor)
    assert compiled.run(kind, access, major, minor) == int(expected)


@pytest.mark.parametrize("access", [0, MKNOD, READ, WRITE, READ | WRITE])
def test_default_devices(access: int) -> None:
    compiled = program([{"allow": False, "access": "rwm"}])
    assert compiled.run(CHAR, access, 1, 3) == 1
    assert compiled.run(CHAR, access, 136, 77) == 1
    assert compiled.run(CHAR, access, 1, 1) == int(access in (0, MKNOD))
    assert compiled.run(BLOCK, access, 8, 0) == int(access in (0, MKNOD))
    assert compiled.run(CHAR, access, 5, 1) == int(access in (0, MKNOD))


def test_all_devices() -> None:
    compiled = program([{"allow": True, "access": "rwm"}])
    assert len(compiled.instructions) == 8
    assert compiled.run(BLOCK, READ | WRITE | MKNOD, 259, 1 << 19) == 1


def test_a_number_that_no_device_has() -> None:
    with pytest.raises(OrlopError, match="no device number") as caught:
        program([{"allow": True, "type": "c", "major": 1, "minor": 1 << 32}])
    assert caught.value.pointer == "/d/0/minor"


def test_an_empty_type_means_all() -> None:
    compiled = program([{"allow": True, "type": "", "major": 8, "minor": 0}])
    assert compiled.run(CHAR, READ, 8, 0) == compiled.run(BLOCK, WRITE, 8, 0) == 1
