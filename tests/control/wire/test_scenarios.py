from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from linkem_py.cli.console import print_json
from linkem_py.control.wire.scenarios import (
    ScenarioSyntaxError,
    TraceFile,
    parse_scenario,
    scenario_from_json,
    scenario_schema,
    trace_files,
)
from linkem_py.control.wire.schedules import schedule_to_json
from linkem_py.errors import RequestError
from linkem_py.model import GilbertElliott, Impairment, Steps, Trace
from linkem_py.model.presets import SCHEDULES, pair, preset
from linkem_py.model.scenario import Scenario, ScenarioLink

WRITTEN = Path(__file__).parents[3] / "docs" / "scenario.schema.json"
VALIDATOR = Draft202012Validator(scenario_schema())
LTE = {"preset": "lte"}


def made(*links: Any, **more: Any) -> Scenario:
    return scenario_from_json({"duration_s": 5, "links": list(links), **more})


def refused(data: Any, **options: Any) -> str:
    with pytest.raises(RequestError) as caught:
        scenario_from_json(data, **options)
    return str(caught.value)


# --- what it can say -----------------------------------------------------------------------------


def test_little_is_needed() -> None:
    assert scenario_from_json({"duration_s": 60, "links": [LTE]}, name="mine") == Scenario(
        name="mine", duration_s=60, links=[ScenarioLink.of("link1", "lte")]
    )


def test_links_between_two_peers_are_numbered_or_named() -> None:
    found = made(LTE, {"name": "wifi", "preset": "wifi"}, LTE, peers=["camera", "studio"])
    assert [link.name for link in found.links] == ["link1", "wifi", "link3"]
    assert {(link.source, link.destination) for link in found.links} == {("camera", "studio")}


def test_the_name_and_what_it_is_about_are_its_own() -> None:
    found = made(LTE, name="mine", about="a walk", **{"$schema": "scenario.schema.json"})
    assert (found.name, found.about) == ("mine", "a walk")


@pytest.mark.parametrize(
    ("says", "uplink", "downlink"),
    [
        ({"preset": "lte"}, preset("lte_uplink").on_link, preset("lte_downlink").on_link),
        ({"preset": "lte-uplink"}, preset("lte_uplink").on_link, preset("lte_downlink").on_link),
        ({"preset": "good"}, preset("good").on_link, preset("good").on_link),
        ({"uplink": "lte", "downlink": "nr"}, pair("lte")[0].on_link, pair("nr")[1].on_link),
        (
            {"uplink": "lte_downlink", "downlink": "LTE-edge"},
            preset("lte_downlink").on_link,
            pair("lte_edge")[1].on_link,
        ),
        ({"impairment": {"delay_ms": 5}}, Impairment(delay_ms=5), Impairment(delay_ms=5)),
        (
            {"preset": "good", "impairment": {"delay_ms": 9}},
            preset("good").impairment.evolve(delay_ms=9),
            preset("good").impairment.evolve(delay_ms=9),
        ),
        (
            {"preset": "lte", "uplink": {"rate_kbit": 900}, "downlink": {}},
            preset("lte_uplink").on_link.evolve(rate_kbit=900),
            preset("lte_downlink").on_link,
        ),
        (
            {"uplink": {"preset": "poor", "loss": None}, "downlink": {"delay_ms": 3, "mtu": 1400}},
            preset("poor").on_link.evolve(loss=None),
            Impairment(delay_ms=3, mtu=1400),
        ),
        (
            {
                "impairment": {"delay_ms": 5},
                "downlink": {"loss": {"model": "gilbert_elliott", "p_pct": 1, "r_pct": 25}},
            },
            Impairment(delay_ms=5),
            Impairment(delay_ms=5, loss=GilbertElliott(1, 25)),
        ),
    ],
)
def test_directions_are_presets_with_fields_on_top(says: Any, uplink: Impairment, downlink: Impairment) -> None:
    (link,) = made(says).links
    assert link.downlink is not None
    assert (link.uplink.on_link, link.downlink.on_link) == (uplink, downlink)


def test_a_preset_that_is_not_changed_is_that_preset() -> None:
    (link,) = made({"preset": "lte", "uplink": {"delay_ms": 90}}).links
    assert link.downlink == preset("lte_downlink")
    assert (link.uplink.name, link.uplink.about) == ("link1", "LTE, from the device, changed")


def test_a_link_may_have_one_direction() -> None:
    (link,) = made({"uplink": {"delay_ms": 9}, "one_way": True}).links
    assert link.keys == (("sender", "receiver", "link1"),)


