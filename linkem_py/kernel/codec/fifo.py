"""bfifo and pfifo: one number, the limit, in bytes or in packets (``struct tc_fifo_qopt``)."""

from __future__ import annotations

import struct

from linkem_py.plan.objects import Fifo

_LIMIT = struct.Struct("=I")


def encode_fifo(options: Fifo) -> bytes:
    """Payload of TCA_OPTIONS."""
    return _LIMIT.pack(options.limit)


def decode_fifo(options: bytes) -> Fifo:
    """Read the payload of TCA_OPTIONS."""
    return Fifo(*_LIMIT.unpack_from(options))
