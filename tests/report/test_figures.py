import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.report import figures
from linkem_py.report.model import Verdict


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_wilson_interval_holds_the_share_and_stays_within_0_and_1(events: int, trials: int) -> None:
    events = min(events, trials)
    low, high = figures.wilson(events, trials)
    assert 0 <= low <= events / trials <= high <= 1
    strict = figures.wilson(events, trials, figures.STRICT)
    assert strict[0] <= low
    assert high <= strict[1]


def test_wilson_interval_of_a_textbook_case() -> None:
    # 10 of 100: (0.0552, 0.1744), as in Newcombe 1998, and of nothing.
    assert figures.wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert figures.wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3])
def test_wilson_interval_covers_as_often_as_it_says(share: float) -> None:
    trials, runs = 4000, 2000
    found = np.random.default_rng(1).binomial(trials, share, runs)
    covered = np.mean([low <= share <= high for low, high in (figures.wilson(int(k), trials) for k in found)])
    # 0.95 within four standard errors of 2000 runs, and what discreteness adds or takes.
    assert 0.95 - 4 * math.sqrt(0.05 * 0.95 / runs) - 0.01 < covered


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.001, 0.02, 0.5, 1.0]))
def test_losses_as_asked_are_never_out_of_tolerance(seed: int, share: float) -> None:
    lost = int(np.random.default_rng(seed).binomial(20_000, share))
    figure = figures.share_figure("loss", lost, 20_000, asked=share)
    # One in ten thousand may be; Hypothesis tries a hundred.
    if figure.verdict is Verdict.OUT:
        assert abs(lost / 20_000 - share) > 3.5 * math.sqrt(share * (1 - share) / 20_000)


def test_twice_the_loss_asked_is_out_of_tolerance() -> None:
    assert figures.share_figure("loss", 200, 10_000, asked=0.01).verdict is Verdict.OUT


def test_a_rare_loss_among_few_packets_is_too_few_samples() -> None:
    figure = figures.share_figure("loss", 0, 500, asked=0.001)
    assert figure.verdict is Verdict.FEW
    assert figure.measured == 0
    assert figure.high is not None
    assert figure.high > 0.1


def test_losses_in_bursts_are_worth_fewer_samples() -> None:
    alone = figures.share_figure("loss", 200, 10_000, asked=0.01)
    bursts = figures.share_figure("loss", 200, 10_000, asked=0.01, inflation=50)
    assert bursts.effective_samples == pytest.approx(200)
    assert alone.verdict is Verdict.OUT
    assert bursts.verdict is not Verdict.OUT


def test_no_loss_asked_and_none_seen_is_ok_among_enough_packets() -> None:
    assert figures.share_figure("loss", 0, 4000, asked=0.0).verdict is Verdict.OK
    assert figures.share_figure("loss", 0, 300, asked=0.0).verdict is Verdict.FEW
    assert figures.share_figure("loss", 40, 4000, asked=0.0).verdict is Verdict.OUT


def test_a_share_of_nothing_is_not_measured() -> None:
    figure = figures.share_figure("loss", 0, 0, asked=0.5)
    assert figure.verdict is Verdict.NONE
    assert figure.measured is None
    assert figure.asked == 50


@given(
    st.integers(0, 2**32 - 1), st.floats(1, 500), st.floats(0, 20), st.integers(200, 3000),
    st.sampled_from(["uniform", "normal", "exponential"]),
)  # fmt: skip
def test_delays_as_asked_are_not_out_of_tolerance(
    seed: int, mean: float, spread: float, count: int, shape: str
) -> None:
    random = np.random.default_rng(seed)
    unit = {
        "uniform": lambda: random.uniform(-(3**0.5), 3**0.5, count),
        "normal": lambda: random.standard_normal(count),
        "exponential": lambda: random.standard_exponential(count) - 1,
    }[shape]()
    values = mean + spread * unit
    # One in ten thousand may be; a skewed shape needs some room at small samples.
    room = 0.1 * spread
    assert figures.mean_figure("delay", values, asked=mean, tolerance=room + 1e-9).verdict is not Verdict.OUT
    assert figures.spread_figure("jitter", values, asked=spread, tolerance=2 * room + 1e-9).verdict is not Verdict.OUT


