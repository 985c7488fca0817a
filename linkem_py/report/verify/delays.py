"""The distribution of delays against the one asked for. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment
from linkem_py.model.distribution import SCALE, table
from linkem_py.report.verify import tails

Floats = NDArray[np.float64]


class AskedDelay:
    """The distribution function of netem's delay: uniform, or the steps of its table (sch_netem.c, tabledist)."""

    def __init__(self, impairment: Impairment) -> None:
        shape = table(impairment.distribution)
        self._least, self._width = impairment.delay_ms - impairment.jitter_ms, 2 * impairment.jitter_ms
        self._drawn: Floats | None = None
        if shape is not None:
            drawn = impairment.delay_ms + impairment.jitter_ms * np.asarray(shape.values) / SCALE
            self._drawn = np.sort(np.maximum(0.0, drawn))

    def share(self, times_ms: Floats, *, below: bool = False) -> Floats:
        """The share of delays up to each of these; with `below` of those shorter."""
        if self._drawn is None:
            return np.clip((times_ms - self._least) / self._width, 0.0, 1.0)
        found = np.searchsorted(self._drawn, times_ms, "left" if below else "right")
        return np.asarray(found / len(self._drawn))

    @property
    def kurtosis(self) -> float:
        """Fourth central moment over the square of the variance."""
        if self._drawn is None:
            return 1.8
        centred = self._drawn - self._drawn.mean()
        return float(np.mean(centred**4) / np.mean(centred**2) ** 2)


def distance(delays_ms: Floats, asked: AskedDelay, *, late_ms: float = 0.0) -> float:
    """The greatest distance between distribution functions, as in a Kolmogorov-Smirnov test.

    A machine delivers late, never early: what lies between the asked distribution and the same
    `late_ms` later counts as no distance. At a step the limit from its own side counts, so that
    a table's steps add nothing (W. J. Conover, J. Am. Stat. Assoc. 67 (1972)).
    """
    found = np.sort(delays_ms)
    count = len(found)
    ranks = np.arange(count)
    above = (ranks + 1) / count - asked.share(found)
    under = asked.share(found - late_ms, below=True) - ranks / count
    return float(max(0.0, above.max(), under.max()))


def needed(*, tolerance: float, level: float) -> float:
    """Samples whose distance is below the tolerance with that probability, if the link does as asked."""
    low, high = 10.0, 1e9
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if tails.kolmogorov_distance(level, middle) > tolerance else (low, middle)
    return high
