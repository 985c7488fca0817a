"""htb's options (``struct tc_htb_glob``, ``struct tc_htb_opt``).

With a link layer named in the rate specification the kernel computes packet times itself and
wants no rate tables, which are 2 KB of every class message that `tc` sends.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from linkem_py.kernel.codec.attributes import find_attributes, u64
from linkem_py.plan.objects import Htb, HtbClass

TCA_HTB_PARMS = 1
TCA_HTB_INIT = 2
TCA_HTB_RATE64 = 6
TCA_HTB_CEIL64 = 7
HTB_VERSION = 3
TC_LINKLAYER_ETHERNET = 1
TICK_NS = 64
U32_MAX = 0xFFFFFFFF

_INIT = struct.Struct("=HH5I")  # version, rate2quantum, default class, debug, direct packets
_RATE_SPEC = "BBHhHI"  # cell_log, linklayer, overhead, cell_align, mpu, rate
_CLASS = struct.Struct("=HH" + _RATE_SPEC + _RATE_SPEC + "5I")  # buffer, cbuffer, quantum, level, prio
_U64 = struct.Struct("=Q")


@lru_cache(maxsize=64)
def encode_htb(options: Htb) -> bytes:
    """Payload of TCA_OPTIONS of an htb qdisc."""
    return _INIT.pack(24, TCA_HTB_INIT, HTB_VERSION, options.r2q, options.default, 0, 0)


def decode_htb(options: bytes) -> Htb:
    """Read the payload of TCA_OPTIONS of an htb qdisc."""
    first, _ = find_attributes(options, 0, len(options))[TCA_HTB_INIT]
    _, _, _, r2q, default, _, _ = _INIT.unpack_from(options, first - 4)
    return Htb(default=default, r2q=r2q)


def burst_ticks(burst_bytes: int, rate: int) -> int:
    """Time that `burst_bytes` take at `rate` bytes per second, in ticks of 64 ns, rounded up; 275 s at most."""
    return min(-(-burst_bytes * 1_000_000_000 // (rate * TICK_NS)), U32_MAX)


def encode_htb_class(options: HtbClass) -> bytes:
    """Payload of TCA_OPTIONS of an htb class; rate, ceil and quantum must not be 0."""
    rate, ceil, burst, cburst, quantum, prio = options
    buffer = burst_ticks(burst, rate)
    cbuffer = buffer if (cburst, ceil) == (burst, rate) else burst_ticks(cburst, ceil)
    parms = _CLASS.pack(
        48, TCA_HTB_PARMS,
        0, TC_LINKLAYER_ETHERNET, 0, 0, 0, min(rate, U32_MAX),
        0, TC_LINKLAYER_ETHERNET, 0, 0, 0, min(ceil, U32_MAX),
        buffer, cbuffer, quantum, 0, prio,
    )  # fmt: skip
    if rate > U32_MAX:
        parms += u64(TCA_HTB_RATE64, rate)
    if ceil > U32_MAX:
        parms += u64(TCA_HTB_CEIL64, ceil)
    return parms


def decode_htb_class(options: bytes) -> HtbClass:
    """Read the payload of TCA_OPTIONS of an htb class.

    The kernel keeps times, not bytes: above 15.6 Mbyte/s a burst comes back up to 64 ns too
    large, and encodes again to the same ticks.
    """
    found = find_attributes(options, 0, len(options))
    fields = _CLASS.unpack_from(options, found[TCA_HTB_PARMS][0] - 4)
    rate, ceil = fields[7], fields[13]
    buffer, cbuffer, quantum, _, prio = fields[14:]
    if TCA_HTB_RATE64 in found:
        (rate,) = _U64.unpack_from(options, found[TCA_HTB_RATE64][0])
    if TCA_HTB_CEIL64 in found:
        (ceil,) = _U64.unpack_from(options, found[TCA_HTB_CEIL64][0])
    return HtbClass(
        rate=rate,
        ceil=ceil,
        burst=buffer * TICK_NS * rate // 1_000_000_000,
        cburst=cbuffer * TICK_NS * ceil // 1_000_000_000,
        quantum=quantum,
        prio=prio,
    )
