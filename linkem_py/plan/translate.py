"""From an `Impairment` to the kernel's units: netem, htb class, queue."""

from __future__ import annotations

import hashlib
import math

from linkem_py.model.access import Access
from linkem_py.model.distribution import table
from linkem_py.model.impairment import MOST_MTU, Impairment
from linkem_py.model.loss import FourState, GilbertElliott
from linkem_py.model.slot import Slot
from linkem_py.model.topology import Link
from linkem_py.plan.objects import (
    Cake,
    Fifo,
    FourStateLoss,
    FqCodel,
    GilbertElliottLoss,
    HtbClass,
    Netem,
    NetemSlot,
    Tbf,
)

CERTAIN = 2**32 - 1
CODEL_LIMIT = 10240  # packets: what fq_codel and cake hold unless they are told otherwise
CODEL_TARGET_US, CODEL_INTERVAL_US = 5000, 100_000
LEAST_IPV6_MTU = 1280  # RFC 8200, 5
UNLIMITED_RATE = 2**40  # bytes per second
FRAME = 1514  # bytes of a full Ethernet frame without its check sequence
SMALLEST = 64  # bytes of the smallest frame
DEFAULT_QUEUE_MS = 100.0
DEFAULT_QUEUE_FRAMES = 10
LEAST_LIMIT = 2**20  # packets; see `netem_limit`
MOST_LIMIT = 2**31 - 1
ORDER_KEEPING_RATE = 2**32 - 1  # bytes per second; with a rate, netem never lets a packet overtake
LEAST_LATENCY_NS = 1000
UNLIMITED_QUEUE = 2**31 - 1
UNLIMITED_ROOM = 2**31 - 1  # packets or bytes of a slot


def fraction(pct: float) -> int:
    """A percentage as netem's 32-bit fraction."""
    return round(pct / 100 * CERTAIN) if pct else 0


def nanoseconds(milliseconds: float) -> int:
    """Milliseconds as whole nanoseconds."""
    return round(milliseconds * 1_000_000)


def rate_bytes(impairment: Impairment) -> int:
    """The rate in bytes per second, 0 for none."""
    return 0 if impairment.rate_kbit is None else max(1, round(impairment.rate_kbit * 125))


