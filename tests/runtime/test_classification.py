"""Which packets a link's impairment meets: those to its destination, and no others."""

from __future__ import annotations

import contextlib
import socket
import time

import numpy as np
import pytest

from linkem_py import Impairment, Network, Topology, TopologyError
from tests.runtime.traffic import (
    Flow,
    backlog,
    binomial,
    flowing,
    kernel_netem,
    link_local,
    multicast_from,
    pair,
    planned_netem,
    stream,
    within,
)

pytestmark = pytest.mark.kernel("netem")

FAMILIES = [(socket.AF_INET, False), (socket.AF_INET6, False), (socket.AF_INET6, True)]


def topology_of(count: int, **settings: str) -> Topology:
    topology = Topology("many", **settings)  # type: ignore[arg-type]
    for number in range(count):
        topology.add_peer(f"p{number}")
    return topology


# ------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(("family", "local"), FAMILIES)
async def test_every_address_meets_the_same_impairment(family: socket.AddressFamily, local: bool) -> None:
    impairment = Impairment(delay_ms=30, loss_pct=20, rate_kbit=20_000)
    async with flowing(impairment, family=family, local=local, frame=120) as (net, flow):
        await net.update("a", "b", loss_pct=None)
        assert len(flow.exchange(3).numbers) == 3  # resolves a link-local address
        await net.update("a", "b", loss_pct=20)
        before = (await net.stats())["a", "b"]
        arrivals = flow.exchange(2000)
        after = (await net.stats())["a", "b"]
    assert within(len(arrivals.numbers), binomial(2000, 0.8))
    assert arrivals.delays_ms.min() >= 30
    assert after.packets - before.packets == len(arrivals.numbers)
    assert after.drops - before.drops == 2000 - len(arrivals.numbers)
    assert after.bytes - before.bytes == 120 * len(arrivals.numbers)


