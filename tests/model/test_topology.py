from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.errors import TopologyError
from linkem_py.model import Constant, Impairment, LinkKey, Steps, Topology
from linkem_py.model.topology import MOST_PEERS, MOST_SEGMENTS, PRIO_DESTINATIONS, link_name
from tests import strategies as own

SLOW = Impairment(delay_ms=100)


@pytest.fixture
def topology() -> Topology:
    made = Topology("t")
    for name in ("a", "b", "c"):
        made.add_peer(name)
    made.connect("a", "b", SLOW)
    return made


def everything(topology: Topology) -> tuple[Any, ...]:
    return dict(topology.peers), dict(topology.links), [list(topology.outgoing(name)) for name in topology.peers]


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": ""}, "name must be some text: ''"),
        ({"name": "  "}, "name must be some text: '  '"),
        ({"name": 5}, "name must be some text: 5"),
        ({"unlinked": "shut"}, "unlinked must be one of open, blocked: 'shut'"),
        ({"classifier": "cbq"}, "classifier must be one of htb, prio: 'cbq'"),
        ({"duplicates": None}, "duplicates must be one of auto, strict, isolate: None"),
        ({"offload": 1}, "offload must be true or false: 1"),
        ({"ipv4": "10.0.0.1/16"}, "ipv4 must be a subnet such as 10.0.0.0/16: '10.0.0.1/16'"),
        ({"ipv4": None}, "ipv4 must be a subnet such as 10.0.0.0/16: None"),
        ({"ipv4": 5}, "ipv4 must be a subnet such as 10.0.0.0/16: 5"),
        ({"ipv4": "fd00::/64"}, "ipv4 must be a subnet such as 10.0.0.0/16: 'fd00::/64'"),
        ({"ipv4": "224.0.0.0/24"}, "ipv4 must be a subnet for hosts: '224.0.0.0/24'"),
        ({"ipv4": "127.0.0.0/8"}, "ipv4 must be a subnet for hosts: '127.0.0.0/8'"),
        ({"ipv6": "fd00::1/64"}, "ipv6 must be a subnet such as fd00:1::/64, or None: 'fd00::1/64'"),
        ({"ipv6": "10.0.0.0/16"}, "ipv6 must be a subnet such as fd00:1::/64, or None: '10.0.0.0/16'"),
        ({"ipv6": "ff02::/64"}, "ipv6 must be a subnet for hosts: 'ff02::/64'"),
        ({"ipv6": "fe80::/64"}, "ipv6 must be a subnet for hosts: 'fe80::/64'"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Topology(**{"name": "t", **settings})
    assert str(caught.value) == message


# --- peers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A9", "eu-west_1", "1", "x" * 63])
def test_a_peer_is_named_like_a_host(name: str) -> None:
    assert Topology("t").add_peer(name).name == name


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "must have a name"),
        ("x" * 64, "name must have at most 63 characters"),
        ("a b", "name must be letters, digits, '-' and '_', beginning and ending with a letter or digit"),
        ("a.b", "name must be letters, digits, '-' and '_', beginning and ending with a letter or digit"),
        ("-a", "name must be letters, digits, '-' and '_', beginning and ending with a letter or digit"),
        ("a_", "name must be letters, digits, '-' and '_', beginning and ending with a letter or digit"),
        ("a\n", "name must be letters, digits, '-' and '_', beginning and ending with a letter or digit"),
        ("ä", "name must be letters, digits, '-' and '_', beginning and ending with a letter or digit"),
        ("../x", "name must be letters, digits, '-' and '_', beginning and ending with a letter or digit"),
        ("LocalHost", "must not be named like the loopback"),
        (5, "must be named by a string"),
        (None, "must be named by a string"),
        (["a"], "must be named by a string"),
        ("a", "must not be added twice"),
        ("A", "must differ from 'a' in more than upper and lower case"),
    ],
)
def test_a_peer_with_an_odd_name_is_refused(topology: Topology, name: Any, rule: str) -> None:
    before = everything(topology)
    with pytest.raises(TopologyError) as caught:
        topology.add_peer(name)
    assert (caught.value.field, caught.value.rule, caught.value.value) == ("peer", rule, name)
    assert everything(topology) == before


