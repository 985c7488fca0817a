"""Delay, jitter, its shape, correlation and order, as packets meet them."""

from __future__ import annotations

import socket
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linkem_py import DelayTable, Impairment
from linkem_py.model.distribution import Distribution
from linkem_py.plan.translate import nanoseconds
from tests.runtime.traffic import SIGMAS, Arrivals, flowing, kernel_netem, lag_one, pair, planned_netem

pytestmark = [pytest.mark.kernel("netem"), pytest.mark.filterwarnings("ignore:delay_correlation_pct")]

LATE_MS = 10.0  # what a busy machine may add to a median
# Shapes are measured on a scale against which a machine that stops for a moment does not count.
WIDE: dict[str, Any] = {"delay_ms": 1200.0, "jitter_ms": 300.0}
WIDE_LATE_MS = 25.0
SAMPLES = [-1.2] * 300 + [0.4] * 600 + [1.6] * 100
PEAKS = DelayTable.from_samples(SAMPLES, name="peaks")


def by_number(arrivals: Arrivals) -> NDArray[np.float64]:
    """Delays in the order of sending."""
    return arrivals.delays_ms[np.argsort(arrivals.numbers)]


SHARES = (np.arange(20_000) + 0.5) / 20_000
NORMAL = np.array([NormalDist().inv_cdf(share) for share in SHARES])
PARETO = ((1 - SHARES) ** (-1 / 3) - 1.5) / 0.75**0.5  # exponent 3: mean 1.5, variance 0.75


