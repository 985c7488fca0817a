"""Loss of every form, and marking in its place: means, correlations, lengths of bursts."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from numpy.typing import NDArray

from linkem_py import FourState, GilbertElliott, Impairment
from linkem_py.plan.objects import FourStateLoss, GilbertElliottLoss
from linkem_py.plan.translate import fraction
from tests.runtime.traffic import (
    SIGMAS,
    binomial,
    chain_inflation,
    flowing,
    kernel_events,
    kernel_netem,
    lag_one,
    planned_netem,
    runs,
    within,
)

pytestmark = pytest.mark.kernel("netem")

ECT_0, CE, NOT_ECT = 2, 3, 0


def assert_two_states(lost: NDArray[np.bool_], p: float, r: float) -> None:
    """Losses are those of a chain that begins to lose with p and ends with r."""
    mean, inflation = chain_inflation([[1 - p, p], [r, 1 - r]], [0, 1])
    assert within(lost.sum(), binomial(len(lost), mean, inflation=inflation))
    # What follows a loss, and what follows an arrival, are independent draws: both are binomial.
    after_loss, after_arrival = lost[1:][lost[:-1]], lost[1:][~lost[:-1]]
    assert within(after_loss.sum(), binomial(len(after_loss), 1 - r))
    assert within(after_arrival.sum(), binomial(len(after_arrival), p))


@pytest.mark.parametrize("loss_pct", [0.5, 10.0, 50.0, 99.0])
async def test_independent_loss(loss_pct: float) -> None:
    count = 8000
    async with flowing(Impairment(loss_pct=loss_pct)) as (net, flow):
        lost = flow.exchange(count).lost(count)
        assert within(lost.sum(), binomial(count, loss_pct / 100))
        assert lag_one(lost) == pytest.approx(0, abs=SIGMAS / count**0.5)
        stats = (await net.stats())["a", "b"]
        assert (stats.packets, stats.lost) == (count - lost.sum(), lost.sum())


async def test_all_nothing_and_all_again() -> None:
    async with flowing(Impairment(loss_pct=100)) as (net, flow):
        for loss_pct, arriving in ((100, 0), (None, 500), (100, 0), (0, 500)):
            await net.update("a", "b", loss_pct=loss_pct)
            assert len(flow.exchange(500).numbers) == arriving


@pytest.mark.parametrize(("loss_pct", "correlation_pct"), [(5.0, 25.0), (20.0, 60.0)])
async def test_correlated_loss_has_its_mean_and_its_correlation(loss_pct: float, correlation_pct: float) -> None:
    count = 12000
    mean, correlation = loss_pct / 100, correlation_pct / 100
    async with flowing(Impairment(loss_pct=loss_pct, loss_correlation_pct=correlation_pct)) as (net, flow):
        asked = kernel_netem(net)
        assert isinstance(asked.loss_model, GilbertElliottLoss)
        assert (asked.loss, asked.loss_correlation) == (0, 0)
        lost = flow.exchange(count).lost(count)
    inflation = (1 + correlation) / (1 - correlation)
    assert within(lost.sum(), binomial(count, mean, inflation=inflation))
    assert_two_states(lost, mean * (1 - correlation), (1 - mean) * (1 - correlation))
    # The difference of those two shares is the correlation: its error follows from theirs.
    after_loss, after_arrival = 1 - (1 - mean) * (1 - correlation), mean * (1 - correlation)
    error = (after_loss * (1 - after_loss) / (count * mean) + after_arrival * (1 - after_arrival) / count) ** 0.5
    assert lag_one(lost) == pytest.approx(correlation, abs=SIGMAS * error)


async def test_the_kernels_own_correlated_loss_is_there_for_who_wants_it() -> None:
    count = 8000
    impairment = Impairment(loss_pct=5, loss_correlation_pct=25, kernel_loss_correlation=True)
    async with flowing(impairment) as (net, flow):
        shown = kernel_netem(net)
        assert shown == planned_netem(net)
        assert (shown.loss_model, shown.loss, shown.loss_correlation) == (None, fraction(5), fraction(25))
        lost = flow.exchange(count).lost(count)
        assert lost.sum() < binomial(count, 0.05)[0]
        assert within(lost.mean(), kernel_events(0.05, 0.25, count)[0])
        await net.update("a", "b", kernel_loss_correlation=False)
        assert isinstance(kernel_netem(net).loss_model, GilbertElliottLoss)


@pytest.mark.parametrize(("p_pct", "r_pct"), [(1.0, 30.0), (5.0, 10.0)])
async def test_gilbert_elliott(p_pct: float, r_pct: float) -> None:
    count = 12000
    model = GilbertElliott(p_pct, r_pct)
    async with flowing(Impairment(loss=model)) as (net, flow):
        assert kernel_netem(net) == planned_netem(net)
        lost = flow.exchange(count).lost(count)
    assert_two_states(lost, p_pct / 100, r_pct / 100)
    lengths = runs(lost)
    error = SIGMAS * (1 - r_pct / 100) ** 0.5 * model.mean_burst_packets / len(lengths) ** 0.5
    assert lengths.mean() == pytest.approx(model.mean_burst_packets, abs=error)


async def test_gilbert_elliott_that_loses_a_part_in_both_states() -> None:
    count = 12000
    model = GilbertElliott(4, 16, bad_loss_pct=70, good_loss_pct=3)
    async with flowing(Impairment(loss=model)) as (net, flow):
        # The kernel's h is delivery in the bad state.
        assert kernel_netem(net).loss_model == GilbertElliottLoss(
            fraction(4), fraction(16), 2**32 - 1 - fraction(70), fraction(3)
        )
        lost = flow.exchange(count).lost(count)
    mean, inflation = chain_inflation([[0.96, 0.04], [0.16, 0.84]], [0.03, 0.7])
    assert mean == pytest.approx(model.mean_loss_pct / 100)
    assert within(lost.sum(), binomial(count, mean, inflation=inflation))


async def test_four_states() -> None:
    count = 12000
    model = FourState(2, 20, 30, 50, 1)
    p13, p31, p32, p23, p14 = 0.02, 0.2, 0.3, 0.5, 0.01
    steps: list[list[float]] = [
        [1 - p13 - p14, 0, p13, p14],
        [0, 1 - p23, p23, 0],
        [p31, p32, 1 - p31 - p32, 0],
        [1.0, 0, 0, 0],
    ]
    mean, inflation = chain_inflation(steps, [0, 0, 1, 1])
    assert mean == pytest.approx(model.mean_loss_pct / 100)
    async with flowing(Impairment(loss=model)) as (net, flow):
        shown = kernel_netem(net)
        assert shown == planned_netem(net)
        assert shown.loss_model == FourStateLoss(*(fraction(pct) for pct in (2, 20, 30, 1, 50)))
        lost = flow.exchange(count).lost(count)
    assert within(lost.sum(), binomial(count, mean, inflation=inflation))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_ecn_marks_in_the_place_of_loss(family: socket.AddressFamily) -> None:
    count = 2500
    async with flowing(Impairment(loss_pct=20, ecn=True), family=family, frame=100) as (net, flow):
        flow.mark(ECT_0)
        arrivals = flow.exchange(count)
        assert len(arrivals.numbers) == count
        assert within((arrivals.tos == CE).sum(), binomial(count, 0.2))
        assert within((arrivals.tos == ECT_0).sum(), binomial(count, 0.8))
        flow.mark(NOT_ECT)
        assert within(flow.exchange(count).lost(count).sum(), binomial(count, 0.2))
        await net.update("a", "b", ecn=False)
        flow.mark(ECT_0)
        arrivals = flow.exchange(count)
        assert within(arrivals.lost(count).sum(), binomial(count, 0.2))
        assert set(arrivals.tos) == {ECT_0}
