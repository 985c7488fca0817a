"""Other addresses, joins and leaves of a running network, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from linkem_py import Applied, OperationError, RequestError, TopologyError
from linkem_py.control.local import LocalStation
from linkem_py.model import Impairment
from linkem_py.plan import desired
from linkem_py.plan.objects import Qdisc
from tests.dry import DryNetwork
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