@pytest.mark.parametrize(
    ("settings", "fit", "message"),
    [
        ({"ipv4": "10.0.0.0/30", "ipv6": None}, 2, "does not fit: 10.0.0.0/30 has room for 2 peers"),
        ({"ipv4": "10.0.0.0/29"}, 6, "does not fit: subnets 10.0.0.0/29 and fd00:1::/64 have room for 6 peers"),
        ({"ipv6": "fd00::/126"}, 3, "does not fit: subnets 10.0.0.0/16 and fd00::/126 have room for 3 peers"),
        ({"ipv4": "10.0.0.0/32", "ipv6": None}, 0, "does not fit: 10.0.0.0/32 has room for 0 peers"),
    ],
)
def test_a_subnet_that_is_too_small_says_how_many_peers_fit(settings: dict[str, Any], fit: int, message: str) -> None:
    topology = Topology("t", **settings)
    for number in range(fit):
        topology.add_peer(f"p{number}")
    with pytest.raises(TopologyError) as caught:
        topology.add_peer("last")
    assert str(caught.value) == f"peer {message}: 'last'"
    assert len(topology.peers) == fit


def test_a_topology_has_no_more_peers_than_handles() -> None:
    assert Topology("t", ipv4="10.0.0.0/8").segments["lan"].room == MOST_PEERS


def test_a_peer_gets_the_lowest_free_number_and_keeps_it(topology: Topology) -> None:
    topology.remove_peer("b")
    topology.remove_peer("a")
    assert [topology.add_peer(name).number for name in ("x", "y", "z")] == [1, 2, 4]
    assert topology.peer("c").number == 3


@given(st.data(), own.topologies())
def test_numbers_are_never_shared(data: st.DataObject, topology: Topology) -> None:
    for _ in range(data.draw(st.integers(1, 5))):
        topology = own.edited(data.draw, topology)
        numbers = [peer.number for peer in topology.peers.values()]
        assert len(set(numbers)) == len(numbers)
        assert all(1 <= number <= MOST_PEERS for number in numbers)


def test_a_peer_takes_its_links_along(topology: Topology) -> None:
    topology.add_link("c", "a")
    topology.add_link("b", "c")
    topology.remove_peer("a")
    assert list(topology.links) == [("b", "c", "lan")]
    assert list(topology.outgoing("c")) == []
    topology.add_peer("A")  # the name is free again, in whatever case


@pytest.mark.parametrize("name", ["z", None, ["a"], 5])
def test_an_unknown_peer_is_refused_with_the_peers_there_are(topology: Topology, name: Any) -> None:
    for ask in (topology.peer, topology.remove_peer):
        with pytest.raises(TopologyError) as caught:
            ask(name)
        assert str(caught.value) == f"peer is not in the topology; the peers are a, b, c: {name!r}"


def test_a_message_does_not_list_a_hundred_peers() -> None:
    topology = Topology("t")
    with pytest.raises(TopologyError, match="the peers are none: 'z'"):
        topology.peer("z")
    for number in range(100):
        topology.add_peer(f"p{number}")
    with pytest.raises(TopologyError, match="are p0, p1, p2, p3, p4, p5, p6, p7 and 92 more: 'z'"):
        topology.peer("z")


# --- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (("a", "z"), "link a->z: peer is not in the topology; the peers are a, b, c: 'z'"),
        (("z", "a"), "link z->a: peer is not in the topology; the peers are a, b, c: 'z'"),
        ((["a"], "b"), "link ['a']->b: peer is not in the topology; the peers are a, b, c: ['a']"),
        (("a", "a"), "link a->a: destination must not be the source: 'a'"),
        (("a", "b"), "link a->b: link must not be added twice: 'a->b'"),
        (
            ("a", "c", "much-too-long"),
            "link a->c (much-too-long): segment name must have at most 9 characters: 'much-too-long'",
        ),
        (("a", "c", ["lan"]), "link a->c (['lan']): segment must be named by a string: ['lan']"),
    ],
    ids=str,
)
def test_a_link_that_cannot_be_is_refused(topology: Topology, ends: tuple[Any, ...], message: str) -> None:
    before = everything(topology)
    source, destination, *segment = ends
    options = {"segment": segment[0]} if segment else {}
    for add in (topology.add_link, topology.connect):
        with pytest.raises(TopologyError) as caught:
            add(source, destination, **options)
        assert str(caught.value) == message
    assert everything(topology) == before


