from __future__ import annotations

import json

import pytest

from linkem_py.cli import preset_tables, presets
from linkem_py.cli.completion import candidates
from linkem_py.cli.console import Paint
from linkem_py.control.registry import Registry
from linkem_py.model.presets import MODIFIERS, PAIRS, PRESETS, SCHEDULE_PAIRS, SCHEDULES
from linkem_py.model.scenario import SCENARIOS

from .conftest import Linkem


def line_of(text: str, name: str) -> str:
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]][:1]
    return " ".join(line.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lte", "lte uplink 40 ± 15 ms ~0.3 % 5 Mbit/s 0.5 % none 1,358 B LTE, from the device"),
        ("good", "good 5 ± 1 ms 0.001 % 50 Mbit/s none none 1,500 B a good fixed line"),
        ("nr_mmwave_blocked", "nr_mmwave_blocked 200 ± 100 ms ~50 % 1 Mbit/s 10 % 1 % 1,400 B "),
        ("lan", "lan none none unlimited none none 1,500 B a local network: no impairment"),
        ("lte_heavy", "lte_heavy 150 ± 25 ms ~4.88 % 1 Mbit/s none none 1,500 B "),
        ("handover", "handover A radio link while it changes cells: slower, and loses in bursts. delay 200 ms "),
        ("bursty_markov", "bursty_markov Markov good and poor at random, asked every 10 s on average"),
        ("nr_to_lte", "nr_to_lte pair uplink nr_to_lte_uplink, downlink nr_to_lte_downlink"),
        ("bonded_stress", "bonded_stress 60 s 4 links four unequal links, none of which is enough alone"),
    ],
)
def test_the_list_has_the_numbers_with_their_units(linkem: Linkem, name: str, said: str) -> None:
    outcome = linkem("presets")
    assert outcome.status == 0
    assert line_of(outcome.out, name).startswith(said)


def test_the_list_has_every_name_in_its_group_and_columns_are_aligned(linkem: Linkem) -> None:
    out = linkem("presets").out
    groups = [group.splitlines() for group in out.strip().split("\n\n")]
    assert [group[0].partition(":")[0] for group in groups] == ["links", "modifiers", "schedules", "scenarios"]
    words = [{word.strip("(),") for line in group for word in line.split()} for group in groups]
    assert {*PAIRS, "lte_edge"} - {"lte_uplink", "lte_downlink", "nr_uplink", "nr_downlink"} <= words[0]
    assert MODIFIERS.keys() <= words[1]
    assert SCHEDULE_PAIRS.keys() <= words[2]
    assert SCENARIOS.keys() <= words[3]
    starts = {line.index(f"{line.split(' B  ')[0].split()[-1]} B  ") for line in groups[0][2:]}
    assert len(starts) == 1


def test_one_is_shown_whole(linkem: Linkem) -> None:
    out = linkem("presets", "LTE-edge").out
    assert out.startswith("link lte_barely_ok, or lte_edge: LTE at the edge of the cell: barely usable\n")
    rows = [" ".join(line.split()) for line in out.splitlines()[1:]]
    assert rows == [
        "both ways delay 90 ms",
        "jitter 35 ms",
        "loss Gilbert-Elliott (p 1.8 %, r 58.2 %, bad loss 100 %, good loss 0 %)",
        "duplicate 0.1 %",
        "reorder 1 %",
        "rate 1.5 Mbit/s",
        "mtu 1,358 B",
        "mean loss 3 %",
    ]


def test_a_pair_is_shown_in_both_directions(linkem: Linkem) -> None:
    out = linkem("presets", "lte").out
    assert "uplink lte_uplink      delay      40 ms" in out
    assert "downlink lte_downlink  delay      35 ms" in out


def test_what_shares_a_name_is_shown_one_after_the_other(linkem: Linkem) -> None:
    out = linkem("presets", "handover").out
    assert "modifier handover: A radio link" in out
    assert "schedule handover (Overlay): a handover from 60 to 65 s" in out
    assert "  delay      40 ms to 240 ms\n" in out
    assert "  mean loss  0.3 % to 3 %\n" in out


def test_a_scenario_is_shown_with_its_links_and_schedules(linkem: Linkem) -> None:
    out = linkem("presets", "nr-to-lte-handover").out
    assert "takes 120 s; sender, receiver" in out
    rows = [" ".join(line.split()) for line in out.splitlines()[3:]]
    assert rows == [
        "mobile uplink 25 ± 15 ms ~0.4 % 50 Mbit/s 0.6 % 0.03 % 1,500 B nr_to_lte_uplink",
        "downlink 15 ± 10 ms ~0.1 % 300 Mbit/s 0.2 % 0.01 % 1,500 B nr_to_lte_downlink",
    ]


@pytest.mark.parametrize("name", presets.names())
def test_everything_can_be_shown(name: str) -> None:
    lines = presets.shown(presets.known(name), Paint(False))
    assert lines[0].partition(" ")[0] in ("link", "modifier", "schedule", "scenario")
    assert all("None" not in line for line in lines)


def test_an_unknown_name_gets_the_nearest(linkem: Linkem) -> None:
    outcome = linkem("presets", "lte-egde")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == (
        "linkem: preset is unknown (did you mean lte_edge?): 'lte-egde' (linkem presets lists them)\n"
    )


def test_for_programs_all_of_it_is_json(linkem: Linkem) -> None:
    found = json.loads(linkem("presets", "--json").out)
    assert list(found) == ["links", "aliases", "modifiers", "schedules", "scenarios"]
    assert found["links"]["lte"]["uplink"]["preset"] == "lte_uplink"
    assert found["links"]["lte"]["downlink"]["impairment"]["delay_ms"] == 35
    assert found["links"].keys() == PAIRS.keys()
    assert found["aliases"] == {"lte_edge": "lte_barely_ok"}
    assert found["scenarios"]["mobile_handover"]["links"][0]["uplink_schedule"] == "handover"
    one = json.loads(linkem("presets", "handover", "--json").out)
    assert one == {kind: found[kind]["handover"] for kind in ("modifiers", "schedules")}


def test_a_clear_link_has_nothing_to_say() -> None:
    assert preset_tables.fields_of(PRESETS["lan"].impairment) == [["unimpaired"]]
    assert preset_tables.name_of(SCHEDULES["race_4g"].schedule) == "race_4g"
    assert preset_tables.name_of(None) == ""


def test_shells_complete_presets_schedules_and_scenarios(runtime: Registry) -> None:
    assert "lte_edge" in candidates(["up", "--preset", "lte"], runtime)
    assert candidates(["run", "--schedule", "race_4"], runtime) == ["race_4g"]
    assert candidates(["run", "--scenario", "bond"], runtime) == ["bonded_stress", "bonding_asymmetric"]
    assert "nr_mmwave_mobility" in candidates(["presets", "nr_mm"], runtime)
    assert candidates(["presets", "lte", ""], runtime) == []
