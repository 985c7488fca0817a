"""netem's options (``net/sched/sch_netem.c``, ``struct tc_netem_qopt`` and what follows it).

A change keeps what it omits, except the loss model, which an omission takes away. So all fields
are written, zeros too, and then every one of them can be set and taken away again:

- delays in nanoseconds (LATENCY64, JITTER64); the 32-bit ticks beside them are overruled
- a delay table cannot be removed: a change without one sends `UNIFORM_TABLE`, whose mean is zero
  and whose spread is that of the kernel's own uniform delay to 5e-7
- `rate` is the larger of RATE and RATE64, so a rate below 2**32 goes without RATE64
- the kernel reorders only if `gap` is not 0: as `tc` does, 0 becomes 1 when `reorder` is set
- slots are taken away by zeros, their table cannot be: a change says the time in both forms, and sends
  `UNIFORM_TABLE` unless the kernel has it, or none (then it takes the first form)
- a kernel before 6.6 ignores the seed and never reports one
"""

from __future__ import annotations

import struct
from array import array

from linkem_py.kernel.codec.attributes import attribute, find_attributes, nested, u64
from linkem_py.plan.objects import FourStateLoss, GilbertElliottLoss, Netem, NetemSlot

TCA_NETEM_CORR = 1
TCA_NETEM_DELAY_DIST = 2
TCA_NETEM_REORDER = 3
TCA_NETEM_CORRUPT = 4
TCA_NETEM_LOSS = 5
TCA_NETEM_RATE = 6
TCA_NETEM_ECN = 7
TCA_NETEM_RATE64 = 8
TCA_NETEM_LATENCY64 = 10
TCA_NETEM_JITTER64 = 11
TCA_NETEM_SLOT = 12
TCA_NETEM_SLOT_DIST = 13
TCA_NETEM_PRNG_SEED = 14
NETEM_LOSS_GI = 1
NETEM_LOSS_GE = 2
NETEM_DIST_SCALE = 8192

U32_MAX = 0xFFFFFFFF
TICK_SHIFT = 6  # PSCHED_SHIFT: a tick is 64 ns

