"""fq_codel's options (``net/sched/sch_fq_codel.c``): limit, target, interval, ECN."""

from __future__ import annotations

import struct

from linkem_py.kernel.codec.attributes import find_attributes, u32
from linkem_py.plan.objects import FqCodel

TCA_FQ_CODEL_TARGET = 1
TCA_FQ_CODEL_LIMIT = 2
TCA_FQ_CODEL_INTERVAL = 3
TCA_FQ_CODEL_ECN = 4

_U32 = struct.Struct("=I")


def encode_fq_codel(options: FqCodel) -> bytes:
    """Payload of TCA_OPTIONS."""
    return (
        u32(TCA_FQ_CODEL_LIMIT, options.limit)
        + u32(TCA_FQ_CODEL_INTERVAL, options.interval_us)
        + u32(TCA_FQ_CODEL_TARGET, options.target_us)
        + u32(TCA_FQ_CODEL_ECN, options.ecn)
    )


def decode_fq_codel(options: bytes) -> FqCodel:
    """Read the payload of TCA_OPTIONS.

    The kernel keeps times in units of 1024 ns: they come back up to 2 us shorter.
    """
    found = find_attributes(options, 0, len(options))
    kinds = (TCA_FQ_CODEL_LIMIT, TCA_FQ_CODEL_TARGET, TCA_FQ_CODEL_INTERVAL, TCA_FQ_CODEL_ECN)
    limit, target, interval, ecn = (_U32.unpack_from(options, found[kind][0])[0] for kind in kinds)
    return FqCodel(limit, target, interval, bool(ecn))
