"""tbf's options (``struct tc_tbf_qopt``). As in htb, a named link layer saves the rate table."""

from __future__ import annotations

import struct

from linkem_py.kernel.codec.attributes import attribute, find_attributes, u32, u64
from linkem_py.kernel.codec.htb import TC_LINKLAYER_ETHERNET, TICK_NS, U32_MAX, burst_ticks
from linkem_py.plan.objects import Tbf

TCA_TBF_PARMS = 1
TCA_TBF_RATE64 = 4
TCA_TBF_BURST = 6

_RATE_SPEC = "BBHhHI"  # cell_log, linklayer, overhead, cell_align, mpu, rate
_PARMS = struct.Struct("=" + _RATE_SPEC + _RATE_SPEC + "III")  # limit, buffer, mtu
_U64 = struct.Struct("=Q")


def encode_tbf(options: Tbf) -> bytes:
    """Payload of TCA_OPTIONS; the rate must not be 0."""
    rate, burst, limit = options
    parms = _PARMS.pack(
        0, TC_LINKLAYER_ETHERNET, 0, 0, 0, min(rate, U32_MAX), 0, 0, 0, 0, 0, 0, limit, burst_ticks(burst, rate), 0
    )
    payload = attribute(TCA_TBF_PARMS, parms) + u32(TCA_TBF_BURST, burst)
    return payload + u64(TCA_TBF_RATE64, rate) if rate > U32_MAX else payload


def decode_tbf(options: bytes) -> Tbf:
    """Read the payload of TCA_OPTIONS. The kernel keeps the burst as a time: it comes back up to 64 ns too large."""
    found = find_attributes(options, 0, len(options))
    fields = _PARMS.unpack_from(options, found[TCA_TBF_PARMS][0])
    rate, limit, buffer = fields[5], fields[12], fields[13]
    if TCA_TBF_RATE64 in found:
        (rate,) = _U64.unpack_from(options, found[TCA_TBF_RATE64][0])
    return Tbf(rate, buffer * TICK_NS * rate // 1_000_000_000, limit)
