import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.report.verify import tails


@pytest.mark.parametrize(("level", "wanted"), [(0.95, 1.95996), (0.99, 2.57583), (0.9999, 3.89059)])
def test_deviations_are_those_of_the_tables(level: float, wanted: float) -> None:
    assert tails.deviations(level) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("statistic", "degrees", "wanted"),
    # Abramowitz & Stegun, table 26.8: critical values.
    [(3.84146, 1, 0.05), (6.63490, 1, 0.01), (11.0705, 5, 0.05), (23.2093, 10, 0.01), (135.807, 100, 0.01)],
)
def test_chi_square_tail_is_that_of_the_tables(statistic: float, degrees: int, wanted: float) -> None:
    assert tails.chi_square_tail(statistic, degrees) == pytest.approx(wanted, rel=1e-4)


def test_chi_square_of_two_degrees_is_an_exponential() -> None:
    for statistic in (0.0, 0.1, 2.0, 3.99, 4.01, 30.0, 200.0):
        assert tails.chi_square_tail(statistic, 2) == pytest.approx(math.exp(-statistic / 2), rel=1e-10)


@pytest.mark.parametrize(("samples", "critical"), [(20, 0.3524), (50, 0.2260), (100, 0.1608)])
def test_kolmogorov_distances_are_those_of_the_tables(samples: int, critical: float) -> None:
    # L. H. Miller, J. Am. Stat. Assoc. 51 (1956): 1 %, two sides.
    assert tails.kolmogorov_distance(0.99, samples) == pytest.approx(critical, rel=0.01)


def test_kolmogorov_distance_and_tail_are_inverse() -> None:
    for samples in (10, 1000, 100_000):
        for level in (0.9, 0.99, 0.99999):
            distance = tails.kolmogorov_distance(level, samples)
            assert tails.kolmogorov_tail(distance, samples) == pytest.approx(1 - level, rel=1e-6)
    assert tails.kolmogorov_tail(0, 100) == 1


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.data())
def test_beta_share_is_the_tail_of_the_binomial(trials: int, share: float, data: st.DataObject) -> None:
    least = data.draw(st.integers(1, trials))
    summed = sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(least, trials + 1))
    assert tails.beta_share(least, trials - least + 1, share) == pytest.approx(summed, rel=1e-9, abs=1e-12)


def test_beta_share_at_the_edges() -> None:
    assert tails.beta_share(2, 3, 0) == 0
    assert tails.beta_share(2, 3, 1) == 1


@pytest.mark.parametrize(
    ("events", "trials", "wanted"),
    # Newcombe, Statistics in Medicine 17 (1998), table I: Clopper-Pearson at 95 %.
    [(81, 263, (0.2527, 0.3676)), (15, 148, (0.0578, 0.1617)), (0, 20, (0.0, 0.1684)), (1, 29, (0.0009, 0.1776))],
)
def test_exact_interval_is_that_of_the_literature(events: int, trials: int, wanted: tuple[float, float]) -> None:
    assert tails.exact_share(events, trials, 0.95) == pytest.approx(wanted, abs=6e-5)


def test_exact_interval_at_the_edges() -> None:
    assert tails.exact_share(0, 0, 0.99) == (0, 1)
    assert tails.exact_share(9, 9, 0.99)[1] == 1
    low, high = tails.exact_share(20_000, 1_000_000, 0.99)
    assert low < 0.02 < high
    assert high - low == pytest.approx(2 * 2.576 * math.sqrt(0.02 * 0.98 / 1e6), rel=0.01)


@pytest.mark.parametrize("share", [0.002, 0.02, 0.4])
def test_exact_interval_misses_the_share_in_no_more_than_one_of_a_hundred(share: float) -> None:
    runs = 1000
    found = np.random.default_rng(3).binomial(2000, share, runs)
    edges = {int(events): tails.exact_share(int(events), 2000, 0.99) for events in np.unique(found)}
    missed = sum(not edges[int(events)][0] <= share <= edges[int(events)][1] for events in found)
    assert missed <= 10 + 4 * math.sqrt(10)
