"""Cross traffic as a value: what is refused, and what it amounts to."""

from __future__ import annotations

from typing import Any

import pytest

from linkem_py import CrossTraffic, Impairment, Topology, TopologyError
from linkem_py.model import IMIX, OrnsteinUhlenbeck
from linkem_py.model.cross_traffic import MOST_PACKETS_PER_S


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "load_kbit must be given, or load_pct: None"),
        ({"load_kbit": 1, "load_pct": 2}, "load_pct must not stand beside load_kbit (1): 2"),
        ({"load_kbit": 0}, "load_kbit must be above 0: 0"),
        ({"load_kbit": True}, "load_kbit must be a number: True"),
        ({"load_pct": 1001}, "load_pct must be between 0 and 1000: 1001"),
        ({"load_pct": 5, "packet_bytes": 27}, "packet_bytes must be between 28 and 1500: 27"),
        ({"load_pct": 5, "packet_bytes": 1.5}, "packet_bytes must be a whole number, or sizes with their weights: 1.5"),
        ({"load_pct": 5, "packet_bytes": True}, "packet_bytes must be a whole number: True"),
        (
            {"load_pct": 5, "packet_bytes": None},
            "packet_bytes must be a whole number, or sizes with their weights: None",
        ),
        ({"load_pct": 5, "packet_bytes": "40"}, "packet_bytes must be a whole number, or sizes with their weights: 40"),
        (
            {"load_pct": 5, "packet_bytes": [40]},
            "packet_bytes must be a whole number, or sizes with their weights: [40]",
        ),
        ({"load_pct": 5, "packet_bytes": ()}, "packet_bytes must be at least one size: ()"),
        ({"load_pct": 5, "packet_bytes": {40: 0}}, "packet_bytes must be above 0: 0"),
        (
            {"load_pct": 5, "packet_bytes": ((None, 1),)},
            "packet_bytes must be sizes with their weights: ((None, 1),)",
        ),
        ({"load_pct": 5, "arrivals": "bursty"}, "arrivals must be one of poisson, paced: bursty"),
        ({"load_pct": 5, "on_ms": 10}, "on_ms needs off_ms: 10"),
        ({"load_pct": 5, "off_ms": 10}, "off_ms needs on_ms: 10"),
        ({"load_pct": 5, "on_ms": 0.5, "off_ms": 1}, "on_ms must be between 1 and 3.6e+06: 0.5"),
        (
            {"load_kbit": 20_000, "packet_bytes": 100},
            "load_kbit must not be above 18240 (20,000 packets a second): 20000",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_field_rule_and_value(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError) as error:
        CrossTraffic(**fields)
    assert str(error.value).startswith(message.rsplit(":", 1)[0])
    assert error.value.field in message


def test_sizes_may_be_one_number_a_mapping_or_pairs() -> None:
    assert CrossTraffic(load_pct=1).sizes == ((1500, 1.0),)
    assert CrossTraffic(load_pct=1, packet_bytes={1500: 1, 40: 7, 576: 4}).sizes == IMIX
    assert CrossTraffic(load_pct=1, packet_bytes=IMIX).mean_frame_bytes == pytest.approx(14 + 4084 / 12)


def test_a_share_follows_the_rate_up_to_what_a_flow_sends() -> None:
    share = CrossTraffic(load_pct=80, packet_bytes=486)
    assert share.load_at(2000) == pytest.approx(1600)
    assert share.load_at(None) == 0
    assert share.load_at(8e9) == share.most_kbit == MOST_PACKETS_PER_S * 500 * 8 / 1000
    assert CrossTraffic(load_kbit=7).load_at(None) == 7


def test_the_mean_share_is_that_of_the_times_on() -> None:
    assert CrossTraffic(load_pct=1).mean_share == 1
    assert CrossTraffic(load_pct=1, on_ms=100, off_ms=300).mean_share == 0.25


# ---------------------------------------------------------------------------------- in a topology

RATED = Impairment(rate_kbit=2000)
SHARE = CrossTraffic(load_pct=50)
FIXED = CrossTraffic(load_kbit=50)
A_B, B_A = ("a", "b", "lan"), ("b", "a", "lan")


def pair() -> Topology:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    return topology


def test_a_topology_has_cross_traffic_by_direction() -> None:
    topology = pair()
    topology.connect("a", "b", RATED, cross_traffic=SHARE)
    assert topology.cross_traffic == {A_B: SHARE}
    twin = topology.copy()
    twin.set_cross_traffic("b", "a", FIXED)
    twin.set_cross_traffic("a", "b", None)
    assert (topology.cross_traffic, twin.cross_traffic) == ({A_B: SHARE}, {B_A: FIXED})
    twin.disconnect("a", "b")
    assert twin.cross_traffic == {}
    twin.connect("a", "b", RATED, cross_traffic=SHARE, back_cross_traffic=FIXED)
    assert twin.cross_traffic == {A_B: SHARE, B_A: FIXED}


def test_a_share_needs_a_rate_at_some_time() -> None:
    topology = pair()
    with pytest.raises(TopologyError, match="link a->b: load_pct needs a link with rate_kbit: 50"):
        topology.add_link("a", "b", cross_traffic=SHARE)
    with pytest.raises(TopologyError, match="link b->a: cross_traffic must be a CrossTraffic: 5"):
        topology.connect("a", "b", back_cross_traffic=5)  # type: ignore[arg-type]
    assert not topology.links
    topology.add_link("a", "b", cross_traffic=FIXED)
    topology.add_link("b", "a", schedule=OrnsteinUhlenbeck(1000, tau_s=1), cross_traffic=SHARE)
    with pytest.raises(TopologyError, match="load_pct needs"):
        topology.set_cross_traffic("a", "b", SHARE)
    assert topology.cross_traffic == {A_B: FIXED, B_A: SHARE}
