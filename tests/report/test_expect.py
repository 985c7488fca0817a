import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py import FourState, GilbertElliott, Impairment
from linkem_py.report import expect

MODELS = [
    GilbertElliott(0.6, 33, 50, 0.05),
    GilbertElliott(5, 20),
    GilbertElliott(50, 50),
    FourState(1, 30, 20, 50, 0.5),
    FourState(2, 40),
]


def lost_packets(model: GilbertElliott | FourState, count: int, seed: int) -> np.ndarray:
    """Which of so many packets are lost, by the kernel's steps (loss_gilb_ell, loss_4state)."""
    random = np.random.default_rng(seed).random((count, 2))
    lost, state = np.zeros(count, bool), 0
    if isinstance(model, GilbertElliott):
        leave = (model.p_pct / 100, model.r_pct / 100)
        chance = (model.good_loss_pct / 100, model.bad_loss_pct / 100)
        for index, (step, drop) in enumerate(random):
            lost[index] = drop < chance[state]
            state ^= bool(step < leave[state])
        return lost
    steps = np.cumsum(expect._four_state(model)[0], axis=1)
    for index, (step, _) in enumerate(random):
        state = int(np.searchsorted(steps[state], step, side="right"))
        lost[index] = state >= 2
    return lost


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_inflation_is_how_much_more_the_lost_share_varies(model: GilbertElliott | FourState) -> None:
    found = expect.loss_of(Impairment(loss=model))
    size, runs = 1000, 300
    shares = lost_packets(model, size * runs, seed=7).reshape(runs, size).mean(axis=1)
    independent = found.mean * (1 - found.mean) / size
    measured = shares.var() / independent
    # A variance of 300 runs is off by 8 %; four times that, and edges of the runs.
    assert found.inflation == pytest.approx(measured, rel=0.4)
    assert shares.mean() == pytest.approx(found.mean, abs=5 * (found.inflation * independent / runs) ** 0.5)


@given(st.floats(0, 100), st.floats(0.1, 100), st.floats(0, 100), st.floats(0, 100))
def test_inflation_of_any_gilbert_elliott_is_at_least_1(p: float, r: float, bad: float, good: float) -> None:
    found = expect.loss_of(Impairment(loss=GilbertElliott(p, r, bad, good)))
    assert 1 <= found.inflation <= expect.MOST_INFLATION


@given(
    st.floats(0, 50).flatmap(lambda p13: st.tuples(st.just(p13), st.floats(0, 100 - p13))),
    st.floats(0.1, 50), st.floats(0, 50), st.floats(0, 100),
)  # fmt: skip
def test_inflation_of_any_four_state_model_is_a_number(
    gap: tuple[float, float], p31: float, p32: float, p23: float
) -> None:
    found = expect.loss_of(Impairment(loss=FourState(gap[0], p31, p32, p23, gap[1])))
    assert 1 <= found.inflation <= expect.MOST_INFLATION


def test_correlated_loss_is_worth_fewer_samples() -> None:
    assert expect.loss_of(Impairment(loss_pct=5)).inflation == 1
    assert expect.loss_of(Impairment(loss_pct=5, loss_correlation_pct=25)).inflation == pytest.approx(5 / 3)


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(("loss_pct", "duplicate_pct"), [(0, 10), (20, 10), (50, 50)])
def test_fate_of_doubled_packets_follows_the_kernels_steps(
    loss_pct: float, duplicate_pct: float, isolated: bool
) -> None:
    count = 200_000
    random = np.random.default_rng(2).random((3, count))
    lost, double, lost_again = random[0] < loss_pct / 100, random[1] < duplicate_pct / 100, random[2] < loss_pct / 100
    if isolated:
        copies = (~lost).astype(int) + (double & ~lost_again)
    else:
        first = 1 + double.astype(int) - lost
        copies = first - ((first == 2) & lost_again)
    found = expect.fate(
        Impairment(loss_pct=loss_pct, duplicate_pct=duplicate_pct), isolated=isolated, payload=24, frame=66
    )
    assert found.missing == pytest.approx(np.mean(copies == 0), abs=0.005)
    assert found.doubled == pytest.approx(np.mean(copies[copies > 0] == 2), abs=0.005)


@pytest.mark.parametrize(("pct", "gap"), [(5, None), (5, 1), (50, 5), (100, 5), (20, 2)])
def test_share_sent_at_once_follows_the_gap(pct: float, gap: int | None) -> None:
    random, counter, at_once = np.random.default_rng(4).random(100_000), 0, 0
    for value in random:
        if counter < (gap or 1) - 1 or pct / 100 < value:
            counter += 1
        else:
            counter, at_once = 0, at_once + 1
    share = expect.at_once_share(Impairment(delay_ms=10, reorder_pct=pct, reorder_gap=gap))
    assert share == pytest.approx(at_once / len(random), abs=0.01)


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto", "paretonormal"])
@pytest.mark.parametrize("keep_order", [False, True])
def test_simulated_delays_have_the_mean_and_spread_expected(distribution: str, keep_order: bool) -> None:
    impairment = Impairment(delay_ms=50, jitter_ms=5, distribution=distribution, keep_order=keep_order)  # type: ignore[arg-type]
    # So far apart that no packet ever waits for another.
    delays = expect.simulate_ms(impairment, np.arange(0.0, 25e6, 500.0))
    assert (float(delays.mean()), float(delays.std())) == pytest.approx(expect.delay_ms(impairment), rel=0.03)
    assert expect.least_delay_ms(impairment) - 1e-6 <= delays.min()
    assert delays.max() <= expect.longest_delay_ms(impairment) + 1e-6


def test_delays_below_0_are_0() -> None:
    mean, spread = expect.delay_ms(Impairment(delay_ms=10, jitter_ms=10, distribution="normal"))
    assert mean == pytest.approx(10.83, abs=0.01)
    assert spread < 10


@given(st.integers(0, 1000), st.floats(0.01, 20))
def test_packets_that_keep_their_order_never_arrive_before_an_earlier_one(seed: int, every_ms: float) -> None:
    sent = np.arange(500, dtype=float) * every_ms
    arrived = sent + expect.simulate_ms(Impairment(delay_ms=30, jitter_ms=15, keep_order=True), sent, seed=seed)
    assert np.all(np.diff(arrived) >= -1e-9)
    assert expect.late_share(sent, np.round(arrived, 6)) == 0


def test_packets_at_netems_own_rate_arrive_no_faster_than_it() -> None:
    sent = np.zeros(100)
    arrived = sent + expect.simulate_ms(Impairment(delay_ms=5), sent, frame_ms=2)
    assert arrived[0] == pytest.approx(7)
    assert np.diff(arrived) == pytest.approx(2)


def test_delay_correlation_is_lost_in_the_modulo_unless_the_jitter_is_seconds() -> None:
    def lag_1(jitter_ms: float) -> float:
        impairment = Impairment(delay_ms=2 * jitter_ms, jitter_ms=jitter_ms, delay_correlation_pct=75)
        delays = expect.simulate_ms(impairment, np.arange(20_000.0))
        return float(np.corrcoef(delays[:-1], delays[1:])[0, 1])

    assert abs(lag_1(10)) < 0.05
    assert lag_1(2000) > 0.6


@given(st.permutations(list(range(12))))
def test_late_packets_are_those_behind_a_later_one(order: list[int]) -> None:
    arrived = np.empty(len(order))
    arrived[order] = np.arange(len(order))
    late = sum(any(other > number for other in order[:place]) for place, number in enumerate(order))
    assert expect.late_share(np.arange(len(order)), arrived) == pytest.approx(late / len(order))
