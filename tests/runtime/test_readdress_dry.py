"""Other addresses, joins and leaves of a running network, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from linkem_py import Access, Applied, CapabilityError, OperationError, RequestError, Topology, TopologyError
from linkem_py.control.local import LocalStation
from linkem_py.model import Capabilities, Impairment, OrnsteinUhlenbeck
from linkem_py.model.access import DownlinkPlace
from linkem_py.model.topology import Duplicates, Placement
from linkem_py.plan import desired
from linkem_py.plan.objects import Address, Class, Neighbour, Qdisc, Route, Rule
from tests.dry import DryNetwork
from tests.runtime.test_schedules import until
from tests.runtime.test_segments_dry import bonded


def whole(net: DryNetwork) -> Any:
    return desired(net.topology, net.capabilities, seed=1, groups=net.groups)


async def test_other_addresses_are_in_all_that_a_network_says_and_has() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        told: list[Applied] = []
        net.subscribe(told.append)
        await net.update("camera", "studio", segment="lte", mtu=1300)
        applied = await net.readdress("camera", segment="lte")
        assert (applied.what, applied.peer, applied.segment, applied.links) == ("readdress", "camera", "lte", ())
        assert applied.addresses == ("10.1.0.4", "fd00:2::4")
        assert told[-1] is applied
        assert net.dry.state == whole(net)
        assert not [step for step in applied.steps if isinstance(step.object, Qdisc)]
        assert net.peer("camera").address == "10.1.0.4"
        assert net.names["camera"] == ("10.1.0.4", "fd00:2::4", "10.2.0.1", "fd00:3::1")
        async with LocalStation(net) as station:
            assert (await station.describe()).peers["camera"]["lte"] == applied.addresses
        again = await net.readdress("camera", segment="lte", ipv4="10.1.9.9", ipv6="fd00:2::4")
        assert again.addresses == ("10.1.9.9", "fd00:2::4")
        assert (await net.readdress("camera", segment="lte", ipv4="10.1.9.9", ipv6="fd00:2::4")).steps == ()
        await net.add_peer("new")  # it would have had 10.1.0.4 and fd00:2::4
        await net.connect("new", "camera", Impairment(delay_ms=1), segment="lte")
        assert net.peer("new").addresses["lte"] == ("10.1.0.4", "fd00:2::5")
        assert net.dry.state == whole(net)
        await net.remove_peer("camera")
        assert net.dry.state == whole(net)


async def test_it_is_refused_before_anything_is_touched() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        for name, segment, message in (
            ("nobody", "lte", "peer is not in the topology"),
            ("late", "lte", "peer late: segment is not one that the peer is on: 'lte'"),
            ("camera", "none", "peer camera: segment is not one that the peer is on: 'none'"),
        ):
            with pytest.raises(RequestError, match=message):
                await net.readdress(name, segment=segment)
        with pytest.raises(TopologyError, match="peer camera: address must not be that of peer studio on segment lte"):
            await net.readdress("camera", segment="lte", ipv4="10.1.0.2")
        assert (net.revision, len(net.dry.batches)) == (0, 1)


async def test_what_the_kernel_refuses_leaves_the_addresses_as_they_were() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        before, names = net.dry.state, net.names
        count = len((await net.readdress("camera", segment="lte")).steps)
        await net.readdress("camera", segment="lte", ipv4="10.1.0.1", ipv6="fd00:2::1")
        for position in range(count):
            net.dry.fail_at = {len(net.dry.log) + position}
            with pytest.raises(OperationError) as caught:
                await net.readdress("camera", segment="lte")
            assert caught.value.rolled_back
            assert net.dry.state == before == whole(net)
            assert net.names == names


async def test_without_carrier_and_in_a_partition_and_while_a_link_is_down() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        await net.partition({"camera"}, {"studio"})
        await net.down("camera", "studio", segment="nr")
        await net.carrier("camera", segment="lte", up=False)
        await net.readdress("camera", segment="lte")
        await net.readdress("camera", segment="nr")
        await net.carrier("camera", segment="lte", up=True)
        assert net.dry.state == whole(net)
        assert net.groups
        assert net.topology.link("camera", "studio", segment="nr").down


async def test_a_peer_joins_and_leaves() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        before = net.dry.state
        applied = await net.join("late", "lte")
        assert (applied.what, applied.peer, applied.segment) == ("join", "late", "lte")
        assert net.peer("late").address == net.names["late.lte"][0] == "10.1.0.3"
        assert net.dry.state == whole(net)
        assert (await net.join("late", "lte")).steps == ()
        await net.connect("late", "studio", segment="lte")
        assert net.dry.state == whole(net)
        assert (await net.leave("late", "lte")).steps == ()  # it has a link there
        await net.join("late", "lte")
        await net.disconnect("late", "studio", segment="lte")
        assert net.peer("late").address == "10.1.0.3"
        await net.carrier("late", segment="lte", up=False)
        left = await net.leave("late", "lte")
        assert (left.what, left.peer, left.segment) == ("leave", "late", "lte")
        assert net.dry.state == before == whole(net)
        assert "late.lte" not in net.names
        assert net.without_carrier == ()


async def test_to_join_and_leave_takes_a_peer_and_a_segment_that_are_there() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        for change in (net.join, net.leave):
            with pytest.raises(RequestError, match="peer is not in the topology"):
                await change("nobody", "lte")
            with pytest.raises(TopologyError, match="peer late: segment is not in the topology"):
                await change("late", "none")
        assert net.revision == 0


# ------------------------------------------------------------ beside placement, access links, schedules


def equipped(*, duplicates: Duplicates = "auto") -> Topology:
    """A camera whose queues stand in the hub, with an access link on each segment and copies isolated in the hub."""
    topology = bonded()
    topology.duplicates = duplicates
    topology.add_peer("drone", placement="hub")
    topology.connect("drone", "studio", Impairment(delay_ms=9, rate_kbit=500, duplicate_pct=1), segment="lte")
    topology.connect("drone", "camera", Impairment(duplicate_pct=1), segment="lte")
    topology.connect("drone", "studio", Impairment(mtu=1300), segment="nr")
    topology.set_access("drone", segment="lte", uplink_kbit=900, downlink_kbit=800)
    topology.set_access("camera", segment="lte", uplink_kbit=900, downlink_kbit=800, downlink_at="peer")
    return topology


@pytest.mark.parametrize("end", [("drone", "lte"), ("drone", "nr"), ("camera", "lte"), ("studio", "lte")])
@pytest.mark.filterwarnings("ignore:mtu")
async def test_queues_in_the_hub_and_access_links_are_not_touched(end: tuple[str, str]) -> None:
    name, segment = end
    async with DryNetwork(equipped(duplicates="isolate"), seed=1) as net:
        before, links = net.dry.state, dict(net.topology.accesses)
        applied = await net.readdress(name, segment=segment)
        assert net.dry.state == whole(net)
        assert {type(step.object) for step in applied.steps} <= {Address, Neighbour, Route, Rule}
        assert net.topology.accesses == links
        await net.set_access(name, segment=segment, uplink_kbit=300, downlink_kbit=200)
        await net.set_access(name, segment=segment, uplink_kbit=None, downlink_at="peer")
        assert net.dry.state == whole(net)
        await net.readdress(name, segment=segment)
        await net.remove_peer("drone")
        assert net.dry.state == whole(net)
        assert before != net.dry.state


@pytest.mark.parametrize("name", ["camera", "drone"])
async def test_what_the_kernel_refuses_leaves_placement_and_access_as_they_were(name: str) -> None:
    async with DryNetwork(equipped(), seed=1) as net:
        before = net.dry.state
        count = len((await net.readdress(name, segment="lte")).steps)
        number = net.topology.peers[name].number
        await net.readdress(name, segment="lte", ipv4=f"10.1.0.{number}", ipv6=f"fd00:2::{number}")
        for position in range(count):
            net.dry.fail_at = {len(net.dry.log) + position}
            with pytest.raises(OperationError):
                await net.readdress(name, segment="lte")
            assert net.dry.state == before == whole(net)


@pytest.mark.parametrize("placement", ["sender", "hub"])
@pytest.mark.parametrize("downlink_at", ["hub", "peer"])
async def test_a_peer_joins_with_an_access_link_wherever_its_queues_stand(
    placement: Placement, downlink_at: DownlinkPlace
) -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        await net.add_peer("drone", placement=placement)
        before = net.dry.state
        access: dict[str, Any] = {"uplink_kbit": 900, "downlink_kbit": 800, "downlink_at": downlink_at, "queue_ms": 40}
        joined = await net.join("drone", "lte", **access)
        assert net.topology.access("drone", segment="lte") == Access(**access)
        assert net.dry.state == whole(net)
        rates = [step.object for step in joined.steps if isinstance(step.object, Class)]
        assert len({made.dev for made in rates}) == 2
        await net.connect("drone", "studio", Impairment(delay_ms=1, rate_kbit=500), segment="lte")
        again = await net.join("drone", "lte", uplink_kbit=700)
        assert {step.verb for step in again.steps} == {"change"}
        assert net.topology.access("drone", segment="lte").uplink_kbit == 700
        assert net.dry.state == whole(net)
        await net.readdress("drone", segment="lte")
        await net.disconnect("drone", "studio", segment="lte")
        await net.leave("drone", "lte")
        assert net.dry.state == before == whole(net)
        await net.join("drone", "lte")
        assert net.topology.access("drone", segment="lte") == Access(**access).evolve(uplink_kbit=700)
        assert net.dry.state == whole(net)


async def test_an_access_link_that_cannot_be_is_refused_and_the_peer_does_not_join() -> None:
    without = Capabilities(ifb=False)
    async with DryNetwork(bonded(), seed=1, capabilities=without) as net:
        with pytest.raises(TopologyError, match="uplink_kbit must be"):
            await net.join("late", "lte", uplink_kbit=-1)
        with pytest.raises(CapabilityError, match="ifb"):
            await net.join("late", "lte", downlink_kbit=800, downlink_at="peer")
        with pytest.raises(TypeError, match="placement"):
            await net.join("late", "lte", placement="hub")  # type: ignore[call-arg]
        assert not net.topology.is_on("late", "lte")
        assert (net.revision, net.topology.accesses) == (0, {})


async def test_a_schedule_goes_on_over_another_address() -> None:
    topology = bonded()
    topology.set_schedule("camera", "studio", OrnsteinUhlenbeck(4000, tick_ms=5), segment="lte")
    key = ("camera", "studio", "lte")
    async with DryNetwork(topology, seed=1) as net:
        for _ in range(2):
            count = net.schedules[key].changes
            await until(net, lambda count=count: net.schedules[key].changes > count + 2)  # type: ignore[misc]
            await net.readdress("camera", segment="lte")
        assert net.schedules[key].error is None
        assert net.peer("camera").addresses["lte"][0] == "10.1.0.5"
        assert net.dry.state == whole(net)
