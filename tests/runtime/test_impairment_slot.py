"""Slots, as packets meet them: they leave in bursts."""

from __future__ import annotations

import numpy as np
import pytest

from linkem_py import DelayTable, Impairment, Slot
from linkem_py.model.distribution import Distribution
from tests.runtime.check import assert_kernel_matches
from tests.runtime.traffic import Arrivals, flowing

pytestmark = pytest.mark.kernel("netem")

TWO_PEAKS = DelayTable([-8192, 8192], "peaks")


def bursts(arrivals: Arrivals, apart_ms: float) -> list[int]:
    """Sizes of the bursts, which have at least so much time between them."""
    gaps = np.diff(arrivals.received) / 1e6
    starts = np.flatnonzero(gaps >= apart_ms) + 1
    return [len(part) for part in np.split(arrivals.received, starts)]


async def test_packets_wait_for_the_slot_and_leave_together() -> None:
    count, every_ms = 150, 60.0
    async with flowing(Impairment(slot=Slot(every_ms))) as (net, flow):
        arrivals = flow.exchange(count, every_s=0.004)
        assert (len(arrivals.numbers), arrivals.overtaken) == (count, 0)
        sizes = bursts(arrivals, every_ms / 2)
        # About 600 ms of packets; a machine that stops for a moment makes fewer bursts, never more.
        assert 2 <= len(sizes) <= 11
        assert np.median(sizes) >= 10
        # The first of each burst has waited the whole of the time, the last hardly any.
        assert arrivals.delays_ms.max() >= every_ms
        assert arrivals.delays_ms.min() < every_ms / 2
        await net.update("a", "b", slot=None)
        assert flow.exchange(200).median_ms < every_ms / 2
        assert_kernel_matches(net)


@pytest.mark.parametrize(("slot", "fit"), [(Slot(30, packets=3), 3), (Slot(30, kb=0.8), 4)])
async def test_a_slot_has_room_for_so_much(slot: Slot, fit: int) -> None:
    count = fit * 8
    async with flowing(Impairment(slot=slot), frame=200) as (_, flow):
        arrivals = flow.exchange(count)
    assert bursts(arrivals, slot.every_ms / 2) == [fit] * 8
    # The first slot is counted from the first packet, those after it from the one before.
    assert arrivals.delays_ms.max() >= 7 * slot.every_ms


async def test_what_does_not_fit_is_lost_in_the_end() -> None:
    async with flowing(Impairment(slot=Slot(100, packets=2))) as (_, flow):
        arrivals = flow.exchange(100)
    assert 10 <= len(arrivals.numbers) <= 20


@pytest.mark.parametrize("distribution", ["uniform", TWO_PEAKS])
async def test_the_time_between_slots_varies(distribution: Distribution) -> None:
    """One packet a slot, so that the gaps between arrivals are the times between slots."""
    count, every_ms, jitter_ms = 60, 30.0, 20.0
    slot = Slot(every_ms, jitter_ms, distribution, packets=1, kb=None)
    async with flowing(Impairment(slot=Slot(5, 2, "normal", packets=1))) as (net, flow):
        await net.update("a", "b", slot=slot)
        flow.send(12, wait=True)
        flow.receive()
        gaps = []
        for _ in range(count // 12):
            arrivals = flow.exchange(12)
            gaps += list(np.diff(arrivals.received) / 1e6)
    late = 8.0
    measured = np.array(gaps)
    assert measured.min() >= every_ms - jitter_ms - late
    middle = (measured > every_ms - jitter_ms / 2 + late) & (measured < every_ms + jitter_ms / 2)
    if distribution == "uniform":
        assert middle.any()
    else:
        assert np.mean(middle) < 0.3
        assert (measured < every_ms).any()
        assert (measured >= every_ms).any()
