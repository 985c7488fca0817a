"""An MPEG transport stream of numbered packets, so that whoever receives it knows what is missing. Pure.

Seven transport packets of 188 bytes make a datagram, as media senders do (ISO/IEC 13818-1 has the
packet, SMPTE 2022-2 the seven). The first of the seven carries a number and when it was sent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

SIZE = 188
PER_DATAGRAM = 7
DATAGRAM = SIZE * PER_DATAGRAM
_PID = 0x0100
_MARK = b"linkem"
_PAYLOAD = struct.Struct("!6sQd")  # the mark, the number, the sender's clock in seconds


def due(number: int, rate_kbit: float) -> float:
    """Seconds from the beginning of the stream to datagram `number`."""
    return number * 0.008 * DATAGRAM / rate_kbit


def datagram(number: int, sent_at: float) -> bytes:
    """Datagram `number` of the stream: a numbered packet, and six that fill it."""
    packets = []
    for index in range(PER_DATAGRAM):
        counter = (number * PER_DATAGRAM + index) % 16
        start = 0x40 if index == 0 else 0
        header = bytes((0x47, start | _PID >> 8, _PID & 0xFF, 0x10 | counter))
        payload = _PAYLOAD.pack(_MARK, number, sent_at) if index == 0 else b""
        packets.append((header + payload).ljust(SIZE, b"\xff"))
    return b"".join(packets)


def numbered(data: bytes) -> Iterator[tuple[int, float]]:
    """Number and time of sending of each numbered packet in a piece of the stream."""
    for start in range(0, len(data) - SIZE + 1, SIZE):
        if data[start] == 0x47 and data[start + 4 : start + 4 + len(_MARK)] == _MARK:
            _, number, sent_at = _PAYLOAD.unpack_from(data, start + 4)
            yield number, sent_at
