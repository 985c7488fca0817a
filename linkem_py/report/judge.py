"""From one link's samples to its figures. Pure."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment
from linkem_py.plan.requirements import CORRELATED_FROM_MS
from linkem_py.report import expect
from linkem_py.report.figures import mean_error, mean_figure, rate_figure, share_figure, spread_figure, value_figure
from linkem_py.report.goodput import Filled
from linkem_py.report.model import Figure, Verdict
from linkem_py.report.probes import Sample

Floats = NDArray[np.float64]

GOODPUT_TOLERANCE = 0.02  # of the rate: late timers of a shaper cost about that much
ECHO_FRAME, ECHO_SHARE = 98, 0.25  # bytes; of its time on the link

MOST_PAUSED = 0.01  # of the time of sending: a shaper does not make up for what a pause costs
_SIMULATED = 20_000


@attrs.frozen(kw_only=True)
class Circumstances:
    """What the figures of a link depend on besides its impairment.

    `isolated`: its duplication happens on a device of its own; `own_rate`: netem's own rate, not
    an htb class; `allowance_ms`: the tolerance of delays on this machine.
    """

    isolated: bool
    own_rate: bool
    allowance_ms: float


def link_figures(impairment: Impairment, sample: Sample, delays: Floats, around: Circumstances) -> tuple[Figure, ...]:
    """Delay, jitter, loss; duplicates, corruption and reordering where they are asked or seen."""
    figures = [*_delay_and_jitter(impairment, sample, delays, around), _loss(impairment, sample, around)]
    figures.append(_duplicates(impairment, sample, around))
    if impairment.corrupt_pct:
        figures.append(_corruption(impairment, sample, around))
    figures.append(_reordering(impairment, sample, around))
    return tuple(figures)


# --- delay ---------------------------------------------------------------------------------------


def _delay_and_jitter(
    impairment: Impairment, sample: Sample, delays: Floats, around: Circumstances
) -> tuple[Figure, Figure]:
    asked_spread = impairment.delay_spread_ms
    mean, spread = expect.delay_ms(impairment)
    notes = []
    if abs(mean - impairment.delay_ms) > 1e-3 or abs(spread - asked_spread) > 1e-3:
        notes.append("the shape asked for has delays below 0, which are 0")
    if _keeps_order(impairment, around) and len(sample.sent):
        drawn = _simulated(impairment, sample, around)
        mean, spread = float(drawn.mean()), float(drawn.std())
        notes.append(
            "packets wait for those before them" if impairment.jitter_ms else "with the time of the frame itself"
        )
    if impairment.reorder_pct:
        delays = delays[delays > _threshold_ms(impairment)] if _separable(impairment) else delays
        notes.append("without the packets sent at once")
    if impairment.delay_correlation_pct and impairment.jitter_ms < CORRELATED_FROM_MS:
        notes.append("netem's delay correlation does nothing for a jitter below a second")
    note = "; ".join(notes)
    allowance = around.allowance_ms
    if around.own_rate and impairment.rate_kbit is not None:
        allowance += ECHO_SHARE * ECHO_FRAME * 8 / impairment.rate_kbit  # some probes wait for an echo
    return (
        mean_figure(
            "delay", delays, asked=impairment.delay_ms, expected=_if_other(mean, impairment.delay_ms),
            tolerance=allowance, note=note,
        ),
        spread_figure(
            "jitter", delays, asked=asked_spread, expected=_if_other(spread, asked_spread),
            tolerance=allowance, note=note,
        ),
    )  # fmt: skip


def _keeps_order(impairment: Impairment, around: Circumstances) -> bool:
    return (impairment.keep_order and impairment.jitter_ms > 0) or (
        around.own_rate and impairment.rate_kbit is not None
    )


def _simulated(impairment: Impairment, sample: Sample, around: Circumstances) -> Floats:
    """Delays that the first packets of trains sent at the times of the sample would have."""
    train = sample.probing.train
    frame_ms = 0.0
    if around.own_rate and impairment.rate_kbit is not None:
        frame_ms = sample.probing.frame * 8 / impairment.rate_kbit
    sent_ms = np.repeat((sample.sent - sample.sent[0]) / 1e6, train)
    rounds = max(1, math.ceil(_SIMULATED / len(sample.sent)))
    return np.concatenate(
        [expect.simulate_ms(impairment, sent_ms, frame_ms=frame_ms, seed=seed)[::train] for seed in range(rounds)]
    )


# --- shares --------------------------------------------------------------------------------------


def _fate(impairment: Impairment, sample: Sample, around: Circumstances) -> expect.Fate:
    return expect.fate(impairment, isolated=around.isolated, payload=sample.probing.payload, frame=sample.probing.frame)


def _loss(impairment: Impairment, sample: Sample, around: Circumstances) -> Figure:
    asked = impairment.mean_loss_pct / 100
    expected = _fate(impairment, sample, around).missing
    distinct = len(np.unique(sample.numbers))
    note = ""
    if abs(expected - asked) > 1e-9:
        note = "counted: packets of which no copy arrived"
    if impairment.kernel_loss_correlation:
        note = "netem's own correlated loss loses far less than asked"
    return share_figure(
        "loss", max(0, sample.packets - distinct), sample.packets, asked=asked,
        expected=_if_other(expected, asked), inflation=expect.loss_of(impairment).inflation, note=note,
    )  # fmt: skip


def _duplicates(impairment: Impairment, sample: Sample, around: Circumstances) -> Figure:
    asked = impairment.duplicate_pct / 100
    _, copies = np.unique(sample.numbers, return_counts=True)
    inflation = (1 + impairment.duplicate_correlation_pct / 100) / (1.001 - impairment.duplicate_correlation_pct / 100)
    return share_figure(
        "duplicates", int((copies > 1).sum()), len(copies), asked=asked,
        expected=_if_other(_fate(impairment, sample, around).doubled, asked), inflation=inflation,
        note="a copy may be lost on its own" if asked and impairment.mean_loss_pct else "",
    )  # fmt: skip


def _corruption(impairment: Impairment, sample: Sample, around: Circumstances) -> Figure:
    return share_figure(
        "corruption", int(sample.damaged.sum()), len(sample.damaged), asked=impairment.corrupt_pct / 100,
        expected=_fate(impairment, sample, around).damaged,
        inflation=(1 + impairment.corrupt_correlation_pct / 100) / (1.001 - impairment.corrupt_correlation_pct / 100),
        note="expected in the payload: a bit flipped in a header loses the packet",
    )  # fmt: skip


def _reordering(impairment: Impairment, sample: Sample, around: Circumstances) -> Figure:
    if impairment.reorder_pct:
        return _sent_at_once(impairment, sample)
    train = sample.probing.train
    first = sample.numbers % train == 0
    if not impairment.jitter_ms or impairment.keep_order or _keeps_order(impairment, around):
        return _late(sample)
    # Jitter lets probes overtake each other: how many follows from when they were sent.
    order = sample.numbers[first] // train
    late = expect.late_share(sample.sent[order], sample.times[first])
    if not first.any():
        return share_figure("reordering", 0, 0, asked=None)
    sent_ms = (sample.sent - sample.sent[0]) / 1e6
    shares = [
        expect.late_share(sent_ms, sent_ms + expect.simulate_ms(impairment, sent_ms, seed=seed))
        for seed in range(max(1, math.ceil(_SIMULATED / len(sent_ms))))
    ]
    return share_figure(
        "reordering", round(late * int(first.sum())), int(first.sum()), asked=None, expected=float(np.mean(shares)),
        note="what this jitter does to probes sent at these times, by simulation",
    )  # fmt: skip


def _late(sample: Sample) -> Figure:
    # In trains too; copies arrive later than what was sent after their original, so each packet's first one.
    if not len(sample.numbers):
        return share_figure("reordering", 0, 0, asked=0.0)
    order = np.argsort(sample.times, kind="stable")
    numbers, index = np.unique(sample.numbers[order], return_index=True)
    late = expect.late_share(numbers, index)
    return share_figure("reordering", round(late * len(numbers)), len(numbers), asked=0.0)


def _sent_at_once(impairment: Impairment, sample: Sample) -> Figure:
    asked = expect.at_once_share(impairment)
    if not _separable(impairment):
        return Figure(
            name="reordering", unit="%", asked=asked * 100,
            note="the jitter is so large that packets sent at once cannot be told from others",
        )  # fmt: skip
    # All packets of a train, whenever they arrived: to leave out those that arrived in a pause would
    # leave out more of those that were delayed.
    threshold = _threshold_ms(impairment)
    trains = sample.numbers // sample.probing.train
    clear = sample.took[trains] < threshold / 2 * 1e6
    delays = (sample.times[clear] - sample.sent[trains[clear]]) / 1e6
    correlation = impairment.reorder_correlation_pct / 100
    return share_figure(
        "reordering", int((delays <= threshold).sum()), len(delays), asked=asked,
        inflation=(1 + correlation) / (1.001 - correlation), note="packets sent at once",
    )  # fmt: skip


def _threshold_ms(impairment: Impairment) -> float:
    return expect.least_delay_ms(impairment) / 2


def _separable(impairment: Impairment) -> bool:
    return _threshold_ms(impairment) > 0.5


# --- pairs and rates -----------------------------------------------------------------------------


def round_trip(there: Impairment, back: Impairment, requests: int, times_ms: Floats, around: Circumstances) -> Figure:
    """The round trip of echo requests, which the other end's kernel answers."""
    if not requests:
        return Figure(name="round trip", unit="ms", note="no time left for it")
    asked = there.delay_ms + back.delay_ms
    expected = sum(_mean_echo(one, around) for one in (there, back))
    if not len(times_ms):
        return Figure(name="round trip", unit="ms", asked=asked, note="no reply arrived")
    figure = value_figure(
        "round trip", float(times_ms.mean()), mean_error(times_ms), samples=len(times_ms), asked=asked,
        expected=_if_other(expected, asked), tolerance=2 * around.allowance_ms,
    )  # fmt: skip
    if any(_keeps_order(one, around) for one in (there, back)):
        return attrs.evolve(figure, verdict=Verdict.FREE, note="echoes wait for the probes before them")
    return figure


def _mean_echo(impairment: Impairment, around: Circumstances) -> float:
    mean = expect.delay_ms(impairment)[0] * (1 - expect.at_once_share(impairment))
    if around.own_rate and impairment.rate_kbit is not None:
        mean += ECHO_FRAME * 8 / impairment.rate_kbit
    return mean


def goodput(impairment: Impairment, filled: Filled, *, skip_bytes: float) -> Figure:
    """Goodput of a link that was filled."""
    rate = impairment.rate_kbit
    assert rate is not None
    limited = ""
    if filled.offered_kbit * (1 - impairment.mean_loss_pct / 100) < 1.02 * rate:
        limited = "this machine cannot send more"
    elif filled.paused_s > MOST_PAUSED * filled.sending_s:
        limited = f"this machine paused for {filled.paused_s / filled.sending_s:.0%} of the time"
    return rate_figure(
        filled.arrived_s, np.full(len(filled.arrived_s), float(filled.frame)), asked=rate,
        skip_bytes=skip_bytes, tolerance=GOODPUT_TOLERANCE * rate, limited=limited,
    )  # fmt: skip


def _if_other(expected: float, asked: float) -> float | None:
    return None if abs(expected - asked) <= max(1e-9, 1e-4 * abs(asked)) else expected
