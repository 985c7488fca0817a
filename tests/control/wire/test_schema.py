from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from linkem_py.cli.console import print_json
from linkem_py.control.wire import json as codec
from linkem_py.control.wire import schema
from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.events import Event
from linkem_py.control.wire.meanings import FIELDS, PARAMETERS
from linkem_py.control.wire.replies import Reply
from linkem_py.control.wire.states import Description, LinkRate, LinkState
from linkem_py.errors import LinkemError, RequestError, TopologyError
from linkem_py.model import FourState, GilbertElliott, Impairment, Slot
from linkem_py.model.rules import Number, Whole
from tests.control.wire import strategies
from tests.control.wire.strategies import json_values, mutated

WRITTEN = Path(__file__).parents[3] / "docs" / "schema.json"
SCHEMA = schema.json_schema()
VALIDATORS = {name: Draft202012Validator(schema.payload_schema(name)) for name in schema.payload_names()}
LINK = ("a", "b", "lan")


def on_the_wire(data: Any) -> Any:
    return json.loads(codec.dump(data))


def valid(name: str, data: Any) -> bool:
    return bool(VALIDATORS[name].is_valid(data))


def requested(command: dict[str, Any]) -> dict[str, Any]:
    """A command as a control socket's request."""
    return {"n": 1, **{"request" if name == "command" else name: value for name, value in command.items()}}


def check(name: str, data: Any) -> None:
    VALIDATORS[name].validate(on_the_wire(data))


# --- the document -------------------------------------------------------------------------------


def test_the_schema_in_the_documentation_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(SCHEMA)
    assert WRITTEN.read_text() == capsys.readouterr().out, "to renew it: linkem schema > docs/schema.json"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for name in schema.payload_names():
        Draft202012Validator.check_schema(schema.payload_schema(name))


@pytest.mark.parametrize("name", schema.payload_names())
def test_a_payloads_own_schema_stands_alone_and_says_the_same(name: str) -> None:
    own = schema.payload_schema(name)
    definition = SCHEMA["$defs"][name]
    assert {key: value for key, value in own.items() if key not in ("$schema", "$defs")} == definition
    assert own["title"]
    assert own["description"]
    for part, content in own["$defs"].items():
        assert SCHEMA["$defs"][part] == content


def test_titles_name_the_topics() -> None:
    titles = {SCHEMA["$defs"][name]["title"] for name in schema.payload_names()}
    below = "linkem/<network>/"
    link = "link/<segment>/<src>/<dst>"
    topics = [
        "set",
        "schedule",
        "switch",
        "carrier",
        "readdress",
        "partition",
        "heal",
        "status",
        "topology",
        "event",
        "reply/<id>",
        link,
        f"{link}/set",
    ]
    assert {
        f"{below}{topic}" for topic in [*topics, f"{link}/schedule", f"{link}/switch", "stats/<segment>/<src>/<dst>"]
    } <= titles


def test_an_unknown_payload_is_refused() -> None:
    with pytest.raises(RequestError, match="payload must be one of link-set, set"):
        schema.payload_schema("sets")


def test_every_field_is_explained() -> None:
    assert list(FIELDS) == [field.name for field in attrs.fields(Impairment)]
    for model in (GilbertElliott, FourState, Slot):
        assert list(PARAMETERS[model]) == [field.name for field in attrs.fields(model)]
    for definition in SCHEMA["$defs"].values():
        for name, content in definition.get("properties", {}).items():
            assert content.keys() & {"description", "$ref", "const", "items", "anyOf", "type"}, name


def test_only_known_names_come_in() -> None:
    for name in ("link-set", "set", "schedule", "link-switch", "switch", "carrier", "readdress", "partition", "heal"):
        assert SCHEMA["$defs"][name]["additionalProperties"] is False


# --- what is encoded conforms -------------------------------------------------------------------


@given(strategies.commands)
def test_commands_with_fields_in_range_conform(command: Command) -> None:
    data = on_the_wire(codec.command_json(command))
    try:
        for change in data.get("changes", ()):
            in_range(codec.fields(change.get("set", {})))
    except TopologyError:
        assert not valid("request", requested(data))
    else:
        VALIDATORS["request"].validate(requested(data))
        VALIDATORS[data.pop("command")].validate(data)


@given(strategies.replies)
def test_replies_conform(reply: Reply) -> None:
    check("reply", codec.reply_json(reply))


@given(strategies.link_states)
def test_link_states_conform(state: LinkState) -> None:
    check("link", codec.link_state_json(state))
    check("link-set", {"clear": True, **codec.impairment_json(state.impairment)})


@given(strategies.descriptions)
def test_descriptions_and_topologies_conform(description: Description) -> None:
    check("description", codec.description_json(description))
    check("topology", codec.topology_json(description))


@given(strategies.rates)
def test_stats_conform(rate: LinkRate) -> None:
    check("stats", codec.stats_json(rate))


@given(strategies.events)
def test_events_conform(event: Event) -> None:
    check("event", codec.event_json(event))


@pytest.mark.parametrize("status", ["online", "offline"])
def test_the_status_conforms(status: str) -> None:
    check("status", status)


def test_the_whole_schema_takes_what_any_payload_is() -> None:
    whole = Draft202012Validator(SCHEMA)
    assert whole.is_valid("online")
    assert whole.is_valid({"delay_ms": 5})
    assert not whole.is_valid({"delay_ms": -5})


# --- the schema and the codec agree -------------------------------------------------------------


