"""Access links of a running network, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from linkem_py import Access, CapabilityError, Impairment, OperationError, RequestError, Topology, TopologyError
from linkem_py.control.local import LocalStation
from linkem_py.model import Capabilities
from linkem_py.plan import desired, handles
from tests.dry import DryNetwork


def pair(**settings: Any) -> Topology:
    topology = Topology("pair", **settings)
    topology.add_peer("a", uplink_kbit=1000)
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=5, rate_kbit=800))
    return topology


def assert_as_planned(net: DryNetwork) -> None:
    assert net.dry.state == dict(desired(net.topology, net.capabilities, seed=net.seed))


async def test_an_access_link_changes_while_the_network_runs() -> None:
    async with DryNetwork(pair()) as net:
        for name, fields in (
            ("a", {"uplink_kbit": 500, "queue_ms": 20}),
            ("b", {"downlink_kbit": 100}),
            ("b", {"downlink_at": "peer"}),
            ("a", {"uplink_kbit": None}),
        ):
            applied = await net.set_access(name, **fields)
            assert (applied.what, applied.peer, applied.segment, applied.links) == ("set_access", name, "lan", ())
            assert_as_planned(net)
        assert net.topology.access("b") == Access(downlink_kbit=100, downlink_at="peer")
        await net.update("a", "b", rate_kbit=None)
        await net.update("a", "b", delay_ms=9, rate_kbit=50)
        # Revisions count what netem takes, and a plan from nothing gives the same seeds.
        assert_as_planned(net)


async def test_a_change_that_changes_nothing_sends_nothing() -> None:
    async with DryNetwork(pair()) as net:
        assert (await net.set_access("a", uplink_kbit=1000)).operations == ()


@pytest.mark.parametrize(
    ("name", "fields", "error", "message"),
    [
        ("a", {}, RequestError, "at least one field"),
        ("a", {"uplink_kbit": -1}, TopologyError, "access link of a: uplink_kbit must be above 0"),
        ("a", {"speed": 1}, TopologyError, "speed is not a field"),
        ("nobody", {"uplink_kbit": 1}, RequestError, "peer is not in the topology"),
        ("a", {"uplink_kbit": 1, "segment": "lte"}, RequestError, "segment is not one that the peer is on"),
        ("b", {"downlink_kbit": 1, "downlink_at": "peer"}, CapabilityError, "lacks mirred"),
    ],
)
async def test_a_wrong_change_is_refused_before_anything_is_touched(
    name: str, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    async with DryNetwork(pair(), capabilities=Capabilities(mirred=False)) as net:
        sent = len(net.dry.log)
        with pytest.raises(error, match=message):
            await net.set_access(name, **fields)
        assert len(net.dry.log) == sent
        assert net.topology.access("a") == Access(uplink_kbit=1000)


async def test_a_network_with_prio_refuses_an_access_link() -> None:
    topology = Topology("t", classifier="prio")
    topology.add_peer("a")
    async with DryNetwork(topology) as net:
        with pytest.raises(TopologyError, match="classifier must be 'htb'"):
            await net.set_access("a", uplink_kbit=5)
        with pytest.raises(TopologyError, match="classifier must be 'htb'"):
            await net.add_peer("b", downlink_kbit=5)
        assert list(net.topology.peers) == ["a"]


async def test_whatever_step_of_the_first_uplink_fails_all_is_as_before() -> None:
    async with DryNetwork(pair()) as net:
        await net.set_access("b", downlink_kbit=5)
        before = net.dry.state
        for failing in range(18):
            net.dry.fail_at = (len(net.dry.log) + failing,)
            with pytest.raises(OperationError) as caught:
                await net.set_access("b", uplink_kbit=5, downlink_at="peer")
            assert caught.value.rolled_back
            assert net.dry.state == before
            assert net.topology.access("b") == Access(downlink_kbit=5)
        net.dry.fail_at = ()
        applied = await net.set_access("b", uplink_kbit=5, downlink_at="peer")
        assert len(applied.operations) >= 18
        assert_as_planned(net)


async def test_a_peer_comes_with_its_access_link_and_goes_with_it() -> None:
    async with DryNetwork(pair()) as net:
        await net.add_peer("c", uplink_kbit=5, downlink_kbit=6, downlink_at="peer", queue_ms=7)
        assert ("class", "c", "eth0", handles.ACCESS_CLASS) in net.dry.state
        assert_as_planned(net)
        await net.remove_peer("c")
        assert_as_planned(net)


def test_a_blocking_network_has_access_links_too() -> None:
    with DryNetwork.blocking(pair()) as net:
        net.add_peer("c", downlink_kbit=5)
        assert net.set_access("c", downlink_kbit=6).what == "set_access"
        assert net.topology.access("c") == Access(downlink_kbit=6)


async def test_whoever_asks_is_told_of_the_access_links_in_force() -> None:
    topology = pair()
    topology.add_peer("c", uplink_kbit=5)
    topology.set_access("b", segment="lan", queue_ms=5)
    async with DryNetwork(topology) as net, LocalStation(net) as station, station.events() as events:
        await net.set_access("c", uplink_kbit=None)
        assert (await station.describe()).access == {"a": {"lan": Access(uplink_kbit=1000)}}
        event = await anext(events)
        assert (event.what, event.peer) == ("set_access", "c")  # type: ignore[union-attr]
