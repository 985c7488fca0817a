"""Rates second by second: what a schedule asks for in each, and how far what arrived is from it. Pure."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment
from linkem_py.model.schedule import Schedule

Floats = NDArray[np.float64]


def scheduled_kbit(schedule: Schedule, under: Impairment, *, seed: int, bins: int, bin_s: float = 1.0) -> Floats | None:
    """The mean rate that a schedule asks for in each bin of its run, outages as 0; None if a rate is unlimited."""
    stream = schedule.stream(seed, under)
    edges, rates = [0.0], []
    state, out = under, False
    end_s = bins * bin_s
    for change in stream.until(end_s):
        edges.append(change.at_s)
        rates.append(0.0 if out else state.rate_kbit)
        state, out = change.applied_to(state), change.outage
    rates.append(0.0 if out else state.rate_kbit)
    edges.append(end_s)
    if None in rates:
        return None
    spans = np.diff(edges)
    total = np.concatenate(([0.0], np.cumsum(spans * np.array(rates, float))))
    at_bins = np.interp(np.arange(bins + 1) * bin_s, edges, total)
    return np.asarray(np.diff(at_bins) / bin_s)


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