def test_an_impairment_must_be_one(topology: Topology) -> None:
    with pytest.raises(TopologyError, match=r"link a->c: impairment must be an Impairment: \{\}"):
        topology.add_link("a", "c", {})  # type: ignore[arg-type]
    with pytest.raises(TopologyError, match="impairment must be an Impairment: None"):
        topology.set_impairment("a", "b", None)  # type: ignore[arg-type]


def test_connecting_adds_neither_direction_if_one_cannot_be(topology: Topology) -> None:
    topology.add_link("c", "a")
    before = everything(topology)
    with pytest.raises(TopologyError, match="link c->a: link must not be added twice"):
        topology.connect("a", "c")
    assert everything(topology) == before


def test_the_directions_of_a_connection_are_alike_unless_said_otherwise(topology: Topology) -> None:
    there, back = topology.connect("a", "c", SLOW)
    assert there.impairment == back.impairment == SLOW
    there, back = topology.connect("b", "c", SLOW, back=Impairment(loss_pct=1))
    assert (there.impairment, back.impairment) == (SLOW, Impairment(loss_pct=1))
    assert topology.connect("c", topology.add_peer("d").name)[1].impairment.is_clear


def test_disconnecting_takes_whichever_directions_there_are(topology: Topology) -> None:
    topology.add_link("c", "a")
    topology.disconnect("a", "b")
    topology.disconnect("a", "c")
    assert topology.links == {}


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (("a", "c"), "link a->c: link is not in the topology: 'a->c'"),
        (("a", "z"), "link a->z: peer is not in the topology; the peers are a, b, c: 'z'"),
        (({}, "a"), "link {}->a: peer is not in the topology; the peers are a, b, c: {}"),
    ],
    ids=str,
)
def test_a_link_that_is_not_there_is_refused(topology: Topology, ends: tuple[Any, Any], message: str) -> None:
    asks = (topology.link, topology.remove_link, lambda s, d: topology.set_impairment(s, d, SLOW))
    for ask in asks:
        with pytest.raises(TopologyError) as caught:
            ask(*ends)
        assert str(caught.value) == message
    if isinstance(ends[0], str):
        with pytest.raises(TopologyError, match=r"is not in the topology"):
            topology.disconnect(*ends)


def test_a_link_of_an_unknown_segment_is_refused(topology: Topology) -> None:
    with pytest.raises(
        TopologyError, match=r"link a->b \(nr\): segment is not in the topology; the segments are lan: 'nr'"
    ):
        topology.link("a", "b", segment="nr")


def test_a_prio_classifier_has_room_for_fifteen_destinations() -> None:
    topology = Topology("t", classifier="prio")
    for number in range(PRIO_DESTINATIONS + 2):
        topology.add_peer(f"p{number}")
    for number in range(1, PRIO_DESTINATIONS + 1):
        topology.add_link("p0", f"p{number}")
    with pytest.raises(TopologyError) as caught:
        topology.add_link("p0", "p16")
    assert str(caught.value) == (
        "peer p0: source must have at most 15 destinations with the prio classifier (use htb): 16"
    )
    topology.remove_link("p0", "p7")
    assert topology.add_link("p0", "p16").slot == 6
    assert topology.link("p0", "p8").slot == 7
    assert topology.add_link("p1", "p0").slot == 0


def test_a_link_remembers_that_it_had_a_rate(topology: Topology) -> None:
    assert not topology.link("a", "b").shaped
    assert topology.set_impairment("a", "b", Impairment(rate_kbit=5)).shaped
    assert topology.set_impairment("a", "b", Impairment()).shaped
    assert topology.add_link("a", "c", Impairment(rate_kbit=5)).shaped


