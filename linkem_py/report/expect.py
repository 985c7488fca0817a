"""What an impairment comes to, packet by packet, by the formulas of the kernel's sch_netem.c. Pure."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import FourState, GilbertElliott, Impairment
from linkem_py.model.distribution import SCALE, table

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


def loss_of(impairment: Impairment) -> Loss:
    """What the loss setting takes, whichever form it has."""
    model = impairment.loss
    mean = impairment.mean_loss_pct / 100
    if model is None:
        correlation = impairment.loss_correlation_pct / 100
        if not 0 < mean < 1 or not correlation:
            return Loss(mean)
        return Loss(mean, _autoregressive(correlation))
    if isinstance(model, GilbertElliott):
        p, r = model.p_pct / 100, model.r_pct / 100
        steps = np.array([[1 - p, p], [r, 1 - r]])
        lost = np.array([model.good_loss_pct, model.bad_loss_pct]) / 100
    else:
        steps, lost = _four_state(model)
    return Loss(mean, chain_inflation(steps, lost))


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


def chain_inflation(steps: Floats, lost: Floats) -> float:
    """Variance inflation of a loss that depends on the state of a Markov chain, at least 1.

    With the stationary distribution pi, mean m and fundamental matrix Z = (I - P + 1 pi)^-1 the
    autocovariances sum to (pi f) (Z - I) f (Kemeny & Snell, Finite Markov Chains, theorem 4.6.1).
    """
    size = len(lost)
    reached = _reachable(steps)
    steps, lost = steps[np.ix_(reached, reached)], lost[reached]
    size = len(lost)
    try:
        equations = np.vstack([steps.T - np.eye(size), np.ones(size)])
        stationary = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)[0]
        fundamental = np.linalg.inv(np.eye(size) - steps + np.outer(np.ones(size), stationary))
    except np.linalg.LinAlgError:
        return MOST_INFLATION
    mean = float(stationary @ lost)
    if not 0 < mean < 1:
        return 1.0
    covariances = float((stationary * lost) @ (fundamental - np.eye(size)) @ lost)
    return float(np.clip(1 + 2 * covariances / (mean * (1 - mean)), 1, MOST_INFLATION))


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
    """The longest delay that jitter can make."""
    shape = table(impairment.distribution)
    highest = 1.0 if shape is None else max(shape.values) / SCALE
    return impairment.delay_ms + impairment.jitter_ms * highest


def delay_ms(impairment: Impairment) -> tuple[float, float]:
    """Mean and standard deviation of the delay; negative ones are 0 (a table may ask for such)."""
    shape = table(impairment.distribution)
    if shape is None or not impairment.jitter_ms:
        return impairment.delay_ms, impairment.delay_spread_ms
    drawn = np.maximum(0.0, impairment.delay_ms + impairment.jitter_ms * np.asarray(shape.values) / SCALE)
    return float(drawn.mean()), float(drawn.std())


def simulate_ms(impairment: Impairment, sent_ms: Floats, *, frame_ms: float = 0.0, seed: int = 0) -> Floats:
    """Delays that netem would give packets sent at these times (ascending, milliseconds).

    `frame_ms` is the time of one probe at netem's own rate, 0 without one. With a rate, or with
    `keep_order`, no packet leaves before the one sent before it. The 32-bit random numbers of a
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
    shape = table(impairment.distribution)
    if shape is not None:
        around = np.asarray(shape.values)[(numbers % np.uint64(len(shape.values))).astype(np.int64)] / SCALE
    elif jitter_ns := round(impairment.jitter_ms * 1e6):
        around = (numbers % np.uint64(2 * jitter_ns)) / jitter_ns - 1
    else:
        around = np.zeros(len(sent_ms))
    leaves = sent_ms + np.maximum(0.0, impairment.delay_ms + impairment.jitter_ms * around)
    if impairment.keep_order or frame_ms:
        passed = np.arange(len(sent_ms)) * frame_ms
        leaves = np.maximum.accumulate(leaves - passed) + passed + frame_ms
    return np.asarray(leaves - sent_ms)


def late_share(sent: NDArray[Any], arrived: NDArray[Any]) -> float:
    """Share of packets that arrive after one that was sent later (RFC 4737, 4.1.1 by time of arrival)."""
    if not len(sent):
        return 0.0
    order = np.lexsort((sent, arrived))
    sent_by_arrival = sent[order]
    newest = np.maximum.accumulate(sent_by_arrival)
    return float(np.mean(sent_by_arrival < newest))
