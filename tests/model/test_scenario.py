from __future__ import annotations

from typing import Any

import attrs
import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import Constant, Impairment
from linkem_py.model.presets import pair, preset
from linkem_py.model.scenario import SCENARIOS, Scenario, ScenarioLink, scenario

LINK = ScenarioLink.of("link1", "good")


def test_scenarios_have_their_links_and_durations() -> None:
    assert {name: (len(entry.links), entry.duration_s) for name, entry in SCENARIOS.items()} == {
        "baseline_good": (1, 30),
        "bonding_asymmetric": (2, 120),
        "mobile_handover": (1, 180),
        "degrading_network": (1, 120),
        "nr_to_lte_handover": (1, 120),
        "nr_mmwave_mobility": (1, 120),
        "nr_network_slicing": (3, 300),
        "bonded_stress": (4, 60),
    }
    assert all(entry.name == name and entry.about for name, entry in SCENARIOS.items())


def test_the_stressed_links_have_their_numbers() -> None:
    links = [link.uplink.impairment for link in scenario("bonded-stress").links]
    assert [(link.rate_kbit, link.delay_ms, link.loss_pct) for link in links] == [
        (1000, 20, 0.1), (700, 30, 0.2), (350, 45, 0.3), (150, 60, 0.4),
    ]  # fmt: skip


def test_uplink_and_downlink_have_their_own_presets_and_schedules() -> None:
    (link,) = scenario("nr_to_lte_handover").links
    assert (link.uplink, link.downlink) == pair("nr")
    assert link.uplink_schedule is not None
    assert link.downlink_schedule is not None
    assert link.uplink_schedule.in_force(65).fields["delay_ms"] == 40
    assert link.downlink_schedule.in_force(65).fields["delay_ms"] == 35


def test_an_unknown_scenario_is_refused_with_the_nearest() -> None:
    with pytest.raises(TopologyError, match=r"scenario is unknown \(did you mean baseline_good\?\): 'baseline'"):
        scenario("baseline")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scenario(name="s", duration_s=5, links=[]), "links must be at least one ScenarioLink: []"),
        (lambda: Scenario(name="s", duration_s=5, links=5), "links must be at least one ScenarioLink: 5"),
        (lambda: Scenario(name="s", duration_s=5, links=[5]), "links must be ScenarioLinks: 5"),
        (
            lambda: Scenario(name="s", duration_s=5, links=[LINK, LINK]),
            "links must not have the same name and direction twice: 'link sender->receiver (link1)'",
        ),
        (
            lambda: Scenario(name="s", duration_s=5, links=[LINK, attrs.evolve(LINK, name="x", source="camera")]),
            "link camera->receiver (x): peer is not in the topology; the peers are sender, receiver: 'camera'",
        ),
        (
            lambda: Scenario(name="s", duration_s=5, links=[LINK], peers=["sender", "Sender"]),
            "peer must differ from 'sender' in more than upper and lower case: 'Sender'",
        ),
        (
            lambda: attrs.evolve(LINK, downlink=None, downlink_schedule=Constant()),
            "downlink_schedule needs a downlink: Constant(what={})",
        ),
        (
            lambda: attrs.evolve(LINK, name="Link_1"),
            "segment name must be lower-case letters, digits and '-', beginning and ending with a letter or digit: "
            "'Link_1'",
        ),
        (lambda: Scenario(name="s", duration_s=0, links=[LINK]), "duration_s must be above 0: 0"),
        (
            lambda: Scenario(name="s", duration_s=None, links=[LINK]),  # type: ignore[arg-type]
            "duration_s must be a number: None",
        ),
        (
            lambda: attrs.evolve(LINK, uplink=Impairment()),  # type: ignore[arg-type]
            f"uplink must be a Preset: {Impairment()!r}",
        ),
        (
            lambda: attrs.evolve(LINK, uplink_schedule=5),  # type: ignore[arg-type]
            "uplink_schedule must be a Schedule: 5",
        ),
        (
            lambda: attrs.evolve(LINK, downlink_schedule=Constant({"jitter_ms": 50})),
            "downlink of link1: jitter_ms must not be above delay_ms (5): 50",
        ),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value) == message


def test_a_link_is_made_from_names() -> None:
    link = ScenarioLink.of("phone", "lte", ("handover", "race_4g"))
    assert link.uplink == preset("lte_uplink")
    assert link.downlink == preset("lte_downlink")
    assert link.downlink_schedule is not None
    with pytest.raises(TopologyError, match="schedule is unknown"):
        ScenarioLink.of("phone", "lte", ("handovr", "race_4g"))


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_named_scenario_is_a_network_of_a_sender_and_a_receiver(name: str) -> None:
    wanted = scenario(name)
    network = wanted.topology()
    assert list(network.peers) == ["sender", "receiver"]
    assert list(network.links) == [key for link in wanted.links for key in link.keys]
    for link in wanted.links:
        assert link.downlink is not None
        there, back = link.keys
        assert network.links[there].impairment == link.uplink.on_link
        assert network.links[back].impairment == link.downlink.on_link
        assert network.schedules.get(there) is link.uplink_schedule
        assert network.schedules.get(back) is link.downlink_schedule


def test_a_link_has_the_mtu_of_its_preset() -> None:
    assert preset("lte_uplink").on_link == preset("lte_uplink").impairment.evolve(mtu=1358)
    assert preset("good").on_link == preset("good").impairment


def test_a_scenario_may_have_any_peers_and_links_of_one_direction() -> None:
    good = preset("good")
    ring = [
        ScenarioLink(name="lan", source=source, destination=destination, uplink=good, downlink=None)
        for source, destination in (("a", "b"), ("b", "c"), ("c", "a"))
    ]
    network = Scenario(name="ring", duration_s=5, links=ring, peers=["a", "b", "c"]).topology()
    assert list(network.links) == [("a", "b", "lan"), ("b", "c", "lan"), ("c", "a", "lan")]
