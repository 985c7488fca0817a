import math

import numpy as np
import pytest

from linkem_py import Impairment
from linkem_py.model import OrnsteinUhlenbeck, Trace
from linkem_py.report.verify import rates

STEPS = Trace(
    [(0, {"rate_kbit": 1000}), (1.5, {"rate_kbit": 3000}), (2, {"rate_kbit": 0}), (3.25, {"rate_kbit": 2000})],
    duration_s=4,
)


def test_a_second_asks_for_the_mean_of_its_rates_and_for_nothing_in_an_outage() -> None:
    asked = rates.scheduled_kbit(STEPS, Impairment(rate_kbit=500), seed=1, bins=6)
    assert asked is not None
    assert asked == pytest.approx([1000, 2000, 0, 1500, 1000, 2000])


def test_bins_may_be_shorter_than_a_second() -> None:
    asked = rates.scheduled_kbit(STEPS, Impairment(rate_kbit=500), seed=1, bins=4, bin_s=0.5)
    assert asked == pytest.approx([1000, 1000, 1000, 3000])


def test_the_links_own_rate_holds_until_the_first_change() -> None:
    late = Trace([(0.5, {"rate_kbit": 1000})], repeat=False, duration_s=2)
    asked = rates.scheduled_kbit(late, Impairment(rate_kbit=500), seed=1, bins=2)
    assert asked == pytest.approx([750, 1000])
    assert rates.scheduled_kbit(late, Impairment(), seed=1, bins=2) is None


def test_what_is_drawn_is_what_the_seed_draws() -> None:
    fading = OrnsteinUhlenbeck(mean_kbit=4000, sd_kbit=600, tau_s=1.5, floor_kbit=500)
    under = Impairment(rate_kbit=4000)
    one, again, other = (rates.scheduled_kbit(fading, under, seed=seed, bins=20) for seed in (1, 1, 2))
    assert one is not None
    assert other is not None
    assert one.tolist() == (again.tolist() if again is not None else None)
    assert not np.allclose(one, other)
    assert one.mean() == pytest.approx(4000, rel=0.3)


def test_points_at_one_time_are_the_last_and_those_before_the_first_bin_hold_in_it() -> None:
    points = [(-5.0, None), (-1.0, 1000.0), (1.0, 8000.0), (1.0, 2000.0), (9.0, None)]
    found = rates.mean_kbit(points, bins=2)
    assert found is not None
    assert found == pytest.approx([1000, 2000])


def test_an_outage_lets_through_what_waits_and_ends_a_delay_late() -> None:
    under = Impairment(delay_ms=20, rate_kbit=4000, queue_ms=50)
    points = [(0.0, 4000.0), (1.0, 0.0), (2.0, 1000.0), (3.0, 2000.0)]
    found = rates.emptied(points, under, 1000)
    assert [rate for _, rate in found] == [4000, 0, 1000, 2000]
    assert [at for at, _ in found] == pytest.approx([0, 1 + 0.02 + 0.05, 2.02, 3])
    # One so short that the queue is not empty at its end is not seen at all.
    short = rates.emptied([(0.0, 4000.0), (1.0, 0.0), (1.01, 4000.0)], under, 1000)
    assert rates.mean_kbit(short, bins=2) == pytest.approx([4000, 4000])


def test_frames_are_counted_by_the_second_in_which_they_arrive() -> None:
    times = np.array([-0.1, 0.0, 0.999, 1.0, 2.5, 2.6, 7.0])
    assert rates.arrived_kbit(times, 1000, bins=3) == pytest.approx([16, 8, 16])


def test_the_error_is_of_the_mean_rate_so_that_outages_count() -> None:
    error = rates.RateError.of(np.array([1000.0, 0.0, 2000.0]), np.array([900.0, 300.0, 2000.0]))
    assert (error.mean, error.worst) == pytest.approx((0.4 / 3, 0.3))
    assert error.worst_bin == 1
    assert rates.RateError.of(np.zeros(3), np.ones(3)).mean == math.inf
    assert rates.RateError.of(np.array([1.0]), np.array([1.0])).spread == math.inf
