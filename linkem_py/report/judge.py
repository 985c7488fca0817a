"""From one link's samples to its figures. Pure."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan.duplicates import isolates
from linkem_py.plan.requirements import CORRELATED_FROM_MS
from linkem_py.plan.translate import burst_bytes
from linkem_py.report import datagrams, expect
from linkem_py.report.figures import mean_error, mean_figure, rate_figure, share_figure, spread_figure, value_figure
from linkem_py.report.goodput import Filled
from linkem_py.report.model import Figure, Machine, Verdict
from linkem_py.report.probes import Sample

Floats = NDArray[np.float64]

QUEUE_TOLERANCE = 0.05  # of the wait: the queue is not full at every moment
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

    @classmethod
    def of(
        cls, topology: Topology, capabilities: Capabilities, impairment: Impairment, machine: Machine
    ) -> Circumstances:
        """Those of one link of a network."""
        return cls(
            isolated=isolates(topology, capabilities),
            own_rate=topology.classifier != "htb" or impairment.shaper == "netem",
            allowance_ms=machine.allowance_ms,
        )


@attrs.frozen(kw_only=True, eq=False)
class Timed:
    """Delays of a link, and what they are held against.

    `mean_ms` and `spread_ms` are what the impairment comes to here; `tolerance_ms` what the machine adds.
    """

    delays: Floats
    mean_ms: float
    spread_ms: float
    tolerance_ms: float
    note: str


@attrs.frozen(kw_only=True)
class Counted:
    """Events among packets, and what they are held against: `share_figure`'s arguments."""

    name: str
    events: int
    trials: int
    asked: float | None
    expected: float | None = None
    inflation: float = 1.0
    note: str = ""

    @property
    def figure(self) -> Figure:
        """As a figure of a report."""
        return share_figure(
            self.name, self.events, self.trials, asked=self.asked, expected=self.expected,
            inflation=self.inflation, note=self.note,
        )  # fmt: skip


def link_figures(impairment: Impairment, sample: Sample, delays: Floats, around: Circumstances) -> tuple[Figure, ...]:
    """Delay, jitter, loss; duplicates, corruption and reordering where they are asked or seen."""
    figures = [*_delay_and_jitter(impairment, timed(impairment, sample, delays, around))]
    figures += [lost(impairment, sample, around).figure, doubled(impairment, sample, around).figure]
    if impairment.corrupt_pct:
        figures.append(damaged(impairment, sample, around).figure)
    figures.append(_reordering(impairment, sample, around))
    return tuple(figures)


# --- delay ---------------------------------------------------------------------------------------


def timed(impairment: Impairment, sample: Sample, delays: Floats, around: Circumstances) -> Timed:
    """The delays that count, and the mean and spread that they should have."""
    asked_spread = impairment.delay_spread_ms
    mean, spread = expect.delay_ms(impairment)
    notes = []
    if abs(mean - impairment.delay_ms) > 1e-3 or abs(spread - asked_spread) > 1e-3:
        notes.append("the shape asked for has delays below 0, which are 0")
    if waits_for_others(impairment, around) and len(sample.sent):
        drawn = _simulated(impairment, sample, around)
        mean, spread = float(drawn.mean()), float(drawn.std())
        notes.append(_what_for(impairment))
    if impairment.reorder_pct:
        delays = delays[delays > _threshold_ms(impairment)] if _separable(impairment) else delays
        notes.append("without the packets sent at once")
    if impairment.delay_correlation_pct and impairment.jitter_ms < CORRELATED_FROM_MS:
        notes.append("netem's delay correlation does nothing for a jitter below a second")
    allowance = around.allowance_ms
    if around.own_rate and impairment.rate_kbit is not None:
        allowance += ECHO_SHARE * ECHO_FRAME * 8 / impairment.rate_kbit  # some probes wait for an echo
    return Timed(delays=delays, mean_ms=mean, spread_ms=spread, tolerance_ms=allowance, note="; ".join(notes))


def _delay_and_jitter(impairment: Impairment, found: Timed) -> tuple[Figure, Figure]:
    return (
        mean_figure(
            "delay", found.delays, asked=impairment.delay_ms, expected=_if_other(found.mean_ms, impairment.delay_ms),
            tolerance=found.tolerance_ms, note=found.note,
        ),
        spread_figure(
            "jitter", found.delays, asked=impairment.delay_spread_ms,
            expected=_if_other(found.spread_ms, impairment.delay_spread_ms),
            tolerance=found.tolerance_ms, note=found.note,
        ),
    )  # fmt: skip


def waits_for_others(impairment: Impairment, around: Circumstances) -> bool:
    """Whether a packet's delay depends on those before it, or on slots."""
    return impairment.slot is not None or _keeps_order(impairment, around)