def in_range(fields: dict[str, Any]) -> None:
    """Each field as the model checks it alone: a schema does not know which fields go together."""
    for name, value in fields.items():
        field = attrs.fields_dict(Impairment)[name]
        if value is not None:
            assert field.validator is not None
            field.validator(Impairment(), field, value)


def taken(data: dict[str, Any]) -> bool:
    """Whether a payload for one link is taken by the codec, and by the model one field at a time."""
    try:
        in_range(dict(codec.update_of_link(LINK, data).changes[0].fields))
    except LinkemError:
        return False
    return True


def around(rule: Number | Whole) -> list[float]:
    """Values at the bounds of a rule and just beyond them."""
    bounds: list[float] = [rule.least, rule.most]
    if isinstance(rule, Number) and rule.above is not None:
        bounds.append(rule.above)
    near = [value for bound in bounds for value in (bound, bound - 1, bound + 1)]
    if isinstance(rule, Number):
        near += [math.nextafter(bound, way) for bound in bounds for way in (-math.inf, math.inf)]
    return near


def bounded() -> list[tuple[str, Any]]:
    rules = {field.name: field.validator for field in attrs.fields(Impairment)}
    return [(name, value) for name, rule in rules.items() if isinstance(rule, Number | Whole) for value in around(rule)]


@pytest.mark.parametrize(("name", "value"), bounded())
def test_a_value_at_a_bound_is_taken_by_both_and_one_beyond_it_by_neither(name: str, value: float) -> None:
    assert valid("link-set", {name: value}) == taken({name: value})


ODD = [None, True, False, 0, 1, 1.0, 1.5, -1, 10**30, "1", "uniform", "pareto", "gauss", [], [1], {}, {"table": [1, 2]}]


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_the_wrong_kind_is_taken_by_neither(name: str, value: Any) -> None:
    assert valid("link-set", {name: value}) == taken({name: value})


numbers = st.integers(-10, 110) | st.floats(-10, 110) | st.none() | st.just("1")
loss_objects = st.fixed_dictionaries(
    {"model": st.just("gilbert_elliott"), "p_pct": numbers, "r_pct": st.floats(1, 110)},
    optional={"bad_loss_pct": numbers, "good_loss_pct": numbers, "p13_pct": numbers},
) | st.fixed_dictionaries(
    {"model": st.just("four_state")},
    optional={"p13_pct": st.just(0) | st.just(101), "p23_pct": numbers, "p31_pct": st.just(5) | st.none()},
)
tables = st.fixed_dictionaries(
    {"table": st.lists(st.integers(-32770, 32770) | st.just(2.0) | st.just(2.5) | st.booleans(), max_size=4)},
    optional={"name": st.text(max_size=3) | st.just(1), "other": st.just(1)},
)


@given(loss_objects)
def test_loss_models_are_taken_by_both_or_neither(model: dict[str, Any]) -> None:
    assert valid("link-set", {"loss": model}) == taken({"loss": model})


@given(tables)
def test_tables_are_taken_by_both_or_neither(table: dict[str, Any]) -> None:
    assert valid("link-set", {"distribution": table}) == taken({"distribution": table})


# What a schema cannot say.
BEYOND = ("name the link of", "p13_pct + p14_pct", "p31_pct + p32_pct", "never ends")


def refusal(data: dict[str, Any]) -> str:
    """Why the codec refuses a command, or the model one of its fields; empty if they take it."""
    try:
        command = codec.command(data)
        for change in getattr(command, "changes", ()):
            in_range(dict(getattr(change, "fields", {})))
    except LinkemError as error:
        return str(error)
    return ""


@given(mutated(strategies.plain_commands.map(codec.command_json)) | json_values)
def test_commands_are_taken_by_both_or_neither(value: Any) -> None:
    data = value if isinstance(value, dict) else {"command": "heal", "id": value}
    why = refusal(data)
    if not any(rule in why for rule in BEYOND):
        assert valid("request", requested(data)) == (not why), why


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"id": "7"},
        {"clear": False},
        {"id": "7", "clear": False},
        {"clear": True},
        {"clear": False, "delay_ms": 1},
        {"clear": None, "delay_ms": 1},
        {"delay_ms": 1, "id": 2**53},
        {"delay_ms": 1, "id": 2**53 - 1},
        {"delay_ms": 1, "id": 1.5},
        {"delay_ms": 1, "id": 1.0},
        {"delay_ms": 1, "id": True},
        {"delay_ms": 1, "id": "a/b"},
        {"delay_ms": 1, "id": "é-x y"},
        {"delay_ms": 1, "id": ""},
        {"delay_ms": 1, "src": "a"},
    ],
    ids=str,
)
def test_ids_and_clearing_are_taken_by_both_or_neither(data: dict[str, Any]) -> None:
    assert valid("link-set", data) == taken(data)


@pytest.mark.parametrize(
    ("payload", "good"),
    [
        (None, True),
        ({"schedule": None}, True),
        ({"id": "7", "schedule": {"type": "handover"}}, True),
        ({"id": "7", "type": "handover"}, True),
        ({}, False),
        ({"schedule": {"type": "handover", "every": 5}}, False),
        ({"schedule": {"type": "constant"}, "segment": "lan"}, False),
        ({"type": "markow"}, False),
    ],
    ids=str,
)
def test_a_links_schedule_is_itself_or_in_an_object_or_null(payload: Any, good: bool) -> None:
    assert valid("link-schedule", payload) == good
    if payload is not None:
        if good:
            assert codec.schedule_of_link(LINK, payload).changes[0].link == LINK
        else:
            with pytest.raises(RequestError):
                codec.schedule_of_link(LINK, payload)
