from __future__ import annotations

from typing import Any

import pytest

from linkem_py import Nat, Topology, TopologyError
from linkem_py.model import Gateway


@pytest.fixture
def topology() -> Topology:
    topology = Topology("t")
    topology.add_peer("laptop")
    topology.add_gateway("router", inside="home", outside="wan", nat="home")
    return topology


def test_a_gateway_is_a_peer_on_both_its_segments(topology: Topology) -> None:
    assert topology.gateways == {"router": Gateway("router", "home", "wan", Nat())}
    assert list(topology.peers) == ["laptop", "router"]
    assert topology.is_on("router", "home")
    assert topology.is_on("router", "wan")
    assert list(topology.segments) == ["home", "wan"]
    assert str(topology.gateways["router"]) == "gateway router"


def test_segments_may_be_there_before_and_nat_is_what_it_was_given(topology: Topology) -> None:
    topology.add_segment("access", ipv4="100.64.0.0/10")
    plain = topology.add_gateway("plain", inside="lan", outside="home", placement="hub")
    assert plain == Gateway("plain", "lan", "home", None)
    assert topology.peer("plain").placement == "hub"
    own = Nat(udp_timeout_s=30)
    assert topology.add_gateway("carrier", inside="access", outside="wan", nat=own).nat is own
    assert str(topology.all_segments["access"].ipv4) == "100.64.0.0/10"


def test_a_copy_has_gateways_of_its_own(topology: Topology) -> None:
    twin = topology.copy()
    twin.remove_peer("router")
    assert "router" in topology.gateways
    assert not twin.gateways
    assert not twin.is_on("router", "home")


def test_a_gateway_stays_on_its_segments(topology: Topology) -> None:
    topology.connect("laptop", "router", segment="home")
    topology.disconnect("laptop", "router", segment="home")
    assert topology.is_on("router", "home")
    for segment in ("home", "wan"):
        with pytest.raises(TopologyError, match="peer router: segment must not be left by the gateway"):
            topology.leave("router", segment)
    topology.join("router", "lan")
    topology.leave("router", "lan")
    topology.put_gateway(Gateway("router", "home", "wan"))
    assert topology.gateways["router"].nat is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "laptop"}, "peer must not be added twice"),
        ({"inside": "x", "outside": "x"}, "gateway g: outside must not be the inside: 'x'"),
        ({"inside": "X"}, "gateway g: segment name must be lower-case"),
        ({"outside": ["x"]}, "gateway g: segment must be named by a string: ['x']"),
        ({"nat": "hom"}, "gateway g: nat is unknown (did you mean home?): 'hom'"),
        ({"nat": 1}, "gateway g: nat must be a Nat, a preset's name or None: 1"),
        (
            {"inside": "wan", "outside": "home"},
            "gateway g: outside must not lead back to wan by other gateways: 'home'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_changes(
    topology: Topology, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TopologyError) as caught:
        topology.add_gateway(**{"name": "g", "inside": "new", "outside": "wan", **arguments})
    assert message in str(caught.value)
    assert list(topology.peers) == ["laptop", "router"]
    assert list(topology.segments) == ["home", "wan"]
    assert list(topology.gateways) == ["router"]


def test_a_way_round_by_several_is_refused_too(topology: Topology) -> None:
    topology.add_gateway("second", inside="wan", outside="far")
    topology.add_gateway("beside", inside="home", outside="far")
    with pytest.raises(TopologyError, match="must not lead back to far by other gateways: 'home'"):
        topology.add_gateway("third", inside="far", outside="home")