def _what_for(impairment: Impairment) -> str:
    if impairment.slot is not None:
        return "with the wait for a slot"
    return "packets wait for those before them" if impairment.jitter_ms else "with the time of the frame itself"


def _keeps_order(impairment: Impairment, around: Circumstances) -> bool:
    return (impairment.keep_order and impairment.jitter_ms > 0) or (
        around.own_rate and impairment.rate_kbit is not None
    )


def _simulated(impairment: Impairment, sample: Sample, around: Circumstances) -> Floats:
    """Delays that the first packets of trains sent at the times of the sample would have."""
    train, frame = sample.probing.train, sample.probing.frame
    frame_ms = 0.0
    if around.own_rate and impairment.rate_kbit is not None:
        frame_ms = expect.charged_bytes(impairment, frame) * 8 / impairment.rate_kbit
    sent_ms = np.repeat((sample.sent - sample.sent[0]) / 1e6, train)
    rounds = max(1, math.ceil(_SIMULATED / len(sample.sent)))
    return np.concatenate(
        [
            expect.simulate_ms(impairment, sent_ms, frame_ms=frame_ms, frame=frame, seed=seed)[::train]
            for seed in range(rounds)
        ]
    )


# --- shares --------------------------------------------------------------------------------------


def _fate(impairment: Impairment, sample: Sample, around: Circumstances) -> expect.Fate:
    return expect.fate(impairment, isolated=around.isolated, payload=sample.probing.payload, frame=sample.probing.frame)


def lost(impairment: Impairment, sample: Sample, around: Circumstances) -> Counted:
    """Packets of which no copy arrived."""
    asked = impairment.mean_loss_pct / 100
    expected = _fate(impairment, sample, around).missing
    distinct = len(np.unique(sample.numbers))
    note = ""
    if abs(expected - asked) > 1e-9:
        note = "counted: packets of which no copy arrived"
    if impairment.kernel_loss_correlation:
        note = "netem's own correlated loss loses far less than asked"
    return Counted(
        name="loss", events=max(0, sample.packets - distinct), trials=sample.packets, asked=asked,
        expected=_if_other(expected, asked), inflation=expect.loss_of(impairment).inflation, note=note,
    )  # fmt: skip


def doubled(impairment: Impairment, sample: Sample, around: Circumstances) -> Counted:
    """Packets that arrived more than once, of those that arrived."""
    asked = impairment.duplicate_pct / 100
    _, copies = np.unique(sample.numbers, return_counts=True)
    inflation = (1 + impairment.duplicate_correlation_pct / 100) / (1.001 - impairment.duplicate_correlation_pct / 100)
    return Counted(
        name="duplicates", events=int((copies > 1).sum()), trials=len(copies), asked=asked,
        expected=_if_other(_fate(impairment, sample, around).doubled, asked), inflation=inflation,
        note="a copy may be lost on its own" if asked and impairment.mean_loss_pct else "",
    )  # fmt: skip


def damaged(impairment: Impairment, sample: Sample, around: Circumstances) -> Counted:
    """Packets with a flipped bit in the payload, of those that arrived."""
    return Counted(
        name="corruption", events=int(sample.damaged.sum()), trials=len(sample.damaged),
        asked=impairment.corrupt_pct / 100,
        expected=_fate(impairment, sample, around).damaged,
        inflation=(1 + impairment.corrupt_correlation_pct / 100) / (1.001 - impairment.corrupt_correlation_pct / 100),
        note="expected in the payload: a bit flipped in a header loses the packet",
    )  # fmt: skip


def _reordering(impairment: Impairment, sample: Sample, around: Circumstances) -> Figure:
    if impairment.reorder_pct:
        found = sent_at_once(impairment, sample)
        if found is not None:
            return found.figure
        return Figure(
            name="reordering", unit="%", asked=expect.at_once_share(impairment) * 100,
            note="the jitter is so large that packets sent at once cannot be told from others",
        )  # fmt: skip
    train = sample.probing.train
    first = sample.numbers % train == 0
    if not impairment.jitter_ms or impairment.keep_order or _keeps_order(impairment, around):
        return _late(sample)
    if impairment.slot is not None:
        # Packets of one slot leave in the order of their delays, at one time: a simulation of times sees no order.
        return attrs.evolve(_late(sample), asked=None, verdict=Verdict.FREE, note="jitter within slots")
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


def sent_at_once(impairment: Impairment, sample: Sample) -> Counted | None:
    """Packets that overtook those that wait; None where the jitter is so large that nobody can tell."""
    asked = expect.at_once_share(impairment)
    if not _separable(impairment):
        return None
    # All packets of a train, whenever they arrived: to leave out those that arrived in a pause would
    # leave out more of those that were delayed.
    threshold = _threshold_ms(impairment)
    trains = sample.numbers // sample.probing.train
    clear = sample.took[trains] < threshold / 2 * 1e6
    delays = (sample.times[clear] - sample.sent[trains[clear]]) / 1e6
    correlation = impairment.reorder_correlation_pct / 100
    return Counted(
        name="reordering", events=int((delays <= threshold).sum()), trials=len(delays), asked=asked,
        inflation=(1 + correlation) / (1.001 - correlation), note="packets sent at once",
    )  # fmt: skip


