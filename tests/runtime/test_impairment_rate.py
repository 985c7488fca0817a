"""Rate, burst and queue, as packets meet them.

A machine that stops for a moment takes what htb may save up: so goodput is measured with a large
burst, or by the gap between packets, half of which no such stop touches.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from linkem_py import Impairment, Network
from linkem_py.kernel.codec.decode import ClassRow
from linkem_py.kernel.codec.htb import decode_htb_class
from linkem_py.plan import handles
from linkem_py.plan.translate import burst_bytes, queue_bytes, rate_bytes
from tests.runtime.traffic import Arrivals, flowing, kernel_netem, pair, planned_netem, within

pytestmark = pytest.mark.kernel("netem", "htb")

SMALL, LARGE = 160 + 42, 1400 + 42  # datagrams with their headers
SAVED_S = 0.05
LATE_MS = 100.0


def class_row(net: Network) -> ClassRow:
    number = net.topology.peer("b").number
    rows = net.kernel.classes("a", "eth0", [handles.group_qdisc(handles.group_of(number))])
    return next(row for row in rows if row.classid == handles.member_class(number))


def queue_of(net: Network) -> tuple[str, int] | None:
    """Kind and limit of the queue behind the rate, as the kernel shows it; None if there is none."""
    handle = handles.queue(net.topology.peer("b").number)
    rows = [row for row in net.kernel.qdiscs("a", "eth0") if row.handle == handle]
    return (rows[0].kind, int.from_bytes(rows[0].options[:4], "little")) if rows else None


def goodput_kbit(arrivals: Arrivals, frame: int) -> float:
    """Median over twenty stretches of time: a machine that stops for a moment spoils one of them."""
    received = arrivals.received[len(arrivals.received) // 10 :]
    parts = np.array_split(received, 20)
    # From the last of one part to the last of the next: whole gaps only.
    ends = np.array([part[-1] for part in parts])
    sizes = np.array([len(part) for part in parts])
    return float(np.median(sizes[1:] * frame * 8e6 / np.diff(ends)))


def overflow(sent: np.ndarray, impairment: Impairment, frame: int) -> int:
    """How many of the packets sent at these times (ns) find the queue behind the rate full."""
    rate, limit, burst = rate_bytes(impairment), queue_bytes(impairment), burst_bytes(impairment)
    waiting, before, lost = 0.0, int(sent[0]), 0
    for now in sent.tolist():
        waiting = max(-burst, waiting - (now - before) * rate / 1e9)
        before = now
        if waiting + frame > limit:
            lost += 1
        else:
            waiting += frame
    return lost


@pytest.mark.parametrize("delay_ms", [0.0, 20.0])
@pytest.mark.parametrize(("frame", "rate_kbit"), [(SMALL, 2_000.0), (LARGE, 16_000.0)])
async def test_nothing_is_lost_at_nine_tenths_of_the_rate(frame: int, rate_kbit: float, delay_ms: float) -> None:
    count = 1200
    async with flowing(Impairment(rate_kbit=rate_kbit, delay_ms=delay_ms), frame=frame) as (_, flow):
        refused = flow.send(count, every_s=frame * 8 / (0.9 * rate_kbit * 1000))
        arrivals = flow.receive()
    assert refused == 0
    assert (len(arrivals.numbers), arrivals.overtaken, arrivals.doubled) == (count, 0, 0)
    assert arrivals.delays_ms.min() >= delay_ms


@pytest.mark.parametrize("delay_ms", [0.0, 20.0])
async def test_half_is_lost_at_twice_the_rate(delay_ms: float) -> None:
    count, rate_kbit = 1000, 4_000.0
    # The queue holds more than a socket may send (wmem_default, 212,992 bytes).
    impairment = Impairment(rate_kbit=rate_kbit, delay_ms=delay_ms, burst_kb=rate_kbit / 8 * SAVED_S, queue_ms=400)
    async with flowing(impairment, frame=LARGE) as (net, flow):
        # A full socket would refuse or wait; the queue drops instead.
        refused = flow.send(count, every_s=LARGE * 8 / (2 * rate_kbit * 1000))
        arrivals = flow.receive()
        stats = (await net.stats())["a", "b"]
    assert refused == 0
    lost = arrivals.lost(count)
    assert lost.sum() == stats.queue_drops
    assert goodput_kbit(arrivals, LARGE) == pytest.approx(rate_kbit, rel=0.03)
    sent = np.interp(np.arange(count), np.sort(arrivals.numbers), np.sort(arrivals.sent))
    expected = overflow(sent, impairment, LARGE)
    assert expected > 0.2 * count, "the sender was not fast enough for the test"
    assert lost.sum() == pytest.approx(expected, abs=0.03 * count)


@pytest.mark.parametrize(("frame", "rate_kbit"), [(SMALL, 1_000.0), (LARGE, 5_000.0), (LARGE, 20_000.0)])
async def test_goodput(frame: int, rate_kbit: float) -> None:
    count = round(rate_kbit * 1000 / 8 / frame)  # a second's worth
    frame_ns = frame * 8e6 / rate_kbit
    async with flowing(Impairment(rate_kbit=rate_kbit, queue_ms=5000), frame=frame) as (net, flow):
        assert decode_htb_class(class_row(net).options).rate == rate_kbit * 125
        arrivals = flow.exchange(count)
        assert len(arrivals.numbers) == count
        assert np.median(np.diff(arrivals.received)) == pytest.approx(frame_ns, rel=0.02)
        # Not more than the rate either, from a packet on to the last (a few came late, hence the median).
        ahead = np.arange(count)[::-1] * frame_ns - (arrivals.received[-1] - arrivals.received)
        assert np.median(ahead) <= frame_ns * (burst_bytes(Impairment(rate_kbit=rate_kbit)) / frame + 1)
        await net.update("a", "b", burst_kb=rate_kbit / 8 * SAVED_S)
        arrivals = flow.exchange(count)
        assert len(arrivals.numbers) == count
        assert goodput_kbit(arrivals, frame) == pytest.approx(rate_kbit, rel=0.02)
        await net.update("a", "b", rate_kbit=None)
        arrivals = flow.exchange(count)
        assert len(arrivals.numbers) == count
        assert np.median(np.diff(arrivals.received)) < frame_ns / 1.5


@pytest.mark.parametrize("rate_kbit", [1.0, 34_359_738.36, 40_000_000.0, 8e9])
async def test_any_rate_is_taken_and_shown(rate_kbit: float) -> None:
    async with flowing(Impairment(rate_kbit=rate_kbit)) as (net, flow):
        shown = decode_htb_class(class_row(net).options)
        assert (shown.rate, shown.ceil) == (round(rate_kbit * 125), round(rate_kbit * 125))
        if rate_kbit > 1:
            assert len(flow.exchange(100).numbers) == 100
        for again in (100.0, rate_kbit):
            await net.update("a", "b", rate_kbit=again)
            assert decode_htb_class(class_row(net).options).rate == round(again * 125)


async def test_so_much_passes_at_once_after_a_pause() -> None:
    # At 100 kbit a frame takes 121 ms: what passes at once cannot be mistaken.
    frame = 1514
    async with flowing(Impairment(rate_kbit=100, burst_kb=15.14, queue_packets=2), frame=frame) as (net, flow):
        for burst_kb, frames in ((10 * frame / 1000, 10), (4 * frame / 1000, 4), (None, 1)):
            await net.update("a", "b", burst_kb=burst_kb)
            arrivals = flow.exchange(30)
            # htb lets one packet begin as long as anything is saved up; two more wait in the queue.
            assert len(arrivals.numbers) - 2 in (frames, frames + 1)
            assert within((arrivals.delays_ms < 60).sum(), (1, frames + 1))
            # What is saved up comes back at the rate, with a frame in advance.
            await asyncio.sleep((frames + 1) * 0.122)


async def test_the_queue_holds_as_many_packets_as_asked() -> None:
    async with flowing(Impairment(rate_kbit=100, queue_packets=7), frame=1514) as (net, flow):
        for packets in (7, 3, 10):
            await net.update("a", "b", queue_packets=packets)
            assert queue_of(net) == ("pfifo", packets)
            arrivals = flow.exchange(40)
            at_once = int((arrivals.delays_ms < 60).sum())  # a frame takes 121 ms
            assert at_once in (1, 2)
            assert len(arrivals.numbers) == at_once + packets
            await asyncio.sleep(0.3)


async def test_the_queue_delays_as_long_as_asked() -> None:
    rate_kbit, frame_ms = 200.0, 57.68  # of a large frame
    async with flowing(Impairment(rate_kbit=rate_kbit, delay_ms=10), frame=LARGE) as (net, flow):
        for queue_ms in (400.0, 150.0, None):
            await net.update("a", "b", queue_ms=queue_ms)
            limit = round(rate_kbit * 125 * (queue_ms or 100.0) / 1000) if queue_ms else 10 * 1514
            assert queue_of(net) == ("bfifo", limit)
            arrivals = flow.exchange(30)
            waiting = limit // LARGE
            # One or two need not wait; one more finds room if sending takes longer than a frame does.
            assert len(arrivals.numbers) - waiting in (1, 2, 3)
            assert arrivals.delays_ms.min() >= 10
            assert 10 + (waiting - 1) * frame_ms <= arrivals.delays_ms.max() <= 10 + (waiting + 2) * frame_ms + LATE_MS
            await asyncio.sleep(0.15)


async def test_a_change_of_rate_or_queue_touches_no_netem() -> None:
    async with pair(Impairment(delay_ms=5, loss_pct=1, rate_kbit=1000)) as net:
        changes: list[dict[str, Any]] = [
            {"rate_kbit": 2000}, {"queue_ms": 30}, {"queue_packets": 10}, {"burst_kb": 8}, {"rate_kbit": None}
        ]  # fmt: skip
        for fields in changes:
            sent = net.kernel.messages_sent
            applied = await net.update("a", "b", **fields)
            assert applied.operations
            assert not [step for step in applied.operations if "netem" in step]
            assert net.kernel.messages_sent - sent == len(applied.operations)
            assert kernel_netem(net) == planned_netem(net)
        applied = await net.update("a", "b", delay_ms=6)
        assert [step for step in applied.operations if "netem" in step]
