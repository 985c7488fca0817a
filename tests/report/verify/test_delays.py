import math
from typing import Any

import numpy as np
import pytest

from linkem_py import DelayTable, Impairment
from linkem_py.report import expect
from linkem_py.report.verify import delays, tails

SHAPES = ["uniform", "normal", "pareto", "paretonormal", DelayTable([-8192, 0, 8192, 9000], "own")]
LEVEL = 0.99


def shaped(distribution: Any, *, jitter_ms: float = 5.0) -> Impairment:
    return Impairment(delay_ms=50, jitter_ms=jitter_ms, distribution=distribution)


def drawn(impairment: Impairment, count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return expect.simulate_ms(impairment, np.arange(0.0, 1000.0 * count, 1000.0), seed=seed)


@pytest.mark.parametrize("distribution", SHAPES, ids=str)
def test_the_distribution_function_is_that_of_the_kernels_draws(distribution: Any) -> None:
    impairment = shaped(distribution)
    asked = delays.AskedDelay(impairment)
    found = drawn(impairment, 50_000, seed=1)
    for level in (0.1, 0.5, 0.9):
        at = float(np.quantile(found, level))
        assert asked.share(np.array([at]), below=True)[0] <= level + 0.01
        assert asked.share(np.array([at]))[0] >= level - 0.01
    centred = found - found.mean()
    kurtosis = float(np.mean(centred**4) / np.mean(centred**2) ** 2)
    assert asked.kurtosis == pytest.approx(kurtosis, rel=0.1)


@pytest.mark.parametrize("distribution", SHAPES, ids=str)
def test_delays_as_asked_are_rejected_once_in_a_hundred_at_most(distribution: Any) -> None:
    impairment = shaped(distribution)
    asked, samples, runs = delays.AskedDelay(impairment), 500, 1000
    critical = tails.kolmogorov_distance(LEVEL, samples)
    rejected = sum(delays.distance(drawn(impairment, samples, seed), asked) > critical for seed in range(runs))
    assert rejected <= 10 + 4 * math.sqrt(10)
    if distribution == "uniform":  # of steps the test rejects fewer
        assert rejected > 0


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto"])
def test_being_late_as_the_machine_is_counts_as_no_distance(distribution: str) -> None:
    impairment = shaped(distribution)
    asked, late_ms = delays.AskedDelay(impairment), 0.4
    critical = tails.kolmogorov_distance(LEVEL, 2000)
    random = np.random.default_rng(8)
    found = drawn(impairment, 2000, seed=3) + random.uniform(0, late_ms, 2000)
    assert delays.distance(found, asked, late_ms=late_ms) <= critical
    assert delays.distance(found + 3 * late_ms, asked, late_ms=late_ms) > critical


@pytest.mark.parametrize("asked", ["uniform", "normal", "pareto", "paretonormal"])
@pytest.mark.parametrize("does", ["uniform", "normal", "pareto"])
def test_another_shape_of_the_same_mean_and_spread_is_rejected(asked: str, does: str) -> None:
    if asked == does:
        return
    # Uniform has a spread of 1 / sqrt(3) of its jitter.
    jitter_ms = 5.0 * math.sqrt(3) if does == "uniform" else 5.0
    wanted = shaped(asked, jitter_ms=5.0 * math.sqrt(3) if asked == "uniform" else 5.0)
    found = drawn(shaped(does, jitter_ms=jitter_ms), 8000, seed=2)
    measured = delays.distance(found, delays.AskedDelay(wanted))
    # More than chance, and more than half of what is tolerated; normal and uniform are the closest.
    assert measured > max(tails.kolmogorov_distance(LEVEL, 8000), 0.025)


def test_delays_below_0_are_an_atom_at_0() -> None:
    asked = delays.AskedDelay(Impairment(delay_ms=10, jitter_ms=10, distribution="normal"))
    assert asked.share(np.array([0.0]), below=True)[0] == 0
    assert asked.share(np.array([0.0]))[0] == pytest.approx(0.16, abs=0.01)


def test_the_sample_makes_the_distance_as_small_as_asked() -> None:
    samples = delays.needed(tolerance=0.05, level=LEVEL)
    assert samples == pytest.approx((1.628 / 0.05) ** 2, rel=0.02)
    assert tails.kolmogorov_distance(LEVEL, samples) == pytest.approx(0.05, rel=1e-3)
