"""Rates second by second: what a schedule asks for in each, and how far what arrived is from it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment
from linkem_py.model.schedule import Schedule
from linkem_py.report import expect

Floats = NDArray[np.float64]
Point = tuple[float, float | None]  # from when on (s), and the rate (kbit/s), None for unlimited


def scheduled_kbit(schedule: Schedule, under: Impairment, *, seed: int, bins: int, bin_s: float = 1.0) -> Floats | None:
    """The mean rate that a schedule asks for in each bin of its run, outages as 0; None if a rate is unlimited."""
    state, out = under, False
    points: list[Point] = [(0.0, state.rate_kbit)]
    for change in schedule.stream(seed, under).until(bins * bin_s):
        state, out = change.applied_to(state), change.outage
        points.append((change.at_s, 0.0 if out else state.rate_kbit))
    return mean_kbit(points, bins=bins, bin_s=bin_s)


def mean_kbit(points: Sequence[Point], *, bins: int, bin_s: float = 1.0) -> Floats | None:
    """The mean of a rate in each bin from 0 on, by when it changed to what; None if it is ever unlimited.

    `points` ascend in time; the last one before 0 holds then.
    """
    end_s = bins * bin_s
    edges = np.append(np.clip([at_s for at_s, _ in points], 0.0, end_s), end_s)
    spans = np.diff(edges)
    rates = []
    for span, (_, rate) in zip(spans, points, strict=True):
        if rate is None and span:
            return None
        rates.append(0.0 if rate is None else rate)
    total = np.concatenate(([0.0], np.cumsum(spans * np.array(rates))))
    # Of points at one time the last holds: what is left has each edge once.
    edges, last = np.unique(edges[::-1], return_index=True)
    at_bins = np.interp(np.arange(bins + 1) * bin_s, edges, total[::-1][last])
    return np.asarray(np.diff(at_bins) / bin_s)


def emptied(points: Sequence[Point], under: Impairment, frame: int) -> list[Point]:
    """The points of a link that is full, by when packets see them: an outage is made in front of the queue.

    What waits and what is on its way when one begins still arrives, at the rate before it; what is sent after it
    takes its delay first.
    """
    found: list[Point] = []
    delay_s = under.delay_ms / 1000
    rate: float | None = None
    emptied_s = -math.inf
    for at_s, after in points:
        if after == 0 and rate:
            wait_ms = expect.full_wait_ms(under.evolve(rate_kbit=rate), frame, own_rate=False) or 0.0
            emptied_s = at_s + delay_s + wait_ms / 1000
            found.append((emptied_s, 0.0))
        elif after != 0:
            found.append((max(emptied_s, at_s + delay_s) if rate == 0 else at_s, after))
        rate = after
    return found


def arrived_kbit(arrived_s: Floats, frame: int, *, bins: int, bin_s: float = 1.0) -> Floats:
    """What arrived in each bin: frames of so many bytes at these times."""
    counts, _ = np.histogram(arrived_s, bins=bins, range=(0.0, bins * bin_s))
    return np.asarray(0.008 * frame * counts / bin_s)


@attrs.frozen
class RateError:
    """How far rates are from those asked for, as shares of the mean rate asked for.

    Attributes
    ----------
    mean : of the absolute differences
    spread : their standard deviation
    worst, worst_bin : the greatest, and where
    """

    mean: float
    spread: float
    worst: float
    worst_bin: int

    @classmethod
    def of(cls, asked: Floats, measured: Floats) -> RateError:
        """Over the mean and not over each bin's own rate, which may be 0."""
        level = float(asked.mean())
        if not level > 0:
            return cls(math.inf, 0.0, math.inf, 0)
        errors = np.abs(measured - asked) / level
        worst = int(errors.argmax())
        spread = float(errors.std(ddof=1)) if len(errors) > 1 else math.inf
        return cls(float(errors.mean()), spread, float(errors[worst]), worst)