@pytest.mark.parametrize(
    ("says", "uplink", "downlink"),
    [
        ({}, None, None),
        ({"schedule": None}, None, None),
        ({"schedule": "race-4g"}, "race_4g", "race_4g"),
        ({"schedule": "nr_to_lte"}, "nr_to_lte_uplink", "nr_to_lte_downlink"),
        ({"uplink_schedule": "nr_to_lte_downlink"}, "nr_to_lte_downlink", None),
        ({"downlink_schedule": "nr_to_lte"}, None, "nr_to_lte_downlink"),
        ({"schedule": "handover", "downlink_schedule": "race_5g"}, "handover", "race_5g"),
        ({"schedule": {"type": "preset", "name": "race_4g"}}, "race_4g", "race_4g"),
    ],
)
def test_schedules_have_names(says: Any, uplink: str | None, downlink: str | None) -> None:
    (link,) = made({"preset": "lte", **says}).links
    assert link.uplink_schedule == (SCHEDULES[uplink].schedule if uplink else None)
    assert link.downlink_schedule == (SCHEDULES[downlink].schedule if downlink else None)


def test_schedules_may_be_written_out() -> None:
    (link,) = made({**LTE, "schedule": {"type": "steps", "steps": [{"at_s": 1, "delay_ms": 80}]}}).links
    assert link.uplink_schedule == link.downlink_schedule == Steps([(1, {"delay_ms": 80})])


def test_more_than_two_peers_meet_on_lan() -> None:
    ring = [{"source": a, "destination": b, "preset": "good", "one_way": True} for a, b in ("ab", "bc", "ca")]
    network = made(*ring, peers=["a", "b", "c"]).topology()
    assert list(network.links) == [("a", "b", "lan"), ("b", "c", "lan"), ("c", "a", "lan")]


# --- traces in files -----------------------------------------------------------------------------

WITH_TRACES = {
    "duration_s": 5,
    "links": [
        {**LTE, "schedule": {"type": "trace", "file": "driving.up", "bin_ms": 100, "packet_bytes": 1500}},
        {
            **LTE,
            "uplink_schedule": {
                "type": "sum",
                "parts": [{"type": "trace", "file": "a.txt", "format": "csv", "duration_s": 9, "repeat": False}],
            },
        },
    ],
}


def test_files_of_traces_are_named_with_their_places_and_settings() -> None:
    assert trace_files(WITH_TRACES) == [
        TraceFile(place="links[0].schedule", file="driving.up", settings={"bin_ms": 100, "packet_bytes": 1500}),
        TraceFile(
            place="links[1].uplink_schedule.parts[0]",
            file="a.txt",
            settings={"format": "csv", "duration_s": 9, "repeat": False},
        ),
    ]


def test_what_was_read_takes_their_place() -> None:
    first = Trace.mahimahi("0\n10\n500\n1000\n", name="driving.up")
    second = Trace.csv("at_s,delay_ms\n0,50\n2,90\n", name="a.txt")
    traces = {"links[0].schedule": first, "links[1].uplink_schedule.parts[0]": second}
    one, other = scenario_from_json(WITH_TRACES, traces=traces).links
    assert one.uplink_schedule == one.downlink_schedule == first
    assert other.uplink_schedule is not None
    assert schedule_to_json(other.uplink_schedule)["parts"] == [schedule_to_json(second)]