def test_a_delay_that_is_off_is_out_of_tolerance_and_the_allowance_forgives_it() -> None:
    values = np.random.default_rng(3).normal(40.3, 1, 2000)
    assert figures.mean_figure("delay", values, asked=40, tolerance=0.1).verdict is Verdict.OUT
    assert figures.mean_figure("delay", values, asked=40, tolerance=0.4).verdict is Verdict.OK


def test_few_delays_of_a_wide_spread_are_too_few_samples() -> None:
    values = np.random.default_rng(3).normal(40, 30, 20)
    assert figures.mean_figure("delay", values, asked=40, tolerance=0.1).verdict is Verdict.FEW


@pytest.mark.parametrize("count", [0, 1])
def test_one_delay_or_none_gives_no_verdict_on_the_link(count: int) -> None:
    values = np.full(count, 40.0)
    for make in (figures.mean_figure, figures.spread_figure):
        assert make("delay", values, asked=40, tolerance=0.1).verdict in (Verdict.NONE, Verdict.FEW)


def test_mean_error_sees_what_neighbours_have_in_common() -> None:
    random = np.random.default_rng(5)
    slow = np.repeat(random.standard_normal(60), 50)
    assert figures.mean_error(slow) > 4 * slow.std() / math.sqrt(len(slow))


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=300))
def test_a_distribution_holds_every_delay(values: list[float]) -> None:
    found = figures.distribution(np.array(values))
    assert found is not None
    assert sum(found.counts) == len(values)
    assert found.least_ms == min(values)
    assert found.most_ms == max(values)
    levels = list(found.percentiles_ms.values())
    assert levels == sorted(levels)


def test_no_delay_has_no_distribution() -> None:
    assert figures.distribution(np.zeros(0)) is None


def arrivals(
    rate_kbit: float, *, seconds: float = 0.5, frame: int = 1514, burst: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(0, seconds, frame * 0.008 / rate_kbit)
    return np.concatenate([np.zeros(burst), times]), np.full(burst + len(times), float(frame))


@pytest.mark.parametrize("rate_kbit", [1_000, 50_000, 500_000])
def test_goodput_of_a_shaped_stream_is_its_rate_whatever_the_burst(rate_kbit: float) -> None:
    times, sizes = arrivals(rate_kbit, burst=10, seconds=3)
    figure = figures.rate_figure(times, sizes, asked=rate_kbit, skip_bytes=20 * 1514, tolerance=0.02 * rate_kbit)
    assert figure.measured == pytest.approx(rate_kbit, rel=0.01)
    assert figure.verdict is Verdict.OK


def test_a_sender_too_slow_for_the_rate_gives_a_lower_bound() -> None:
    times, sizes = arrivals(300_000)
    figure = figures.rate_figure(
        times, sizes, asked=1_000_000, skip_bytes=0, tolerance=20_000, limited="this machine cannot send more"
    )
    assert figure.verdict is Verdict.NONE
    assert figure.note.startswith("at least this")
    assert figure.measured == pytest.approx(300_000, rel=0.01)


def test_half_the_rate_is_out_of_tolerance() -> None:
    times, sizes = arrivals(5_000, seconds=2)
    assert figures.rate_figure(times, sizes, asked=10_000, skip_bytes=0, tolerance=200).verdict is Verdict.OUT


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_rate_of_hardly_any_packets_is_not_measured(count: int) -> None:
    figure = figures.rate_figure(np.arange(count) / 10, np.full(count, 100.0), asked=10, skip_bytes=0, tolerance=1)
    assert figure.verdict is Verdict.NONE
    assert figure.note
