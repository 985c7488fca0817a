"""What became of the probes of a link that varies: each is held against what was in force when it was sent. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment
from linkem_py.model.presets import PRESETS
from linkem_py.report import expect, judge
from linkem_py.report.figures import mean_error, share_figure, spread_error, value_figure
from linkem_py.report.model import Figure
from linkem_py.report.pace import wanted
from linkem_py.report.probes import Sample
from linkem_py.report.table import value_text

Floats = NDArray[np.float64]
Delays = Callable[[Sample], Floats]

MOST_PHASES = 8  # beyond that the mean over the time says more
MOST_SPELLS = 3  # that are told by their times
_S = 1e9
_NOTE = "held against what was in force when each probe was sent"


@attrs.frozen(kw_only=True)
class Spell:
    """A time in which a link stayed as it was. The last has no end."""

    start_ns: int
    end_ns: int | None
    impairment: Impairment
    outage: bool = False

    def contains(self, sample: Sample) -> NDArray[np.bool_]:
        """Which trains were sent in it as a whole."""
        inside = sample.sent >= self.start_ns
        return inside if self.end_ns is None else inside & (sample.sent + sample.took <= self.end_ns)


@attrs.frozen(kw_only=True)
class Phase:
    """All the time in which a link did the same to its packets.

    Attributes
    ----------
    impairment : what it did; everything lost in an outage
    label : what it is and when, in words
    sample : the probes of that time
    figures : what became of them
    """

    impairment: Impairment
    label: str
    sample: Sample
    figures: tuple[Figure, ...]


def phases(
    spells: Sequence[Spell], sample: Sample, began_ns: int, delays_of: Delays, around: judge.Circumstances
) -> list[Phase]:
    """The phases of a link in the order in which they began; one, of means, if there are too many."""
    groups: dict[tuple[Impairment, bool], list[Spell]] = {}
    rates: dict[tuple[Impairment, bool], list[Spell]] = {}
    for same, run in itertools.groupby(spells, lambda spell: _same(spell, around)):
        alike = list(run)
        # Through changes that probes do not notice.
        whole = attrs.evolve(alike[0], end_ns=alike[-1].end_ns)
        if whole.contains(sample).any():
            groups.setdefault(same, []).append(whole)
            rates.setdefault(same, []).extend(alike)
    end_ns = int(sample.sent[-1]) if len(sample.sent) else began_ns
    if len(groups) > MOST_PHASES:
        return [_mean(spells, sample, began_ns, delays_of, around)]
    found = []
    for same, group in groups.items():
        own = part(sample, np.logical_or.reduce([spell.contains(sample) for spell in group]))
        impairment = Impairment(loss_pct=100) if group[0].outage else group[0].impairment
        figures = judge.link_figures(impairment, own, delays_of(own), around)
        if group[0].outage:
            figures = tuple(figure for figure in figures if figure.name == "loss")
        label = f"{_kind(group[0])}{_times(group, began_ns, end_ns)}"
        found.append(Phase(impairment=impairment, label=label, sample=own, figures=(*figures, *goodput(rates[same]))))
    return found


def part(sample: Sample, trains: NDArray[np.bool_]) -> Sample:
    """These trains alone, as if no others had been sent."""
    size = sample.probing.train
    numbers = np.cumsum(trains) - 1
    arrived = trains[sample.numbers // size]
    kept = sample.numbers[arrived]
    return attrs.evolve(
        sample,
        sent=sample.sent[trains],
        took=sample.took[trains],
        counts=sample.counts[trains],
        numbers=numbers[kept // size] * size + kept % size,
        times=sample.times[arrived],
        damaged=sample.damaged[arrived],
    )


def goodput(spells: Sequence[Spell]) -> tuple[Figure, ...]:
    """A link that varies is not filled: what it should carry is another thing at every moment."""
    rates = sorted({spell.impairment.rate_kbit for spell in spells if spell.impairment.rate_kbit is not None})
    if not rates or spells[0].outage:
        return ()
    if len(rates) == 1:
        return (Figure(name="goodput", unit="kbit/s", asked=rates[0], note="the link varies"),)
    least, most = (value_text(rate, "kbit/s") for rate in (rates[0], rates[-1]))
    return (Figure(name="goodput", unit="kbit/s", note=f"the rate varied from {least} to {most}"),)


def hardest(states: Sequence[Impairment]) -> Impairment:
    """What to pace the probes of a link by that may become each of these: its rarest events, its lowest rate."""
    rarest = max(states, key=lambda state: (bool(state.corrupt_pct), wanted(state)))
    rates = [state.rate_kbit for state in states if state.rate_kbit is not None]
    return rarest.evolve(rate_kbit=min(rates)) if rates else rarest


# --- the same, and when --------------------------------------------------------------------------


def _same(spell: Spell, around: judge.Circumstances) -> tuple[Impairment, bool]:
    """What makes two times one phase: what becomes of probes, which no rate of an htb touches."""
    if spell.outage:
        return Impairment(), True
    own = spell.impairment.evolve(mtu=None)
    if not around.own_rate and own.shaper == "htb":
        own = own.evolve(rate_kbit=None)
    return own, False


def _kind(spell: Spell) -> str:
    """``outage, ``, or the preset's name; empty for what has none."""
    if spell.outage:
        return "outage, "
    own = spell.impairment.evolve(mtu=None)
    return next((f"{name}, " for name, preset in PRESETS.items() if preset.impairment == own), "")


