"""Queues in the hub do what queues on the sender's interface do, and the sender's stack does not see them."""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import re
import socket
from typing import Any

import numpy as np
import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.errors import OperationError
from linkem_py.kernel.codec.decode import link_rows
from linkem_py.kernel.codec.link import ifb_message, link_dump_message
from linkem_py.plan import objects as o
from tests.runtime.check import assert_kernel_matches
from tests.runtime.traffic import Flow, binomial, flowing, kernel_netem, multicast_from, planned_netem, stream, within

pytestmark = pytest.mark.kernel("netem", "htb", "tbf", "cake", "ifb", "clsact", "mirred", "gact", "skbedit")

HUB: dict[str, Any] = {"placement": "hub"}
PLACEMENTS = ("sender", "hub")
IP_RECVERR, SIOCOUTQ = 11, 0x5411
FRAME = 1000


@pytest.mark.parametrize("classifier", ["htb", "prio"])
async def test_delay_loss_and_rate_are_as_asked(classifier: str) -> None:
    count, rate_kbit = 3000, 4000.0
    settings = {**HUB, "classifier": classifier}
    async with flowing(Impairment(delay_ms=20, loss_pct=10), frame=200, settings=settings) as (net, flow):
        assert_kernel_matches(net)
        arrivals = flow.exchange(count)
        assert arrivals.delays_ms.min() >= 20
        assert within(float(arrivals.lost(count).sum()), binomial(count, 0.1))
        assert (await net.stats())["a", "b"].drops == arrivals.lost(count).sum()
    async with flowing(Impairment(delay_ms=5, rate_kbit=rate_kbit), frame=FRAME, settings=settings) as (net, flow):
        arrivals = flow.exchange(300, every_s=FRAME * 8 / rate_kbit / 1500)
        gaps, wanted_ms = np.diff(arrivals.received) / 1e6, FRAME * 8 / rate_kbit
        # netem, the shaper under prio, makes up for a machine that was late: its mean holds, not its median.
        assert min(abs(np.median(gaps) - wanted_ms), abs(gaps.mean() - wanted_ms)) < 0.1 * wanted_ms
        assert (await net.stats())["a", "b"].drops == arrivals.lost(300).sum()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_every_destination_meets_its_own_queue(family: socket.AddressFamily) -> None:
    topology = Topology("t", placement="hub")
    for name in "abcd":
        topology.add_peer(name)
    topology.connect("a", "b", Impairment(delay_ms=400))
    topology.connect("a", "c", Impairment(delay_ms=200))
    async with Network(topology) as net:
        for sink, least_ms, most_ms in (("b", 400, 550), ("c", 200, 350), ("d", 0, 150)):
            with Flow(net, "a", sink, family=family) as flow:
                arrivals = flow.exchange(20)
                assert len(arrivals.numbers) == 20
                assert least_ms <= arrivals.delays_ms.min() <= most_ms
        assert multicast_from(net, "a", family=family) == {"b", "c", "d"}


async def test_a_burst_of_what_is_not_impaired_passes_whole() -> None:
    async with flowing(Impairment(), frame=100, settings=HUB) as (_, flow):
        assert len(flow.exchange(2000).numbers) == 2000


async def test_every_packet_of_a_damaged_link_is_damaged() -> None:
    async with flowing(Impairment(corrupt_pct=100), frame=200, settings=HUB, checksum=False) as (_, flow):
        arrivals = flow.exchange(200)
        # A flip in the headers, 42 bytes of 200, and the packet does not arrive: 158 of 200 do, give or take 5.8.
        assert arrivals.damaged > 158 - 5 * 5.8


@pytest.mark.parametrize("unlinked", ["open", "blocked"])
async def test_peers_without_a_link_are_as_the_topology_says(unlinked: str) -> None:
    async with flowing(Impairment(), settings={**HUB, "unlinked": unlinked}) as (net, flow):
        assert len(flow.exchange(10).numbers) == 10
        with Flow(net, "a", "c") as other:
            assert len(other.exchange(10).numbers) == (10 if unlinked == "open" else 0)


# --- what the sender's stack sees ------------------------------------------------------------------


async def burst(placement: str, shaper: str, packets: int) -> dict[str, int]:
    """What the sender sees of so many datagrams sent at once onto a slow link, which takes but a few."""
    topology = Topology("t", placement=placement)  # type: ignore[arg-type]
    topology.add_peer("a")
    topology.add_peer("b")
    impairment = Impairment(rate_kbit=200, queue_ms=1000, shaper=shaper)  # type: ignore[arg-type]
    topology.connect("a", "b", impairment, back=Impairment())
    async with Network(topology, seed=1) as net:
        seen = {"blocked": 0, "refused": 0, "queued_bytes": 0}
        with (
            net.peer("a").socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            net.peer("b").socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        ):
            sink.bind(("", 0))
            target = (net.peer("b").addresses["lan"][0], sink.getsockname()[1])
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            before = sent_by(net, "a")
            for _ in range(packets):
                try:
                    sock.sendto(bytes(FRAME), target)
                except BlockingIOError:
                    seen["blocked"] += 1
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    seen["refused"] += 1
                waiting = array.array("i", [0])
                fcntl.ioctl(sock, SIOCOUTQ, waiting)
                seen["queued_bytes"] = max(seen["queued_bytes"], waiting[0])
            seen["left"] = sent_by(net, "a") - before
            # Behind its microsecond in netem, a timer's work, a packet finds the queue full.
            await asyncio.sleep(0.5)
        stats = (await net.stats())["a", "b"]
        seen["kept"], seen["dropped"] = stats.packets + stats.backlog_packets, stats.drops
        return seen


