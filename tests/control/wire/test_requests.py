from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from linkem_py.control.wire.commands import (
    Carrier,
    Command,
    Heal,
    LinkSchedule,
    LinkUpdate,
    Partition,
    Readdress,
    Reschedule,
    Switch,
    Update,
)
from linkem_py.control.wire.json import (
    command,
    command_id,
    command_json,
    dump,
    heal,
    parse,
    partition,
    problem_of,
    schedule_of_link,
    switch_of_link,
    update,
    update_of_link,
)
from linkem_py.errors import RequestError, TopologyError
from linkem_py.model import DelayTable, FourState, GilbertElliott
from linkem_py.model.presets import SCHEDULES
from tests.control.wire.strategies import commands, json_values, mutated

LINK = ("a", "b", "lan")
AB = {"src": "a", "dst": "b"}


def refused(read: Callable[[dict[str, Any]], Any], data: dict[str, Any]) -> str:
    """What is said about a broken command."""
    with pytest.raises(RequestError) as caught:
        read(data)
    dump(problem_of(caught.value).value)
    return problem_of(caught.value).message


def link_set(data: dict[str, Any]) -> Update:
    return update_of_link(LINK, data)


# --- one link -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "fields", "clear", "named"),
    [
        ({"delay_ms": 80}, {"delay_ms": 80}, False, None),
        ({"delay_ms": 80, "id": "7"}, {"delay_ms": 80}, False, "7"),
        ({"delay_ms": None, "id": None}, {"delay_ms": None}, False, None),
        ({"clear": True}, {}, True, None),
        ({"clear": True, "loss_pct": 2.5}, {"loss_pct": 2.5}, True, None),
        ({"clear": False, "loss_pct": 2.5}, {"loss_pct": 2.5}, False, None),
    ],
    ids=str,
)
def test_a_links_own_topic_takes_fields_an_id_and_clear(
    data: dict[str, Any], fields: dict[str, Any], clear: bool, named: str | None
) -> None:
    before = dict(data)
    assert update_of_link(LINK, data) == Update(changes=(LinkUpdate(LINK, fields, clear),), id=named)
    assert data == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "link a->b: payload must name a field of the impairment, or have \"clear\": true: '{}'"),
        (
            {"id": "7", "clear": False},
            'link a->b: payload must name a field of the impairment, or have "clear": true: '
            "\"{'id': '7', 'clear': False}\"",
        ),
        ({"clear": 1}, "clear must be true or false: 1"),
        ({"delay_m": 1}, "link a->b: delay_m is unknown (did you mean delay_ms?): 1"),
        ({"changes": [], "loss_pct": 1}, "link a->b: changes is unknown; known are delay_ms, jitter_ms"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_links_update_is_said(data: dict[str, Any], message: str) -> None:
    assert refused(link_set, data).startswith(message)


# --- several links ------------------------------------------------------------------------------


def test_an_update_is_made_of_changes() -> None:
    data = {
        "id": 12,
        "changes": [
            {**AB, "set": {"delay_ms": 80}},
            {**AB, "segment": "lte", "clear": True},
            {"src": "b", "dst": "a", "clear": True, "set": {"rate_kbit": 1000}},
        ],
    }
    assert update(data) == Update(
        changes=(
            LinkUpdate(LINK, {"delay_ms": 80}),
            LinkUpdate(("a", "b", "lte"), {}, True),
            LinkUpdate(("b", "a", "lan"), {"rate_kbit": 1000}, True),
        ),
        id="12",
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "changes must be given"),
        ({"changes": {}}, "changes must be a list: '{}'"),
        ({"changes": []}, "changes must name a link: '[]'"),
        ({"changes": [1]}, "changes[0] must be an object: 1"),
        ({"change": []}, "change is unknown (did you mean changes?): '[]'"),
        ({"changes": [{"src": "a"}]}, "changes[0].dst must be given"),
        ({"changes": [{"dst": "a"}]}, "changes[0].src must be given"),
        ({"changes": [{"src": 1, "dst": "a"}]}, "changes[0].src must be a string: 1"),
        ({"changes": [{"src": "a", "dst": ""}]}, "changes[0].dst must have 1 to 63 characters: ''"),
        ({"changes": [{"src": "a" * 64, "dst": ""}]}, "changes[0].src must have 1 to 63 characters: 'aaaa"),
        ({"changes": [{**AB, "segment": None}]}, "changes[0].segment must be a string"),
        ({"changes": [{**AB, "sets": {}}]}, "changes[0].sets is unknown (did you mean set?): '{}'"),
        ({"changes": [{**AB, "set": []}]}, "changes[0].set must be an object: '[]'"),
        ({"changes": [{**AB, "set": None}]}, "changes[0].set must be an object"),
        ({"changes": [{**AB, "clear": None}]}, "changes[0].clear must be true or false"),
        (
            {"changes": [{**AB, "clear": True}, AB]},
            'link a->b: changes[1] must have "set" with a field of the impairment, or "clear": true: '
            "\"{'src': 'a', 'dst': 'b'}\"",
        ),
        ({"changes": [{**AB, "set": {}, "clear": False}]}, 'link a->b: changes[0] must have "set" with a field'),
        (
            {"changes": [{**AB, "clear": True}, {"src": "b", "dst": "a", "set": {"lossy": 1}}]},
            "link b->a: changes[1].set.lossy is unknown (did you mean loss?): 1",
        ),
        (
            {"changes": [{**AB, "clear": True}] * 2},
            "link a->b: changes[1] must not name the link of changes[0] again: 'link a->b'",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_update_is_said_and_where(data: dict[str, Any], message: str) -> None:
    assert refused(update, data).startswith(message)


# --- fields that are more than a number ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("loss", {"model": "gilbert_elliott", "p_pct": 2, "r_pct": 30}, GilbertElliott(2, 30)),
        (
            "loss",
            {"model": "gilbert_elliott", "p_pct": 2, "r_pct": 30, "bad_loss_pct": 90, "good_loss_pct": 1},
            GilbertElliott(2, 30, 90, 1),
        ),
        ("loss", {"model": "four_state", "p13_pct": 2}, FourState(2)),
        ("loss", {"model": "four_state", "p13_pct": 2, "p31_pct": None, "p14_pct": 1}, FourState(2, p14_pct=1)),
        ("loss", None, None),
        ("distribution", "normal", "normal"),
        ("distribution", {"table": [-1, 1.0, 5]}, DelayTable([-1, 1, 5])),
        ("distribution", {"table": [-1, 1], "name": "mine"}, DelayTable([-1, 1], "mine")),
        ("queue_packets", 5.0, 5),
        ("reorder_gap", 5.0, 5),
        ("seed", 2.0**60, 2**60),
        ("seed", 1.5, 1.5),  # for the model to refuse
        ("delay_ms", "far", "far"),  # likewise
    ],
    ids=str,
)
def test_a_field_is_read_as_its_kind(name: str, given: Any, value: Any) -> None:
    fields = update_of_link(LINK, {name: given}).changes[0].fields
    assert fields == {name: value}
    assert type(fields[name]) is type(value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": 5}, "loss must be an object: 5"),
        ({"loss": {}}, "loss.model must be given"),
        ({"loss": {"model": 1}}, "loss.model must be a string: 1"),
        ({"loss": {"model": "gilbert"}}, "loss.model is unknown (did you mean gilbert_elliott?): 'gilbert'"),
        ({"loss": {"model": "gilbert_elliott", "p_pct": 1}}, "loss.r_pct must be given"),
        (
            {"loss": {"model": "gilbert_elliott", "p_pct": 1, "r_pct": 1, "p_pc": 1}},
            "loss.p_pc is unknown (did you mean p_pct?): 1",
        ),
        ({"loss": {"model": "gilbert_elliott", "p_pct": 1, "r_pct": 200}}, "loss.r_pct must be between 0 and 100: 200"),
        ({"loss": {"model": "gilbert_elliott", "p_pct": 1, "r_pct": None}}, "loss.r_pct must be a number"),
        ({"loss": {"model": "four_state", "p13_pct": [1]}}, "loss.p13_pct must be a number: '[1]'"),
        (
            {"loss": {"model": "four_state", "p13_pct": 60, "p14_pct": 60}},
            "loss.p13_pct + p14_pct must not exceed 100: 120",
        ),
        ({"distribution": {}}, "distribution.table must be given"),
        ({"distribution": {"table": 1}}, "distribution.table must be a list: 1"),
        ({"distribution": {"table": [1, "a"]}}, "distribution.table[1] must be a whole number: 'a'"),
        ({"distribution": {"table": [1, True]}}, "distribution.table[1] must be a whole number: True"),
        ({"distribution": {"table": [1]}}, "distribution must have 2 to 16384 entries: 1"),
        ({"distribution": {"table": [1, 2**15]}}, "distribution entries must be between -32768 and 32767: 32768"),
        ({"distribution": {"table": [1, 2], "name": 1}}, "distribution.name must be a string: 1"),
        ({"distribution": {"tables": [1, 2]}}, "distribution.tables is unknown (did you mean table?): '[1, 2]'"),
    ],
    ids=str,
)
def test_a_broken_model_or_table_is_refused_with_its_place_and_its_link(fields: dict[str, Any], message: str) -> None:
    assert refused(link_set, fields) == f"link a->b: {message}"
    in_batch = {"changes": [{**AB, "segment": "lte", "set": fields}]}
    assert refused(update, in_batch) == f"link a->b (lte): changes[0].set.{message}"


