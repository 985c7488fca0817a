"""Tails of the distributions that tests are made of, in closed forms and series. Pure.

Sources: NIST Digital Library of Mathematical Functions (DLMF); M. A. Stephens, "Use of the
Kolmogorov-Smirnov, Cramer-von Mises and related statistics without extensive tables", J. R. Stat.
Soc. B 32 (1970).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

_TINY = 1e-300
_PRECISE = 1e-14
_MOST_TERMS = 100_000


def deviations(level: float) -> float:
    """Standard deviations to either side of a normal mean that hold `level` of it: 2.576 for 0.99."""
    return NormalDist().inv_cdf((1 + level) / 2)


def beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))

    def term(index: int) -> float:
        half = index // 2
        if index % 2:
            return -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        return half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))

    return front / (a * _continued(term, lambda _: 1.0))


def gamma_tail(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x): series (DLMF 8.11.4), or fraction (DLMF 8.9.2)."""
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        total = term = 1 / a
        for index in range(1, _MOST_TERMS):
            term *= x / (a + index)
            total += term
            if term < total * _PRECISE:
                break
        return max(0.0, 1 - front * total)
    return front / _continued(lambda i: -i * (i - a), lambda i: x + 2 * i + 1 - a)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Probability that chi-square with so many degrees of freedom is as large: Q(k / 2, x / 2)."""
    return gamma_tail(degrees / 2, statistic / 2)


def kolmogorov_tail(distance: float, samples: float) -> float:
    """Probability that the empirical distribution of so many samples strays as far from a continuous one.

    Kolmogorov's limit with Stephens' correction for a finite sample.
    """
    root = math.sqrt(samples)
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:
        return 1.0
    terms = (math.exp(-2 * (j * scaled) ** 2) * (1 if j % 2 else -1) for j in range(1, 101))
    return min(1.0, max(0.0, 2 * sum(terms)))


def kolmogorov_distance(level: float, samples: float) -> float:
    """The distance that so many samples exceed with the probability 1 - `level`."""
    return _root(lambda distance: (1 - level) - kolmogorov_tail(distance, samples), 0.0, 2.0)


def exact_share(events: int, trials: int, level: float) -> tuple[float, float]:
    """Interval of the share of independent events: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934).

    It holds the true share with at least the probability `level`, for every share and sample.
    """
    if trials <= 0:
        return 0.0, 1.0
    beyond = (1 - level) / 2
    low, high = 0.0, 1.0
    if events > 0:
        low = _root(lambda share: beta_share(events, trials - events + 1, share) - beyond, 0.0, events / trials)
    if events < trials:
        high = _root(lambda share: beta_share(events + 1, trials - events, share) - 1 + beyond, events / trials, 1.0)
    return low, high


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(48):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _continued(numerator: Callable[[int], float], denominator: Callable[[int], float]) -> float:
    """b0 + a1 / (b1 + a2 / (b2 + ...)) by Lentz's method as W. J. Thompson and A. R. Barnett changed it (1986)."""
    value = denominator(0) or _TINY
    above, below = value, 0.0
    for index in range(1, _MOST_TERMS):
        a, b = numerator(index), denominator(index)
        below = 1 / ((b + a * below) or _TINY)
        above = (b + a / above) or _TINY
        step = above * below
        value *= step
        if abs(step - 1) < _PRECISE:
            break
    return value
