"""From one link's samples to its checks. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment
from linkem_py.report import figures, judge
from linkem_py.report.goodput import Filled
from linkem_py.report.model import Verdict
from linkem_py.report.probes import Sample
from linkem_py.report.verify import bursts, delays, rates, shares, tails
from linkem_py.report.verify.check import Check, Outcome, decide
from linkem_py.report.verify.following import Followed
from linkem_py.report.verify.needs import Need, Tolerances, runs_of

Floats = NDArray[np.float64]

NOTHING = "no packet arrived"
LEAST_SECONDS = 10
WIDER = 1.5  # how much wider an interval may be than planned, before neighbours are too alike to decide


class Checks:
    """Checks the quantities of one link.

    Parameters
    ----------
    confidence : of the intervals shown
    level : of the intervals that decide
    """

    def __init__(
        self,
        impairment: Impairment,
        around: judge.Circumstances,
        needed: Mapping[str, Need],
        tolerances: Tolerances,
        *,
        confidence: float,
        level: float,
    ) -> None:
        self._impairment = impairment
        self._around = around
        self._needed = needed
        self._tolerances = tolerances
        self._confidence = confidence
        self._level = level

    def of_probes(self, sample: Sample, found: Floats) -> list[Check]:
        """Delay and everything that happens to packets. `found` are the delays, as `delays_ms` gives them."""
        impairment, around = self._impairment, self._around
        timed = judge.timed(impairment, sample, found, around)
        counted = {"loss": judge.lost(impairment, sample, around)}
        counted["duplicates"] = judge.doubled(impairment, sample, around)
        counted["corruption"] = judge.damaged(impairment, sample, around)
        at_once = judge.sent_at_once(impairment, sample) if impairment.reorder_pct else None
        if at_once is not None:
            counted["reordering"] = at_once
        made = []
        for quantity, need in self._needed.items():
            if quantity in counted:
                made.append(self.share(counted[quantity], need))
            elif quantity == "delay":
                made.append(self.delay(timed, need))
            elif quantity == "jitter":
                made.append(self.jitter(timed, need))
            elif quantity == "distribution":
                made.append(self.distribution(timed, need))
            elif quantity == "bursts":
                made.append(self.burst_length(bursts.lengths(lost_in_order(sample)), need))
            elif quantity == "burst shape":
                made.append(self.burst_shape(bursts.lengths(lost_in_order(sample)), need))
            else:
                made.append(
                    Check(
                        quantity=quantity, unit="%", needed=need.samples,
                        note="the jitter, or slots, hide which packets were sent at once",
                    )
                )  # fmt: skip
        return made

    # --- shares ------------------------------------------------------------------------------------

    def share(self, counted: judge.Counted, need: Need) -> Check:
        """A share of packets."""
        asked = counted.asked if counted.expected is None else counted.expected
        assert asked is not None
        tolerance = self._tolerances[counted.name].of(100 * asked)
        if not counted.trials:
            return Check(
                quantity=counted.name,
                unit="%",
                asked=100 * asked,
                tolerance=tolerance,
                needed=need.samples,
                note=NOTHING,
            )
        measured = 100 * counted.events / counted.trials
        strict, shown = (
            tuple(
                100 * edge
                for edge in shares.interval(counted.events, counted.trials, level=level, inflation=counted.inflation)
            )
            for level in (self._level, self._confidence)
        )
        return Check(
            quantity=counted.name, unit="%", asked=100 * asked, measured=measured, low=shown[0], high=shown[1],
            tolerance=tolerance, samples=counted.trials, needed=need.samples, note=counted.note,
            outcome=decide(
                asked=100 * asked, measured=measured, tolerance=tolerance, strict=(strict[0], strict[1]),
                samples=counted.trials, needed=need.samples,
            ),
        )  # fmt: skip

    # --- delays ------------------------------------------------------------------------------------

    def delay(self, timed: judge.Timed, need: Need) -> Check:
        """The mean delay."""
        values = timed.delays
        return self._value(
            "delay", values.mean() if len(values) else None, figures.mean_error(values), len(values), need,
            asked=timed.mean_ms, late=timed.tolerance_ms, note=timed.note,
        )  # fmt: skip

    def jitter(self, timed: judge.Timed, need: Need) -> Check:
        """The standard deviation of delays."""
        values = timed.delays
        return self._value(
            "jitter", values.std(ddof=1) if len(values) > 1 else None, figures.spread_error(values), len(values), need,
            asked=timed.spread_ms, late=timed.tolerance_ms, note="",
        )  # fmt: skip

    def distribution(self, timed: judge.Timed, need: Need) -> Check:
        """The distribution of delays, by its greatest distance from what is asked."""
        count, tolerance = len(timed.delays), self._tolerances["distribution"].of(0)
        check = Check(
            quantity="distribution", unit="%", asked=0.0, tolerance=tolerance, samples=count, needed=need.samples,
            note=f"greatest distance from {_shape(self._impairment)} up to {timed.tolerance_ms:.2g} ms late",
        )  # fmt: skip
        if count < 2:
            return attrs.evolve(check, note=NOTHING)
        asked = delays.AskedDelay(self._impairment)
        measured = 100 * delays.distance(timed.delays, asked, late_ms=timed.tolerance_ms)
        strict, shown = (100 * tails.kolmogorov_distance(level, count) for level in (self._level, self._confidence))
        outcome = decide(
            asked=0.0, measured=measured, tolerance=tolerance, strict=(measured - strict, measured + strict),
            samples=count, needed=need.samples,
        )  # fmt: skip
        return attrs.evolve(
            check, measured=measured, low=max(0.0, measured - shown), high=measured + shown, outcome=outcome
        )

    def _value(
        self, quantity: str, measured: float | None, error: float, count: int, need: Need, *, asked: float, late: float,
        note: str,
    ) -> Check:  # fmt: skip
        tolerance = self._tolerances[quantity].of(asked) + late
        check = Check(
            quantity=quantity, unit="ms", asked=asked, tolerance=tolerance, samples=count, needed=need.samples,
            note=note,
        )  # fmt: skip
        if measured is None or not math.isfinite(error):
            return attrs.evolve(check, note=NOTHING)
        return self._decided(check, float(measured), error)

    def _decided(self, check: Check, measured: float, error: float) -> Check:
        """By a value and its standard error, which may be more than the plan expected of independent samples."""
        assert check.asked is not None
        assert check.tolerance is not None
        strict, shown = (tails.deviations(level) * error for level in (self._level, self._confidence))
        outcome = decide(
            asked=check.asked, measured=measured, tolerance=check.tolerance,
            strict=(measured - strict, measured + strict), samples=check.samples, needed=check.needed or 0,
        )  # fmt: skip
        proven = abs(measured - check.asked) - strict > check.tolerance
        if not proven and strict > (WIDER if outcome is Outcome.WITHIN else 1) * check.tolerance:
            outcome = Outcome.UNDECIDED
        return attrs.evolve(
            check, measured=measured, low=max(0.0, measured - shown), high=measured + shown, outcome=outcome
        )

    # --- losses in a row ---------------------------------------------------------------------------

    def burst_length(self, found: bursts.Ints, need: Need) -> Check:
        """The mean number of packets lost in a row."""
        runs = runs_of(self._impairment)
        assert runs is not None
        check = Check(
            quantity="bursts", unit="packets", asked=runs.mean, tolerance=self._tolerances["bursts"].of(runs.mean),
            samples=len(found), needed=need.samples,
        )  # fmt: skip
        if len(found) < 2:
            return check
        # What is expected, where the sample is too small to show its own spread.
        error = max(runs.spread, float(found.std(ddof=1))) / math.sqrt(len(found))
        return self._decided(check, float(found.mean()), error)

    def burst_shape(self, found: bursts.Ints, need: Need) -> Check:
        """The distribution of that number."""
        runs = runs_of(self._impairment)
        assert runs is not None
        least = 1 - self._level
        fit = bursts.fit(found, runs)
        check = Check(
            quantity="burst shape", unit="p", asked=least, samples=len(found), needed=need.samples,
        )  # fmt: skip
        if fit is None:
            return check
        if fit.probability < least:
            return attrs.evolve(check, measured=fit.probability, outcome=Outcome.OUT)
        enough = len(found) >= need.samples
        return attrs.evolve(check, measured=fit.probability, outcome=Outcome.WITHIN if enough else Outcome.UNDECIDED)

    # --- rates -------------------------------------------------------------------------------------

    def goodput(self, filled: Filled, *, skip_bytes: float) -> Check:
        """What passes of a link that is kept full, as frames with their headers."""
        figure = judge.goodput(self._impairment, filled, skip_bytes=skip_bytes)
        assert figure.reference is not None
        tolerance = self._tolerances["goodput"].of(figure.reference)
        payload = judge.payload_share(filled.frame)
        check = Check(
            quantity="goodput", unit="kbit/s", asked=figure.reference, tolerance=tolerance, samples=figure.samples,
            note="; ".join(text for text in (figure.note, f"of it {payload:.1%} UDP payload") if text),
        )  # fmt: skip
        if figure.measured is None or figure.high is None:
            return attrs.evolve(check, measured=figure.measured)
        decided = self._decided(check, figure.measured, (figure.high - figure.measured) / figures.SHOWN)
        return decided if figure.verdict is not Verdict.NONE else attrs.evolve(decided, outcome=Outcome.UNDECIDED)

    def schedule(self, followed: Followed) -> list[Check]:
        """Rates second by second against those that a schedule asks for."""
        asked, measured, limited = followed.asked_kbit, followed.measured_kbit, followed.limited
        error = rates.RateError.of(asked, measured)
        tolerance = self._tolerances["schedule"].of(0)
        worst = error.worst_bin
        check = Check(
            quantity="schedule", unit="%", asked=0.0, tolerance=tolerance, samples=len(asked), needed=LEAST_SECONDS,
            note=limited or f"mean error of a second, of {asked.mean():.0f} kbit/s",
        )  # fmt: skip
        decided = self._decided(check, 100 * error.mean, 100 * error.spread / math.sqrt(len(asked)))
        if limited and decided.outcome is Outcome.OUT:
            decided = attrs.evolve(decided, outcome=Outcome.UNDECIDED)
        told = Check(
            quantity="worst second", unit="%", asked=0.0, measured=100 * error.worst, samples=len(asked),
            outcome=Outcome.TOLD, note=f"second {worst}: {asked[worst]:.0f} asked, {measured[worst]:.0f} kbit/s",
        )  # fmt: skip
        return [decided, told]


def lost_in_order(sample: Sample) -> NDArray[np.bool_]:
    """For each packet that was sent, in order, whether no copy of it arrived."""
    train = sample.probing.train
    missing = np.ones((len(sample.counts), train), bool)
    missing.ravel()[np.unique(sample.numbers)] = False
    return np.asarray(missing[np.arange(train) < sample.counts[:, None]])


def _shape(impairment: Impairment) -> str:
    return impairment.distribution if isinstance(impairment.distribution, str) else impairment.distribution.name