# --- partitions ---------------------------------------------------------------------------------


def test_a_partition_is_made_of_groups() -> None:
    assert partition({"id": "p", "groups": [["a"], ["b", "c"]]}) == Partition(
        groups=(frozenset("a"), frozenset("bc")), id="p"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "groups must be given"),
        ({"groups": "ab"}, "groups must be a list: 'ab'"),
        ({"groups": [["a"]]}, "groups must be at least two: \"[['a']]\""),
        ({"groups": [["a"], "b"]}, "groups[1] must be a list: 'b'"),
        ({"groups": [["a"], []]}, "groups[1] must name a peer: '[]'"),
        ({"groups": [["a"], ["b", 1]]}, "groups[1][1] must be a string: 1"),
        ({"groups": [["a"], ["b", "b"]]}, "groups[1] must not name a peer twice: \"['b', 'b']\""),
        ({"groups": [["a"], ["b"]], "links": 1}, "links is unknown; known are id, groups: 1"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_partition_is_said(data: dict[str, Any], message: str) -> None:
    assert refused(partition, data) == message


def test_heal_takes_nothing_but_an_id() -> None:
    assert heal({}) == Heal()
    assert heal({"id": "h"}) == Heal(id="h")
    assert refused(heal, {"groups": []}) == "groups is unknown; known are id: '[]'"


# --- ids ----------------------------------------------------------------------------------------

READERS = [
    lambda given: link_set({"delay_ms": 1, "id": given}),
    lambda given: update({"changes": [{**AB, "clear": True}], "id": given}),
    lambda given: partition({"groups": [["a"], ["b"]], "id": given}),
    lambda given: heal({"id": given}),
]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (None, None),
        ("a b.c:d-e_f$", "a b.c:d-e_f$"),
        ("é" * 128, "é" * 128),
        (0, "0"),
        (-5, "-5"),
        (7.0, "7"),
        (2**53 - 1, "9007199254740991"),
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_an_id_is_text_or_a_whole_number_taken_as_its_text(
    read: Callable[[Any], Command], given: Any, named: str | None
) -> None:
    assert read(given).id == named
    assert command_id({"id": given}) == named


@pytest.mark.parametrize(
    "given",
    [
        *("", "x" * 129, "a/b", "+", "#", "\0", "a\nb", "a\n", "\x7f", "\x9f", "\ufdd0", "\ufffe", "\U0001f600"),
        *(2**53, -(2**53), 1.5, 1e300, True, False, [], {}, math.inf, math.nan),
    ],
    ids=repr,
)
@pytest.mark.parametrize("read", READERS)
def test_an_id_that_no_topic_can_hold_is_refused(read: Callable[[Any], Command], given: Any) -> None:
    with pytest.raises(RequestError, match=r"^id must be ") as caught:
        read(given)
    dump(problem_of(caught.value).value)
    assert command_id({"id": given}) is None


def test_without_an_id_there_is_none() -> None:
    assert command_id({}) is None


# --- both ways ----------------------------------------------------------------------------------


@given(commands)
def test_a_command_survives_the_wire(sent: Command) -> None:
    assert command(json.loads(dump(command_json(sent)))) == sent


@given(commands)
def test_a_command_survives_being_parsed_by_the_limits(sent: Command) -> None:
    payload = dump(command_json(sent))
    assert command(parse(payload, most_bytes=2**20)) == sent


@pytest.mark.parametrize("name", ["set", "partition", "heal"])
def test_a_command_without_an_id_has_none_on_the_wire(name: str) -> None:
    sent: dict[str, Command] = {
        "set": Update(changes=(LinkUpdate(LINK, {}, True),)),
        "partition": Partition(groups=()),
        "heal": Heal(),
    }
    data = command_json(sent[name])
    assert data["command"] == name
    assert "id" not in data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "command must be given"),
        ({"command": 1}, "command must be a string: 1"),
        ({"command": "sets"}, "command is unknown (did you mean set?): 'sets'"),
        (
            {"command": "quit"},
            "command is unknown; known are set, schedule, switch, carrier, readdress, partition, heal: 'quit'",
        ),
        ({"command": "set", "groups": []}, "groups is unknown; known are id, changes: '[]'"),
    ],
    ids=str,
)
def test_a_command_that_there_is_not_is_refused(data: dict[str, Any], message: str) -> None:
    assert refused(command, data) == message


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**32, [1], object()], ids=repr)
def test_a_value_that_json_cannot_hold_is_refused_before_it_is_sent(value: Any) -> None:
    with pytest.raises(RequestError, match="delay_ms must"):
        command_json(Update(changes=(LinkUpdate(LINK, {"delay_ms": value}),)))