def test_a_file_that_nobody_read_is_refused() -> None:
    assert refused(WITH_TRACES) == (
        "links[0].schedule.file must have been read: only a file can name others: 'driving.up'"
    )


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"fil": 1}, "links[0].schedule.fil is unknown (did you mean file?): 1"),
        ({"file": 5}, "links[0].schedule.file must be a string: 5"),
        ({"file": ""}, "links[0].schedule.file must have a name: ''"),
        ({"format": "xls"}, "links[0].schedule.format is unknown; known are mahimahi, csv, json: 'xls'"),
        ({"format": 1}, "links[0].schedule.format must be a string: 1"),
        ({"bin_ms": 0}, "links[0].schedule.bin_ms must be at least 1: 0"),
        ({"packet_bytes": "x"}, "links[0].schedule.packet_bytes must be a whole number: 'x'"),
        ({"duration_s": "x"}, "links[0].schedule.duration_s must be a number: 'x'"),
        ({"repeat": 1}, "links[0].schedule.repeat must be true or false: 1"),
    ],
)
def test_a_files_settings_are_checked_before_it_is_read(says: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        trace_files({"links": [{"schedule": {"type": "trace", "file": "a", **says}}]})
    assert str(caught.value) == message


# --- what is wrong with it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "scenario must be an object: '[]'"),
        ({"duration_s": 5}, "links must be given: None"),
        ({"links": [LTE]}, "duration_s must be given: None"),
        ({"links": [LTE], "duration_s": "5"}, "duration_s must be a number: '5'"),
        ({"links": [LTE], "duration_s": 0}, "duration_s must be above 0: 0"),
        ({"links": [LTE], "duration_s": 5, "name": 5}, "name must be a string: 5"),
        ({"links": [LTE], "duration_s": 5, "name": " "}, "name must be some text: ' '"),
        ({"links": [LTE], "duration_s": 5, "about": 5}, "about must be a string: 5"),
        ({"links": [LTE], "duration": 5}, "duration is unknown (did you mean duration_s?): 5"),
        ({"links": [], "duration_s": 5}, "links must be 1 to 10000: 0"),
        ({"links": {}, "duration_s": 5}, "links must be a list: '{}'"),
        ({"links": [LTE], "duration_s": 5, "peers": "a"}, "peers must be a list: 'a'"),
        ({"links": [LTE], "duration_s": 5, "peers": ["a"]}, "peers must be at least two: \"['a']\""),
        ({"links": [LTE], "duration_s": 5, "peers": ["a", 5]}, "peers[1] must be named by a string: 5"),
        ({"links": [LTE], "duration_s": 5, "peers": ["a", "a"]}, "peers[1] must not be named twice: 'a'"),
        (
            {"links": [LTE], "duration_s": 5, "peers": ["a", "A"]},
            "peer must differ from 'a' in more than upper and lower case: 'A'",
        ),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_the_place(data: Any, message: str) -> None:
    assert refused(data) == message


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (5, "links[1] must be an object: 5"),
        ({}, "links[1] must have a preset, an impairment, or uplink and downlink: None"),
        ({"presets": "lte"}, "links[1].presets is unknown (did you mean preset?): 'lte'"),
        ({"preset": 5}, "links[1].preset must be a string: 5"),
        ({"preset": "lte_egde"}, "links[1].preset is unknown (did you mean lte_edge?): 'lte_egde'"),
        ({"uplink": "lte"}, "links[1].downlink must be given (or one_way = true): None"),
        ({"downlink": "lte"}, "links[1].uplink must be given: None"),
        ({"downlink": "lte", "one_way": True}, "links[1].downlink must not stand beside one_way: 'lte'"),
        (
            {**LTE, "downlink_schedule": "race_4g", "one_way": True},
            "links[1].downlink_schedule must not stand beside one_way: 'race_4g'",
        ),
        ({**LTE, "one_way": 1}, "links[1].one_way must be true or false: 1"),
        ({**LTE, "uplink": 5}, "links[1].uplink must be an object: 5"),
        ({**LTE, "uplink": "nix"}, "links[1].uplink must be one of lte, nr, good, "),
        ({**LTE, "uplink": {"preset": "nrr"}}, "links[1].uplink.preset is unknown (did you mean nr?): 'nrr'"),
        ({**LTE, "uplink": {"delay": 5}}, "links[1].uplink.delay is unknown (did you mean delay_ms?): 5"),
        ({**LTE, "uplink": {"delay_ms": -3}}, "links[1].uplink.delay_ms must be between 0 and 3.6e+06: -3"),
        ({**LTE, "impairment": {"jitter_ms": 90}}, "links[1].impairment.jitter_ms must not be above delay_ms (40): 90"),
        ({**LTE, "impairment": {"preset": "lte"}}, "links[1].impairment.preset is unknown"),
        ({**LTE, "uplink": {"loss": {"model": "x"}}}, "links[1].uplink.loss.model is unknown; known are "),
        ({**LTE, "name": "Link_2"}, "links[1].name must be lower-case letters, digits and '-'"),
        ({**LTE, "name": "much-too-long"}, "links[1].name must have at most 9 characters: 'much-too-long'"),
        (
            {**LTE, "name": "link1"},
            "links[1] must differ from links[0] in its peers or its name: 'sender->receiver (link1)'",
        ),
        ({**LTE, "source": "camera"}, "links[1].source must be one of the peers sender, receiver: 'camera'"),
        ({**LTE, "source": 5}, "links[1].source must be a string: 5"),
        ({**LTE, "destination": "sender"}, "links[1].destination must be another peer than source: 'sender'"),
        ({**LTE, "schedule": "race"}, "links[1].schedule is unknown"),
        ({**LTE, "schedule": 5}, "links[1].schedule must be an object: 5"),
        ({**LTE, "schedule": {"type": "stepz"}}, "links[1].schedule.type is unknown (did you mean steps?): 'stepz'"),
        (
            {**LTE, "uplink_schedule": {"type": "steps", "steps": [{"at_s": 0, "delay_ms": -1}]}},
            "links[1].uplink_schedule.steps[0].delay_ms must be between 0 and 3.6e+06: -1",
        ),
        (
            {**LTE, "downlink_schedule": {"type": "constant", "what": {"jitter_ms": 50}}},
            "links[1].downlink_schedule must go with the downlink: jitter_ms must not be above delay_ms (35): 50",
        ),
    ],
)  # fmt: skip
def test_a_link_that_makes_no_sense_is_refused_with_the_place(says: Any, message: str) -> None:
    assert refused({"duration_s": 5, "links": [LTE, says]}).startswith(message)