def test_links_are_found_by_their_ends(topology: Topology) -> None:
    topology.add_link("c", "a", SLOW)
    assert [link.key for link in topology.outgoing("a")] == [("a", "b", "lan")]
    assert [str(link) for link in topology.links_of("a")] == ["link a->b", "link b->a", "link c->a"]
    assert list(topology.outgoing("z")) == []


@pytest.mark.parametrize(("key", "text"), [(("a", "b", "lan"), "link a->b"), (("a", "b", "lte"), "link a->b (lte)")])
def test_a_link_is_named_with_its_segment_unless_that_is_the_default(key: LinkKey, text: str) -> None:
    assert link_name(key) == text


# --- the whole ----------------------------------------------------------------------------------


@given(own.topologies(), st.data())
def test_a_copy_is_independent(topology: Topology, data: st.DataObject) -> None:
    before = everything(topology)
    twin = topology.copy()
    assert everything(twin) == before
    own.edited(data.draw, twin)  # which copies once more
    twin.add_peer("other")
    for key in list(twin.links):
        twin.remove_link(*key)
    assert everything(topology) == before
    assert topology.copy().add_peer("other") == twin.peer("other")


def test_a_copy_without_ipv6_differs_in_nothing_else(topology: Topology) -> None:
    twin = topology.without_ipv6()
    assert twin.segments["lan"].ipv6 is None
    assert topology.segments["lan"].ipv6 is not None
    assert twin.segments["lan"].ipv4 == topology.segments["lan"].ipv4
    assert everything(twin) == everything(topology)


def test_the_graph_has_everything_that_the_topology_has(topology: Topology) -> None:
    graph = topology.graph
    assert graph.nodes["b"] == {"number": 2, "placement": "sender"}
    assert graph.edges["a", "b", "lan"]["impairment"] == SLOW
    assert nx.shortest_path_length(graph, "a", "b", weight="delay_ms") == 100
    assert topology.graph is graph
    with pytest.raises(nx.NetworkXError, match=r"[Ff]rozen"):
        graph.add_node("z")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.add_peer("z"),
        lambda t: t.remove_peer("c"),
        lambda t: t.add_link("a", "c"),
        lambda t: t.remove_link("a", "b"),
        lambda t: t.set_impairment("a", "b", Impairment()),
    ],
)
def test_the_graph_follows_every_change(topology: Topology, change: Any) -> None:
    stale = topology.graph
    change(topology)
    assert topology.graph is not stale
    assert set(topology.graph.nodes) == set(topology.peers)
    assert set(topology.graph.edges(keys=True)) == set(topology.links)
    assert all(topology.graph.edges[key]["impairment"] == link.impairment for key, link in topology.links.items())


@given(own.topologies())
def test_a_topology_made_from_a_graph_has_its_links_and_impairments(topology: Topology) -> None:
    again = Topology.from_graph("again", topology.graph, ipv4="10.77.0.0/16")
    assert {key: link.impairment for key, link in again.links.items()} == {
        key: link.impairment for key, link in topology.links.items()
    }
    assert set(again.peers) == set(topology.peers)


def test_an_undirected_graph_becomes_links_each_way() -> None:
    graph = nx.Graph()
    graph.add_edge(1, 2, loss_pct=2, weight=7)
    graph.add_edge(2, 3, impairment=Impairment(delay_ms=5), jitter_ms=1)
    topology = Topology.from_graph("t", graph, SLOW)
    assert set(topology.links) == {("1", "2", "lan"), ("2", "1", "lan"), ("2", "3", "lan"), ("3", "2", "lan")}
    assert topology.link("2", "1").impairment == Impairment(delay_ms=100, loss_pct=2)
    assert topology.link("3", "2").impairment == Impairment(delay_ms=5, jitter_ms=1)
    assert Topology.from_graph("t", nx.path_graph(2)).link("0", "1").impairment.is_clear


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"loss_pct": 130}, "link a->b: loss_pct must be between 0 and 100: 130"),
        ({"impairment": 5}, "link a->b: impairment must be an Impairment: 5"),
        ({"jitter_ms": 5}, "link a->b: jitter_ms must not be above delay_ms (0): 5"),
    ],
    ids=str,
)
def test_a_wrong_edge_of_a_graph_is_refused_by_its_name(edge: dict[str, Any], message: str) -> None:
    graph = nx.DiGraph()
    graph.add_edge("a", "b", **edge)
    with pytest.raises(TopologyError) as caught:
        Topology.from_graph("t", graph)
    assert str(caught.value) == message


