from __future__ import annotations

from typing import Any

import networkx as nx
import pytest

from linkem_py import TopologyError
from linkem_py.model import Access, AccessLink, Topology


def topology() -> Topology:
    made = Topology("t")
    made.add_peer("a", uplink_kbit=1000)
    made.add_peer("b")
    return made


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"uplink_kbit": 0}, "uplink_kbit must be above 0: 0"),
        ({"uplink_kbit": 9e9}, "uplink_kbit must be between 0 and 8e"),
        ({"downlink_kbit": "fast"}, "downlink_kbit must be a number"),
        ({"downlink_at": "door"}, "downlink_at must be one of hub, peer: 'door'"),
        ({"queue_ms": 0}, "queue_ms must be above 0"),
        (
            {"rate_kbit": 5},
            "rate_kbit is not a field; the fields are uplink_kbit, downlink_kbit, downlink_at, queue_ms",
        ),
    ],
)
def test_an_impossible_access_link_is_refused_by_name_and_changes_nothing(fields: dict[str, Any], message: str) -> None:
    made = topology()
    with pytest.raises(TopologyError, match=f"access link of a: {message}"):
        made.set_access("a", **fields)
    assert made.access("a") == Access(uplink_kbit=1000)
    if "rate_kbit" not in fields:
        with pytest.raises(TopologyError, match="access link of c"):
            made.add_peer("c", **fields)
        assert "c" not in made.peers


def test_what_is_named_changes_and_none_takes_it_away() -> None:
    made = topology()
    made.set_access("a", downlink_kbit=2000, downlink_at="peer", queue_ms=50)
    full = Access(uplink_kbit=1000, downlink_kbit=2000, downlink_at="peer", queue_ms=50)
    assert made.access("a") == full
    assert made.set_access("a", uplink_kbit=None, downlink_at=None, queue_ms=None) == Access(downlink_kbit=2000)


def test_an_interface_remembers_that_it_had_a_rate() -> None:
    made = topology()
    made.set_access("a", uplink_kbit=None)
    assert made.accesses == {("a", "lan"): AccessLink(Access(), upward=True)}
    made.set_access("a", downlink_kbit=5)
    made.set_access("a", downlink_kbit=None)
    assert made.accesses["a", "lan"] == AccessLink(Access(), upward=True, downward=True)


def test_an_interface_that_never_had_anything_has_no_access_link() -> None:
    made = topology()
    made.set_access("b", queue_ms=5)
    made.set_access("b", queue_ms=None)
    assert list(made.accesses) == [("a", "lan")]
    assert made.access("b") == Access()


def test_each_interface_has_its_own() -> None:
    made = topology()
    made.add_segment("lte")
    made.join("a", "lte", uplink_kbit=300, downlink_at="peer")
    made.join("a", "lte", downlink_kbit=400)
    assert made.access("a", segment="lte") == Access(uplink_kbit=300, downlink_kbit=400, downlink_at="peer")
    assert made.access("a") == Access(uplink_kbit=1000)
    with pytest.raises(TopologyError, match=r"access link of b \(lte\): queue_ms"):
        made.join("b", "lte", queue_ms=-1)
    assert not made.is_on("b", "lte")
    with pytest.raises(TopologyError, match="segment"):
        made.set_access("a", segment="nowhere", uplink_kbit=1)
    with pytest.raises(TopologyError, match="peer"):
        made.access("nobody")


def test_a_copy_is_independent_and_a_peer_that_goes_takes_its_access_links_along() -> None:
    made = topology()
    made.add_segment("lte")
    made.set_access("a", segment="lte", downlink_kbit=7)
    twin = made.copy()
    twin.set_access("a", uplink_kbit=5)
    twin.remove_peer("a")
    assert not twin.accesses
    assert made.access("a") == Access(uplink_kbit=1000)
    twin.add_peer("a")
    assert twin.access("a") == Access()


def test_nodes_of_a_graph_may_have_access_links() -> None:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node("a", uplink_kbit=64, colour="red")
    graph.add_edge("a", "b")
    assert Topology.from_graph("t", graph).accesses == {("a", "lan"): AccessLink(Access(uplink_kbit=64), upward=True)}
