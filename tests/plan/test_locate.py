from __future__ import annotations

import pytest
from hypothesis import given

from linkem_py.model import Capabilities, Impairment, LinkKey, Topology
from linkem_py.plan import desired
from linkem_py.plan.desired import state
from linkem_py.plan.locate import link_of
from linkem_py.plan.objects import Address, Forwarding, Ifb, Namespace, Neighbour, Object, Qdisc, Route, Rule, Up, Veth
from linkem_py.plan.tree import Planner
from tests import strategies as own

ANY = Capabilities()


@given(own.topologies(), own.kernels)
def test_everything_of_a_link_leads_back_to_it(topology: Topology, kernel: Capabilities) -> None:
    planner = Planner(topology, kernel, None)
    for link in topology.links.values():
        back = (link.destination, link.source, link.segment)
        for made in planner.link(link) + planner.routes(link):
            # A pair's neighbour entries are those of both directions.
            allowed = {link.key, back} if isinstance(made, Neighbour) else {link.key}
            assert link_of(topology, made) in allowed


@given(own.topologies(), own.kernels)
def test_what_is_of_no_link_alone_leads_to_none(topology: Topology, kernel: Capabilities) -> None:
    planner = Planner(topology, kernel, None)
    of_links = state(made for link in topology.links.values() for made in planner.link(link) + planner.routes(link))
    for key, made in desired(topology, kernel, groups=(frozenset(list(topology.peers)[:1]),)).items():
        assert (link_of(topology, made) is None) == (key not in of_links)


@pytest.fixture
def topology() -> Topology:
    made = Topology("t")
    for name in ("a", "b", "c"):
        made.add_peer(name)
    made.add_link("a", "b", Impairment(rate_kbit=5))
    return made


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (Qdisc("a", "eth0", 0x10030000, 0x100004, "netem", None), ("a", "c", "lan")),  # type: ignore[arg-type]
        (Qdisc("a", "eth0", 0x80030000, 0x10030001, "bfifo", None), ("a", "c", "lan")),  # type: ignore[arg-type]
        (Qdisc("a", "eth0", 0x10090000, 0x100009, "netem", None), None),  # type: ignore[arg-type]
        (Qdisc("a", "lo", 0x10030000, 0x100004, "netem", None), None),  # type: ignore[arg-type]
        (Qdisc("z", "eth0", 0x10030000, 0x100004, "netem", None), None),  # type: ignore[arg-type]
        (Neighbour("b", "eth0", bytes([10, 0, 0, 1]), bytes.fromhex("024c00010001")), ("a", "b", "lan")),
        (Neighbour("a", "eth0", bytes([10, 0, 0, 2]), bytes.fromhex("024c00010002")), ("a", "b", "lan")),
        (Neighbour("c", "eth0", bytes([10, 0, 0, 1]), bytes.fromhex("024c00010001")), ("c", "a", "lan")),
        (Route("a", "eth0", 254, "10.0.0.3/32", "", 1300, 1460), ("a", "c", "lan")),
        (Route("a", "eth0", 254, "2001::3/128", "", 1300, 1440), None),  # not on our subnet
        (Ifb("a", "dup1-3"), ("a", "c", "lan")),
        (Ifb("z", "dup1-3"), None),
        (Ifb("a", "dup9-3"), None),
        (Namespace("a"), None),
        (Veth("/hub", "lan.1", "", "a", "eth0", "", "br-lan"), None),
        (Forwarding("/hub", "lan.1", b""), None),
        (Address("a", "eth0", "10.0.0.1", 16), None),
        (Up("a", "eth0"), None),
        (Route("a", "eth0", 1001, "10.0.0.0/16"), None),
        (Route("a", "", 1001, "10.1.0.0/16"), None),
        (Route("a", "eth0", 1001, "10.1.0.2/32", "10.0.0.2"), ("a", "b", "lan")),
        (Route("a", "eth0", 1001, "10.1.0.3/32", "10.0.0.3"), ("a", "c", "lan")),
        (Route("b", "eth0", 1001, "10.1.0.1/32", "10.0.0.1"), None),  # only the way back is a link
        (Rule("a", "10.0.0.1", 1001), None),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, tuple) or hasattr(value, "_fields") else str(value),
)  # fmt: skip
def test_an_object_is_placed_even_if_its_link_is_not_there_yet(
    topology: Topology, made: Object, key: LinkKey | None
) -> None:
    assert link_of(topology, made) == key


def test_a_route_of_ipv6_is_of_no_link_where_there_is_no_ipv6() -> None:
    made = Topology("t", ipv6=None)
    made.add_peer("a")
    assert link_of(made, Route("a", "eth0", 254, "fd00::1/128", "", 1300, 1440)) is None


def test_a_route_to_an_address_that_was_given_is_of_the_link_to_its_owner(topology: Topology) -> None:
    topology.readdress("b", ipv4="10.0.0.77", ipv6="fd00:1::77")
    for destination in ("10.0.0.77/32", "fd00:1::77/128"):
        assert link_of(topology, Route("a", "eth0", 254, destination, "", 1300, 1460)) == ("a", "b", "lan")
    assert link_of(topology, Route("a", "eth0", 254, "10.0.0.2/32", "", 1300, 1460)) is None
