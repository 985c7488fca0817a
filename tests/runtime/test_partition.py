"""Partitions cut everything between their groups, spare everything else, and leave the links alone."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from linkem_py import Impairment, Network, RequestError, Topology
from tests.runtime.traffic import Flow, flowing, kernel_netem, multicast_from, planned_netem, stream

pytestmark = pytest.mark.kernel("netem", "htb", "clsact", "skbedit", "gact")

NAMES = ("a", "b", "c", "d")


@contextlib.asynccontextmanager
async def four(in_hub: str = "") -> AsyncIterator[Network]:
    """a-b and a-c linked, d linked to nobody; the queues of those named in the hub."""
    topology = Topology("four")
    for name in NAMES:
        topology.add_peer(name, placement="hub" if name in in_hub else "sender")
    topology.connect("a", "b", Impairment(delay_ms=5))
    topology.connect("a", "c", Impairment(delay_ms=300))
    async with Network(topology, seed=1) as net:
        yield net


def pairs() -> Iterator[tuple[str, str]]:
    return ((source, sink) for source in NAMES for sink in NAMES if source != sink)


def reached(net: Network, family: socket.AddressFamily, *, local: bool = False) -> set[tuple[str, str]]:
    """The pairs of peers between which datagrams get through."""
    found = set()
    with contextlib.ExitStack() as stack:
        flows = {}
        for source, sink in pairs():
            flow = flows[source, sink] = stack.enter_context(
                Flow(net, source, sink, family=family, local=local, frame=100)
            )
            flow.send(3)
        for number, (pair, flow) in enumerate(flows.items()):
            if len(flow.receive(quiet_s=0.0 if number else 0.15).numbers):
                found.add(pair)
    return found


def expected(*groups: str) -> set[tuple[str, str]]:
    """The pairs that these groups leave."""
    group_of = {name: index for index, group in enumerate(groups) for name in group}
    return {
        (one, other)
        for one, other in pairs()
        if one not in group_of or other not in group_of or group_of[one] == group_of[other]
    }


@pytest.mark.parametrize("in_hub", ["", "ad", "abcd"])
@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "link-local"])
async def test_a_partition_cuts_between_its_groups_and_nothing_else(kind: str, in_hub: str) -> None:
    family, local = (socket.AF_INET if kind == "ipv4" else socket.AF_INET6), kind == "link-local"
    async with four(in_hub) as net:
        everything = set(pairs())
        assert reached(net, family, local=local) == everything
        await net.partition({"a", "b"}, {"c"})
        assert reached(net, family, local=local) == expected("ab", "c")
        assert ("d", "c") in expected("ab", "c")
        await net.partition({"a"}, {"b", "d"}, {"c"})
        assert reached(net, family, local=local) == expected("a", "bd", "c")
        await net.heal()
        assert reached(net, family, local=local) == everything


@pytest.mark.parametrize("in_hub", ["", "ac"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_partition_cuts_multicast(family: socket.AddressFamily, in_hub: str) -> None:
    async with four(in_hub) as net:
        assert multicast_from(net, "a", family=family) == {"b", "c", "d"}
        await net.partition({"a", "b"}, {"c"})
        assert multicast_from(net, "a", family=family) == {"b", "d"}
        assert multicast_from(net, "c", family=family) == {"d"}
        assert multicast_from(net, "d", family=family) == {"a", "b", "c"}
        await net.heal()
        assert multicast_from(net, "a", family=family) == {"b", "c", "d"}


@pytest.mark.parametrize("in_hub", ["", "ab"])
async def test_what_is_on_its_way_is_cut_too(in_hub: str) -> None:
    async with four(in_hub) as net:
        await net.update("a", "b", delay_ms=400)
        with Flow(net) as flow:
            flow.send(20)
            await net.partition({"a"}, {"b"})
            assert not len(flow.receive().numbers)


@pytest.mark.parametrize("in_hub", ["", "ab"])
async def test_changes_made_during_a_partition_hold_after_it(in_hub: str) -> None:
    async with four(in_hub) as net:
        await net.partition({"a"}, {"b", "c", "d"})
        await net.update("a", "b", delay_ms=60, duplicate_pct=100)
        await net.disconnect("a", "c")
        await net.connect("a", "d", Impairment(delay_ms=90))
        assert kernel_netem(net) == planned_netem(net)
        for sink in ("b", "d"):
            with Flow(net, "a", sink) as flow:
                assert not len(flow.exchange(20).numbers)
        await net.heal()
        for sink, least_ms, copies in (("b", 60, 2), ("d", 90, 1)):
            with Flow(net, "a", sink) as flow:
                arrivals = flow.exchange(20)
                assert arrivals.delays_ms.min() >= least_ms
                assert set(arrivals.copies(20)) == {copies}
        with Flow(net, "a", "c") as flow:
            assert flow.exchange(20).delays_ms.min() < 150


@pytest.mark.parametrize("in_hub", ["", "ab"])
async def test_a_removed_peer_leaves_the_partition(in_hub: str) -> None:
    async with four(in_hub) as net:
        await net.partition({"a", "b"}, {"c"})
        await net.remove_peer("b")
        assert net.groups == (frozenset("a"), frozenset("c"))
        await net.add_peer("b")
        with Flow(net, "b", "c") as flow:
            assert len(flow.exchange(5).numbers) == 5
        with Flow(net, "a", "c") as flow:
            assert not len(flow.exchange(5).numbers)


async def test_wrong_partitions_are_refused() -> None:
    async with four() as net:
        sent = net.kernel.messages_sent
        for groups in (({"a"},), ({"a"}, set()), ({"a"}, {"a"}), ({"a"}, {"nobody"}), ("ab", "c"), ()):
            with pytest.raises(RequestError):
                await net.partition(*groups)
        await net.heal()
        assert net.kernel.messages_sent == sent


@pytest.mark.parametrize("placement", ["sender", "hub"])
async def test_a_partition_costs_those_within_a_group_no_packet(placement: str) -> None:
    async with flowing(Impairment(delay_ms=5), frame=200, settings={"placement": placement}) as (net, flow):

        async def change(turn: int) -> None:
            await (net.heal() if turn % 2 else net.partition({"a", "b"}, {"c"}))

        count = await stream(flow, 200, change, every_s=0.00005)
        arrivals = flow.receive()
    assert (len(arrivals.numbers), arrivals.overtaken, arrivals.doubled) == (count, 0, 0)
