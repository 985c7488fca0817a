"""Addresses that peers are given in place of those of their numbers."""

from __future__ import annotations

import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import Topology
from linkem_py.plan.addressing import addresses


def three(**settings: str | None) -> Topology:
    topology = Topology("t", **settings)  # type: ignore[arg-type]
    for name in ("a", "b", "c"):
        topology.add_peer(name)
    return topology


def on(topology: Topology, name: str, segment: str = "lan") -> tuple[str, ...]:
    return addresses(topology.segments[segment], topology.peers[name])


def test_the_next_free_addresses_are_behind_the_present_ones_and_new_each_time() -> None:
    topology = three()
    found = []
    for _ in range(3):
        topology.readdress("a")
        found.append(on(topology, "a"))
    assert found == [("10.0.0.4", "fd00:1::4"), ("10.0.0.5", "fd00:1::5"), ("10.0.0.6", "fd00:1::6")]
    assert topology.readdress("b").number == 2
    assert on(topology, "b") == ("10.0.0.4", "fd00:1::4")
    assert on(topology, "c") == ("10.0.0.3", "fd00:1::3")


def test_from_the_last_address_of_a_subnet_they_go_on_at_its_first() -> None:
    topology = three(ipv4="10.0.0.0/29", ipv6=None)
    topology.readdress("c", ipv4="10.0.0.6")
    assert on(topology, "c") == ("10.0.0.6",)
    topology.readdress("c")
    assert on(topology, "c") == ("10.0.0.3",)
    topology.readdress("a", ipv4="10.0.0.6")
    topology.readdress("a")
    assert on(topology, "a") == ("10.0.0.1",)


def test_where_every_address_is_taken_there_is_none_free() -> None:
    topology = Topology("t", ipv4="10.0.0.0/30")
    topology.add_peer("a")
    topology.add_peer("b")
    with pytest.raises(TopologyError, match=r"peer a: ipv4 cannot be another one: 10.0.0.0/30 has no free address"):
        topology.readdress("a")
    assert on(topology, "a") == ("10.0.0.1", "fd00:1::1")


def test_one_family_may_be_given_and_the_other_is_the_next_free_one() -> None:
    topology = three()
    topology.readdress("a", ipv4="10.0.7.7")
    assert on(topology, "a") == ("10.0.7.7", "fd00:1::4")
    topology.readdress("a", ipv6="fd00:1::cafe")
    assert on(topology, "a") == ("10.0.7.8", "fd00:1::cafe")
    topology.readdress("a", ipv4="10.0.0.1", ipv6="fd00:1::1")
    assert topology.peers["a"].given == ()


def test_each_segment_has_addresses_of_its_own_and_a_copy_too() -> None:
    topology = three()
    topology.connect("a", "b", segment="nr")
    topology.connect("a", "b", segment="lte")
    topology.readdress("a", segment="nr")
    twin = topology.copy()
    twin.readdress("a", segment="lte")
    twin.readdress("a", segment="nr")
    assert on(topology, "a", "nr") == ("10.1.0.4", "fd00:2::4")
    assert on(topology, "a", "lte") == ("10.2.0.1", "fd00:3::1")
    assert (on(twin, "a", "nr"), on(twin, "a", "lte")) == (("10.1.0.5", "fd00:2::5"), ("10.2.0.4", "fd00:3::4"))
    assert [given.segment for given in twin.peers["a"].given] == ["lte", "nr"]
    assert on(twin.without_ipv6(), "a", "nr") == ("10.1.0.5",)


def test_a_peer_that_comes_does_not_get_an_address_that_somebody_was_given() -> None:
    topology = three()
    topology.settle()
    topology.add_segment("tiny", "10.1.0.0/30")
    topology.join("a", "tiny")
    topology.readdress("b", ipv4="10.0.0.4", ipv6="fd00:1::40")
    topology.readdress("a", segment="tiny", ipv4="10.1.0.1", ipv6="fd00:2::4")
    topology.add_peer("d")
    assert on(topology, "d") == ("10.0.0.5", "fd00:1::4")
    topology.remove_peer("b")
    topology.add_peer("e")
    assert on(topology, "e") == ("10.0.0.2", "fd00:1::2")
    topology.readdress("c", ipv4="10.0.0.77", ipv6="fd00:1::5")
    topology.add_peer("f")
    assert on(topology, "f") == ("10.0.0.6", "fd00:1::6")


def test_peers_may_get_each_others_addresses_at_once() -> None:
    topology = three()
    topology.place({("a", "lan"): ("10.0.0.2", "fd00:1::2"), ("b", "lan"): ("10.0.0.1", "fd00:1::1")})
    assert (on(topology, "a"), on(topology, "b")) == (("10.0.0.2", "fd00:1::2"), ("10.0.0.1", "fd00:1::1"))
    topology.place({("c", "lan"): ("10.0.0.9", None)})
    assert on(topology, "c") == ("10.0.0.9", "fd00:1::3")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "z"}, "peer is not in the topology"),
        ({"segment": "z"}, "peer a: segment is not in the topology"),
        ({"segment": "nr"}, "peer a: segment is not one that the peer is on: 'nr'"),
        ({"ipv4": "x"}, "peer a: ipv4 must be an address in 10.0.0.0/24: 'x'"),
        ({"ipv4": "10.1.0.1"}, "peer a: ipv4 must be the address of a host in 10.0.0.0/24: '10.1.0.1'"),
        ({"ipv4": "10.0.0.0"}, "peer a: ipv4 must be the address of a host"),
        ({"ipv4": "10.0.0.255"}, "peer a: ipv4 must be the address of a host"),
        ({"ipv6": "fd00:1::"}, "peer a: ipv6 must be the address of a host"),
        ({"ipv6": "10.0.0.9"}, "peer a: ipv6 must be an address in fd00:1::/64"),
        ({"ipv4": "10.0.0.2"}, "peer a: address must not be that of peer b on segment lan: '10.0.0.2'"),
        ({"ipv6": "fd00:1::3"}, "peer a: address must not be that of peer c on segment lan: 'fd00:1::3'"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_nothing_changes(given: dict[str, str], message: str) -> None:
    topology = three(ipv4="10.0.0.0/24")
    for name in ("a", "b", "c"):
        topology.join(name, "lan")
    topology.add_segment("nr")
    before = dict(topology.peers)
    with pytest.raises(TopologyError, match=message):
        topology.readdress(**{"name": "a", **given})
    assert topology.peers == before


def test_without_ipv6_none_can_be_given() -> None:
    topology = three(ipv6=None)
    with pytest.raises(TopologyError, match="peer a: ipv6 must be left out: segment lan has no IPv6: 'fd00::9'"):
        topology.readdress("a", ipv6="fd00::9")
    topology.readdress("a")
    assert on(topology, "a") == ("10.0.0.4",)


def test_what_is_placed_must_be_possible_too() -> None:
    topology = three()
    topology.add_segment("tiny", "10.1.0.0/30")
    with pytest.raises(TopologyError, match=r"peer does not fit: subnets 10.1.0.0/30"):
        topology.place({("c", "tiny"): ("10.1.0.1", None)})
    with pytest.raises(TopologyError, match=r"peer a: ipv4 must be an address in 10.1.0.0/30: 'x'"):
        topology.place({("a", "tiny"): ("x", None)})
    topology.place({("a", "tiny"): ("10.1.0.2", None), ("b", "tiny"): ("10.1.0.1", None)})
    topology.join("a", "tiny")
    assert on(topology, "a", "tiny") == ("10.1.0.2", "fd00:2::1")
