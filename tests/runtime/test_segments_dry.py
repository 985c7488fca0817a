"""Segments of a running network, without a kernel."""

from __future__ import annotations

import attrs
import pytest

from linkem_py import CapabilityError, OperationError, RequestError, Topology
from linkem_py.control.local import LocalStation
from linkem_py.kernel.fake import FakeDriver
from linkem_py.model import Capabilities
from linkem_py.plan import desired
from tests.dry import DryNetwork


def bonded() -> Topology:
    topology = Topology("bonded")
    for name in ("camera", "studio", "late"):
        topology.add_peer(name)
    topology.connect("camera", "studio", segment="lte")
    topology.connect("camera", "studio", segment="nr")
    return topology


async def test_addresses_are_those_of_the_segments_that_a_peer_is_on() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        assert list(net.peer("camera").addresses) == ["lte", "nr"]
        assert net.peer("camera").interface("nr") == "eth2"
        late = net.peer("late")
        assert late.addresses == {}
        assert repr(late) == "<NetworkPeer 'late', on no segment>"
        with pytest.raises(RequestError, match="peer is on no segment: 'late'"):
            _ = late.address
        with pytest.raises(RequestError, match="segment is not one that the peer is on: 'nr'"):
            late.interface("nr")
        await net.connect("late", "studio", segment="wifi")
        assert late.address == "10.3.0.3"
        assert net.names["late.wifi"] == late.addresses["wifi"]
        async with LocalStation(net) as station:
            description = await station.describe()
        assert list(description.segments) == ["lte", "nr", "wifi"]
        assert list(description.peers["late"]) == ["wifi"]
        await net.disconnect("late", "studio", segment="wifi")
        assert late.addresses == {}
        assert "late.wifi" not in net.names


async def test_what_is_changed_on_segments_is_what_would_have_been_built() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        await net.partition({"camera"}, {"late"})
        await net.connect("late", "studio", segment="nr")
        await net.add_peer("new")
        await net.remove_peer("camera")
        await net.add_link("new", "late", segment="wifi")
        assert net.dry.state == desired(net.topology, net.capabilities, seed=1, groups=net.groups)


async def test_a_link_goes_down_and_up_by_changes_in_place() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        before = net.dry.state
        down = await net.down("camera", "studio", segment="lte")
        assert [step.verb for step in down.steps] == ["change", "change"]
        assert (await net.down("studio", "camera", segment="lte")).steps == ()
        await net.update("camera", "studio", segment="lte", delay_ms=5)
        await net.clear("camera", "studio", segment="lte")
        assert net.topology.link("camera", "studio", segment="lte").down
        await net.up("camera", "studio", segment="lte", one_way=True)
        assert not net.topology.link("camera", "studio", segment="lte").down
        assert net.topology.link("studio", "camera", segment="lte").down
        await net.up("camera", "studio", segment="lte")
        assert FakeDriver(state=before).state.keys() == net.dry.state.keys()
        with pytest.raises(RequestError, match="link is not in the topology"):
            await net.up("camera", "late", segment="lte")


async def test_a_link_that_is_down_is_told_to_be_out_whatever_else_is_changed() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        down = await net.down("camera", "studio", segment="lte", one_way=True)
        assert [(change.link, change.outage) for change in down.links] == [(("camera", "studio", "lte"), True)]
        (change,) = (await net.update("camera", "studio", segment="lte", delay_ms=5)).links
        assert change.outage
        up = await net.up("camera", "studio", segment="lte")
        assert {change.link[0]: change.outage for change in up.links} == {"camera": False, "studio": False}


async def test_a_link_of_one_direction_goes_down_by_either_order_of_its_ends() -> None:
    topology = bonded()
    topology.remove_link("camera", "studio", "nr")
    async with DryNetwork(topology, seed=1) as net:
        done = await net.down("camera", "studio", segment="nr")
        assert [change.link for change in done.links] == [("studio", "camera", "nr")]


async def test_a_kernel_that_cannot_drop_cannot_take_a_link_down() -> None:
    async with DryNetwork(bonded(), capabilities=attrs.evolve(Capabilities(), gact=False)) as net:
        with pytest.raises(CapabilityError, match="lacks gact, which a link that goes down needs"):
            await net.down("camera", "studio", segment="lte")


async def test_a_carrier_goes_and_comes_and_is_told() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        before = net.dry.state
        await net.carrier("camera", segment="nr", up=False)
        assert len(net.dry.state) == len(before) - 1
        back = await net.carrier("camera", segment="nr", up=True)
        assert (back.what, back.peer, back.segment) == ("carrier up", "camera", "nr")
        assert net.dry.state == before
        assert all(step.verb == "change" for step in (await net.carrier("camera", segment="nr", up=True)).steps)
        assert [applied.what for applied in net.journal] == ["carrier down", "carrier up", "carrier up"]


async def test_a_carrier_that_is_refused_stays_as_it_was() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        net.dry.fail_at = (len(net.dry.log),)
        with pytest.raises(OperationError):
            await net.carrier("camera", segment="nr", up=False)
        assert len((await net.carrier("camera", segment="nr", up=False)).steps) == 1


async def test_an_end_that_went_without_carrier_comes_back_with_it() -> None:
    async with DryNetwork(bonded(), seed=1) as net:
        await net.carrier("camera", segment="nr", up=False)
        await net.disconnect("camera", "studio", segment="nr")
        await net.connect("camera", "studio", segment="nr")
        assert net.dry.state.keys() == desired(net.topology, net.capabilities, seed=1).keys()
        assert len((await net.carrier("camera", segment="nr", up=False)).steps) == 1
