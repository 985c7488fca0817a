from __future__ import annotations

import pytest

from linkem_py import Impairment, Nat, Topology
from linkem_py.model import Capabilities
from linkem_py.plan import desired, operations
from linkem_py.plan.desired import state
from linkem_py.plan.gateways import forwarding, of_link, routes
from linkem_py.plan.locate import link_of
from linkem_py.plan.objects import Namespace, Route, Rule, Ruleset, Up
from linkem_py.plan.routing import concerned, routing
from linkem_py.plan.scope import part, scope
from linkem_py.plan.show import as_json, show
from linkem_py.plan.tree import Planner


def home(nat: str | Nat | None = "home", **settings: str | None) -> Topology:
    """laptop 1 - router 3 - server 2; home is 10.1, wan is 10.2."""
    topology = Topology("t", **settings)  # type: ignore[arg-type]
    topology.add_peer("laptop")
    topology.add_peer("server")
    topology.add_gateway("router", inside="home", outside="wan", nat=nat)
    topology.connect("laptop", "router", segment="home")
    topology.connect("router", "server", segment="wan")
    return topology


def ways(topology: Topology, name: str) -> set[tuple[int, str, str, str]]:
    return {(made.table, made.destination, made.dev, made.gateway) for made in routes(topology, name)}


def test_without_gateways_there_is_nothing() -> None:
    topology = Topology("t")
    topology.add_peer("a")
    assert not list(routes(topology, "a"))
    assert forwarding(topology, topology.peer("a")) == ()


def test_with_nat_the_inside_has_a_way_out_and_the_outside_none_in() -> None:
    topology = home()
    assert ways(topology, "laptop") == {(254, "0.0.0.0/0", "eth1", "10.1.0.3")}
    assert ways(topology, "server") == ways(topology, "router") == set()


def test_without_nat_there_is_a_way_back_and_ipv6_both_ways() -> None:
    topology = home(None)
    assert ways(topology, "laptop") == {
        (254, "0.0.0.0/0", "eth1", "10.1.0.3"),
        (254, "::/0", "eth1", "fd00:2::3"),
    }
    assert ways(topology, "server") == {
        (254, "10.1.0.0/16", "eth2", "10.2.0.3"),
        (254, "fd00:2::/64", "eth2", "fd00:3::3"),
    }
    plain = home(None, ipv6=None)
    assert ways(plain, "laptop") == {(254, "0.0.0.0/0", "eth1", "10.1.0.3")}
    assert ways(plain, "server") == {(254, "10.1.0.0/16", "eth2", "10.2.0.3")}


def test_ipv6_needs_it_on_both_sides() -> None:
    topology = Topology("t")
    topology.add_peer("laptop")
    topology.add_peer("server")
    topology.add_segment("home")
    topology.add_segment("wan", ipv6=False)
    topology.add_gateway("router", inside="home", outside="wan")
    topology.join("laptop", "home")
    topology.join("server", "wan")
    assert {made.destination for made in routes(topology, "laptop")} == {"0.0.0.0/0"}
    assert {made.destination for made in routes(topology, "server")} == {str(topology.all_segments["home"].ipv4)}


def test_gateways_in_a_row_know_the_ways_out_and_back() -> None:
    topology = home(None)
    topology.add_gateway("far", inside="wan", outside="world")
    topology.add_peer("star")
    topology.join("star", "world")
    out = {(made.destination, made.gateway) for made in routes(topology, "router")}
    assert out == {("0.0.0.0/0", "10.2.0.4"), ("::/0", "fd00:3::4")}
    back = {(made.destination, made.gateway) for made in routes(topology, "far") if ":" not in made.destination}
    assert back == {("10.1.0.0/16", "10.2.0.3")}
    seen = {(made.destination, made.gateway) for made in routes(topology, "star") if ":" not in made.destination}
    assert seen == {("10.2.0.0/16", "10.3.0.4"), ("10.1.0.0/16", "10.3.0.4")}


def test_whoever_is_on_both_sides_needs_no_way() -> None:
    topology = home(None)
    topology.join("laptop", "wan")
    assert ways(topology, "laptop") == set()


def test_of_two_gateways_the_first_is_the_way_out() -> None:
    topology = home()
    topology.add_gateway("backup", inside="home", outside="wan")
    assert ways(topology, "laptop") == {(254, "0.0.0.0/0", "eth1", "10.1.0.3"), (254, "::/0", "eth1", "fd00:2::4")}
    assert ways(topology, "router") == set()
    topology.connect("laptop", "backup", segment="home")
    by_backup = of_link(topology, topology.link("laptop", "backup", segment="home"))
    assert [made.destination for made in by_backup] == ["::/0"]


def test_on_several_segments_each_address_leaves_by_its_own_gateway_or_not_at_all() -> None:
    topology = home()
    topology.add_gateway("cell", inside="lte", outside="wan", nat="cgnat")
    topology.join("laptop", "lte")
    topology.join("laptop", "lan")
    assert ways(topology, "laptop") == {
        (254, "0.0.0.0/0", "eth1", "10.1.0.3"),
        (1002, "0.0.0.0/0", "eth1", "10.1.0.3"),
        (1004, "0.0.0.0/0", "eth3", "10.3.0.4"),
        (1001, "0.0.0.0/0", "", ""),
    }


