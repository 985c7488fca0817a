"""Cross traffic in the real kernel: who shares a queue with it waits, loses, and gets what is left."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from linkem_py import CrossTraffic, Impairment, Network, OperationError
from linkem_py.model import CrossStream, Packet
from linkem_py.model.cross_stream import cross_seed
from linkem_py.runtime.changes import LinkStats
from linkem_py.runtime.cross_traffic import PORT
from tests.runtime.traffic import Flow, flowing, pair

pytestmark = pytest.mark.kernel("netem", "htb")

FRAME_BITS = 1514 * 8
A_B = ("a", "b", "lan")


def waits(packets: Sequence[Packet], times: np.ndarray, rate_kbit: float) -> np.ndarray:
    """What waits ahead of an arrival at each of these times, in seconds at the rate (Lindley's recursion)."""
    found = []
    work = last = 0.0
    arrivals = iter([*packets, Packet(np.inf, 0)])
    packet = next(arrivals)
    for moment in times:
        while packet.at_s <= moment:
            work = max(0.0, work - (packet.at_s - last)) + 8 * (14 + packet.packet_bytes) / (1000 * rate_kbit)
            last = packet.at_s
            packet = next(arrivals)
        found.append(max(0.0, work - (moment - last)))
    return np.array(found)


async def link(net: Network, *key: str) -> LinkStats:
    return (await net.stats())[key]


async def test_whoever_shares_the_queue_waits_as_queueing_theory_says() -> None:
    rate_kbit, delay_ms, count, every_s = 2000, 5, 400, 0.015
    traffic = CrossTraffic(load_pct=80)
    # One queue for all, deep enough that nothing is lost: M/D/1 at a load of 0.8 waits two frames' times on average.
    async with flowing(Impairment(delay_ms=delay_ms, rate_kbit=rate_kbit, queue_ms=2000)) as (net, flow):
        alone = flow.exchange(100, every_s=0.002).median_ms
        await net.set_cross_traffic("a", "b", traffic)
        began = time.time()
        await asyncio.sleep(0.5)
        flow.next = 0
        assert await asyncio.to_thread(flow.send, count, every_s=every_s) == 0
        state = net.cross_traffic["a", "b"]
        await net.set_cross_traffic("a", "b", None)
        arrivals = flow.receive()
    assert len(arrivals.numbers) == count
    assert (state.dropped, state.refused, state.load_kbit) == (0, 0, 1600)
    packets = CrossStream(traffic, cross_seed(1, A_B), traffic.load_at(rate_kbit)).until(60)
    expected_ms = 1000 * waits(packets, np.sort(arrivals.sent) / 1e9 - began, rate_kbit)
    waited_ms = arrivals.delays_ms[np.argsort(arrivals.sent)] - alone
    # htb lets one burst pass at once after a pause, here one frame (6 ms): so much less may be waited each time.
    # Of packets that leave late, work of load x mean lateness (Little's law) is missing on average, and comes later;
    # what was given up is never sent.
    frame_ms = FRAME_BITS / rate_kbit
    assert state.sent, state
    late_ms = 1 + 1000 * state.longest_late_s * state.late / state.sent
    slack_ms = frame_ms + 0.8 * late_ms + 1000 * state.given_up_s
    assert -slack_ms < waited_ms.mean() - expected_ms.mean() < slack_ms
    assert waited_ms.mean() > frame_ms
    if state.longest_late_s < every_s:
        assert np.corrcoef(waited_ms, expected_ms)[0, 1] > 0.5


async def test_what_exceeds_the_rate_is_lost() -> None:
    rate_kbit = 1000
    async with pair(Impairment(delay_ms=1, rate_kbit=rate_kbit, queue_ms=100)) as net:
        await net.set_cross_traffic("a", "b", CrossTraffic(load_pct=200, arrivals="paced"))
        await asyncio.sleep(1)  # the queue is full by then: 100 ms at the rate are offered beyond it in 100 ms
        began, before, sent = time.monotonic(), await link(net, "a", "b"), net.cross_traffic["a", "b"]
        await asyncio.sleep(4)
        elapsed, after, now = time.monotonic() - began, await link(net, "a", "b"), net.cross_traffic["a", "b"]
    # What came in went out, was dropped, or is there: all of it in frames, but for those between the readings.
    offered, passed = now.sent - sent.sent, after.packets - before.packets
    dropped = after.queue_drops - before.queue_drops
    assert abs(offered - passed - dropped) <= after.backlog_packets + before.backlog_packets + 10
    # The rate is full, whatever is offered beyond it.
    assert passed * FRAME_BITS / 1000 == pytest.approx(rate_kbit * elapsed, rel=0.05), (sent, now, before, after)
    assert dropped == pytest.approx(offered - passed, abs=25)
    assert dropped > 0.4 * offered  # half of it, and what the machine was late with


async def test_tcp_gets_what_is_left_of_the_rate() -> None:
    rate_kbit, load_kbit, seconds = 4000, 2000, 5.0
    # Short frames at even times: hardly any of them finds the queue full, so that TCP takes no share of theirs.
    traffic = CrossTraffic(load_kbit=load_kbit, packet_bytes=486, arrivals="paced")
    received = 0

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while data := await reader.read(65536):
            received += len(data)
        writer.close()

    async def send(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(16384))
            await writer.drain()

    async with pair(Impairment(delay_ms=5, rate_kbit=rate_kbit, queue_ms=300)) as net:
        await net.set_cross_traffic("a", "b", traffic)
        await net.peer("b").start_server(receive, port=5001)
        _, writer = await net.peer("a").open_connection("b", 5001)
        sending = asyncio.ensure_future(send(writer))
        await asyncio.sleep(2)
        began, first, sent = time.monotonic(), received, net.cross_traffic["a", "b"].bytes
        await asyncio.sleep(seconds)
        elapsed = time.monotonic() - began
        goodput_kbit = (received - first) * 8 / 1000 / elapsed
        offered_kbit = (net.cross_traffic["a", "b"].bytes - sent) * 8 / 1000 / elapsed
        sending.cancel()
        await asyncio.wait([sending])
        writer.close()
    # 1448 bytes of 1514 are the stream's. A loss halves TCP's window at worst, and the full queue of 300 ms
    # bridges most of that; the other way, what TCP's bursts push out is TCP's: a fifth of the load at most.
    left_kbit = (rate_kbit - offered_kbit) * 1448 / 1514
    assert 0.75 * left_kbit < goodput_kbit < left_kbit + 0.2 * load_kbit


@pytest.mark.kernel("gact")
async def test_nobody_answers_it_and_it_goes_on_after_every_cut() -> None:
    async with pair(Impairment(delay_ms=1, rate_kbit=10_000)) as net:
        # Neighbour discovery and the like are over before anything is counted.
        await asyncio.sleep(0.2)
        quiet = (await link(net, "b", "a")).packets
        await net.set_cross_traffic("a", "b", CrossTraffic(load_kbit=2000))

        async def arrives() -> int:
            before = (await link(net, "a", "b")).packets
            await asyncio.sleep(0.5)
            return (await link(net, "a", "b")).packets - before

        assert await arrives() > 30
        cuts: list[tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]] = [
            (lambda: net.down("a", "b"), lambda: net.up("a", "b")),
            (lambda: net.partition(["a"], ["b"]), net.heal),
            (lambda: net.carrier("b", up=False), lambda: net.carrier("b", up=True)),
        ]
        for cut, mend in cuts:
            await cut()
            await asyncio.sleep(0.1)
            await mend()
            assert await arrives() > 30
        await net.set_cross_traffic("a", "b", None)
        await asyncio.sleep(0.2)
        assert await arrives() == 0
        assert (await link(net, "b", "a")).packets - quiet <= 2