# --- whatever comes -----------------------------------------------------------------------------


@given(mutated(commands.map(command_json)) | json_values)
def test_nothing_but_request_and_topology_errors_come_out_of_broken_commands(value: Any) -> None:
    data = value if isinstance(value, dict) else {"changes": value}
    readers: list[Callable[[dict[str, Any]], Any]] = [command, link_set, update, partition, heal, command_id]
    for read in readers:
        try:
            read(data)
        except TopologyError as error:
            dump(problem_of(error).value)


# ---------------------------------------------------------------- schedules, switches and carriers

LTE = ("a", "b", "lte")


def test_a_links_schedule_begins_or_ends() -> None:
    begun = schedule_of_link(LTE, {"id": 7, "type": "preset", "name": "handover"})
    assert begun == Reschedule(changes=(LinkSchedule(LTE, SCHEDULES["handover"].schedule),), id="7")
    wrapped = schedule_of_link(LTE, {"schedule": {"type": "preset", "name": "handover"}})
    assert wrapped == Reschedule(changes=begun.changes)
    assert schedule_of_link(LTE, {"id": "x", "schedule": None}) == Reschedule(
        changes=(LinkSchedule(LTE, None),), id="x"
    )


def test_a_link_is_switched() -> None:
    assert switch_of_link(LTE, {"up": False}) == Switch(link=LTE, up=False)
    assert switch_of_link(LTE, {"up": True, "both": True, "id": "x"}) == Switch(link=LTE, up=True, both=True, id="x")


