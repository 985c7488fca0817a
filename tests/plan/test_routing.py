from __future__ import annotations

import attrs
import pytest
from hypothesis import given

from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan import addressing, desired, operations
from linkem_py.plan.desired import state
from linkem_py.plan.objects import Object, Route, Rule, Up
from linkem_py.plan.routing import concerned, routing
from linkem_py.plan.tree import Planner
from tests import strategies as own


@pytest.fixture
def bonded() -> Topology:
    topology = Topology("bonded")
    for name in ("camera", "studio", "server"):
        topology.add_peer(name)
    topology.connect("camera", "studio", segment="lte")
    topology.add_link("studio", "camera", segment="nr")
    topology.connect("camera", "server", segment="nr")
    return topology


def test_who_is_on_one_segment_needs_no_routing(bonded: Topology) -> None:
    assert list(routing(bonded, ["server", "nobody"])) == []
    plain = Topology("plain")
    plain.add_peer("a")
    assert list(routing(plain, ["a"])) == []


def test_a_table_leads_to_its_segment_to_linked_peers_and_nowhere_else(bonded: Topology) -> None:
    made = [each for each in routing(bonded, ["camera"]) if each.table == 1003]
    assert {(rule.source, rule.table) for rule in made if isinstance(rule, Rule)} == {
        ("10.2.0.1", 1003),
        ("fd00:3::1", 1003),
    }
    assert {(route.destination, route.dev, route.gateway) for route in made if isinstance(route, Route)} == {
        ("10.2.0.0/16", "eth2", ""),
        ("fd00:3::/64", "eth2", ""),
        ("10.1.0.0/16", "", ""),
        ("fd00:2::/64", "", ""),
        ("10.1.0.2/32", "eth2", "10.2.0.2"),  # the studio is linked on this segment and is on the other
        ("fd00:2::2/128", "eth2", "fd00:3::2"),  # the server is not
    }


def test_an_mtu_is_in_force_whichever_address_is_sent_from_and_whichever_is_sent_to(bonded: Topology) -> None:
    bonded.set_impairment("camera", "studio", Impairment(mtu=1300), segment="lte")
    routes = [made for made in desired(bonded, Capabilities()).values() if isinstance(made, Route) and made.mtu]
    assert {(made.ns, made.dev, made.table, made.destination, made.gateway) for made in routes} == {
        ("camera", "eth1", 254, "10.1.0.2/32", ""),
        ("camera", "eth1", 254, "fd00:2::2/128", ""),
        ("camera", "eth1", 1002, "10.1.0.2/32", ""),
        ("camera", "eth1", 1002, "fd00:2::2/128", ""),
        ("camera", "eth1", 1002, "10.2.0.2/32", "10.1.0.2"),
        ("camera", "eth1", 1002, "fd00:3::2/128", "fd00:2::2"),
    }
    assert {made.mtu for made in routes} == {1300}


def test_an_mtu_comes_to_a_table_and_goes_from_it_and_ways_through_the_link_stay(bonded: Topology) -> None:
    planner = Planner(bonded, Capabilities(), None)
    plain = bonded.link("camera", "studio", segment="lte")
    limited, other = (attrs.evolve(plain, impairment=Impairment(mtu=mtu)) for mtu in (1300, 1400))
    for old, new, verbs in (
        (plain, limited, {("create", 254), ("create", 1002), ("change", 1002)}),
        (limited, other, {("change", 254), ("change", 1002)}),
        (limited, plain, {("delete", 254), ("delete", 1002), ("change", 1002)}),
    ):
        steps = operations(state(planner.leaf(old)), state(planner.leaf(new)))
        routes = [(step.verb, step.object.table) for step in steps if isinstance(step.object, Route)]
        assert len(routes) == 6
        assert set(routes) == verbs


def test_without_ipv6_there_is_none(bonded: Topology) -> None:
    made = list(routing(bonded.without_ipv6(), bonded.peers))
    assert made
    assert not any(":" in (each.destination if isinstance(each, Route) else each.source) for each in made)


def test_no_ipv6_leads_through_a_segment_without_it(bonded: Topology) -> None:
    bonded.add_segment("four", ipv6=False)
    bonded.connect("camera", "studio", segment="four")
    through = [made for made in routing(bonded, ["camera"]) if isinstance(made, Route) and made.gateway]
    assert {made.destination for made in through if made.dev == "eth3"} == {"10.1.0.2/32", "10.2.0.2/32"}


def test_those_linked_to_a_peer_are_concerned_by_its_coming_and_going(bonded: Topology) -> None:
    assert set(concerned(bonded, ["server"])) == {"server", "camera"}
    assert set(concerned(bonded, ["late"])) == {"late"}


@given(own.topologies())
def test_every_route_has_an_interface_that_is_up_before_it_and_a_gateway_of_its_segment(topology: Topology) -> None:
    up: set[tuple[str, str]] = set()
    seen: list[Object] = list(desired(topology, Capabilities()).values())
    interfaces = {addressing.interface(segment): segment for segment in topology.segments.values()}
    for made in seen:
        if isinstance(made, Up):
            up.add((made.ns, made.dev))
        if isinstance(made, Route) and made.dev:
            segment = interfaces[made.dev]
            assert (made.ns, made.dev) in up
            assert made.table in (addressing.table(segment), addressing.MAIN_TABLE)
            near = {
                address for peer in topology.peers_on(segment.name) for address in addressing.addresses(segment, peer)
            }
            assert not made.gateway or made.gateway in near
    routed = {made.ns for made in seen if isinstance(made, Rule)}
    assert routed == {name for name in topology.peers if len(topology.segments_of(name)) > 1}