@pytest.mark.filterwarnings("ignore:mtu:linkem_py.CapabilityWarning")
async def test_a_smaller_mtu_means_fragments() -> None:
    async with pair(Impairment(rate_kbit=10_000, mtu=600)) as net:
        await net.set_cross_traffic("a", "b", CrossTraffic(load_kbit=500, arrivals="paced"))
        await asyncio.sleep(1)
        state, counters = net.cross_traffic["a", "b"], await link(net, "a", "b")
    assert state.refused == 0
    assert counters.packets == pytest.approx(3 * state.sent, abs=12)  # 1480 bytes in three times 576


async def test_a_program_that_has_the_port_is_named() -> None:
    async with pair(Impairment(rate_kbit=1000)) as net:
        with net.peer("b").socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("", PORT))
            with pytest.raises(OperationError, match="UDP port 9 of b") as error:
                await net.set_cross_traffic("a", "b", CrossTraffic(load_pct=10))
            assert error.value.errno == errno.EADDRINUSE
        await net.set_cross_traffic("a", "b", CrossTraffic(load_pct=10))


async def test_flows_of_several_links_share_nothing_but_their_thread() -> None:
    async with pair(Impairment(rate_kbit=1000)) as net:
        await net.set_cross_traffic("a", "b", CrossTraffic(load_kbit=300, packet_bytes=286, arrivals="paced"))
        await net.set_cross_traffic("b", "a", CrossTraffic(load_kbit=100, packet_bytes=286, arrivals="paced"))
        await asyncio.sleep(2)
        there, back = net.cross_traffic["a", "b"], net.cross_traffic["b", "a"]
        with Flow(net) as flow:
            assert len(flow.exchange(20, every_s=0.001).numbers) == 20
    assert there.sent / back.sent == pytest.approx(3, rel=0.05)