def test_the_segment_is_the_default_one_if_none_is_named() -> None:
    assert command({"command": "carrier", "peer": "a", "up": False}) == Carrier(peer="a", segment="lan", up=False)
    assert command({"command": "switch", "src": "a", "dst": "b", "up": False}) == Switch(
        link=("a", "b", "lan"), up=False
    )


def test_a_peer_is_given_addresses_or_gets_the_next_free_ones() -> None:
    given = Readdress(peer="a", segment="lte", ipv4="10.1.0.9", ipv6="fd00:2::9", id="x")
    for wanted in (given, Readdress(peer="a", segment="lan"), Readdress(peer="a", segment="lan", ipv6="fd00:1::9")):
        assert command(command_json(wanted)) == wanted
    assert command({"command": "readdress", "peer": "a"}) == Readdress(peer="a", segment="lan")
    assert command_json(Readdress(peer="a", segment="lte")) == {"command": "readdress", "peer": "a", "segment": "lte"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"command": "schedule"}, "changes must be given: None"),
        ({"command": "schedule", "changes": []}, "changes must name a link: '[]'"),
        ({"command": "schedule", "changes": [{"src": "a", "dst": "b"}]}, "changes[0].schedule must be given: None"),
        (
            {"command": "schedule", "changes": [{"src": "a", "dst": "b", "set": {}, "schedule": None}]},
            "changes[0].set is unknown (did you mean dst?): '{}'",
        ),
        (
            {"command": "schedule", "changes": [{"src": "a", "dst": "b", "schedule": {"type": "steps"}}]},
            "link a->b: changes[0].schedule.steps must be given: None",
        ),
        (
            {"command": "schedule", "changes": [{"src": "a", "dst": "b", "schedule": None}] * 2},
            "link a->b: changes[1] must not name the link of changes[0] again: 'link a->b'",
        ),
        ({"command": "schedule", "changes": [], "groups": []}, "groups is unknown; known are id, changes: '[]'"),
        ({"command": "switch", "src": "a", "dst": "b"}, "up must be given: None"),
        ({"command": "switch", "src": "a", "dst": "b", "up": 1}, "up must be true or false: 1"),
        ({"command": "switch", "src": "a", "dst": "b", "up": True, "both": 1}, "both must be true or false: 1"),
        ({"command": "switch", "src": "a", "up": True}, "dst must be given: None"),
        ({"command": "readdress"}, "peer must be given: None"),
        ({"command": "readdress", "peer": "a", "ipv4": 5}, "ipv4 must be a string: 5"),
        ({"command": "readdress", "pear": "a"}, "pear is unknown (did you mean peer?): 'a'"),
        ({"command": "carrier", "up": True}, "peer must be given: None"),
        ({"command": "carrier", "peer": "a", "up": "no"}, "up must be true or false: 'no'"),
        ({"command": "carrier", "peer": "a", "segment": "", "up": True}, "segment must have 1 to 63 characters: ''"),
    ],
    ids=str,
)
def test_what_is_wrong_with_schedules_switches_and_carriers(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as raised:
        command(data)
    assert str(raised.value) == message