def test_a_gateway_has_no_tables_of_its_own() -> None:
    topology = home()
    topology.set_impairment("router", "server", Impairment(mtu=1300), segment="wan")
    made = desired(topology, Capabilities()).values()
    assert not [each for each in made if isinstance(each, Rule)]
    assert {each.table for each in made if isinstance(each, Route)} == {254}


def test_routes_come_when_the_interfaces_are_up_and_once_each() -> None:
    made = list(desired(home(None), Capabilities()).values())
    last = max(number for number, each in enumerate(made) if isinstance(each, Up))
    assert all(number > last for number, each in enumerate(made) if isinstance(each, Route))
    assert [each.destination for each in routing(home(), ["laptop", "nobody"]) if isinstance(each, Route)] == [
        "0.0.0.0/0"
    ]


def test_only_a_gateway_forwards_and_ipv6_only_without_nat() -> None:
    for nat, six in (("home", False), (None, True)):
        made = desired(home(nat), Capabilities())
        for name in ("laptop", "server", "router"):
            namespace = made["namespace", name]
            assert isinstance(namespace, Namespace)
            assert (("net/ipv4/ip_forward", "1") in namespace.sysctls) is (name == "router")
            assert (("?net/ipv6/conf/all/forwarding", "1") in namespace.sysctls) is (name == "router" and six)


def test_the_mtu_of_the_link_to_a_gateway_is_that_of_the_ways_by_it() -> None:
    topology = home(None)
    plain = topology.link("laptop", "router", segment="home")
    limited = topology.set_impairment("laptop", "router", Impairment(mtu=1300), segment="home")
    assert {made.mtu for made in routes(topology, "laptop")} == {1300}
    assert {made.destination for made in of_link(topology, limited)} == {"0.0.0.0/0", "::/0"}
    assert not list(of_link(topology, topology.link("router", "laptop", segment="home")))
    assert not list(of_link(topology, topology.link("server", "router", segment="wan")))[2:]
    planner = Planner(topology, Capabilities(), None)
    for old, new in ((plain, limited), (limited, plain)):
        steps = operations(state(planner.leaf(old)), state(planner.leaf(new)))
        assert {
            (step.verb, step.object.destination)
            for step in steps
            if isinstance(step.object, Route) and step.object.gateway
        } == {("change", "0.0.0.0/0"), ("change", "::/0")}


def test_when_a_gateway_goes_so_do_the_ways_by_it() -> None:
    before = home(None)
    after = before.copy()
    after.remove_peer("router")
    assert set(concerned(before, ["router"])) == {"laptop", "server", "router"}
    about = scope(before, after, [], "router")
    steps = operations(*(state(part(Planner(each, Capabilities(), None), (), about)) for each in (before, after)))
    gone = {step.object.destination for step in steps if isinstance(step.object, Route) and step.verb == "delete"}
    assert gone == {"0.0.0.0/0", "::/0", "10.1.0.0/16", "fd00:2::/64"}


def test_a_nat_goes_with_its_gateway_and_is_changed_in_place() -> None:
    before, other = home(), home("symmetric")
    assert [type(each) for each in desired(before, Capabilities()).values()].count(Ruleset) == 1
    steps = operations(desired(before, Capabilities()), desired(other, Capabilities()))
    assert [(step.verb, type(step.object)) for step in steps] == [("change", Ruleset)]
    after = before.copy()
    after.remove_peer("router")
    about = scope(before, after, [], "router")
    steps = operations(*(state(part(Planner(each, Capabilities(), None), (), about)) for each in (before, after)))
    assert [(step.verb, step.implied) for step in steps if isinstance(step.object, Ruleset)] == [("delete", True)]


def test_a_way_by_a_gateway_is_part_of_the_link_to_it() -> None:
    topology = home(None)
    assert {link_of(topology, made) for made in routes(topology, "laptop")} == {("laptop", "router", "home")}
    (nat,) = [made for made in desired(home(), Capabilities()).values() if isinstance(made, Ruleset)]
    assert link_of(home(), nat) is None


@pytest.mark.parametrize("nat", ["home", None])
def test_it_is_shown(nat: str | None) -> None:
    topology = home(nat)
    made = desired(topology, Capabilities())
    text = show(made, topology)
    assert "route to 0.0.0.0/0 via 10.1.0.3" in text
    if nat is None:
        assert "gateway from home to wan, no NAT" in text
        assert "NAT rules" not in text
    else:
        assert "gateway from home to wan, home: endpoint-independent mapping" in text
        assert "NAT rules" in text
        assert "chain outward" in text
        assert "sysctl net/netfilter/nf_conntrack_udp_timeout = 300" in text
        assert "1 NAT," in text
        rows = [row for row in as_json(made)["objects"] if row["object"] == "ruleset"]
        assert [row["ns"] for row in rows] == ["router"]