_TABLE_ENTRIES = 1024  # a power of two: the kernel picks `random % entries`
_STEP = 2 * NETEM_DIST_SCALE // _TABLE_ENTRIES
UNIFORM_TABLE = array("h", (_STEP * i + _STEP // 2 - NETEM_DIST_SCALE for i in range(_TABLE_ENTRIES))).tobytes()

# qopt (latency, limit, loss, gap, duplicate, jitter), then the attributes that are always there
_FIXED = struct.Struct("=6I HHq HHq HHIII HHII HHII HHIiIi HHI")
_QOPT = struct.Struct("=6I")
_CORR = struct.Struct("=III")
_PAIR = struct.Struct("=II")
_RATE = struct.Struct("=IiIi")
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_GE = struct.Struct("=4I")
_GI = struct.Struct("=5I")
_SEED = struct.Struct("=HHQ")
_SLOT = struct.Struct("=qqiiqq")  # least, greatest delay; packets, bytes; delay and jitter by the table
ANYTHING = 2**31 - 1
_NO_SLOTS = attribute(TCA_NETEM_SLOT, bytes(40))


def encode_netem(options: Netem, *, change: bool = False, before: Netem | None = None) -> bytes:
    """Payload of TCA_OPTIONS; `change` for a qdisc that exists already, `before` what it has, if known."""
    payload = _fixed(options)
    if options.rate > U32_MAX:
        payload += u64(TCA_NETEM_RATE64, options.rate)
    if options.loss_model is not None:
        payload += _loss_model(options.loss_model)
    table = options.table
    if options.slot is not None:
        payload += _slots(options.slot, change, None if before is None else before.slot)
    if change:
        if options.slot is None:
            payload += _NO_SLOTS
        if not table and options.jitter_ns:
            table = UNIFORM_TABLE
    if table and not _has_table(before, options):
        payload += attribute(TCA_NETEM_DELAY_DIST, table)
    if options.seed is not None:
        payload += _SEED.pack(12, TCA_NETEM_PRNG_SEED, options.seed)
    return payload


def _has_table(before: Netem | None, options: Netem) -> bool:
    """Whether the kernel has the delay table already; one without jitter may have been left from earlier."""
    return before is not None and before.jitter_ns > 0 and before.table == options.table


def _slots(slot: NetemSlot, change: bool, before: NetemSlot | None) -> bytes:
    delay, jitter, packets, room, table = slot
    by_table = change or bool(table)
    # The kernel's word for no limit is 0, in what it is told and in what it shows.
    limits = (packets if packets < ANYTHING else 0, room if room < ANYTHING else 0)
    # Delays without a jitter count as slots only in the first form.
    first = (delay - jitter, delay + jitter) if not table or not jitter else (0, 0)
    payload = attribute(TCA_NETEM_SLOT, _SLOT.pack(*first, *limits, *((delay, jitter) if by_table else (0, 0))))
    if not table and change:
        table = UNIFORM_TABLE
    if table and (before is None or before.table != slot.table):
        payload += attribute(TCA_NETEM_SLOT_DIST, table)
    return payload


def _fixed(options: Netem) -> bytes:
    (
        limit, latency, jitter, delay_correlation, _, loss, loss_correlation, _, duplicate,
        duplicate_correlation, corrupt, corrupt_correlation, reorder, reorder_correlation, gap, ecn,
        rate, packet_overhead, cell_size, cell_overhead, _, _,
    ) = options  # fmt: skip
    if reorder and not gap:
        gap = 1
    return _FIXED.pack(
        min(latency >> TICK_SHIFT, U32_MAX), limit, loss, gap, duplicate, min(jitter >> TICK_SHIFT, U32_MAX),
        12, TCA_NETEM_LATENCY64, latency,
        12, TCA_NETEM_JITTER64, jitter,
        16, TCA_NETEM_CORR, delay_correlation, loss_correlation, duplicate_correlation,
        12, TCA_NETEM_REORDER, reorder, reorder_correlation,
        12, TCA_NETEM_CORRUPT, corrupt, corrupt_correlation,
        20, TCA_NETEM_RATE, min(rate, U32_MAX), packet_overhead, cell_size, cell_overhead,
        8, TCA_NETEM_ECN, ecn,
    )  # fmt: skip


def _loss_model(model: GilbertElliottLoss | FourStateLoss) -> bytes:
    if isinstance(model, GilbertElliottLoss):
        return nested(TCA_NETEM_LOSS, attribute(NETEM_LOSS_GE, _GE.pack(*model)))
    return nested(TCA_NETEM_LOSS, attribute(NETEM_LOSS_GI, _GI.pack(*model)))


def decode_netem(options: bytes) -> Netem:
    """Read the payload of TCA_OPTIONS, from a dump or from `encode_netem`.

    A dump has no delay table (the kernel does not report it), and has the seed since Linux 6.6.
    """
    latency_ticks, limit, loss, gap, duplicate, jitter_ticks = _QOPT.unpack_from(options)
    found = find_attributes(options, _QOPT.size, len(options))

    def field(kind: int, layout: struct.Struct) -> tuple[int, ...]:
        place = found.get(kind)
        return layout.unpack_from(options, place[0]) if place else layout.unpack(bytes(layout.size))

    latency, jitter = latency_ticks << TICK_SHIFT, jitter_ticks << TICK_SHIFT
    if TCA_NETEM_LATENCY64 in found:
        (latency,) = field(TCA_NETEM_LATENCY64, _U64)
    if TCA_NETEM_JITTER64 in found:
        (jitter,) = field(TCA_NETEM_JITTER64, _U64)
    delay_correlation, loss_correlation, duplicate_correlation = field(TCA_NETEM_CORR, _CORR)
    reorder, reorder_correlation = field(TCA_NETEM_REORDER, _PAIR)
    corrupt, corrupt_correlation = field(TCA_NETEM_CORRUPT, _PAIR)
    rate, packet_overhead, cell_size, cell_overhead = field(TCA_NETEM_RATE, _RATE)
    table = b""
    if TCA_NETEM_DELAY_DIST in found:
        first, end = found[TCA_NETEM_DELAY_DIST]
        table = options[first:end]
    return Netem(
        limit_packets=limit,
        latency_ns=latency,
        jitter_ns=jitter,
        delay_correlation=delay_correlation,
        table=b"" if table == UNIFORM_TABLE else table,
        loss=loss,
        loss_correlation=loss_correlation,
        loss_model=_read_loss_model(options, found.get(TCA_NETEM_LOSS)),
        duplicate=duplicate,
        duplicate_correlation=duplicate_correlation,
        corrupt=corrupt,
        corrupt_correlation=corrupt_correlation,
        reorder=reorder,
        reorder_correlation=reorder_correlation,
        gap=gap,
        ecn=bool(field(TCA_NETEM_ECN, _U32)[0]),
        rate=max(rate, field(TCA_NETEM_RATE64, _U64)[0]),
        packet_overhead=packet_overhead,
        cell_size=cell_size,
        cell_overhead=cell_overhead,
        slot=_read_slot(options, found),
        seed=field(TCA_NETEM_PRNG_SEED, _U64)[0] if TCA_NETEM_PRNG_SEED in found else None,
    )


def _read_slot(options: bytes, found: dict[int, tuple[int, int]]) -> NetemSlot | None:
    if TCA_NETEM_SLOT not in found:
        return None
    least, greatest, packets, room, delay, jitter = _SLOT.unpack_from(options, found[TCA_NETEM_SLOT][0])
    if not (least or greatest or jitter):
        return None  # the kernel's own condition
    if not (delay or jitter):
        delay, jitter = (least + greatest) // 2, (greatest - least) // 2
    table = b""
    if TCA_NETEM_SLOT_DIST in found:
        first, end = found[TCA_NETEM_SLOT_DIST]
        table = options[first:end]
    return NetemSlot(delay, jitter, packets or ANYTHING, room or ANYTHING, b"" if table == UNIFORM_TABLE else table)


def _read_loss_model(options: bytes, place: tuple[int, int] | None) -> GilbertElliottLoss | FourStateLoss | None:
    if place is None:
        return None
    found = find_attributes(options, *place)
    if NETEM_LOSS_GE in found:
        return GilbertElliottLoss(*_GE.unpack_from(options, found[NETEM_LOSS_GE][0]))
    if NETEM_LOSS_GI in found:
        return FourStateLoss(*_GI.unpack_from(options, found[NETEM_LOSS_GI][0]))
    return None
