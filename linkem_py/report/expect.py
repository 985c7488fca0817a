"""What an impairment comes to, packet by packet, by the formulas of the kernel's sch_netem.c. Pure."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import FourState, GilbertElliott, Impairment
from linkem_py.model.distribution import SCALE, Distribution, table
from linkem_py.model.slot import Slot
from linkem_py.plan.translate import netem_limit, queue_bytes, rate_bytes

Floats = NDArray[np.float64]
MOST_INFLATION = 1000.0


@attrs.frozen
class Loss:
    """Mean loss as a fraction, and how much more than independent losses it varies.

    `inflation` is the ratio of the variance of the share lost to that of as many independent
    packets: n packets tell as much as n / inflation.
    """

    mean: float
    inflation: float = 1.0


@attrs.frozen(eq=False)
class Chain:
    """A Markov chain whose state says with which probability a packet is lost.

    Attributes
    ----------
    steps : probabilities of going from a state (row) to another, per packet
    lost : by state
    stationary : share of packets in each state
    """

    steps: Floats
    lost: Floats
    stationary: Floats

    @classmethod
    def of(cls, impairment: Impairment) -> Chain | None:
        """The chain of an impairment's loss; None for netem's own correlated loss, which is none."""
        model = impairment.loss
        correlation = impairment.loss_correlation_pct
        if model is None and correlation:
            if impairment.kernel_loss_correlation:
                return None
            model = GilbertElliott.from_correlation(impairment.loss_pct, correlation)
        if model is None:
            return cls(np.ones((1, 1)), np.array([impairment.loss_pct / 100]), np.ones(1))
        if isinstance(model, GilbertElliott):
            p, r = model.p_pct / 100, model.r_pct / 100
            lost = np.array([model.good_loss_pct, model.bad_loss_pct]) / 100
            return cls.reduced(np.array([[1 - p, p], [r, 1 - r]]), lost)
        return cls.reduced(*_four_state(model))

    @classmethod
    def reduced(cls, steps: Floats, lost: Floats) -> Chain:
        """The chain without the states that the first one never leads to."""
        reached = _reachable(steps)
        steps, lost = steps[np.ix_(reached, reached)], lost[reached]
        equations = np.vstack([steps.T - np.eye(len(lost)), np.ones(len(lost))])
        stationary = np.linalg.lstsq(equations, np.append(np.zeros(len(lost)), 1.0), rcond=None)[0]
        return cls(steps, lost, stationary)

    @property
    def inflation(self) -> float:
        """Variance of the share lost over that of independent losses, at least 1.

        With the mean m and the fundamental matrix Z = (I - P + 1 pi)^-1 the autocovariances sum to
        (pi f) (Z - I) f (Kemeny & Snell, Finite Markov Chains, theorem 4.6.1).
        """
        size = len(self.lost)
        try:
            fundamental = np.linalg.inv(np.eye(size) - self.steps + np.outer(np.ones(size), self.stationary))
        except np.linalg.LinAlgError:
            return MOST_INFLATION
        mean = float(self.stationary @ self.lost)
        if not 0 < mean < 1:
            return 1.0
        covariances = float((self.stationary * self.lost) @ (fundamental - np.eye(size)) @ self.lost)
        return float(np.clip(1 + 2 * covariances / (mean * (1 - mean)), 1, MOST_INFLATION))


def loss_of(impairment: Impairment) -> Loss:
    """What the loss setting takes, whichever form it has."""
    mean = impairment.mean_loss_pct / 100
    chain = Chain.of(impairment)
    if chain is None:
        correlation = impairment.loss_correlation_pct / 100
        return Loss(mean, _autoregressive(correlation) if 0 < mean < 1 else 1.0)
    return Loss(mean, chain.inflation)


def _four_state(model: FourState) -> tuple[Floats, Floats]:
    p13, p31, p32 = model.p13_pct / 100, model.recovery_pct / 100, model.p32_pct / 100
    p23, p14 = model.p23_pct / 100, model.p14_pct / 100
    steps = np.array(
        [
            [1 - p13 - p14, 0, p13, p14],
            [0, 1 - p23, p23, 0],
            [p31, p32, 1 - p31 - p32, 0],
            [1, 0, 0, 0],
        ]
    )
    return steps, np.array([0.0, 0.0, 1.0, 1.0])


def _reachable(steps: Floats) -> list[int]:
    found, new = {0}, {0}
    while new:
        new = {int(state) for one in new for state in np.flatnonzero(steps[one] > 0)} - found
        found |= new
    return sorted(found)


def _autoregressive(correlation: float) -> float:
    return min(MOST_INFLATION, (1 + correlation) / (1 - correlation)) if correlation < 1 else MOST_INFLATION


@attrs.frozen
class Fate:
    """Shares of what is sent and what arrives.

    `missing`: packets of which no copy arrives; `doubled`: those with two copies among those that
    arrive; `damaged`: copies with a flipped bit in the payload among those that arrive.
    """

    missing: float
    doubled: float
    damaged: float


def fate(impairment: Impairment, *, isolated: bool, payload: int, frame: int) -> Fate:
    """What becomes of probes of `payload` bytes in frames of `frame` bytes, sent without a checksum.

    netem's duplicate goes through the whole tree again and may be lost on its own; when a packet
    is to be both lost and doubled, one copy stays (netem_enqueue). Isolated duplication happens
    before the loss. A flipped bit in a header loses the packet, except in the six bytes of the
    sender's MAC; in the payload it does not.
    """
    corrupt = impairment.corrupt_pct / 100
    in_header = (frame - payload - 6) / frame
    lost = 1 - (1 - impairment.mean_loss_pct / 100) * (1 - corrupt * in_header)
    double = impairment.duplicate_pct / 100
    missing = (1 - double) * lost + (double * lost**2 if isolated else 0.0)
    arriving = 1 - missing
    doubled = double * (1 - lost) ** 2 / arriving if arriving > 0 else 0.0
    flipped = corrupt * payload / frame
    damaged = flipped / (1 - corrupt * in_header) if corrupt * in_header < 1 else 0.0
    return Fate(missing, doubled, damaged)


def at_once_share(impairment: Impairment) -> float:
    """Share of packets that `reorder_pct` sends at once.

    With a gap g, g - 1 packets are delayed and then each has the chance p: one in g - 1 + 1 / p.
    """
    if not impairment.reorder_pct:
        return 0.0
    return 1 / ((impairment.reorder_gap or 1) - 1 + 100 / impairment.reorder_pct)


def least_delay_ms(impairment: Impairment) -> float:
    """The shortest delay that jitter can make."""
    shape = table(impairment.distribution)
    lowest = -1.0 if shape is None else min(shape.values) / SCALE
    return max(0.0, impairment.delay_ms + impairment.jitter_ms * lowest)


def longest_delay_ms(impairment: Impairment) -> float:
    """The longest delay that jitter and the wait for a slot can make, unless slots are full."""
    longest = impairment.delay_ms + impairment.jitter_ms * _highest(impairment.distribution)
    if (slot := impairment.slot) is not None:
        longest += slot.every_ms + slot.jitter_ms * _highest(slot.distribution)
    return longest


def _highest(distribution: Distribution) -> float:
    shape = table(distribution)
    return 1.0 if shape is None else max(shape.values) / SCALE


def delay_ms(impairment: Impairment) -> tuple[float, float]:
    """Mean and standard deviation of the delay without slots; negative ones are 0 (a table may ask for such)."""
    shape = table(impairment.distribution)
    if shape is None or not impairment.jitter_ms:
        return impairment.delay_ms, impairment.delay_spread_ms
    drawn = np.maximum(0.0, impairment.delay_ms + impairment.jitter_ms * np.asarray(shape.values) / SCALE)
    return float(drawn.mean()), float(drawn.std())


def simulate_ms(
    impairment: Impairment, sent_ms: Floats, *, frame_ms: float = 0.0, frame: int = 0, seed: int = 0
) -> Floats:
    """Delays that netem would give packets sent at these times (ascending, milliseconds).

    `frame_ms` is the time of one probe at netem's own rate, 0 without one. With a rate, or with
    `keep_order`, no packet leaves before the one sent before it. `frame` is what a probe takes of a
    slot's bytes. The 32-bit random numbers of a
    correlated delay are x = (1 - c) u + c x' (get_crandom), but the delay takes them modulo twice
    the jitter in ns, or modulo the size of the table (tabledist), which leaves little of that.
    """
    random = np.random.default_rng(seed)
    drawn = random.random(len(sent_ms))
    correlation = impairment.delay_correlation_pct / 100
    if correlation:
        last = 0.0
        for index, value in enumerate(drawn.tolist()):
            last = (1 - correlation) * value + correlation * last
            drawn[index] = last
    numbers = (drawn * 2**32).astype(np.uint64)
    around = _around(impairment.distribution, impairment.jitter_ms, numbers)
    leaves = sent_ms + np.maximum(0.0, impairment.delay_ms + impairment.jitter_ms * around)
    if impairment.keep_order or frame_ms:
        passed = np.arange(len(sent_ms)) * frame_ms
        leaves = np.maximum.accumulate(leaves - passed) + passed + frame_ms
    if impairment.slot is not None:
        leaves = _in_slots(impairment.slot, leaves, frame, random)
    return np.asarray(leaves - sent_ms)


def _around(distribution: Distribution, jitter_ms: float, numbers: NDArray[np.uint64]) -> Floats:
    """From 32-bit random numbers to jitters."""
    shape = table(distribution)
    if shape is not None:
        return np.asarray(shape.values)[(numbers % np.uint64(len(shape.values))).astype(np.int64)] / SCALE
    if jitter_ns := round(jitter_ms * 1e6):
        return np.asarray((numbers % np.uint64(2 * jitter_ns)) / jitter_ns - 1)
    return np.zeros(len(numbers))


def _in_slots(slot: Slot, due_ms: Floats, frame: int, random: np.random.Generator) -> Floats:
    """When packets leave that are due at these times (netem_dequeue and get_slot_next).

    One that is due after the last slot opens the next, a draw after it is due; those due until then
    leave with it. Whoever fills it opens the next, a draw after it.
    """
    count = len(due_ms)
    numbers = (random.random(2 * count) * 2**32).astype(np.uint64)
    waits = np.maximum(0.0, slot.every_ms + slot.jitter_ms * _around(slot.distribution, slot.jitter_ms, numbers))
    most_packets = slot.packets or math.inf
    most_bytes = math.inf if slot.kb is None else slot.kb * 1000
    leaves = np.empty(count)
    opens, packets, room, draws = -math.inf, most_packets, most_bytes, iter(waits.tolist())
    order = np.argsort(due_ms, kind="stable")
    for index, due in zip(order.tolist(), due_ms[order].tolist(), strict=True):
        if opens < due:
            opens, packets, room = due + next(draws), most_packets, most_bytes
        leaves[index] = opens
        packets, room = packets - 1, room - frame
        if packets <= 0 or room <= 0:
            opens, packets, room = opens + next(draws), most_packets, most_bytes
    return leaves


def charged_bytes(impairment: Impairment, frame: int) -> int:
    """What a frame counts for the rate: more than it has with `packet_overhead` and cells (packet_time_ns)."""
    length = frame + (impairment.packet_overhead or 0)
    if impairment.cell_size is None:
        return length
    cells = -(-length // impairment.cell_size)
    return cells * (impairment.cell_size + (impairment.cell_overhead or 0))


def slots_kbit(slot: Slot, frame: int) -> float:
    """The rate of slots that are always full of frames of that size; infinite if they cannot be."""
    rooms = [math.inf if slot.packets is None else slot.packets]
    rooms.append(math.inf if slot.kb is None else math.ceil(slot.kb * 1000 / frame))
    return min(rooms) * frame * 8 / slot.every_ms


def goodput_kbit(impairment: Impairment, frame: int) -> float:
    """What passes of frames of that size that keep the link full: the rate, less overhead, or what slots let pass."""
    assert impairment.rate_kbit is not None
    passes = impairment.rate_kbit * frame / charged_bytes(impairment, frame)
    return passes if impairment.slot is None else min(passes, slots_kbit(impairment.slot, frame))


def full_wait_ms(impairment: Impairment, frame: int, *, own_rate: bool) -> float | None:
    """How long a full queue makes a frame wait; None where the queue decides that by itself (CoDel)."""
    if impairment.rate_kbit is None or impairment.shaper == "cake" or impairment.queue != "fifo":
        return None
    if own_rate:
        # netem's limit counts packets: full frames that wait, and smallest ones in flight (`netem_limit`).
        rate = rate_bytes(impairment)
        flying = impairment.delay_ms * rate / 1000 / charged_bytes(impairment, frame)
        packets = netem_limit(impairment, own_rate=True) - flying
        return packets * charged_bytes(impairment, frame) * 8 / impairment.rate_kbit
    if impairment.queue_packets is not None:
        return impairment.queue_packets * frame * 8 / impairment.rate_kbit
    return queue_bytes(impairment) // frame * frame * 8 / impairment.rate_kbit


def late_share(sent: NDArray[Any], arrived: NDArray[Any]) -> float:
    """Share of packets that arrive after one that was sent later (RFC 4737, 4.1.1 by time of arrival)."""
    if not len(sent):
        return 0.0
    order = np.lexsort((sent, arrived))
    sent_by_arrival = sent[order]
    newest = np.maximum.accumulate(sent_by_arrival)
    return float(np.mean(sent_by_arrival < newest))
