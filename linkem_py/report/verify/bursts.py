"""Losses in a row: what a Markov chain makes of them, and whether those seen are of that kind. Pure.

A run of losses begins with a packet that is lost after one that is not, and its states are hidden: a
bad state that loses half of its packets is not a run. With the chain's steps P, the loss h of each
state and the stationary distribution pi, the states in which a run begins have the distribution
a ~ (pi (1 - H) P) H with H = diag(h), and each further loss is a step through T = P H. So the length
has a discrete phase-type distribution: P(L > k) = a T^k 1, mean a (I - T)^-1 1 (M. F. Neuts,
Matrix-Geometric Solutions in Stochastic Models, 1981, section 2.2).
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.report.expect import Chain
from linkem_py.report.verify import tails

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_EXPECTED = 5.0  # of a chi-square's cell: W. G. Cochran, Biometrics 10 (1954)
MOST_CELLS = 20


@attrs.frozen(eq=False)
class Runs:
    """How long losses in a row are, in packets, and how often there are any.

    Attributes
    ----------
    per_packet : runs that begin, by packet
    mean, spread : of the length
    """

    per_packet: float
    mean: float
    spread: float
    _begin: Floats
    _steps: Floats

    @classmethod
    def of(cls, chain: Chain) -> Runs | None:
        """Of a loss; None if it never begins or never ends."""
        stationary = chain.stationary
        begin = (stationary * (1 - chain.lost)) @ chain.steps * chain.lost
        per_packet = float(begin.sum())
        if not per_packet > 0:
            return None
        begin = begin / per_packet
        steps = chain.steps * chain.lost
        size = len(begin)
        try:
            reach = np.linalg.inv(np.eye(size) - steps)
        except np.linalg.LinAlgError:
            return None
        ones = np.ones(size)
        mean = float(begin @ reach @ ones)
        second = float(2 * begin @ reach @ reach @ ones - mean)  # E[L(L+1)] = 2 a (I - T)^-2 1
        if not (np.isfinite(mean) and mean >= 1):
            return None
        return cls(per_packet, mean, max(0.0, second - mean**2) ** 0.5, begin, steps)

    def longer_than(self, most: int) -> Floats:
        """P(L > k) for k from 0 to `most`."""
        state, found = self._begin, []
        for _ in range(most + 1):
            found.append(float(state.sum()))
            state = state @ self._steps
        return np.array(found)


def lengths(lost: NDArray[np.bool_]) -> Ints:
    """Lengths of the runs of losses, without those that the sample's ends cut."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lost.astype(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    whole = (starts > 0) & (ends < len(lost))
    return np.asarray((ends - starts)[whole], np.int64)


@attrs.frozen
class Fit:
    """A chi-square test: the statistic, its degrees of freedom, and the probability of one as large."""

    statistic: float
    degrees: int
    probability: float


def fit(found: Ints, runs: Runs) -> Fit | None:
    """Pearson's chi-square of lengths of runs; None where there are too few for two cells of five.

    Cells are single lengths as long as five of each are expected; the last holds all that are longer.
    """
    count = len(found)
    beyond = count * runs.longer_than(MOST_CELLS)
    cells = 0
    while cells < MOST_CELLS and beyond[cells] - beyond[cells + 1] >= LEAST_EXPECTED <= beyond[cells + 1]:
        cells += 1
    if not cells:
        return None
    expected = np.append(-np.diff(beyond[: cells + 1]), beyond[cells])
    observed = np.bincount(np.minimum(found, cells + 1), minlength=cells + 2)[1:]
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return Fit(statistic, cells, tails.chi_square_tail(statistic, cells))


def needed(runs: Runs, *, tolerance: float, deviations: float) -> float:
    """Packets to send so that the mean length of their runs is known to a tolerance, in packets."""
    return max(30.0, (deviations * runs.spread / tolerance) ** 2) / runs.per_packet
