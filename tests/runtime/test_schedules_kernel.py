"""Schedules in the real kernel: what packets see of them."""

from __future__ import annotations

import asyncio

import pytest

from linkem_py import GilbertElliott, Impairment, Network
from linkem_py.kernel.codec.decode import filter_rows
from linkem_py.kernel.codec.tc import filter_dump_message
from linkem_py.kernel.codec.u32 import decode_u32
from linkem_py.model import OrnsteinUhlenbeck, ScheduledChange
from linkem_py.plan.objects import U32, Drop, Filter, Qdisc
from linkem_py.runtime.changes import Rescheduled, Scheduled
from tests.runtime.check import assert_kernel_matches, planned
from tests.runtime.traffic import binomial, chain_inflation, flowing, runs, within

pytestmark = pytest.mark.kernel("netem", "gact")

CUT = Scheduled((ScheduledChange(0, outage=True),))
OPEN = Scheduled((ScheduledChange(0),))


def entries(net: Network, of: str = "a") -> dict[int, object]:
    """The destinations' entries in the kernel by handle."""
    wanted = [made for made in planned(net) if isinstance(made, Filter) and made.ns == of]
    netlink, index = net.kernel.namespaces[of].netlink, net.kernel.index(of, "eth0")
    found: dict[int, object] = {}
    for parent in {made.parent for made in wanted if isinstance(made.options, U32) and made.options.classid}:
        for row in filter_rows(netlink.dump(filter_dump_message(index, parent))):
            found[parent ^ row.handle] = decode_u32(row.options)
    return found


@pytest.mark.parametrize("settings", [{}, {"classifier": "prio"}, {"duplicates": "isolate"}], ids=str)
async def test_nothing_passes_during_an_outage_and_everything_after(settings: dict[str, str]) -> None:
    impairment = Impairment(delay_ms=2, duplicate_pct=100 if settings.get("duplicates") else 0)
    async with flowing(impairment, settings=settings) as (net, flow):
        before = entries(net)
        for _ in range(3):
            assert len(set(flow.exchange(100).numbers)) == 100
            await net.update_links({("a", "b"): CUT})
            assert len(flow.exchange(100).numbers) == 0
            assert sum(isinstance(entry, U32) and bool(entry.classid) and entry.action == Drop()
                       for entry in entries(net).values()) == 1  # fmt: skip
            assert_kernel_matches(net)
            await net.update_links({("a", "b"): OPEN})
            assert entries(net) == before
        assert len(set(flow.exchange(100).numbers)) == 100
        assert_kernel_matches(net)


async def test_what_is_on_its_way_when_an_outage_begins_arrives() -> None:
    async with flowing(Impairment(delay_ms=300)) as (net, flow):
        flow.send(50)
        await net.update_links({("a", "b"): CUT})
        flow.send(50)
        assert list(flow.receive().numbers) == list(range(50))


async def test_the_first_packet_after_an_outage_does_not_wait() -> None:
    async with flowing(Impairment(delay_ms=30, rate_kbit=1000), frame=1514) as (net, flow):
        usual_ms = flow.exchange(1).delays_ms.max()
        await net.update_links({("a", "b"): CUT})
        flow.exchange(30)
        await net.update_links({("a", "b"): OPEN})
        first_ms = flow.exchange(1).delays_ms.max()
        # A packet charged at a tiny rate would hold it up for twenty times as long.
        assert first_ms < 5 * usual_ms


async def test_an_outage_outlives_updates_and_partitions() -> None:
    async with flowing(Impairment(delay_ms=2)) as (net, flow):
        await net.update_links({("a", "b"): CUT})
        await net.update("a", "b", delay_ms=5, rate_kbit=10_000)
        assert len(flow.exchange(20).numbers) == 0
        if net.capabilities.clsact and net.capabilities.u32_mark and net.capabilities.skbedit:
            await net.partition(["a"], ["b"])
            await net.heal()
        assert len(flow.exchange(20).numbers) == 0
        await net.update_links({("a", "b"): Rescheduled()})
        assert len(flow.exchange(20).numbers) == 20
        assert_kernel_matches(net)


async def test_a_wandering_rate_keeps_the_loss_model_as_it_is() -> None:
    """Ornstein-Uhlenbeck at 10 Hz over Gilbert-Elliott: mean loss and mean burst are the model's."""
    p, r, count = 0.02, 0.25, 6000
    lossy = Impairment(delay_ms=5, rate_kbit=50_000, loss=GilbertElliott(p_pct=100 * p, r_pct=100 * r))
    async with flowing(lossy) as (net, flow):
        await net.set_schedule("a", "b", OrnsteinUhlenbeck(50_000, tau_s=1, tick_ms=100))
        await asyncio.to_thread(flow.send, count, every_s=0.0007)
        lost = flow.receive().lost(count)
        ticks = [applied for applied in net.journal if applied.what == "schedule"]
        steps = [step.object for applied in ticks for step in applied.steps]
        assert len(ticks) > 5
        assert not any(isinstance(made, Qdisc) and made.kind == "netem" for made in steps)
        assert (await net.stats())["a", "b"].queue_drops == 0
    mean, inflation = chain_inflation([[1 - p, p], [r, 1 - r]], [0, 1])
    assert within(lost.sum(), binomial(count, mean, inflation=inflation))
    # Bursts are geometric with mean 1/r: so many losses, each the last of its burst with probability r.
    bursts = len(runs(lost))
    assert within(bursts, binomial(int(lost.sum()), r))


async def test_schedules_run_and_end_with_the_network() -> None:
    async with flowing(Impairment(delay_ms=1, rate_kbit=10_000)) as (net, flow):
        await net.set_schedule("a", "b", OrnsteinUhlenbeck(10_000, tick_ms=10))
        await asyncio.to_thread(flow.send, 300, every_s=0.001)
        assert len(flow.receive().numbers) == 300
        state = net.schedules["a", "b"]
        assert state.error is None
        assert state.changes > 1
        await net.set_schedule("a", "b", None)
        revision = net.revision
        assert_kernel_matches(net)
        assert len(flow.exchange(100).numbers) == 100
        assert net.revision == revision
