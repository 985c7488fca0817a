"""Shares of packets (lost, doubled, damaged, reordered): intervals, and how many packets they take. Pure."""

from __future__ import annotations

import math

from linkem_py.report.figures import wilson
from linkem_py.report.verify import tails


def interval(events: int, trials: int, *, level: float, inflation: float = 1.0) -> tuple[float, float]:
    """Interval of a share: exact (Clopper-Pearson) for independent events.

    Events that come in bursts say as much as `trials` / `inflation` independent ones (see
    `linkem_py.report.expect.Loss`), with Wilson's interval.
    """
    if inflation == 1.0:
        return tails.exact_share(events, trials, level)
    return wilson(events / inflation, trials / inflation, tails.deviations(level))


def needed(share: float, *, tolerance: float, level: float, inflation: float = 1.0) -> float:
    """Packets so that the share measured strays by more than the tolerance with 1 - `level` only.

    z^2 p (1 - p) / d^2, by the normal limit; where nothing (or everything) is asked, so many that
    a share of the tolerance would have shown at least once: ln(1 / (1 - level)) / d.
    """
    spread = share * (1 - share)
    once = math.log(1 / (1 - level)) / tolerance
    return inflation * max(once if not spread else 0.0, tails.deviations(level) ** 2 * spread / tolerance**2)