def test_an_error_keeps_the_first_place_it_was_given() -> None:
    error = TopologyError("f", "r", 1).at("link a->b")
    assert error.at("elsewhere") is error
    assert str(error) == "link a->b: f r: 1"


def test_a_topology_says_how_large_it_is(topology: Topology) -> None:
    assert repr(topology) == "<Topology 't': 3 peers, 2 links>"


# --- schedules ----------------------------------------------------------------------------------

FAST, FASTER = Steps([(0, {"rate_kbit": 100}), (1, {"rate_kbit": 900})]), Constant({"rate_kbit": 2000})
A_B, B_A = ("a", "b", "lan"), ("b", "a", "lan")


@pytest.mark.parametrize(
    ("arguments", "schedules"),
    [
        ({"schedule": FAST}, {A_B: FAST, B_A: FAST}),
        ({"schedule": FAST, "back_schedule": FASTER}, {A_B: FAST, B_A: FASTER}),
        ({"schedule": FAST, "back": SLOW}, {A_B: FAST}),
        ({"back_schedule": FASTER}, {B_A: FASTER}),
        ({}, {}),
    ],
    ids=str,
)
def test_links_are_connected_with_their_schedules(arguments: Any, schedules: Any) -> None:
    made = Topology("t")
    made.add_peer("a")
    made.add_peer("b")
    made.connect("a", "b", SLOW, **arguments)
    assert made.schedules == schedules
    for key, link in made.links.items():
        assert link.ceiling_kbit == (None if key not in schedules else 900 if schedules[key] is FAST else 2000)
        assert link.shaped == (key in schedules)


def test_a_schedule_is_set_and_taken_away(topology: Topology) -> None:
    assert topology.set_schedule("a", "b", FAST) == topology.link("a", "b")
    assert topology.schedules == {A_B: FAST}
    twin = topology.copy()
    assert topology.set_schedule("a", "b", None).ceiling_kbit is None
    assert topology.schedules == {}
    assert twin.schedules == {A_B: FAST}
    twin.put_schedule(A_B, FASTER)
    twin.put_schedule(A_B, None)
    twin.put_schedule(A_B, None)
    assert twin.schedules == {}


def test_a_schedule_goes_with_its_link(topology: Topology) -> None:
    topology.set_schedule("a", "b", FAST)
    topology.set_schedule("b", "a", FAST)
    topology.remove_link("a", "b")
    assert topology.schedules == {B_A: FAST}
    topology.remove_peer("a")
    assert topology.schedules == {}
    assert topology.add_link("b", "c", schedule=FAST).ceiling_kbit == 900


def test_an_impairment_under_a_schedule_is_held_against_it(topology: Topology) -> None:
    topology.set_schedule("a", "b", Constant({"jitter_ms": 50}))
    with pytest.raises(TopologyError, match="link a->b: jitter_ms must not be above delay_ms"):
        topology.set_impairment("a", "b", Impairment(delay_ms=10))
    assert topology.link("a", "b").impairment == SLOW
    assert topology.set_impairment("a", "b", Impairment(delay_ms=50, rate_kbit=7)).ceiling_kbit == 7


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("lte", "link c->a: schedule must be a Schedule: 'lte'"),
        (Constant({"jitter_ms": 50}), "link c->a: jitter_ms must not be above delay_ms"),
    ],
    ids=str,
)
def test_an_impossible_schedule_leaves_the_topology_as_it_was(topology: Topology, schedule: Any, message: str) -> None:
    before = everything(topology)
    for change in (
        lambda: topology.add_link("c", "a", schedule=schedule),
        lambda: topology.connect("a", "c", schedule=Constant(), back_schedule=schedule),
    ):
        with pytest.raises(TopologyError, match=message):
            change()
    assert everything(topology) == before
    assert topology.schedules == {}


