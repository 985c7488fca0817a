"""From samples to figures: confidence intervals and verdicts. Pure.

A verdict compares the interval of 99.99 % with the reference, so that a report of sixty figures
raises a false alarm once in 170 times; the interval shown is that of 95 %.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.report.model import DelayDistribution, Figure, Verdict

Floats = NDArray[np.float64]

SHOWN, STRICT = 1.96, 3.89  # standard deviations of 95 % and 99.99 %
BATCHES = 30
WIDEST_SHARE = 0.5  # half the interval of a rate of events, as a share of the rate: 16 events or more
WIDEST_ZERO = 0.001  # where none is asked: at most so many may hide in the interval
WIDEST_VALUE = 0.1  # of a delay, a jitter, a rate
LEAST_BINS, MOST_BINS = 30, 120
PERCENTILES = (0.1, 1, 5, 25, 50, 75, 95, 99, 99.9)


def wilson(events: float, trials: float, deviations: float = SHOWN) -> tuple[float, float]:
    """Interval of a share: E. B. Wilson, "Probable inference", J. Am. Stat. Assoc. 22 (1927).

    `trials` may be an effective number; 0 gives (0, 1).
    """
    if trials <= 0:
        return 0.0, 1.0
    share, square = events / trials, deviations**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = deviations / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    low = 0.0 if events <= 0 else max(0.0, middle - half)
    return low, 1.0 if events >= trials else min(1.0, middle + half)


def verdict(
    *,
    measured: float,
    reference: float,
    strict: tuple[float, float],
    shown: tuple[float, float],
    tolerance: float,
    widest: float,
) -> Verdict:
    """Out if even the strict interval misses the reference by more than the tolerance.

    Otherwise too few samples if half the interval shown is wider than `widest`, or the measured
    value misses while its interval does not; else ok.
    """
    low, high = strict
    if low > reference + tolerance or high < reference - tolerance:
        return Verdict.OUT
    if (shown[1] - shown[0]) / 2 > widest:
        return Verdict.FEW
    return Verdict.OK


def share_figure(
    name: str,
    events: int,
    trials: int,
    *,
    asked: float | None,
    expected: float | None = None,
    inflation: float = 1.0,
    note: str = "",
) -> Figure:
    """A share of packets in percent. `asked` and `expected` are fractions; None if nothing is asked.

    `inflation` divides the sample: of packets lost in bursts each tells less (see `expect.Loss`).
    """
    if not trials:
        return Figure(name=name, unit="%", asked=_pct(asked), note=note or "no packet arrived")
    effective = trials / inflation
    share = events / trials
    shown = wilson(share * effective, effective)
    strict = wilson(share * effective, effective, STRICT)
    reference = asked if expected is None else expected
    outcome = Verdict.FREE
    if asked is not None and reference is not None:
        # What is nearly certain is as hard to tell from certain as what is rare from never.
        rare = min(reference, 1 - reference)
        outcome = verdict(
            measured=share, reference=reference, strict=strict, shown=shown, tolerance=1e-12,
            widest=WIDEST_SHARE * rare if rare > 0 else WIDEST_ZERO,
        )  # fmt: skip
    return Figure(
        name=name, unit="%", asked=_pct(asked), expected=_pct(expected), measured=share * 100,
        low=shown[0] * 100, high=shown[1] * 100, samples=trials, effective_samples=effective,
        verdict=outcome, note=note,
    )  # fmt: skip


def mean_error(values: Floats) -> float:
    """Standard error of the mean of a series in time, the larger of two estimates.

    As of independent values, and from the means of 30 successive batches, which sees what
    neighbours have in common.
    """
    count = len(values)
    if count < 2:
        return math.inf
    plain = float(values.std(ddof=1)) / math.sqrt(count)
    size = count // BATCHES
    if size < 2:
        return plain
    means = values[: size * BATCHES].reshape(BATCHES, size).mean(axis=1)
    return max(plain, float(means.std(ddof=1)) / math.sqrt(BATCHES))


def spread_error(values: Floats) -> float:
    """Standard error of the standard deviation: sqrt((m4 - s^4) / (4 s^2 n)), for any shape."""
    count = len(values)
    if count < 2:
        return math.inf
    centred = values - values.mean()
    square = float(np.mean(centred**2))
    if square == 0:
        return 0.0
    fourth = float(np.mean(centred**4))
    return math.sqrt(max(0.0, fourth - square**2) / (4 * square * count))


def value_figure(
    name: str,
    value: float,
    error: float,
    *,
    samples: int,
    asked: float | None,
    expected: float | None = None,
    tolerance: float = 0.0,
    unit: str = "ms",
    note: str = "",
) -> Figure:
    """A figure from a value and its standard error, both in `unit`."""
    reference = asked if expected is None else expected
    if not math.isfinite(error):
        return Figure(
            name=name, unit=unit, asked=asked, expected=expected, measured=value, samples=samples,
            tolerance=tolerance, verdict=Verdict.FEW, note=note,
        )  # fmt: skip
    shown = (value - SHOWN * error, value + SHOWN * error)
    outcome = Verdict.FREE
    if reference is not None:
        outcome = verdict(
            measured=value, reference=reference, strict=(value - STRICT * error, value + STRICT * error), shown=shown,
            tolerance=tolerance, widest=max(tolerance, WIDEST_VALUE * reference),
        )  # fmt: skip
    return Figure(
        name=name, unit=unit, asked=asked, expected=expected, measured=value, low=max(0.0, shown[0]), high=shown[1],
        tolerance=tolerance, samples=samples, verdict=outcome, note=note,
    )  # fmt: skip


def mean_figure(
    name: str, values: Floats, *, asked: float | None, expected: float | None = None, tolerance: float, note: str = ""
) -> Figure:
    """The mean of a series in time."""
    if not len(values):
        return Figure(name=name, unit="ms", asked=asked, expected=expected, note=note or "no packet arrived")
    return value_figure(
        name, float(values.mean()), mean_error(values), samples=len(values),
        asked=asked, expected=expected, tolerance=tolerance, note=note,
    )  # fmt: skip


def spread_figure(
    name: str, values: Floats, *, asked: float | None, expected: float | None = None, tolerance: float, note: str = ""
) -> Figure:
    """The standard deviation of a series."""
    if not len(values):
        return Figure(name=name, unit="ms", asked=asked, expected=expected, note=note or "no packet arrived")
    return value_figure(
        name, float(values.std(ddof=1)) if len(values) > 1 else 0.0, spread_error(values), samples=len(values),
        asked=asked, expected=expected, tolerance=tolerance, note=note,
    )  # fmt: skip


def distribution(values: Floats) -> DelayDistribution | None:
    """Percentiles and a histogram of delays in milliseconds; None without any.

    The histogram covers the percentiles 0.5 to 99.5 and a margin, so that a few late packets do
    not squeeze the rest into one bin.
    """
    if not len(values):
        return None
    levels = np.percentile(values, PERCENTILES)
    low, high = (float(edge) for edge in np.percentile(values, (0.5, 99.5)))
    margin = max(0.1 * (high - low), 0.05)
    bins = int(np.clip(2 * math.sqrt(len(values)), LEAST_BINS, MOST_BINS))
    start = max(0.0, low - margin)
    width = (high + margin - start) / bins
    places = np.clip(((values - start) / width).astype(np.int64), 0, bins - 1)
    return DelayDistribution(
        least_ms=float(values.min()),
        most_ms=float(values.max()),
        percentiles_ms={f"p{level:g}": float(value) for level, value in zip(PERCENTILES, levels, strict=True)},
        start_ms=start,
        width_ms=width,
        counts=tuple(int(count) for count in np.bincount(places, minlength=bins)),
    )


def rate_figure(
    received: Floats,
    sizes: Floats,
    *,
    asked: float,
    expected: float | None = None,
    skip_bytes: float,
    tolerance: float,
    limited: str = "",
    note: str = "",
) -> Figure:
    """Goodput in kbit/s from arrivals: `received` in seconds (ascending), `sizes` in bytes of frames.

    The first `skip_bytes` (the burst that may pass at once) do not count; the rest is bytes after
    the first frame over the time since it. Its error comes from the rates of ten parts of it.
    `limited` says why the machine, not the link, may have been the limit: a value that is too
    small is then a lower bound only.
    """
    through = np.cumsum(sizes)
    first = int(np.searchsorted(through, skip_bytes))
    count = len(received) - first - 1
    if count < 2 or received[-1] <= received[first]:
        text = "no packet arrived" if not len(received) else "too few packets arrived to tell a rate"
        return Figure(
            name="goodput", unit="kbit/s", asked=asked, expected=expected, samples=len(received), note=limited or text
        )
    elapsed = float(received[-1] - received[first])
    rate = 0.008 * float(through[-1] - through[first]) / elapsed
    edges = np.linspace(received[first], received[-1], 11)
    at_edges = np.interp(edges, received[first:], through[first:])
    parts = 0.008 * np.diff(at_edges) / (elapsed / 10)
    # One frame more or less at either end, and what ten parts of the time disagree about.
    error = math.hypot(float(parts.std(ddof=1)) / math.sqrt(10), 0.008 * float(sizes.mean()) / elapsed)
    figure = value_figure(
        "goodput", rate, error, samples=count, asked=asked, expected=expected, tolerance=tolerance, unit="kbit/s",
        note=note,
    )  # fmt: skip
    if limited and rate < (asked if expected is None else expected) - tolerance:
        return attrs.evolve(figure, verdict=Verdict.NONE, note=f"at least this: {limited}")
    return figure


def _pct(share: float | None) -> float | None:
    return None if share is None else share * 100