def _threshold_ms(impairment: Impairment) -> float:
    return expect.least_delay_ms(impairment) / 2


def _separable(impairment: Impairment) -> bool:
    return impairment.slot is None and _threshold_ms(impairment) > 0.5


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
    if any(waits_for_others(one, around) for one in (there, back)):
        return attrs.evolve(figure, verdict=Verdict.FREE, note="echoes wait for the probes before them, or for a slot")
    return figure


def _mean_echo(impairment: Impairment, around: Circumstances) -> float:
    mean = expect.delay_ms(impairment)[0] * (1 - expect.at_once_share(impairment))
    if around.own_rate and impairment.rate_kbit is not None:
        mean += expect.charged_bytes(impairment, ECHO_FRAME) * 8 / impairment.rate_kbit
    return mean


def goodput(impairment: Impairment, filled: Filled, *, skip_bytes: float) -> Figure:
    """Goodput of a link that was filled: the rate, less what overhead and slots take of it."""
    rate = impairment.rate_kbit
    assert rate is not None
    expected = expect.goodput_kbit(impairment, filled.frame)
    limited = ""
    if filled.offered_kbit * (1 - impairment.mean_loss_pct / 100) < 1.02 * expected:
        limited = "this machine cannot send more"
    elif filled.paused_s > MOST_PAUSED * filled.sending_s:
        limited = _paused_note(filled)
    return rate_figure(
        filled.arrived_s, np.full(len(filled.arrived_s), float(filled.frame)), asked=rate,
        expected=_if_other(expected, rate), skip_bytes=skip_bytes, tolerance=GOODPUT_TOLERANCE * expected,
        limited=limited, note=_overhead_note(impairment, filled.frame, expected),
    )  # fmt: skip


def _overhead_note(impairment: Impairment, frame: int, expected: float) -> str:
    charged = expect.charged_bytes(impairment, frame)
    assert impairment.rate_kbit is not None
    if expected < impairment.rate_kbit * frame / charged * (1 - 1e-9):
        return "no more fits into the slots"
    return "" if charged == frame else f"each frame of {frame} bytes counts {charged} for the rate"


def full_wait(impairment: Impairment, filled: Filled, around: Circumstances) -> Figure:
    """How long packets wait in the queue of a link that is fuller than its rate allows."""
    expected = expect.full_wait_ms(impairment, filled.frame, own_rate=around.own_rate)
    asked = None if impairment.queue != "fifo" or impairment.shaper == "cake" else impairment.queue_ms
    if not len(filled.last_waits_ms):
        return Figure(name="full queue", unit="ms", asked=asked, expected=expected, note="no packet arrived")
    waits = filled.last_waits_ms - expect.delay_ms(impairment)[0]
    if expected is None:
        return attrs.evolve(
            mean_figure("full queue", waits, asked=None, tolerance=0.0), verdict=Verdict.FREE,
            note="a managed queue decides by itself how long packets wait",
        )  # fmt: skip
    if filled.excess_ms < 1.1 * expected:
        return Figure(
            name="full queue", unit="ms", asked=asked, expected=expected, measured=float(waits.mean()),
            samples=len(waits), note="not long enough to fill the queue",
        )  # fmt: skip
    assert impairment.rate_kbit is not None
    frame_ms = expect.charged_bytes(impairment, filled.frame) * 8 / impairment.rate_kbit
    burst_ms = burst_bytes(impairment) * 8 / impairment.rate_kbit
    tolerance = around.allowance_ms + QUEUE_TOLERANCE * expected + 2 * frame_ms + burst_ms + impairment.jitter_ms
    note = "netem's limit has room for the smallest frames in flight, which larger ones fill" if around.own_rate else ""
    figure = mean_figure("full queue", waits, asked=asked, expected=expected, tolerance=tolerance, note=note)
    if figure.verdict is Verdict.OUT and filled.paused_s > MOST_PAUSED * filled.sending_s:
        return attrs.evolve(figure, verdict=Verdict.NONE, note=_paused_note(filled))
    return figure


def _paused_note(filled: Filled) -> str:
    return f"this machine paused for {filled.paused_s / filled.sending_s:.0%} of the time"


def _if_other(expected: float, asked: float) -> float | None:
    return None if abs(expected - asked) <= max(1e-9, 1e-4 * abs(asked)) else expected


def payload_share(frame: int) -> float:
    """How much of a frame of so many bytes is UDP payload."""
    return (frame - datagrams.HEADERS) / frame