# --- segments -----------------------------------------------------------------------------------


def named(topology: Topology, segment: str) -> list[str]:
    return [peer.name for peer in topology.peers_on(segment)]


def test_without_a_word_about_segments_all_peers_are_on_one(topology: Topology) -> None:
    assert list(topology.segments) == ["lan"]
    assert named(topology, "lan") == ["a", "b", "c"]
    assert topology.is_on("c", "lan")
    assert not topology.is_on("z", "lan")
    assert not topology.is_on("a", "lte")


def test_a_peer_is_on_the_segments_on_which_it_has_a_link_or_that_it_joined(topology: Topology) -> None:
    topology.connect("b", "c", segment="lte")
    assert named(topology, "lan") == ["a", "b"]
    assert named(topology, "lte") == ["b", "c"]
    topology.join("a", "lte")
    topology.join("a", "lte")
    assert [segment.name for segment in topology.segments_of("a")] == ["lan", "lte"]
    topology.leave("a", "lte")
    topology.leave("a", "lte")
    assert named(topology, "lte") == ["b", "c"]
    topology.remove_link("b", "c", "lte")
    assert named(topology, "lte") == ["b", "c"]
    topology.remove_link("c", "b", "lte")
    assert named(topology, "lte") == []
    assert "lte" in topology.segments


def test_the_default_segment_is_there_only_if_it_is_the_only_one_or_somebody_is_or_was_on_it() -> None:
    topology = Topology("t")
    topology.add_peer("a")
    assert list(topology.segments) == ["lan"]
    topology.add_segment("lte")
    assert list(topology.segments) == ["lte"]
    assert topology.segments_of("a") == []
    topology.join("a", "lan")
    assert list(topology.segments) == ["lan", "lte"]
    topology.remove_peer("a")
    assert list(topology.segments) == ["lan", "lte"]
    assert topology.peers_on("lan") == []


def test_a_settled_topology_keeps_its_peers_on_the_default_segment(topology: Topology) -> None:
    topology.settle()
    topology.add_segment("lte")
    topology.disconnect("a", "b")
    topology.add_peer("late")
    assert named(topology, "lan") == ["a", "b", "c"]
    topology.settle()
    assert not topology.is_on("late", "lan")


def test_segments_have_the_next_free_subnets_unless_given_others(topology: Topology) -> None:
    lte, nr = topology.add_segment("lte"), topology.add_segment("nr", "10.2.0.0/16")
    topology.add_link("a", "b", segment="wifi")
    wifi = topology.segments["wifi"]
    assert [(s.number, str(s.ipv4), str(s.ipv6)) for s in (lte, nr, wifi)] == [
        (2, "10.1.0.0/16", "fd00:2::/64"),
        (3, "10.2.0.0/16", "fd00:3::/64"),
        (4, "10.3.0.0/16", "fd00:4::/64"),
    ]
    assert topology.add_segment("four", ipv6=False).ipv6 is None
    assert str(topology.add_segment("six", ipv6="fd09::/64").ipv6) == "fd09::/64"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5,), "segment must be named by a string: 5"),
        (("",), "segment must have a name: ''"),
        (
            ("a.b",),
            "segment name must be lower-case letters, digits and '-', beginning and ending with a letter or digit",
        ),
        (("LTE",), "segment name must be lower-case letters"),
        (("-lte",), "segment name must be lower-case letters"),
        (("tencharact",), "segment name must have at most 9 characters: 'tencharact'"),
        (("lan",), "segment must not be added twice: 'lan'"),
        (("lte", "nonsense"), "ipv4 must be a subnet such as 10.0.0.0/16: 'nonsense'"),
        (("lte", "10.0.128.0/24"), "segment lte: ipv4 must not overlap 10.0.0.0/16 of segment lan: '10.0.128.0/24'"),
        (("lte", None, "fd00::/16"), "segment lte: ipv6 must not overlap fd00:1::/64 of segment lan: 'fd00::/16'"),
    ],
)
def test_a_segment_that_cannot_be_is_refused(topology: Topology, arguments: tuple[Any, ...], message: str) -> None:
    before = everything(topology)
    with pytest.raises(TopologyError) as caught:
        topology.add_segment(*arguments)
    assert str(caught.value).startswith(message)
    assert everything(topology) == before
    assert list(topology.segments) == ["lan"]


