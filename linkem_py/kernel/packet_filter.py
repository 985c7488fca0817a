"""Programs of the classic packet filter (bpf(4), Documentation/networking/filter.rst): what a packet socket gets."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_SO_ATTACH_FILTER = 26
_SKF_AD_IFINDEX = 0xFFFFF000 + 8  # an ancillary offset: the packet's interface
_LOAD_WORD, _JUMP, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x05, 0x15, 0x06
_INSTRUCTION = struct.Struct("=HBBI")


class Instruction(NamedTuple):
    """One ``struct sock_filter``."""

    code: int
    if_true: int
    if_false: int
    operand: int


def keep(bytes_: int) -> tuple[Instruction, ...]:
    """Take the first bytes of every packet; 0: take none."""
    return (Instruction(_RETURN, 0, 0, bytes_),)


def on_interfaces(indexes: Sequence[int], then: Sequence[Instruction]) -> tuple[Instruction, ...]:
    """What `then` takes, of the packets of these interfaces only."""
    program = [Instruction(_LOAD_WORD, 0, 0, _SKF_AD_IFINDEX)]
    rest = 2 * len(indexes) + 1  # instructions up to `then`, from here on
    for index in indexes:
        # A conditional jump reaches 255 instructions, an unconditional one any distance.
        program += [Instruction(_JUMP_IF_EQUAL, 0, 1, index), Instruction(_JUMP, 0, 0, rest - 2)]
        rest -= 2
    return (*program, *keep(0), *then)


def parse(text: str) -> tuple[Instruction, ...]:
    """From what ``tcpdump -ddd`` prints: the number of instructions, then one a line. Raises ValueError."""
    count, *lines = text.split("\n")
    program = []
    for line in lines[: int(count)]:
        code, if_true, if_false, operand = map(int, line.split())
        program.append(Instruction(code, if_true, if_false, operand))
    if not program or len(program) != int(count):
        raise ValueError(f"not a packet filter: {text!r}")
    return tuple(program)


def attach(sock: socket.socket, program: Iterable[Instruction]) -> None:
    """Give a socket a program, in place of any before. Raises OSError."""
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    held = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER,
        struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(held)),
    )  # fmt: skip