def sent_by(net: Network, name: str) -> int:
    """Packets that have left a peer's interface."""
    rows = link_rows(net.kernel.namespaces[name].netlink.dump(link_dump_message(statistics=True)))
    return next(row.counters.tx_packets for row in rows if row.name == "eth0")


@pytest.mark.parametrize("shaper", ["htb", "tbf", "netem"])
async def test_what_is_too_much_leaves_the_sender_and_is_dropped_in_the_hub(shaper: str) -> None:
    packets = 150
    seen = await burst("hub", shaper, packets)
    assert (seen["blocked"], seen["refused"], seen["queued_bytes"]) == (0, 0, 0)
    assert seen["left"] >= packets
    assert seen["dropped"] > packets / 2
    assert seen["kept"] + seen["dropped"] >= packets


@pytest.mark.parametrize("shaper", ["htb", "tbf", "netem"])
async def test_what_waits_on_the_sender_has_not_left_it(shaper: str) -> None:
    packets = 150
    seen = await burst("sender", shaper, packets)
    assert seen["left"] < packets / 2
    # netem as the shaper is full when it is asked, and says so; behind its delay nobody is asked any more.
    assert (seen["refused"] > packets / 2) == (shaper == "netem")


# --- while it runs ---------------------------------------------------------------------------------


async def test_updates_are_made_in_place_and_cost_no_packet() -> None:
    async with flowing(Impairment(delay_ms=5, rate_kbit=50_000), frame=200, settings=HUB) as (net, flow):

        async def change(turn: int) -> None:
            await net.update("a", "b", delay_ms=5 + turn % 3, rate_kbit=50_000 + 1000 * (turn % 2))

        count = await stream(flow, 100, change)
        arrivals = flow.receive()
        assert (len(arrivals.numbers), arrivals.doubled) == (count, 0)
        assert kernel_netem(net) == planned_netem(net)
        assert_kernel_matches(net)


async def test_outages_and_carriers() -> None:
    async with flowing(Impairment(delay_ms=5), settings=HUB) as (net, flow):
        await net.down("a", "b", one_way=True)
        assert not len(flow.exchange(20).numbers)
        await net.up("a", "b", one_way=True)
        assert len(flow.exchange(20).numbers) == 20
        await net.carrier("a", up=False)
        await net.carrier("a", up=True)
        assert_kernel_matches(net)
        await asyncio.sleep(0.2)
        assert flow.exchange(20).delays_ms.min() >= 5


async def test_what_waits_in_the_hub_is_lost_while_the_cable_is_unplugged_and_kept_otherwise() -> None:
    async with flowing(Impairment(delay_ms=1000), settings=HUB) as (net, flow):
        for unplugged_s, arrive in ((0.0, 20), (1.5, 0)):
            flow.next = 0
            flow.send(20)
            await net.carrier("a", up=False)
            await asyncio.sleep(unplugged_s)
            await net.carrier("a", up=True)
            assert len(flow.receive().numbers) == arrive


async def test_peers_and_segments_come_and_go() -> None:
    async with flowing(Impairment(delay_ms=5), settings=HUB) as (net, flow):
        await net.add_peer("d", placement="sender")
        await net.add_peer("e")
        await net.connect("d", "e", Impairment(delay_ms=30, duplicate_pct=100))
        await net.connect("a", "e", Impairment(delay_ms=60), segment="lte")
        assert_kernel_matches(net)
        for source, sink in (("d", "e"), ("e", "d")):
            with Flow(net, source, sink) as other:
                arrivals = other.exchange(20)
                assert arrivals.delays_ms.min() >= 30
                assert set(arrivals.copies(20)) == {2}
        await net.partition({"a", "e"}, {"b", "d"})
        assert_kernel_matches(net)
        assert not len(flow.exchange(5).numbers)
        await net.remove_peer("e")
        assert_kernel_matches(net)
        await net.disconnect("a", "b")
        await net.heal()
        assert_kernel_matches(net)
        assert flow.exchange(5).delays_ms.min() < 5


async def test_what_the_kernel_refuses_is_undone_in_the_hub() -> None:
    async with flowing(Impairment(delay_ms=5), settings=HUB) as (net, flow):
        # The name of the device that the next peer's queues would get is taken.
        hub = net.kernel.namespaces[o.HUB].netlink
        number = net.topology.copy().add_peer("d").number
        assert not hub.transact([ifb_message(o.Ifb(o.HUB, f"ifb1-{number}"), index=900)])[0].errno
        with pytest.raises(OperationError, match=f"create ifb ifb1-{number} in the hub") as caught:
            await net.add_peer("d")
        assert caught.value.rolled_back
        assert "d" not in net.topology.peers
        assert_kernel_matches(net)
        assert len(flow.exchange(20).numbers) == 20


async def test_several_segments_have_a_tree_each() -> None:
    topology = Topology("t", placement="hub")
    topology.add_peer("a")
    topology.add_peer("b")
    for segment, delay_ms in (("lte", 100.0), ("nr", 30.0)):
        topology.connect("a", "b", Impairment(delay_ms=delay_ms), back=Impairment(), segment=segment)
    async with Network(topology) as net:
        assert_kernel_matches(net)
        for segment, delay_ms in (("lte", 100.0), ("nr", 30.0)):
            done = await net.peer("a").run(["ping", "-c", "3", "-i", "0.2", f"b.{segment}"], check=True)
            times_ms = re.findall(r"time=([\d.]+) ms", done.stdout)
            assert len(times_ms) == 3
            assert min(map(float, times_ms)) >= delay_ms
            assert (await net.stats())["a", "b", segment].packets >= 3
