"""Programs for packet sockets, run here as the kernel runs them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.kernel.packet_filter import Instruction, keep, on_interfaces, parse

INTERFACE = 0xFFFFF000 + 8


def kept(program: tuple[Instruction, ...], ifindex: int) -> int:
    """Bytes that a program takes of a packet of an interface."""
    at = accumulator = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            assert operand == INTERFACE
            accumulator = ifindex
        elif code == 0x15:
            at += if_true if accumulator == operand else if_false
        elif code == 0x05:
            at += operand
        else:
            assert code == 0x06
            return operand


@given(st.sets(st.integers(1, 10_000), min_size=1, max_size=400), st.integers(1, 10_000))
def test_packets_of_these_interfaces_only(indexes: set[int], ifindex: int) -> None:
    program = on_interfaces(sorted(indexes), keep(96))
    assert all(kept(program, index) == 96 for index in indexes)
    assert kept(program, ifindex) == (96 if ifindex in indexes else 0)


def test_what_tcpdump_prints_is_read() -> None:
    assert parse("2\n40 0 0 12\n6 0 0 65535\n") == (Instruction(40, 0, 0, 12), Instruction(6, 0, 0, 65535))


@pytest.mark.parametrize("text", ["0\n", "2\n6 0 0 1\n", "", "1\n6 0 0\n"])
def test_what_is_no_program_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        parse(text)
