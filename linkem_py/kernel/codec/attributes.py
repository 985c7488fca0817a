"""Netlink attributes: a length, a type, a payload, padded to four bytes (``struct nlattr``)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

NLA_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

HEADER = struct.Struct("=HH")
_U8 = struct.Struct("=HHBxxx")
_U32 = struct.Struct("=HHI")
_U64 = struct.Struct("=HHQ")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


def attribute(kind: int, payload: bytes) -> bytes:
    """An attribute with any payload."""
    length = 4 + len(payload)
    return HEADER.pack(length, kind) + payload + _PADDING[length & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind, b"".join(attributes))


def u8(kind: int, value: int) -> bytes:
    """An 8-bit attribute."""
    return _U8.pack(5, kind, value)


def u32(kind: int, value: int) -> bytes:
    """A 32-bit attribute."""
    return _U32.pack(8, kind, value)


def u64(kind: int, value: int) -> bytes:
    """A 64-bit attribute (four-byte alignment is enough on the way to the kernel)."""
    return _U64.pack(12, kind, value)


def text(kind: int, value: str) -> bytes:
    """A NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def iterate_attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, first byte, end) of the payload of every attribute between `start` and `end`."""
    unpack_from = HEADER.unpack_from
    while start + 4 <= end:
        length, kind = unpack_from(data, start)
        if length < 4:
            return
        yield kind & NLA_TYPE_MASK, start + 4, start + length
        start += (length + 3) & ~3


def find_attributes(data: bytes, start: int, end: int) -> dict[int, tuple[int, int]]:
    """(first byte, end) of the payload by type; of a type that repeats, the last one."""
    found = {}
    unpack_from = HEADER.unpack_from
    while start + 4 <= end:
        length, kind = unpack_from(data, start)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = (start + 4, start + length)
        start += (length + 3) & ~3
    return found
