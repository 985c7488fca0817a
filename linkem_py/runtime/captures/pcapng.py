"""Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in this machine's byte order. Pure.

Times are nanoseconds since the epoch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

LINKTYPE_ETHERNET = 1
INBOUND, OUTBOUND = 1, 2

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_COMMENT = 1  # the option, of every block
_OS, _APPLICATION = 3, 4  # of a section
_NAME, _DESCRIPTION, _RESOLUTION, _FILTER = 2, 3, 9, 11  # of an interface
_START, _END, _RECEIVED, _DROPPED = 2, 3, 4, 5  # of statistics
_NANOSECONDS = b"\x09"  # 10**-9 s
_FLAGS = 2  # of a packet
_MOST_OPTION = 65532

_HEAD = struct.Struct("=II")
_PACKET_HEAD = struct.Struct("=IIIIIII")  # type, length, interface, time (high, low), kept, length of the packet
_PACKET_TAIL = struct.Struct("=HHIII")  # flags, end of options, length


def section(*, application: str, system: str, comment: str) -> bytes:
    """The first block."""
    body = struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1)
    return _block(_SECTION, body, [(_COMMENT, comment), (_OS, system), (_APPLICATION, application)])


def interface(*, name: str, description: str, comment: str, snaplen: int, expression: str = "") -> bytes:
    """An interface; packets name them by their order, from 0. `expression` is the capture filter."""
    options: list[tuple[int, str | bytes]] = [(_COMMENT, comment), (_NAME, name), (_DESCRIPTION, description)]
    options.append((_RESOLUTION, _NANOSECONDS))
    if expression:
        options.append((_FILTER, b"\0" + expression.encode()))  # 0: in libpcap's language
    return _block(_INTERFACE, struct.pack("=HHI", LINKTYPE_ETHERNET, 0, snaplen), options)


def packet(number: int, time_ns: int, length: int, data: bytes, direction: int) -> bytes:
    """A packet on interface `number`; of its `length` bytes `data` are kept."""
    pad = -len(data) % 4
    total = _PACKET_HEAD.size + len(data) + pad + _PACKET_TAIL.size
    head = _PACKET_HEAD.pack(_PACKET, total, number, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), length)
    return b"".join((head, data, bytes(pad), _PACKET_TAIL.pack(_FLAGS, 4, direction, 0, total)))


def statistics(number: int, *, start_ns: int, end_ns: int, received: int, dropped: int | None, comment: str) -> bytes:
    """What was counted on an interface; `dropped` None: not counted here."""
    options: list[tuple[int, str | bytes]] = [
        (_COMMENT, comment),
        (_START, _time(start_ns)),
        (_END, _time(end_ns)),
        (_RECEIVED, struct.pack("=Q", received)),
    ]
    if dropped is not None:
        options.append((_DROPPED, struct.pack("=Q", dropped)))
    return _block(_STATISTICS, struct.pack("=I", number) + _time(end_ns), options)


def _time(time_ns: int) -> bytes:
    return struct.pack("=II", time_ns >> 32, time_ns & 0xFFFFFFFF)


def _block(kind: int, body: bytes, options: Iterable[tuple[int, str | bytes]]) -> bytes:
    parts = [body]
    for code, value in options:
        data = value.encode()[:_MOST_OPTION] if isinstance(value, str) else value
        if data:
            parts += [struct.pack("=HH", code, len(data)), data, bytes(-len(data) % 4)]
    parts.append(struct.pack("=HH", 0, 0))
    content = b"".join(parts)
    total = 12 + len(content)
    return b"".join((_HEAD.pack(kind, total), content, struct.pack("=I", total)))