@pytest.mark.parametrize("classifier", ["htb", "prio"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_multicast_is_not_impaired(classifier: str, family: socket.AddressFamily) -> None:
    async with pair(Impairment(loss_pct=100), classifier=classifier) as net:
        assert multicast_from(net, "a", family=family) == {"b", "c"}


@pytest.mark.parametrize("classifier", ["htb", "prio"])
async def test_address_resolution_is_not_impaired(classifier: str) -> None:
    async with pair(Impairment(loss_pct=100), classifier=classifier) as net:
        # b forgets the address of a: the answer to its question comes over the link that loses everything.
        gone = await net.peer("b").run(["ip", "neigh", "flush", "all", "nud", "permanent"], check=True)
        assert not gone.returncode
        shown = await net.peer("b").run(["ip", "neigh"], check=True)
        assert net.peer("a").address not in shown.stdout
        for family in (socket.AF_INET, socket.AF_INET6):
            with Flow(net, "b", "a", family=family, frame=100) as flow:
                assert len(flow.exchange(5).numbers) == 5
        shown = await net.peer("b").run(["ip", "neigh"], check=True)
        assert net.peer("a").address in shown.stdout
        with Flow(net, "a", "b") as flow:
            assert not len(flow.exchange(5).numbers)


# -------------------------------------------------------------------------------- unlinked


@pytest.mark.kernel("gact")
@pytest.mark.parametrize("classifier", ["htb", "prio"])
async def test_blocked_peers_get_nothing_and_linked_ones_everything(classifier: str) -> None:
    async with pair(Impairment(delay_ms=5), unlinked="blocked", classifier=classifier) as net:
        for family, local in FAMILIES:
            for source, sink, arriving in (("a", "b", 10), ("b", "a", 10), ("a", "c", 0), ("c", "a", 0), ("c", "b", 0)):
                with Flow(net, source, sink, family=family, local=local, frame=100) as flow:
                    assert len(flow.exchange(10).numbers) == arriving, (source, sink, family, local)
            assert multicast_from(net, "a", family=family) == set()
            assert multicast_from(net, "c", family=family) == set()
        # What is linked later is let through, and what is no longer is not.
        await net.connect("a", "c", Impairment(delay_ms=5))
        await net.disconnect("a", "b")
        for sink, arriving in (("c", 10), ("b", 0)):
            with Flow(net, "a", sink) as flow:
                assert len(flow.exchange(10).numbers) == arriving


@pytest.mark.parametrize("classifier", ["htb", "prio"])
async def test_open_peers_reach_each_other_unimpaired(classifier: str) -> None:
    async with pair(Impairment(delay_ms=300, loss_pct=50), classifier=classifier) as net:
        for family, local in FAMILIES:
            for source, sink in (("a", "c"), ("c", "a"), ("b", "c")):
                with Flow(net, source, sink, family=family, local=local, frame=100) as flow:
                    arrivals = flow.exchange(20)
                    assert len(arrivals.numbers) == 20
                    assert arrivals.median_ms < 150


# ------------------------------------------------------------------------------------ prio


@pytest.mark.kernel("prio")
async def test_prio_has_fifteen_destinations_each_with_its_delay() -> None:
    topology = topology_of(17, classifier="prio")
    for number in range(1, 16):
        topology.add_link("p0", f"p{number}", Impairment(delay_ms=30.0 * number))
    with pytest.raises(TopologyError, match="at most 15 destinations"):
        topology.add_link("p0", "p16")
    async with Network(topology) as net:
        with contextlib.ExitStack() as stack:
            flows = [stack.enter_context(Flow(net, "p0", f"p{number}")) for number in range(1, 17)]
            for flow in flows:
                flow.send(20)
            # Two that were exchanged would show: one of them would come too early.
            for number, flow in reversed([*enumerate(flows, 1)]):
                arrivals = flow.receive(quiet_s=0.1 if number == 16 else 0.0)
                delay_ms = 30 * number if number < 16 else 0
                assert len(arrivals.numbers) == 20
                assert delay_ms <= arrivals.delays_ms.min()
                assert arrivals.median_ms <= delay_ms + 150


@pytest.mark.kernel("prio")
async def test_prio_does_loss_and_rate() -> None:
    count, frame = 1000, 1442
    async with flowing(Impairment(loss_pct=20), frame=frame, settings={"classifier": "prio"}) as (net, flow):
        assert within(flow.exchange(count).lost(count).sum(), binomial(count, 0.2))
        await net.update("a", "b", loss_pct=None, rate_kbit=10_000, queue_ms=2000, delay_ms=20)
        assert kernel_netem(net) == planned_netem(net)
        assert kernel_netem(net).rate == 1_250_000
        arrivals = flow.exchange(count)
        assert len(arrivals.numbers) == count
        assert arrivals.delays_ms.min() >= 20
        assert np.median(np.diff(arrivals.received)) == pytest.approx(frame * 8e6 / 10_000, rel=0.03)
        # netem's own queue: what it holds is what arrives, and one packet more for every 115 ms of sending.
        await net.update("a", "b", rate_kbit=100, delay_ms=None, queue_packets=8)
        assert len(flow.exchange(40).numbers) in (8, 9)


# -------------------------------------------------------------------------------- many peers


async def counts(net: Network, sent: dict[str, int], *, family: socket.AddressFamily = socket.AF_INET) -> None:
    """Send so many datagrams to each of these peers: each link's counter grows by exactly that."""
    before = await net.stats()
    sock = net.peer("p0").socket(family, socket.SOCK_DGRAM)
    with sock:
        for turn in range(max(sent.values())):
            for name, count in sent.items():
                if turn < count:
                    sock.sendto(b"x" * 20, (net.peer(name).addresses["lan"][family == socket.AF_INET6], 9))
    while backlog(net, "p0"):
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs here, and the kernel needs no loop
    after = await net.stats()
    grown = {key[1]: after[key].packets - before[key].packets for key in after if key[0] == "p0"}
    assert grown == {name: sent.get(name, 0) for name in grown}


async def test_every_packet_meets_the_link_of_its_destination() -> None:
    peers = 80  # three groups of 32, with gaps
    topology = topology_of(peers + 1)
    linked = [number for number in range(1, peers + 1) if number % 7]
    for number in linked:
        topology.add_link("p0", f"p{number}", Impairment(rate_kbit=1_000_000 + number))
    async with Network(topology) as net:
        everyone = {f"p{number}": 1 + number % 5 for number in range(1, peers + 1)}
        await counts(net, everyone)
        await counts(net, everyone, family=socket.AF_INET6)
        # Links that come later, of groups that are there; a whole group that goes; links that come back.
        for number in (7, 35, 70):
            await net.add_link("p0", f"p{number}")
        await counts(net, everyone)
        for number in [number for number in linked if 32 <= number + 1 < 64] + [35]:
            await net.disconnect("p0", f"p{number}")
        await counts(net, everyone)
        await net.add_link("p0", "p40", Impairment(delay_ms=1))
        await net.remove_peer("p3")
        del everyone["p3"]
        await counts(net, everyone)
        await net.add_peer("again")
        await net.add_link("p0", "again")
        await counts(net, {**everyone, "again": 4})


async def test_the_first_packets_after_the_start_arrive() -> None:
    # The kernel puts an interface's queues in place on its own time; a network that is up has waited for it.
    for _ in range(8):
        topology = topology_of(40)
        topology.add_link("p39", "p0", Impairment(delay_ms=1))
        async with Network(topology) as net:
            with Flow(net, "p39", "p0") as flow:
                assert len(flow.exchange(20).numbers) == 20


async def test_links_that_come_and_go_cost_the_others_no_packet() -> None:
    async with flowing(Impairment(delay_ms=5), frame=200) as (net, flow):

        async def change(turn: int) -> None:
            if turn % 2:
                await net.disconnect("a", "c")
            else:
                await net.connect("a", "c", Impairment(delay_ms=1, rate_kbit=1000, duplicate_pct=10))

        count = await stream(flow, 60, change)
        arrivals = flow.receive()
    assert (len(arrivals.numbers), arrivals.overtaken, arrivals.doubled) == (count, 0, 0)


async def test_a_link_local_address_is_that_of_the_kernel() -> None:
    async with pair() as net:
        shown = await net.peer("b").run(["ip", "-6", "addr", "show", "dev", "eth0", "scope", "link"], check=True)
        assert f"{link_local(net, 'b')}/64" in shown.stdout
