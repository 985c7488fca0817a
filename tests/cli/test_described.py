from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from linkem_py.cli import described
from linkem_py.cli.arguments import parse, parse_inside
from linkem_py.cli.errors import UsageError
from linkem_py.model import Topology
from linkem_py.model.presets import pair, schedule
from linkem_py.model.scenario import SCENARIOS, scenario


def options(*words: str) -> argparse.Namespace:
    return parse(["up", *words])


def network(*words: str) -> Topology:
    return described.load(options(*words)).topology


def test_one_preset_is_every_link_of_a_sender_and_a_receiver() -> None:
    found = network("--links", "3", "--preset", "lte-edge")
    assert list(found.peers) == ["sender", "receiver"]
    assert list(found.segments) == ["link1", "link2", "link3"]
    up, down = pair("lte_edge")
    for segment in found.segments:
        assert found.link("sender", "receiver", segment=segment).impairment == up.on_link
        assert found.link("receiver", "sender", segment=segment).impairment == down.on_link
    assert not found.schedules


def test_several_presets_are_a_link_each_in_their_order() -> None:
    found = network("--preset", "lte", "--preset", "nr", "--preset", "wifi")
    for segment, name in (("link1", "lte"), ("link2", "nr"), ("link3", "wifi")):
        there, back = (end.on_link for end in pair(name))
        assert found.link("sender", "receiver", segment=segment).impairment == there
        assert found.link("receiver", "sender", segment=segment).impairment == back


def test_schedules_are_one_for_all_or_one_each() -> None:
    found = network("--links", "2", "--preset", "cellular", "--schedule", "cellular")
    assert len(found.schedules) == 4
    assert set(found.schedules.values()) == {schedule("cellular").schedule}
    found = network("--preset", "nr", "--schedule", "nr-to-lte", "--schedule", "handover")
    assert found.schedules == {
        ("sender", "receiver", "link1"): schedule("nr_to_lte_uplink").schedule,
        ("receiver", "sender", "link1"): schedule("nr_to_lte_downlink").schedule,
        ("sender", "receiver", "link2"): schedule("handover").schedule,
        ("receiver", "sender", "link2"): schedule("handover").schedule,
    }


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_named_scenario_is_a_network_that_can_be_planned(name: str) -> None:
    found = described.load(options("--scenario", name.replace("_", "-")))
    assert found.scenario == scenario(name)
    assert list(found.topology.links) == [key for link in scenario(name).links for key in link.keys]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no network: give a TOPOLOGY, --scenario FILE|NAME or --preset NAME"),
        (["pair", "--preset", "lte"], "TOPOLOGY and --preset are two networks: give one of them"),
        (["pair", "--scenario", "x"], "TOPOLOGY and --scenario are two networks: give one of them"),
        (["--links", "2"], "--links needs --preset NAME (linkem presets lists them)"),
        (
            ["pair", "--schedule", "race_4g"],
            "--schedule needs --preset NAME: a topology and a scenario have schedules of their own",
        ),
        (["--set", "a=1", "--preset", "lte"], "--set needs a TOPOLOGY: it sets its parameters"),
        (
            ["--links", "3", "--preset", "lte", "--preset", "nr"],
            "--preset must be given once, or once for each of the 3 links: 2 times",
        ),
        (
            ["--links", "3", "--preset", "lte", "--schedule", "race_4g", "--schedule", "race_5g"],
            "--schedule must be given once, or once for each of the 3 links: 2 times",
        ),
        (
            ["--preset", "lte-egde"],
            "--preset is unknown (did you mean lte_edge?): 'lte-egde' (linkem presets lists them)",
        ),
        (
            ["--preset", "lte", "--schedule", "race4g"],
            "--schedule is unknown (did you mean race_4g?): 'race4g' (linkem presets lists them)",
        ),
        (
            ["--scenario", "bonded-stres"],
            "--scenario is unknown (did you mean bonded_stress?): 'bonded-stres' (linkem presets lists them)",
        ),
        (["--preset", "lte", "--links", "0"], "--links: must be a whole number from 1 to 255: '0'"),
        (["--preset", "lte", "--links", "many"], "--links: must be a whole number from 1 to 255: 'many'"),
    ],
)
def test_what_describes_no_network_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        network(*words)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["pair", "--set=delay_ms=5"],
        ["--preset=lte", "--preset=nr", "--schedule=race_4g", "--links=2"],
        ["--scenario=bonded_stress"],
    ],
)
def test_the_words_for_a_guest_describe_the_same(words: list[str]) -> None:
    given = options(*words)
    assert described.words(given) == words
    inside = parse_inside(described.words(given))
    assert described.words(inside) == words


def test_a_topology_is_still_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from linkem_py import Topology\ndef topology(n: int = 1):\n t = Topology(f'mine{n}')\n return t\n")
    assert described.load(options(str(file), "--set", "n=2")).topology.name == "mine2"