def test_a_topology_without_ipv6_has_none_on_any_segment() -> None:
    topology = Topology("t", ipv6=None)
    assert topology.add_segment("lte").ipv6 is None
    with pytest.raises(TopologyError, match="ipv6 must be left out in a topology without IPv6: 'fd00:2::/64'"):
        topology.add_segment("nr", ipv6="fd00:2::/64")
    twin = Topology("t").without_ipv6()
    assert twin.add_segment("lte").ipv6 is None


def test_a_topology_has_room_for_so_many_segments() -> None:
    topology = Topology("t", ipv4="192.168.0.0/16")
    for number in range(MOST_SEGMENTS - 1):
        topology.add_segment(f"s{number}")
    with pytest.raises(TopologyError, match="a topology has room for 255 segments: 'last'"):
        topology.add_segment("last")


def test_a_segment_needs_subnets_where_no_default_one_is_free() -> None:
    topology = Topology("t", ipv4="10.0.0.0/8")
    with pytest.raises(TopologyError, match="segment has no free default subnet left: give it subnets: 'lte'"):
        topology.add_segment("lte")
    assert topology.add_segment("lte", "192.168.0.0/24").name == "lte"


def test_a_peer_joins_what_there_is_and_has_room(topology: Topology) -> None:
    topology.add_segment("tiny", "192.168.0.0/30", False)
    topology.connect("a", "b", segment="tiny")
    for ask in (lambda: topology.join("c", "tiny"), lambda: topology.add_link("a", "c", segment="tiny")):
        with pytest.raises(TopologyError, match=r"peer does not fit: 192\.168\.0\.0/30 has room for 2 peers: 'c'"):
            ask()
    for act in (topology.join, topology.leave):
        with pytest.raises(
            TopologyError, match="peer a: segment is not in the topology; the segments are lan, tiny: 'x'"
        ):
            act("a", "x")
        with pytest.raises(TopologyError, match="peer is not in the topology"):
            act("z", "tiny")


def test_the_number_of_peers_is_limited_whatever_the_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkem_py.model.topology.MOST_PEERS", 2)
    topology = Topology("t")
    topology.add_segment("lte")
    topology.add_peer("a")
    topology.add_peer("b")
    with pytest.raises(TopologyError, match="peer does not fit: a topology has room for 2 peers: 'c'"):
        topology.add_peer("c")


def test_a_copy_has_segments_of_its_own(topology: Topology) -> None:
    twin = topology.copy()
    twin.connect("a", "b", segment="lte")
    twin.join("c", "lte")
    assert list(topology.segments) == ["lan"]
    assert named(topology, "lan") == ["a", "b", "c"]


@given(st.data(), own.topologies())
def test_who_is_on_a_segment_follows_from_the_links_and_those_that_joined(
    data: st.DataObject, topology: Topology
) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        topology = own.edited(data.draw, topology)
    several = list(topology.segments) != ["lan"]
    for segment in topology.segments if several else ():
        linked = {name for link in topology.links.values() if link.segment == segment for name in link.key[:2]}
        assert linked <= {*named(topology, segment)}
        for name in {*named(topology, segment)} - linked:
            topology.leave(name, segment)  # it was there only because it had joined
            assert segment not in topology.segments or not topology.is_on(name, segment)


def test_all_segments_have_the_default_one_also_where_nobody_was_on_it() -> None:
    topology = Topology("t")
    topology.add_peer("a")
    topology.add_segment("lte")
    topology.join("a", "lte")
    assert list(topology.segments) == ["lte"]
    assert list(topology.all_segments) == ["lan", "lte"]
    assert topology.joins == {("a", "lte")}