def _times(spells: Sequence[Spell], began_ns: int, end_ns: int) -> str:
    """``0 to 30 s, 90 to 120 s``, or how often and for how long."""
    times = [
        ((spell.start_ns - began_ns) / _S, ((end_ns if spell.end_ns is None else spell.end_ns) - began_ns) / _S)
        for spell in spells
    ]
    if len(times) > MOST_SPELLS:
        return f"{len(times)} times, {sum(end - begin for begin, end in times):.3g} s in all"
    return ", ".join(f"{round(begin, 1):g} to {round(end, 1):g} s" for begin, end in times)


# --- means ---------------------------------------------------------------------------------------


def _mean(
    spells: Sequence[Spell], sample: Sample, began_ns: int, delays_of: Delays, around: judge.Circumstances
) -> Phase:
    """One phase for all of the time: a spell's probes against that spell, and then all of them together."""
    delays, asked, variances = [], [], []
    lost = sent = 0
    expected_lost, inflation = 0.0, 1.0
    for spell in spells:
        own = part(sample, spell.contains(sample))
        if not own.packets:
            continue
        impairment = Impairment(loss_pct=100) if spell.outage else spell.impairment
        found = delays_of(own)
        mean, spread = expect.delay_ms(impairment)
        at_once = expect.at_once_share(impairment)
        delays.append(found)
        asked.append(np.full(len(found), mean * (1 - at_once)))
        variances.append(np.full(len(found), (spread**2 + at_once * mean**2) * (1 - at_once)))
        sent += own.packets
        lost += own.packets - len(np.unique(own.numbers))
        expected_lost += own.packets * impairment.mean_loss_pct / 100
        inflation = max(inflation, expect.loss_of(impairment).inflation)
    all_delays, all_asked = np.concatenate(delays), np.concatenate(asked)
    figures = (
        *_delay(all_delays, all_asked, np.concatenate(variances), around),
        share_figure("loss", lost, sent, asked=expected_lost / sent, inflation=inflation, note=_NOTE),
        *goodput([spell for spell in spells if not spell.outage] or spells),
    )
    label = f"{len(spells):,} changes, {(int(sample.sent[-1]) - began_ns) / _S:.3g} s"
    return Phase(impairment=spells[0].impairment, label=label, sample=sample, figures=figures)


def _delay(delays: Floats, asked: Floats, variances: Floats, around: judge.Circumstances) -> tuple[Figure, Figure]:
    if not len(delays):
        return tuple(Figure(name=name, unit="ms", note="no packet arrived") for name in ("delay", "jitter"))  # type: ignore[return-value]
    off = delays - asked
    count, tolerance = len(delays), around.allowance_ms
    return (
        value_figure(
            "delay", float(delays.mean()), mean_error(off), samples=count,
            asked=float(asked.mean()), tolerance=tolerance, note=_NOTE,
        ),
        value_figure(
            "jitter", float(off.std()), spread_error(off), samples=count,
            asked=math.sqrt(float(variances.mean())), tolerance=tolerance, note=_NOTE,
        ),
    )  # fmt: skip
