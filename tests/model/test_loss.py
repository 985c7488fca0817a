from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linkem_py.errors import TopologyError
from linkem_py.model import FourState, GilbertElliott, Impairment
from linkem_py.plan.objects import FourStateLoss, GilbertElliottLoss
from linkem_py.plan.translate import loss_model

PACKETS = 200_000
SIGMAS = 5  # one false alarm in 1.7 million runs, were the seed not fixed
BATCHES = 100


def mean_and_error(lost: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean of a correlated sequence, and the standard error that the spread of its batches gives."""
    batches = lost.reshape(BATCHES, -1).mean(axis=1)
    return float(lost.mean()), float(batches.std(ddof=1) / np.sqrt(BATCHES))


# --- Gilbert-Elliott ----------------------------------------------------------------------------


def gilbert_elliott(model: GilbertElliott, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Which packets are in the bad state, and which are lost, drawn from the model's definition."""
    draw = np.random.default_rng(seed)
    turns, losses = draw.random(PACKETS), draw.random(PACKETS)
    leave = {False: model.p_pct / 100, True: model.r_pct / 100}
    bad = np.empty(PACKETS, dtype=bool)
    state = False
    for packet in range(PACKETS):
        bad[packet] = state
        state ^= bool(turns[packet] < leave[state])
    return bad, losses < np.where(bad, model.bad_loss_pct, model.good_loss_pct) / 100


@pytest.mark.parametrize(
    "model",
    [GilbertElliott(1, 10), GilbertElliott(5, 30, 80, 2), GilbertElliott(50, 50), GilbertElliott(90, 95, 60, 10)],
    ids=repr,
)
def test_the_formulas_of_gilbert_elliott_hold_in_simulation(model: GilbertElliott) -> None:
    bad, lost = gilbert_elliott(model, seed=1)
    for sample, expected in ((bad, model.bad_share), (lost, model.mean_loss_pct / 100)):
        mean, error = mean_and_error(sample)
        assert abs(mean - expected) < SIGMAS * error
    edges = np.flatnonzero(np.diff(np.concatenate(([0], bad, [0]))))
    bursts = edges[1::2] - edges[::2]
    error = bursts.std(ddof=1) / np.sqrt(len(bursts))
    assert abs(bursts.mean() - model.mean_burst_packets) < SIGMAS * error


def kernel_gilbert_elliott(model: GilbertElliottLoss, seed: int) -> np.ndarray[Any, Any]:
    """loss_gilb_ell in sch_netem.c: the transition first, then a loss by the state before it."""
    draw = random.Random(seed)
    bad, lost = False, np.empty(PACKETS, dtype=bool)
    for packet in range(PACKETS):
        if bad:
            after = not draw.getrandbits(32) < model.r
            lost[packet] = draw.getrandbits(32) > model.h
        else:
            after = draw.getrandbits(32) < model.p
            lost[packet] = draw.getrandbits(32) < model.k1
        bad = after
    return lost


@pytest.mark.parametrize(
    ("loss_pct", "correlation_pct"), [(5, 25), (1, 90), (40, 50), (99, 10), (100, 0.1), (100, 50), (100, 100), (10, 1)]
)
def test_correlated_loss_has_the_mean_and_the_correlation_asked_for(loss_pct: float, correlation_pct: float) -> None:
    options = loss_model(Impairment(loss_pct=loss_pct, loss_correlation_pct=correlation_pct))
    assert isinstance(options, GilbertElliottLoss)
    lost = kernel_gilbert_elliott(options, seed=3)
    mean, error = mean_and_error(lost)
    if loss_pct == 100:
        assert mean == 1
        return
    assert abs(mean - loss_pct / 100) < SIGMAS * error
    products = (lost[:-1] - loss_pct / 100) * (lost[1:] - loss_pct / 100)
    products = products[: len(products) // BATCHES * BATCHES]
    covariance, error = mean_and_error(products)
    expected = correlation_pct / 100 * (loss_pct / 100) * (1 - loss_pct / 100)
    assert abs(covariance - expected) < SIGMAS * error


@given(st.floats(0.01, 99.99), st.floats(0, 99.9))
def test_a_model_made_from_a_correlation_has_that_mean_loss(loss_pct: float, correlation_pct: float) -> None:
    assert GilbertElliott.from_correlation(loss_pct, correlation_pct).mean_loss_pct == pytest.approx(loss_pct)


@pytest.mark.parametrize("correlation_pct", [0, 50, 100])
def test_a_certain_loss_needs_no_chain(correlation_pct: float) -> None:
    assert GilbertElliott.from_correlation(100, correlation_pct).mean_loss_pct == 100
    assert GilbertElliott.from_correlation(0, correlation_pct).mean_loss_pct == 0


def test_a_full_correlation_is_refused() -> None:
    with pytest.raises(TopologyError, match="correlation_pct must be below 100: the first packet would decide"):
        GilbertElliott.from_correlation(50, 100)


def test_without_a_bad_state_there_are_no_bursts() -> None:
    model = GilbertElliott(0, 0, good_loss_pct=3)
    assert (model.bad_share, model.mean_burst_packets, model.mean_loss_pct) == (0, 0, 3)


# --- four states --------------------------------------------------------------------------------


def loss_4state(model: FourStateLoss, seed: int) -> np.ndarray[Any, Any]:
    """The function of that name in sch_netem.c, 32-bit sums included."""
    draw = random.Random(seed)
    received_in_gap, received_in_burst, lost_in_burst, lost_in_gap = range(4)
    leave_gap = (model.p13 + model.p14) % 2**32
    leave_burst = (model.p31 + model.p32) % 2**32
    state, lost = received_in_gap, np.zeros(PACKETS, dtype=bool)
    for packet in range(PACKETS):
        number = draw.getrandbits(32)
        if state == received_in_gap:
            if number < model.p14:
                state = lost_in_gap
            elif number < leave_gap:
                state = lost_in_burst
        elif state == received_in_burst:
            if number < model.p23:
                state = lost_in_burst
        elif state == lost_in_burst:
            if number < model.p32:
                state = received_in_burst
            elif number < leave_burst:
                state = received_in_gap
        else:
            state = received_in_gap
        lost[packet] = state in (lost_in_burst, lost_in_gap)
    return lost


@pytest.mark.parametrize(
    "model",
    [
        FourState(5),
        FourState(2, 20),
        FourState(1, 10, 30, 40, 5),
        FourState(0, p14_pct=10),
        FourState(0, p14_pct=100),
        FourState(20, 5, 95, 3, 80),
        FourState(33.3, 33.3, 66.7, 50, 66.7),
    ],
    ids=repr,
)
def test_the_mean_loss_of_four_states_is_that_of_the_kernels_state_machine(model: FourState) -> None:
    options = loss_model(Impairment(loss=model))
    assert isinstance(options, FourStateLoss)
    mean, error = mean_and_error(loss_4state(options, seed=2))
    assert abs(mean - model.mean_loss_pct / 100) < max(SIGMAS * error, 1 / PACKETS)


def test_a_single_probability_is_independent_loss() -> None:
    assert FourState(7).mean_loss_pct == pytest.approx(7)
    assert FourState(7).recovery_pct == 93
    assert FourState(7, p32_pct=3).recovery_pct == 90


def test_a_burst_that_is_never_left_loses_nothing_any_more() -> None:
    model = FourState(5, 10, 20, p23_pct=0)
    assert model.mean_loss_pct == 0
    options = loss_model(Impairment(loss=model))
    assert isinstance(options, FourStateLoss)
    assert not loss_4state(options, seed=1)[PACKETS // 2 :].any()


@given(st.floats(0, 100), st.floats(0, 1), st.floats(0.1, 100), st.floats(0, 1))
@example(50, 1, 50, 1)  # half of an odd number, rounded up twice
def test_the_sums_that_the_kernel_makes_fit_into_32_bits(p13: float, p14: float, p31: float, p32: float) -> None:
    model = FourState(p13, p31, (100 - p31) * p32, 50, (100 - p13) * p14)
    options = loss_model(Impairment(loss=model))
    assert isinstance(options, FourStateLoss)
    assert options.p13 + options.p14 < 2**32
    assert options.p31 + options.p32 < 2**32


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GilbertElliott(101, 5), "p_pct must be between 0 and 100: 101"),
        (lambda: GilbertElliott(1, -5), "r_pct must be between 0 and 100: -5"),
        (lambda: GilbertElliott(1, 5, "x"), "bad_loss_pct must be a number: 'x'"),  # type: ignore[arg-type]
        (lambda: GilbertElliott(1, 5, good_loss_pct=float("nan")), "good_loss_pct must be a finite number: nan"),
        (lambda: GilbertElliott(None, 5), "p_pct must be a number: None"),
        (lambda: GilbertElliott(5, None), "r_pct must be a number: None"),
        (lambda: GilbertElliott(5, 0), "r_pct must be above 0, or the bad state never ends: 0"),
        (lambda: FourState(None), "p13_pct must be a number: None"),
        (lambda: FourState(1, 5, None), "p32_pct must be a number: None"),
        (lambda: FourState(60, 5, p14_pct=50), "p13_pct + p14_pct must not exceed 100: 110"),
        (lambda: FourState(5, 60, 50), "p31_pct + p32_pct must not exceed 100: 110"),
        (lambda: FourState(5, 0), "p31_pct must be above 0, or the burst never ends: 0"),
        (lambda: FourState(100), "p31_pct must be above 0, or the burst never ends: None"),
        (lambda: FourState(True), "p13_pct must be a number: True"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value) == message