def burst_bytes(impairment: Impairment) -> int:
    """What may pass at once: as asked, else a millisecond at the rate, at least one full frame.

    Below a frame htb would charge packets that it cannot save up for; a millisecond keeps the
    timer's own lateness from costing throughput at high rates.
    """
    if impairment.burst_kb is not None:
        return max(FRAME, round(impairment.burst_kb * 1000))
    return max(FRAME, rate_bytes(impairment) // 1000)


def queue_bytes(impairment: Impairment) -> int:
    """Bytes that wait behind the rate: `queue_ms` at the rate, at least one full frame."""
    return _queue_bytes(impairment, rate_bytes(impairment))


def _queue_bytes(limited: Impairment | Access, rate: int) -> int:
    milliseconds = limited.queue_ms if limited.queue_ms is not None else DEFAULT_QUEUE_MS
    frames = 1 if limited.queue_ms is not None else DEFAULT_QUEUE_FRAMES
    return min(UNLIMITED_QUEUE, max(frames * FRAME, round(rate * milliseconds / 1000)))


def codel_times_us(impairment: Impairment) -> tuple[int, int]:
    """Target and interval: 5 and 100 ms, unless one and a half full frames take longer (RFC 8290, 5.2.2)."""
    target_us = max(CODEL_TARGET_US, math.ceil(1.5 * FRAME * 1e6 / rate_bytes(impairment)))
    return target_us, max(CODEL_INTERVAL_US, 2 * target_us)


def queue(impairment: Impairment, *, shared_bytes: int = UNLIMITED_QUEUE) -> tuple[str, Fifo | FqCodel | Cake | Tbf]:
    """Kind and options of the queue behind the rate, which may keep the rate itself.

    Without a rate nothing waits, whatever the limit; nor where netem keeps it: unless there is an access
    link, for which `shared_bytes` may wait.
    """
    if impairment.shaper == "tbf":
        return "tbf", Tbf(rate_bytes(impairment), burst_bytes(impairment), queue_bytes(impairment))
    if impairment.shaper == "cake":
        return "cake", Cake(*codel_times_us(impairment), rate_bytes(impairment))
    if impairment.queue == "fq_codel":
        limit = impairment.queue_packets or CODEL_LIMIT
        if impairment.queue_ms is not None:
            limit = math.ceil(queue_bytes(impairment) / FRAME)
        return "fq_codel", FqCodel(limit, *codel_times_us(impairment), impairment.ecn)
    if impairment.queue == "cake":
        return "cake", Cake(*codel_times_us(impairment))
    if impairment.queue_packets is not None and impairment.shaper != "netem":
        return "pfifo", Fifo(impairment.queue_packets)
    if impairment.rate_kbit is None or impairment.shaper == "netem":
        return "bfifo", Fifo(shared_bytes)
    return "bfifo", Fifo(queue_bytes(impairment))


def htb_class(impairment: Impairment) -> HtbClass:
    """The class of a link: its rate, or as good as none."""
    rate = rate_bytes(impairment)
    if not rate or impairment.shaper != "htb":
        return UNLIMITED_CLASS
    burst = burst_bytes(impairment)
    return HtbClass(rate, rate, burst, burst, FRAME)


def rerated(impairment: Impairment) -> tuple[HtbClass, int]:
    """`htb_class` and `queue_bytes` of a link that has a rate, at once."""
    rate = rate_bytes(impairment)
    burst = max(FRAME, rate // 1000) if impairment.burst_kb is None else burst_bytes(impairment)
    return tuple.__new__(HtbClass, (rate, rate, burst, burst, FRAME, 0)), _queue_bytes(impairment, rate)


# A megabyte at once: at 2**40 byte/s that is a microsecond's worth, so the class never waits.
UNLIMITED_CLASS = HtbClass(UNLIMITED_RATE, UNLIMITED_RATE, 2**20, 2**20, FRAME)


def access_class(rate_kbit: float | None) -> HtbClass:
    """The class of an access link, which its rate bounds; None: as good as none."""
    if rate_kbit is None:
        return UNLIMITED_CLASS
    rate = _access_rate(rate_kbit)
    burst = max(FRAME, rate // 1000)
    return HtbClass(rate, rate, burst, burst, FRAME)


# A group below an access link has nothing of its own but a frame every few minutes, so that all it sends is
# lent by the access link: htb lets a class have its own rate even if that above is used up.
BORROWING_CLASS = HtbClass(1, UNLIMITED_RATE, FRAME, 2**20, FRAME)


def access_queue_bytes(access: Access, rate_kbit: float | None) -> int:
    """Bytes that wait for an access link of that rate; without one nothing does, whatever the limit."""
    return UNLIMITED_QUEUE if rate_kbit is None else _queue_bytes(access, _access_rate(rate_kbit))


# What stands before that queue downward: a microsecond, so that what waits is no sender's any more.
ACCESS_NETEM = Netem(MOST_LIMIT, LEAST_LATENCY_NS)


def _access_rate(rate_kbit: float) -> int:
    return max(1, round(rate_kbit * 125))


def latency_ns(impairment: Impairment, *, shared: bool = False) -> int:
    """netem's delay in nanoseconds.

    Every link that does anything, or is `shared` with others below an access link, has at least a microsecond
    of delay: without one the packets in the queue are still the sender's, whose socket then blocks instead of
    the queue dropping.
    """
    latency = nanoseconds(impairment.delay_ms)
    return LEAST_LATENCY_NS if latency < LEAST_LATENCY_NS and (shared or not impairment.is_clear) else latency


def in_flight_packets(impairment: Impairment, rate: int) -> int:
    """Packets on their way at `rate` (bytes per second), at the smallest size."""
    longest_s = (impairment.delay_ms + 4 * impairment.jitter_ms) / 1000
    if impairment.slot is not None:
        longest_s += (impairment.slot.every_ms + 4 * impairment.slot.jitter_ms) / 1000
    return math.ceil(rate * longest_s / SMALLEST)


def netem_limit(impairment: Impairment, *, own_rate: bool, ceiling_kbit: float | None = None) -> int:
    """How many packets netem holds, so that only the queue behind the rate ever drops.

    Kernels before 6.12 count the packets of the queue below as well. The least limit is far above
    what common links have in flight (537 Mbit of the smallest frames), so that a change of the
    rate does not change it: a netem message would start its loss model anew. A link whose schedule
    goes beyond has room for its ceiling from the start. With netem's own
    rate (the prio classifier) netem's limit *is* the queue: what is in flight, counted in the
    smallest frames, and what waits, counted in full ones. Likewise where slots can be full.
    """
    if impairment.slot is not None and impairment.slot.is_limited:
        return min(MOST_LIMIT, _packets_for_slots(impairment, impairment.slot))
    rate = rate_bytes(impairment)
    if own_rate and rate:
        waiting = impairment.queue_packets or math.ceil(_queue_bytes(impairment, rate) / FRAME)
        return min(MOST_LIMIT, in_flight_packets(impairment, rate) + waiting)
    if ceiling_kbit is not None:
        rate = max(rate, round(ceiling_kbit * 125))
    if own_rate or not rate:
        return LEAST_LIMIT
    return min(MOST_LIMIT, max(LEAST_LIMIT, in_flight_packets(impairment, rate) + _waiting_packets(impairment, rate)))


def _packets_for_slots(impairment: Impairment, slot: Slot) -> int:
    """What netem holds when its slots are a rate: the slots in flight, and 100 ms of them that wait.

    Without it a sender faster than the slots would fill netem's whole limit, hours deep.
    """
    rooms = [
        math.inf if slot.packets is None else slot.packets,
        math.inf if slot.kb is None else math.ceil(slot.kb * 1000 / SMALLEST),
    ]
    slots = math.ceil((impairment.delay_ms + 4 * impairment.jitter_ms) / slot.every_ms) + 1
    waiting = math.ceil(DEFAULT_QUEUE_MS / slot.every_ms)
    rate = rate_bytes(impairment)
    behind = _waiting_packets(impairment, rate) if rate else 0
    return int((slots + waiting) * min(rooms)) + DEFAULT_QUEUE_FRAMES + behind


def _waiting_packets(impairment: Impairment, rate: int) -> int:
    if impairment.shaper == "cake" or (impairment.queue != "fifo" and impairment.queue_ms is None):
        return impairment.queue_packets or CODEL_LIMIT
    return impairment.queue_packets or math.ceil(_queue_bytes(impairment, rate) / SMALLEST)


def loss_model(impairment: Impairment) -> GilbertElliottLoss | FourStateLoss | None:
    """netem's loss model; correlated loss becomes Gilbert-Elliott unless the kernel's form is asked for."""
    model = impairment.loss
    if model is None:
        if not impairment.loss_correlation_pct or impairment.kernel_loss_correlation:
            return None
        model = GilbertElliott.from_correlation(impairment.loss_pct, impairment.loss_correlation_pct)
    if isinstance(model, GilbertElliott):
        return GilbertElliottLoss(
            fraction(model.p_pct),
            fraction(model.r_pct),
            CERTAIN - fraction(model.bad_loss_pct),
            fraction(model.good_loss_pct),
        )
    return _four_state(model)


def _four_state(model: FourState) -> FourStateLoss:
    # The kernel adds p13 to p14 and p31 to p32 in 32 bits: a sum rounded up to 2**32 would be 0.
    p13, p32 = fraction(model.p13_pct), fraction(model.p32_pct)
    return FourStateLoss(
        p13=p13,
        p31=min(fraction(model.recovery_pct), CERTAIN - p32),
        p32=p32,
        p14=min(fraction(model.p14_pct), CERTAIN - p13),
        p23=fraction(model.p23_pct),
    )


def netem(
    impairment: Impairment,
    *,
    own_rate: bool = False,
    isolated: bool = False,
    ceiling_kbit: float | None = None,
    shared: bool = False,
) -> Netem:
    """The netem of a link, without a seed. `isolated`: it duplicates elsewhere; `ceiling_kbit` as in `Link`.

    `shared` as in `latency_ns`.
    """
    own_rate = own_rate or impairment.shaper == "netem"
    model = loss_model(impairment)
    if impairment.loss is None and model is None:
        loss, loss_correlation = fraction(impairment.loss_pct), fraction(impairment.loss_correlation_pct)
    else:
        loss = loss_correlation = 0
    duplicate = duplicate_correlation = 0
    if impairment.duplicate_pct and not isolated:
        duplicate = fraction(impairment.duplicate_pct)
        duplicate_correlation = fraction(impairment.duplicate_correlation_pct)
    corrupt = corrupt_correlation = 0
    if impairment.corrupt_pct:
        corrupt, corrupt_correlation = fraction(impairment.corrupt_pct), fraction(impairment.corrupt_correlation_pct)
    reorder = reorder_correlation = gap = 0
    if impairment.reorder_pct:
        reorder, reorder_correlation = fraction(impairment.reorder_pct), fraction(impairment.reorder_correlation_pct)
        gap = (impairment.reorder_gap or 1) if reorder else 0
    rate = rate_bytes(impairment) if own_rate else 0
    if impairment.keep_order and not rate:
        # Without jitter too: packets sent after the delay fell must not overtake those before.
        rate = ORDER_KEEPING_RATE
    shape = table(impairment.distribution)
    # By position: names would take as long as all of the above.
    return Netem(
        netem_limit(impairment, own_rate=own_rate, ceiling_kbit=ceiling_kbit),
        latency_ns(impairment, shared=shared),
        nanoseconds(impairment.jitter_ms) if impairment.jitter_ms else 0,
        fraction(impairment.delay_correlation_pct),
        b"" if shape is None else shape.packed(),
        loss,
        loss_correlation,
        model,
        duplicate,
        duplicate_correlation,
        corrupt,
        corrupt_correlation,
        reorder,
        reorder_correlation,
        gap,
        impairment.ecn and impairment.mean_loss_pct > 0,
        rate,
        impairment.packet_overhead or 0,
        impairment.cell_size or 0,
        impairment.cell_overhead or 0,
        _slot(impairment.slot),
    )


def _slot(slot: Slot | None) -> NetemSlot | None:
    if slot is None:
        return None
    shape = table(slot.distribution)
    return NetemSlot(
        nanoseconds(slot.every_ms),
        nanoseconds(slot.jitter_ms),
        UNLIMITED_ROOM if slot.packets is None else slot.packets,
        UNLIMITED_ROOM if slot.kb is None else max(1, round(slot.kb * 1000)),
        b"" if shape is None else shape.packed(),
    )


def route_metrics(mtu: int, *, four: bool) -> tuple[int, int]:
    """MTU of a route, and the TCP segment that it advertises: the interface's MTU without IP's header and TCP's."""
    return (mtu, MOST_MTU - 40) if four else (max(mtu, LEAST_IPV6_MTU), MOST_MTU - 60)


def duplicator(impairment: Impairment) -> Netem:
    """A netem that does nothing but duplicate, for isolation."""
    return Netem(
        limit_packets=LEAST_LIMIT,
        duplicate=fraction(impairment.duplicate_pct),
        duplicate_correlation=fraction(impairment.duplicate_correlation_pct),
    )


def link_seed(run_seed: int, link: Link, *, role: str = "") -> int:
    """64 bits for netem's random sequence, from (run seed, link, revision).

    A link with a `seed` of its own has that one until its first change. By the link's identity:
    adding a link does not change the others. `role` tells the netems of one link apart, so that they
    do not draw the same numbers.
    """
    own = link.impairment.seed
    if own is not None and link.revision == 0 and not role:
        return own
    text = "\0".join((str(run_seed if own is None else own), *link.key, str(link.revision), role))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
