# SPDX-License-Identifier: Apache-2.0
"""Lists of CPUs and nodes as sets of bits; scheduling as the kernel takes it, and when."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native.plan import lib
from runtime import number_list, scheduling
from runtime.context import Context, Request
from runtime.execute import compile_exec
from spec.errors import InvalidSpec
from tests.unit import configurations
from tests.unit.test_golden import facts

if TYPE_CHECKING:
    from native.plan import Op

MEMBERS = st.sets(st.integers(0, number_list.LIMIT - 1), max_size=20)


def members(data: bytes) -> set[int]:
    """The set, read as the kernel does: an array of unsigned long."""
    words = struct.unpack(f"={len(data) // 8}Q", data)
    return {64 * n + bit for n, word in enumerate(words) for bit in range(64) if word >> bit & 1}


class TestNumberList:
    @given(MEMBERS)
    def test_each_number_is_a_bit(self, numbers: set[int]) -> None:
        text = ",".join(map(str, numbers))
        assert members(number_list.bits(text, "/x")) == numbers

    @given(st.integers(0, 8191), st.integers(0, 200))
    def test_a_range_has_all_between(self, first: int, more: int) -> None:
        last = min(first + more, 8191)
        found = members(number_list.bits(f"{first}-{last}", "/x"))
        assert found == set(range(first, last + 1))

    def test_parts_may_overlap_and_have_blanks_around(self) -> None:
        assert members(number_list.bits(" 0-3 , 2, 65", "/x")) == {0, 1, 2, 3, 65}

    def test_it_is_as_long_as_its_highest_member_needs(self) -> None:
        lengths = [len(number_list.bits(text, "/x")) for text in ("", "0", "63", "64", "0-8191")]
        assert lengths == [0, 8, 8, 16, 1024]

    @pytest.mark.parametrize("text", ["8192", "0-8192", "1,0-99999999999999"])
    def test_what_no_kernel_has_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidSpec, match="too large") as caught:
            number_list.bits(text, "/linux/x")
        assert caught.value.pointer == "/linux/x"


class TestScheduler:
    def test_it_is_a_struct_sched_attr(self) -> None:
        data = scheduling.attributes(
            {
                "policy": "SCHED_DEADLINE",
                "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"],
                "runtime": 1,
                "deadline": 2,
                "period": 2**64 - 1,
            }
        )
        assert struct.unpack("=IIQiIQQQII", data) == (56, 6, 5, 0, 0, 1, 2, 2**64 - 1, 0, 0)

    def test_a_nice_value_may_be_negative(self) -> None:
        data = scheduling.attributes({"policy": "SCHED_OTHER", "nice": -20})
        assert struct.unpack_from("=i", data, 16) == (-20,)

    @pytest.mark.parametrize(
        ("given", "number"),
        [
            ({"class": "IOPRIO_CLASS_RT", "priority": 7}, 0x2007),
            ({"class": "IOPRIO_CLASS_BE"}, 0x4000),
            ({"class": "IOPRIO_CLASS_IDLE", "priority": 0}, 0x6000),
        ],
    )
    def test_an_io_priority_is_class_and_level(self, given: Any, number: int) -> None:  # noqa: ANN401 - JSON
        assert scheduling.io_priority(given) == number


def exec_plan(config: configurations.Config, *, cgroups: tuple[str, ...] = ("cpu",)) -> list[Op]:
    """The operations of an exec into a container with a pid and a mount namespace."""
    config["linux"]["namespaces"] = [{"type": kind, "path": "x"} for kind in ("mount", "pid")]
    made: Any = config
    context = Context(made, facts("hybrid"), Request("c1", ""))
    return compile_exec(context, ["mount", "pid"], cgroups).ops


class TestExec:
    def test_the_initial_cpus_come_before_the_cgroup_the_final_ones_after(self) -> None:
        config = configurations.default()
        config["process"]["execCPUAffinity"] = {"initial": "0", "final": "1"}
        ops = exec_plan(config)
        codes = [op.code for op in ops]
        first, second = (n for n, code in enumerate(codes) if code == lib.OP_AFFINITY)
        assert first < codes.index(lib.OP_CGROUP) < second < codes.index(lib.OP_SETNS)
        assert [ops[n].pointer for n in (first, second)] == [
            "/process/execCPUAffinity/initial",
            "/process/execCPUAffinity/final",
        ]
        assert [members(bytes(ops[n].strings[1])) for n in (first, second)] == [{0}, {1}]  # type: ignore[arg-type]

    def test_without_any_it_gets_all(self) -> None:
        (op,) = [op for op in exec_plan(configurations.default()) if op.code == lib.OP_AFFINITY]
        assert (op.pointer, op.strings) == ("", ())

    @pytest.mark.parametrize("empty", [{}, {"initial": "", "final": ""}])
    def test_empty_ones_are_none(self, empty: dict[str, str]) -> None:
        config = configurations.default()
        config["process"]["execCPUAffinity"] = empty
        (op,) = [op for op in exec_plan(config) if op.code == lib.OP_AFFINITY]
        assert op.pointer == ""

    def test_an_initial_one_alone_is_left_to_the_kernel(self) -> None:
        config = configurations.default()
        config["process"]["execCPUAffinity"] = {"initial": "3"}
        (op,) = [op for op in exec_plan(config) if op.code == lib.OP_AFFINITY]
        assert op.pointer == "/process/execCPUAffinity/initial"

    def test_labels_are_written_through_the_hosts_proc(self) -> None:
        config = configurations.default()
        config["process"]["apparmorProfile"] = "p"
        ops = exec_plan(config)
        (label,) = [op for op in ops if op.code == lib.OP_LABEL]
        assert (label.fd, label.strings[-1]) == ("proc", "exec p")
        codes = [op.code for op in ops]
        assert codes.index(lib.OP_FORK) < codes.index(lib.OP_LABEL) < codes.index(lib.OP_USER)

    def test_the_keyring_is_the_containers(self) -> None:
        (op,) = [op for op in exec_plan(configurations.default()) if op.code == lib.OP_KEYRING]
        assert (op.strings, list(op.numbers)) == (("_ses.c1",), [0])
