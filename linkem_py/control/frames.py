"""The language of a mux: the frames in which channels travel over one stream. Pure: bytes in, values out.

A frame is a kind (u8), a channel's number (u32), a length (u32), and so many bytes of payload. Who opens a
channel chooses its number: the first side odd ones, the second even ones. A channel is forgotten when
both sides have said `CLOSE` or `RESET`, each once and as its last word; its number is never used again.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from linkem_py.errors import ControlError

# Bytes of one channel that may be on their way or unread at the other side, in each direction.
WINDOW_BYTES = 256 << 10

# Channels take turns by frames: so a long message holds up the others for one frame only.
MAX_PAYLOAD = 16 << 10

_HEADER = struct.Struct(">BII")
_U32 = struct.Struct(">I")


class MuxError(ControlError, ConnectionError):
    """What came over the stream of a mux is not the language of a mux."""


class Kind(enum.IntEnum):
    """What a frame says."""

    OPEN = 1  # a new channel, with `WINDOW_BYTES` of credit each way
    DATA = 2  # bytes; the sender's credit shrinks by so many
    CREDIT = 3  # u32: so many bytes have been read, the sender may send as many more
    EOF = 4  # no data will follow; the other direction goes on
    CLOSE = 5  # no data will follow, and what comes will not be read
    RESET = 6  # the same, and something is lost


_LENGTHS: dict[Kind, tuple[int, int]] = {Kind.DATA: (1, MAX_PAYLOAD), Kind.CREDIT: (_U32.size, _U32.size)}


class Frame(NamedTuple):
    """One frame.

    Attributes
    ----------
    payload : of `DATA` the bytes; of `CREDIT` a number, see `amount`; else empty
    """

    kind: Kind
    channel: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """As it travels."""
        return _HEADER.pack(self.kind, self.channel, len(self.payload)) + self.payload

    @property
    def amount(self) -> int:
        """The number in a `CREDIT`."""
        value: int = _U32.unpack(self.payload)[0]
        return value


def credit(channel: int, amount: int) -> Frame:
    """A `CREDIT` frame."""
    return Frame(Kind.CREDIT, channel, _U32.pack(amount))


class Decoder:
    """Cuts a byte stream into frames, however it was chopped up on its way."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def __repr__(self) -> str:
        return f"<Decoder {len(self._rest)} bytes waiting>"

    @property
    def between_frames(self) -> bool:
        """Whether the stream could end here."""
        return not self._rest

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that are complete with `chunk`; raises `MuxError` at the first that is none."""
        rest = self._rest
        rest += chunk
        at = 0
        try:
            while len(rest) - at >= _HEADER.size:
                kind, channel, length = _checked(*_HEADER.unpack_from(rest, at))
                start, end = at + _HEADER.size, at + _HEADER.size + length
                if end > len(rest):
                    break
                at = end
                yield Frame(kind, channel, bytes(rest[start:end]))
        finally:
            del rest[:at]


def _checked(kind: int, channel: int, length: int) -> tuple[Kind, int, int]:
    if not Kind.OPEN <= kind <= Kind.RESET:
        raise MuxError(f"frame: kind must be one of {Kind.OPEN:d} to {Kind.RESET:d}: {kind}")
    if channel == 0:
        raise MuxError("frame: channel must be at least 1: 0")
    known = Kind(kind)
    least, most = _LENGTHS.get(known, (0, 0))
    if not least <= length <= most:
        raise MuxError(f"frame {known.name}: length must be between {least} and {most}: {length}")
    return known, channel, length
