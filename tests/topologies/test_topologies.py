import importlib
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import networkx as nx
import pytest

import topologies
from linkem_py import Capabilities, Nat, Topology, TopologyError
from linkem_py.model import OrnsteinUhlenbeck, presets
from linkem_py.plan import desired

NAMES = sorted(path.stem for path in Path(next(iter(topologies.__path__))).glob("[!_]*.py"))
SIZED = ["star", "ring", "chain", "full_mesh"]


def make(name: str, **parameters: Any) -> Topology:
    return importlib.import_module(f"topologies.{name}").topology(**parameters)  # type: ignore[no-any-return]


def test_the_topologies_promised_are_there() -> None:
    assert {"regions", "pair", "star", "ring", "full_mesh", "chain"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_topology_is_documented_and_can_be_planned_as_it_is(name: str) -> None:
    module = importlib.import_module(f"topologies.{name}")
    assert module.__doc__
    assert module.topology.__doc__
    assert desired(module.topology(), Capabilities())


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_an_annotation_and_a_default(name: str) -> None:
    function = importlib.import_module(f"topologies.{name}").topology
    hints = get_type_hints(function)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.name in hints
        assert parameter.default is not parameter.empty


@pytest.mark.parametrize("name", NAMES)
def test_every_link_has_one_back(name: str) -> None:
    links = make(name).links
    assert all((destination, source, segment) in links for source, destination, segment in links)


@pytest.mark.parametrize(
    ("name", "links"), [("star", 2 * 19), ("ring", 2 * 20), ("chain", 2 * 19), ("full_mesh", 20 * 19)]
)
def test_sizes_are_parameters(name: str, links: int) -> None:
    topology = make(name, peers=20)
    assert len(topology.peers) == 20
    assert len(topology.links) == links
    assert nx.is_strongly_connected(topology.graph)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("peers", [1, 0, -3, 2.5, "many", True, None])
def test_a_size_that_makes_no_sense_is_refused(name: str, peers: object) -> None:
    with pytest.raises(TopologyError, match="peers must be a whole number"):
        make(name, peers=peers)


@pytest.mark.parametrize("name", ["pair", *SIZED])
def test_impairments_are_parameters(name: str) -> None:
    topology = make(name, delay_ms=7.0, jitter_ms=2.0, loss_pct=1.0, rate_kbit=500.0)
    for link in topology.links.values():
        found = link.impairment
        assert (found.delay_ms, found.jitter_ms, found.loss_pct, found.rate_kbit) == (7, 2, 1, 500)
    with pytest.raises(TopologyError, match="loss_pct"):
        make(name, loss_pct=101.0)


def test_the_directions_of_a_pair_may_differ() -> None:
    topology = make("pair", delay_ms=10.0, back_delay_ms=300.0, rate_kbit=5000.0, back_rate_kbit=600.0)
    there, back = topology.link("a", "b").impairment, topology.link("b", "a").impairment
    assert (there.delay_ms, there.rate_kbit, back.delay_ms, back.rate_kbit) == (10, 5000, 300, 600)


@pytest.mark.parametrize("name", ["star", "ring", "chain"])
def test_peers_without_a_link_are_blocked_unless_asked_otherwise(name: str) -> None:
    assert make(name).unlinked == "blocked"
    assert make(name, unlinked="open").unlinked == "open"
    with pytest.raises(TopologyError, match="unlinked"):
        make(name, unlinked="maybe")


def test_regions_have_the_numbers_of_their_table() -> None:
    topology = make("regions")
    assert list(topology.peers) == ["eu-west", "us-east-1", "us-east-2", "tokyo"]
    assert len(topology.links) == 12
    expected = {
        ("us-east-1", "us-east-2"): (1, 0.5, 0.01, None),
        ("us-east-2", "eu-west"): (40, 5, 0.1, 1_000_000),
        ("tokyo", "us-east-1"): (80, 10, 0.2, 500_000),
        ("eu-west", "tokyo"): (120, 15, 0.5, 300_000),
    }
    for (source, destination), numbers in expected.items():
        found = topology.link(source, destination).impairment
        assert (found.delay_ms, found.jitter_ms, found.loss_pct, found.rate_kbit) == numbers


def test_regions_can_be_scaled() -> None:
    topology = make("regions", delay_factor=0.5, loss_factor=0.0, rates=False)
    found = topology.link("eu-west", "tokyo").impairment
    assert (found.delay_ms, found.jitter_ms, found.loss_pct, found.rate_kbit) == (60, 7.5, 0, None)
    for wrong in ({"delay_factor": -1.0}, {"loss_factor": "x"}, {"rates": 1}):
        with pytest.raises(TopologyError, match=next(iter(wrong))):
            make("regions", **wrong)


def test_bonded_links_have_the_presets_of_their_segments() -> None:
    topology = make("bonding_cellular", nr="nr_cell_edge")
    assert list(topology.segments) == ["lte", "nr", "wifi"]
    for segment, up, down in (
        ("lte", "lte_uplink", "lte_downlink"),
        ("nr", "nr_cell_edge", "nr_cell_edge"),
        ("wifi", "wifi_bad", "wifi_bad"),
    ):
        assert topology.link("camera", "studio", segment=segment).impairment == presets.preset(up).impairment
        assert topology.link("studio", "camera", segment=segment).impairment == presets.preset(down).impairment


def test_bonding_can_do_without_rates_and_with_a_network_for_control() -> None:
    topology = make("bonding_cellular", rates=False, with_lan=True)
    assert all(link.impairment.rate_kbit is None for link in topology.links.values())
    assert [segment.name for segment in topology.segments_of("camera")] == ["lan", "lte", "nr", "wifi"]
    for name in ("rates", "with_lan", "moving"):
        with pytest.raises(TopologyError, match=f"{name} must be true or false"):
            make("bonding_cellular", **{name: 1})
    with pytest.raises(TopologyError, match="moving must be false without rates"):
        make("bonding_cellular", rates=False, moving=True)
    with pytest.raises(TopologyError, match="preset"):
        make("bonding_cellular", lte="no such link")


def test_a_moving_camera_s_links_have_each_a_rate_of_its_own_that_wanders() -> None:
    topology = make("bonding_cellular", moving=True)
    assert len(topology.schedules) == len(topology.links) == 6
    for key, schedule in topology.schedules.items():
        rate = topology.links[key].impairment.rate_kbit
        assert rate is not None
        assert isinstance(schedule, OrnsteinUhlenbeck)
        assert (schedule.mean, schedule.floor) == (rate, 0.125 * rate)
    assert len(set(topology.schedules.values())) > 3
    assert not make("bonding_cellular").schedules


@pytest.mark.parametrize(
    ("name", "segments"),
    [
        ("bonding_asymmetric", ["strong", "weak"]),
        ("bonded_stress", ["link1", "link2", "link3", "link4"]),
        ("race_car", ["lte-a", "lte-b", "nr"]),
        ("satellite_backup", ["line", "satellite"]),
    ],
)
def test_bonding_topologies_have_two_peers_and_a_segment_for_each_link(name: str, segments: list[str]) -> None:
    topology = make(name)
    assert list(topology.segments) == segments
    assert len(topology.peers) == 2
    assert len(topology.links) == 2 * len(segments)


def test_home_nat_has_a_carrier_before_one_of_two_homes() -> None:
    topology = make("home_nat", bob="symmetric")
    found = {name: (gateway.inside, gateway.outside, gateway.nat) for name, gateway in topology.gateways.items()}
    assert found == {
        "alice-router": ("alices", "wan", Nat.named("home")),
        "bob-router": ("bobs", "access", Nat.named("symmetric")),
        "carrier": ("access", "wan", Nat.named("cgnat")),
    }
    assert str(topology.segments["access"].ipv4) == "100.64.0.0/10"
    assert topology.link("bob-router", "carrier", segment="access").impairment == presets.pair("lte")[0].impairment
    for wrong in ("alice", "bob", "carrier"):
        with pytest.raises(TopologyError, match="nat is unknown"):
            make("home_nat", **{wrong: "symetric"})


def test_bonded_stress_can_be_scaled() -> None:
    topology = make("bonded_stress", rate_factor=2.0, loss_factor=0.0)
    found = topology.link("sender", "receiver", segment="link3").impairment
    assert (found.rate_kbit, found.delay_ms, found.loss_pct) == (700, 45, 0)


def test_a_race_car_moves_unless_asked_otherwise() -> None:
    assert len(make("race_car").schedules) == 6
    assert not make("race_car", moving=False).schedules
    with pytest.raises(TopologyError, match="moving must be true or false"):
        make("race_car", moving=1)


def test_consensus_has_the_presets_of_its_regions() -> None:
    topology = make("consensus", rates=True)
    assert len(topology.links) == 20
    assert topology.link("eu-1", "eu-2").impairment == presets.preset("region_same").impairment
    assert topology.link("tokyo-1", "us-2").impairment == presets.preset("region_us_tokyo").impairment
    assert make("consensus").link("tokyo-1", "us-2").impairment.rate_kbit is None


def test_devices_reach_the_cloud_over_the_edge() -> None:
    topology = make("edge_cloud", devices=2, access="lte", cloud_delay_ms=10.0)
    assert list(topology.peers) == ["edge", "cloud", "device-1", "device-2"]
    near, far = topology.link("device-2", "edge").impairment, topology.link("device-2", "cloud").impairment
    assert far == near.evolve(delay_ms=near.delay_ms + 10)
    assert topology.link("cloud", "device-1").impairment.delay_ms == 45
    for wrong in (0, True, 1.5):
        with pytest.raises(TopologyError, match="devices must be a whole number"):
            make("edge_cloud", devices=wrong)