def test_between_more_than_two_peers_a_link_says_which() -> None:
    data = {"duration_s": 5, "peers": ["a", "b", "c"], "links": [LTE]}
    assert refused(data) == "links[0].source must be given: one of a, b, c: None"


# --- texts ---------------------------------------------------------------------------------------


def test_toml_and_json_say_the_same() -> None:
    toml = 'duration_s = 5\n[[links]]\nname = "lte"\nuplink = { delay_ms = 5 }\ndownlink = "nr"\n'
    data = parse_scenario(toml, "toml")
    assert data == parse_scenario(json.dumps(data), "json")


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("toml", "duration_s = 5\n[[links]]\nname = \n", "3:8: Invalid value"),
        ("toml", "a = 1\na = 2\n", "2:6: Cannot overwrite a value"),
        ("toml", 'a = "x', "1:7: Unterminated string"),
        ("toml", "a = " + "[" * 5000, "1:5005: must not be nested so deeply"),
        ("json", '{"a": 1,\n "b": }', "2:7: Expecting value"),
        ("json", "", "1:1: Expecting value"),
        ("json", '{"a": 1,\n "a": 2}', "2:2: the name 'a' must not come twice in one object"),
        ("json", '{"a":\n  NaN}', "2:3: NaN is no number"),
        ("json", "[" * 100_000, "1:100001: must not be nested so deeply"),
        ("json", "9" * 5000, "1:5001: Exceeds the limit"),
    ],
)
def test_where_a_text_is_broken_is_said(form: Any, text: str, message: str) -> None:
    with pytest.raises(ScenarioSyntaxError) as caught:
        parse_scenario(text, form)
    assert str(caught.value).startswith(message)
    assert (caught.value.line, caught.value.column) == tuple(map(int, message.split(":")[:2]))


def test_a_text_that_is_no_object_is_refused() -> None:
    with pytest.raises(RequestError, match="scenario must be an object: '\\[\\]'"):
        parse_scenario("[]", "json")


# --- the schema ----------------------------------------------------------------------------------


def test_the_schema_in_the_documentation_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(scenario_schema())
    renewed = "to renew it: linkem schema scenario > docs/scenario.schema.json"
    assert WRITTEN.read_text() == capsys.readouterr().out, renewed


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(scenario_schema())


@pytest.mark.parametrize(
    "links",
    [
        [LTE],
        [{"uplink": "lte", "downlink": {"preset": "nr", "delay_ms": 50, "loss": None}}],
        [{"impairment": {"delay_ms": 5}, "schedule": {"type": "trace", "file": "x.up"}}],
        [{"uplink": {}, "one_way": True, "uplink_schedule": "race_4g", "name": "lte"}],
    ],
)
def test_the_schema_takes_what_the_codec_takes(links: Any) -> None:
    VALIDATOR.validate({"duration_s": 5, "links": links, "peers": ["a", "b"]})
    traces = {"links[0].schedule": Trace.mahimahi("0\n1000\n")}
    scenario_from_json({"duration_s": 5, "links": links, "peers": ["a", "b"]}, traces=traces)


@pytest.mark.parametrize(
    "data",
    [
        {"duration_s": 0, "links": [LTE]},
        {"duration_s": 5, "links": []},
        {"duration_s": 5, "links": [{}]},
        {"duration_s": 5, "links": [{"uplink": "lte"}]},
        {"duration_s": 5, "links": [{**LTE, "uplink": {"delay_ms": -1}}]},
        {"duration_s": 5, "links": [{**LTE, "presets": "lte"}]},
        {"duration_s": 5, "links": [{**LTE, "name": "Link_1"}]},
        {"duration_s": 5, "links": [{**LTE, "schedule": {"type": "stepz"}}]},
        {"duration_s": 5, "links": [{**LTE, "schedule": {"type": "steps", "steps": [{"at_s": 0, "delay_ms": -1}]}}]},
        {"duration_s": 5, "links": [{**LTE, "schedule": {"type": "trace", "file": "x", "steps": []}}]},
        {"duration_s": 5, "links": [LTE], "peers": ["a"]},
    ],
)
def test_the_schema_refuses_what_the_codec_refuses(data: Any) -> None:
    assert not VALIDATOR.is_valid(data)
    refused(data)
