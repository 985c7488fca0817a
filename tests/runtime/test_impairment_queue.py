"""Queues that manage themselves, behind a rate: as packets of several flows meet them."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import numpy as np
import pytest

from linkem_py import CapabilityError, Impairment, Network
from linkem_py.kernel.codec import decode_cake, decode_fq_codel
from linkem_py.model.impairment import QueueKind
from linkem_py.plan import handles
from linkem_py.plan.objects import Cake, FqCodel
from tests.runtime.check import assert_kernel_matches
from tests.runtime.traffic import Arrivals, Flow, flowing, pair

pytestmark = pytest.mark.kernel("netem", "htb")

FRAME = 1000
ECT = 2  # RFC 3168: the sender takes marks
CE = 3
managed = pytest.mark.parametrize("kind", ["fq_codel", "cake"])
needs_both = pytest.mark.kernel("fq_codel", "cake")


def queue_of(net: Network) -> tuple[str, Any]:
    """Kind and options of the queue behind the rate, as the kernel shows it."""
    handle = handles.queue(net.topology.peer("b").number)
    (row,) = (row for row in net.kernel.qdiscs("a", "eth0") if row.handle == handle)
    decode = {"fq_codel": decode_fq_codel, "cake": decode_cake}.get(row.kind)
    return row.kind, None if decode is None else decode(row.options)


async def overloaded(flow: Flow, count: int, rate_kbit: float) -> Arrivals:
    """Packets at one and a half times the rate."""
    return await asyncio.to_thread(flow.exchange, count, every_s=FRAME * 8 / (1.5 * rate_kbit * 1000))


@needs_both
@managed
@pytest.mark.parametrize("delay_ms", [0.0, 30.0])
async def test_a_managed_queue_keeps_the_wait_short(kind: QueueKind, delay_ms: float) -> None:
    rate_kbit, count = 2000.0, 1000
    shape = Impairment(rate_kbit=rate_kbit, delay_ms=delay_ms, queue_ms=1000)
    async with flowing(shape, frame=FRAME) as (net, flow):
        tail = slice(count // 2, None)
        plain = (await overloaded(flow, count, rate_kbit)).delays_ms[tail]
        change = await net.update("a", "b", queue=kind, queue_ms=None)
        assert any(step.startswith("delete qdisc bfifo") for step in change.operations)
        assert any(step.startswith(f"create qdisc {kind}") for step in change.operations)
        short = await overloaded(flow, count, rate_kbit)
        # The first interval passes before anything is dropped.
        assert np.median(short.delays_ms[tail]) - delay_ms < (np.median(plain) - delay_ms) / 2
        assert short.delays_ms.min() >= delay_ms
        assert 0 < short.lost(count).sum() < count / 2
        stats = (await net.stats())["a", "b"]
        assert stats.queue_drops >= short.lost(count).sum()
        assert_kernel_matches(net)
        # The link goes on: what was dropped is not counted as waiting for ever.
        await net.update("a", "b", rate_kbit=100_000)
        assert len(flow.exchange(200).numbers) > 180  # it may go on dropping for a moment
        assert (await net.stats())["a", "b"].backlog_packets == 0


@needs_both
@managed
async def test_a_small_flow_does_not_wait_for_a_large_one(kind: QueueKind) -> None:
    async with flowing(Impairment(rate_kbit=2000, queue=kind), frame=FRAME) as (net, large):
        with Flow(net, frame=100) as small:
            background = asyncio.create_task(asyncio.to_thread(large.send, 600, every_s=0.003))
            await asyncio.sleep(0.3)
            arrivals = await asyncio.to_thread(small.exchange, 50, every_s=0.02)
            await background
        waited = large.receive().delays_ms
    assert len(arrivals.numbers) == 50
    # Behind at most a packet or two of the other flow, of 4 ms each.
    assert arrivals.median_ms < np.median(waited)


@needs_both
@managed
async def test_a_queue_marks_instead_of_dropping(kind: QueueKind) -> None:
    rate_kbit, count = 2000.0, 700
    async with flowing(Impairment(rate_kbit=rate_kbit, queue=kind), frame=FRAME) as (net, flow):
        flow.sender.setsockopt(*flow._tos, ECT)
        await net.update("a", "b", ecn=True)
        arrivals = await overloaded(flow, count, rate_kbit)
    assert (arrivals.tos & CE == CE).sum() > 0


@needs_both
async def test_queues_are_as_asked_for_and_change_in_place() -> None:
    async with pair(Impairment(rate_kbit=10_000, queue="fq_codel")) as net:
        kind, options = queue_of(net)
        assert (kind, options.limit, options.ecn) == ("fq_codel", FqCodel().limit, False)
        change = await net.update("a", "b", ecn=True, queue_packets=77)
        assert [step.split()[:3] for step in change.operations] == [["change", "qdisc", "fq_codel"]]
        kind, options = queue_of(net)
        assert (options.limit, options.ecn) == (77, True)
        await net.update("a", "b", queue="cake", queue_packets=None, ecn=None)
        assert queue_of(net) == ("cake", Cake())
        await net.update("a", "b", rate_kbit=1000)
        assert queue_of(net) == ("cake", Cake(18_168))
        await net.update("a", "b", rate_kbit=None)
        assert queue_of(net)[0] == "bfifo"
        assert_kernel_matches(net)


async def test_a_queue_that_the_kernel_lacks_is_refused_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pair(Impairment(rate_kbit=1000)) as net:
        monkeypatch.setattr(net, "capabilities", attrs.evolve(net.capabilities, cake=False))
        with pytest.raises(CapabilityError, match="lacks cake"):
            await net.update("a", "b", queue="cake")
        with pytest.raises(CapabilityError, match="lacks cake"):
            await net.connect("b", "c", Impairment(rate_kbit=1000, queue="cake"))
        assert net.revision == 0