def scaled(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0 and deviation 1, though nothing is beyond 4 deviations: netem's tables end there."""
    for _ in range(20):
        shape = np.clip((shape - shape.mean()) / shape.std(), -4, 4)
    return shape


# Inverse distribution functions in jitters around the mean, by the definitions of tc-netem(8).
SHAPES = {
    "uniform": 2 * SHARES - 1,
    "normal": scaled(NORMAL),
    "pareto": scaled(PARETO),
    "paretonormal": scaled(0.25 * NORMAL + 0.75 * PARETO),
    "peaks": scaled(np.quantile(SAMPLES, SHARES, method="inverted_cdf")),
}


def inverse(distribution: Distribution) -> NDArray[np.float64]:
    """The quantiles of a distribution at `SHARES`."""
    return SHAPES[distribution.name if isinstance(distribution, DelayTable) else distribution]


def quantiles(distribution: Distribution, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quantiles of a distribution at any shares."""
    return np.interp(shares, SHARES, inverse(distribution))


def assert_shape(arrivals: Arrivals, count: int, distribution: Distribution) -> None:
    """Every decile, and the tails, lie where chance puts so many samples (and late ones a little above)."""
    assert len(arrivals.numbers) == count
    shares = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
    spread = SIGMAS * np.sqrt(shares * (1 - shares) / count)
    # The table has 4,096 of the shares, and between two peaks a little of what lies there.
    least = WIDE["delay_ms"] + WIDE["jitter_ms"] * (quantiles(distribution, shares - spread - 1 / 4096) - 0.003)
    most = WIDE["delay_ms"] + WIDE["jitter_ms"] * quantiles(distribution, shares + spread) + WIDE_LATE_MS
    measured = np.quantile(arrivals.delays_ms, shares)
    assert np.all(measured >= least), (measured, least)
    assert np.all(measured <= most), (measured, most)


@pytest.mark.parametrize("delay_ms", [1.0, 25.0, 120.0])
async def test_delay(delay_ms: float) -> None:
    async with flowing(Impairment(delay_ms=delay_ms)) as (_, flow):
        arrivals = flow.exchange(300, every_s=0.001)
    assert len(arrivals.numbers) == 300
    assert arrivals.delays_ms.min() >= delay_ms
    assert arrivals.median_ms <= delay_ms + LATE_MS
    assert not arrivals.overtaken


@pytest.mark.parametrize(
    ("family", "local"), [(socket.AF_INET, False), (socket.AF_INET6, False), (socket.AF_INET6, True)]
)
async def test_delay_and_loss_are_those_of_every_address(family: socket.AddressFamily, local: bool) -> None:
    async with flowing(Impairment(delay_ms=30), family=family, local=local, frame=120) as (net, flow):
        # The address on the link is resolved by a first packet; linked ones are known from the start.
        assert len(flow.exchange(5).numbers) == 5
        arrivals = flow.exchange(200, every_s=0.001)
        assert arrivals.delays_ms.min() >= 30
        assert arrivals.median_ms <= 30 + LATE_MS
        await net.update("a", "b", loss_pct=100)
        assert not len(flow.exchange(100).numbers)


@pytest.mark.parametrize("delay_ms", [1.000001, 25.123457, 3_600_000.0])
async def test_every_nanosecond_is_kept(delay_ms: float) -> None:
    async with pair(Impairment(delay_ms=delay_ms, jitter_ms=0.999999)) as net:
        assert kernel_netem(net).latency_ns == nanoseconds(delay_ms)
        assert kernel_netem(net).jitter_ns == 999_999
        await net.update("a", "b", delay_ms=delay_ms - 0.000001)
        assert kernel_netem(net).latency_ns == nanoseconds(delay_ms) - 1


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto", "paretonormal", PEAKS], ids=repr)
async def test_distribution(distribution: Distribution) -> None:
    count = 3000
    async with flowing(Impairment(**WIDE, distribution=distribution)) as (_, flow):
        arrivals = flow.exchange(count)
    assert_shape(arrivals, count, distribution)
    delay_ms, jitter_ms = WIDE["delay_ms"], WIDE["jitter_ms"]
    drawn = inverse(distribution)
    spread = float(drawn.std())
    kurtosis = float((drawn**4).mean()) / spread**4
    error = SIGMAS * jitter_ms * spread / count**0.5
    assert delay_ms - error <= arrivals.delays_ms.mean() <= delay_ms + error + WIDE_LATE_MS
    # The variance of a standard deviation is (kurtosis - 1) / 4 times that of the mean.
    assert arrivals.delays_ms.std() == pytest.approx(
        jitter_ms * spread, abs=error * ((kurtosis - 1) / 4) ** 0.5 + WIDE_LATE_MS / 2
    )


async def test_a_live_change_replaces_the_shape_and_takes_it_away() -> None:
    count = 1500
    async with flowing(Impairment(**WIDE)) as (net, flow):
        for distribution in ("pareto", PEAKS, None):
            await net.update("a", "b", distribution=distribution)
            arrivals = flow.exchange(count)
            assert_shape(arrivals, count, distribution or "uniform")
        assert arrivals.delays_ms.min() >= WIDE["delay_ms"] - WIDE["jitter_ms"]
        await net.update("a", "b", jitter_ms=None)
        arrivals = flow.exchange(200)
        assert arrivals.delays_ms.min() >= WIDE["delay_ms"]
        assert not arrivals.overtaken


async def test_jitter_reorders_unless_the_order_is_kept() -> None:
    async with flowing(Impairment(delay_ms=40, jitter_ms=20)) as (net, flow):
        assert flow.exchange(500).overtaken > 100
        await net.update("a", "b", keep_order=True)
        arrivals = flow.exchange(500, every_s=0.001)
        assert len(arrivals.numbers) == 500
        assert not arrivals.overtaken
        assert arrivals.delays_ms.min() >= 20
        assert arrivals.delays_ms.std() > 0.5
        await net.update("a", "b", keep_order=None)
        assert flow.exchange(500).overtaken > 100


async def test_order_is_kept_when_the_delay_falls() -> None:
    async with flowing(Impairment(delay_ms=300, keep_order=True)) as (net, flow):
        flow.send(50)
        await net.update("a", "b", delay_ms=1)
        flow.send(50)
        kept = flow.receive()
        await net.update("a", "b", delay_ms=300, keep_order=None)
        flow.next = 0
        flow.send(50)
        await net.update("a", "b", delay_ms=1)
        flow.send(50)
        free = flow.receive()
    assert (len(kept.numbers), kept.overtaken) == (100, 0)
    assert (len(free.numbers), free.overtaken) == (100, 50)


async def test_delay_correlation_where_the_kernel_has_any() -> None:
    # netem takes the correlated 32-bit number modulo twice the jitter in nanoseconds: only the longest
    # jitter, for which that is the number itself, shows the correlation.
    count, jitter_ms = 2000, 2147.483647
    async with flowing(Impairment(delay_ms=jitter_ms, jitter_ms=jitter_ms, delay_correlation_pct=60)) as (net, flow):
        assert kernel_netem(net) == planned_netem(net)
        delays = by_number(flow.exchange(count))
        assert lag_one(delays) == pytest.approx(0.6, abs=SIGMAS * ((1 - 0.6**2) / count) ** 0.5)


async def test_delay_correlation_leaves_nothing_in_common_jitter() -> None:
    count = 3000
    async with flowing(Impairment(**WIDE, delay_correlation_pct=60)) as (net, flow):
        for distribution in ("uniform", "normal"):
            await net.update("a", "b", distribution=distribution)
            assert kernel_netem(net).delay_correlation == planned_netem(net).delay_correlation > 0
            delays = by_number(flow.exchange(count))
            assert lag_one(delays) == pytest.approx(0, abs=SIGMAS / count**0.5)
        await net.update("a", "b", delay_correlation_pct=None)
        assert kernel_netem(net).delay_correlation == 0
