"""cake's options (``net/sched/sch_cake.c``): one tin, whole packets, no overhead of its own."""

from __future__ import annotations

import struct

from linkem_py.kernel.codec.attributes import find_attributes, u32, u64
from linkem_py.plan.objects import Cake

TCA_CAKE_BASE_RATE64 = 2
TCA_CAKE_DIFFSERV_MODE = 3
TCA_CAKE_RTT = 7
TCA_CAKE_TARGET = 8
TCA_CAKE_AUTORATE = 9
TCA_CAKE_SPLIT_GSO = 17
CAKE_DIFFSERV_BESTEFFORT = 3

_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")


def encode_cake(options: Cake) -> bytes:
    """Payload of TCA_OPTIONS. Packets are counted as they are, with their Ethernet header, as htb does."""
    return (
        u64(TCA_CAKE_BASE_RATE64, options.rate)
        + u32(TCA_CAKE_DIFFSERV_MODE, CAKE_DIFFSERV_BESTEFFORT)
        + u32(TCA_CAKE_RTT, options.interval_us)
        + u32(TCA_CAKE_TARGET, options.target_us)
        + u32(TCA_CAKE_AUTORATE, 0)
        + u32(TCA_CAKE_SPLIT_GSO, 0)
    )


def decode_cake(options: bytes) -> Cake:
    """Read the payload of TCA_OPTIONS."""
    found = find_attributes(options, 0, len(options))
    (rate,) = _U64.unpack_from(options, found[TCA_CAKE_BASE_RATE64][0])
    target, interval = (_U32.unpack_from(options, found[kind][0])[0] for kind in (TCA_CAKE_TARGET, TCA_CAKE_RTT))
    return Cake(target, interval, rate)
