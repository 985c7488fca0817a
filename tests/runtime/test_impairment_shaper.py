"""Every shaper keeps its rate; each is there as asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from linkem_py import Impairment, Network
from linkem_py.kernel.codec import decode_cake, decode_tbf
from linkem_py.kernel.codec.decode import QdiscRow
from linkem_py.plan import handles
from tests.runtime.check import assert_kernel_matches
from tests.runtime.traffic import Arrivals, flowing, kernel_netem, planned_netem

pytestmark = pytest.mark.kernel("netem", "htb", "tbf", "cake")

FRAME = 1000
RATE_KBIT = 4000.0
SHAPERS = ("htb", "tbf", "netem", "cake")


def queue_of(net: Network) -> QdiscRow:
    """The queue of a link, which may be its shaper."""
    handle = handles.queue(net.topology.peer("b").number)
    return next(row for row in net.kernel.qdiscs("a", "eth0") if row.handle == handle)


def assert_gap(arrivals: Arrivals, wanted_ms: float) -> None:
    """The time between arrivals: the median of a shaper that a late machine does not make hurry, else the mean."""
    gaps = np.diff(arrivals.received) / 1e6
    assert min(abs(np.median(gaps) - wanted_ms), abs(gaps.mean() - wanted_ms)) < 0.1 * wanted_ms


@pytest.mark.parametrize("delay_ms", [0.0, 20.0])
@pytest.mark.parametrize("shaper", SHAPERS)
async def test_packets_come_at_the_rate(shaper: Any, delay_ms: float) -> None:
    count, frame_ms = 300, FRAME * 8 / RATE_KBIT
    async with flowing(Impairment(rate_kbit=RATE_KBIT, delay_ms=delay_ms, shaper=shaper), frame=FRAME) as (net, flow):
        assert kernel_netem(net) == planned_netem(net)
        arrivals = flow.exchange(count, every_s=frame_ms / 1000 / 1.5)
        assert_gap(arrivals, frame_ms)
        assert arrivals.delays_ms.min() >= delay_ms
        assert arrivals.overtaken == 0
        assert (await net.stats())["a", "b"].drops == arrivals.lost(count).sum()
        # In place, whichever shaper it is.
        change = await net.update("a", "b", rate_kbit=2 * RATE_KBIT)
        assert all(step.startswith("change ") for step in change.operations)
        faster = flow.exchange(count, every_s=frame_ms / 1000 / 3)
        assert_gap(faster, frame_ms / 2)
        assert_kernel_matches(net)


@pytest.mark.parametrize("shaper", ["htb", "tbf", "netem"])
async def test_what_finds_the_queue_full_is_lost(shaper: Any) -> None:
    shape = Impairment(rate_kbit=400, queue_ms=200, shaper=shaper)
    async with flowing(shape, frame=FRAME) as (_, flow):
        arrivals = flow.exchange(40)
    # 10,000 bytes: ten packets wait (netem: of full frames, seven), one or two are on their way.
    assert 6 <= len(arrivals.numbers) <= 14


async def test_any_shaper_takes_the_place_of_any_other() -> None:
    async with flowing(Impairment(rate_kbit=RATE_KBIT, delay_ms=1), frame=FRAME) as (net, flow):
        now = "htb"
        for shaper in ("tbf", "cake", "netem", "tbf", "netem", "cake", "htb", "netem", "htb", "cake", "tbf", "htb"):
            change = await net.update("a", "b", shaper=shaper)
            replaced = any(step.startswith("create qdisc") for step in change.operations)
            assert replaced == bool({now, shaper} & {"tbf", "cake"})
            assert_kernel_matches(net)
            # A new cake drops the first packet that has waited for more than its target.
            assert len(flow.exchange(10).numbers) >= (9 if shaper == "cake" else 10)
            now = shaper
        await net.update("a", "b", shaper="tbf", burst_kb=5)
        shown = decode_tbf(queue_of(net).options)
        assert (shown.rate, shown.burst, shown.limit) == (500_000, 5000, 50_000)
        change = await net.update("a", "b", burst_kb=8)
        assert [step.split()[:3] for step in change.operations] == [["change", "qdisc", "tbf"]]
        await net.update("a", "b", shaper="cake", burst_kb=None)
        assert decode_cake(queue_of(net).options).rate == 500_000
        await net.update("a", "b", rate_kbit=None)
        assert net.impairment("a", "b") == Impairment(delay_ms=1)
        assert_kernel_matches(net)


async def test_packets_and_cells_count_for_more_than_they_are() -> None:
    cells = -(-FRAME // 48)
    shape = Impairment(rate_kbit=RATE_KBIT, shaper="netem", cell_size=48, cell_overhead=5)
    async with flowing(shape, frame=FRAME) as (net, flow):
        arrivals = flow.exchange(60)
        wanted_ms = cells * 53 * 8 / RATE_KBIT
        assert_gap(arrivals, wanted_ms)
        await net.update("a", "b", cell_size=None, packet_overhead=500)
        arrivals = flow.exchange(60)
        wanted_ms = (FRAME + 500) * 8 / RATE_KBIT
        assert_gap(arrivals, wanted_ms)
