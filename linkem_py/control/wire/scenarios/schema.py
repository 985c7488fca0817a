"""JSON Schema (2020-12) of scenarios. What it cannot say is in words: names of presets, what goes together."""

from __future__ import annotations

from typing import get_args

from linkem_py.control.wire import schema as wire
from linkem_py.control.wire.pieces import Schema, collect, inbound, ref, some, switch, text, titled
from linkem_py.control.wire.scenarios.reading import MOST_LINKS
from linkem_py.model.impairment import FIELDS
from linkem_py.model.rules import PEER_NAME_LENGTH, SEGMENT_NAME_LENGTH
from linkem_py.model.scenario import RECEIVER, SENDER
from linkem_py.model.schedule.change import LONGEST_S
from linkem_py.model.schedule.trace import TraceFormat


def scenario_schema() -> Schema:
    """The schema of a scenario's file."""
    whole = inbound(
        {
            "$schema": text("This schema, for editors."),
            "name": text("What it is called; by default as its file.", minLength=1),
            "about": text("What happens, in a line."),
            "duration_s": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": LONGEST_S,
                "description": "How long it takes, in seconds.",
            },
            "peers": some(ref("Peer"), least=2, uniqueItems=True, default=[SENDER, RECEIVER]),
            "links": some(ref("ScenarioLink"), maxItems=MOST_LINKS),
        },
        "duration_s",
        "links",
    )
    parts = wire.link_parts() | _parts()
    needed: dict[str, Schema] = {}
    collect(whole, parts, needed)
    about = "Peers, what is between them and what happens to it, and for how long; as JSON or as TOML."
    return {"$schema": wire.DIALECT, "title": "A scenario of linkem", "description": about, **whole, "$defs": needed}


def _parts() -> dict[str, Schema]:
    direction = {
        "anyOf": [
            ref("PresetName"),
            {
                "type": "object",
                "properties": {"preset": ref("PresetName"), **_fields()},
                "additionalProperties": False,
            },
        ]
    }
    return {
        "Peer": text("A peer.", minLength=1, maxLength=PEER_NAME_LENGTH),
        "PresetName": text("A link by name: linkem presets lists them. An end of a pair, or both.", minLength=1),
        "ScenarioLink": _link(direction),
        "ScheduleOrName": {
            "anyOf": [
                text("A schedule by name: linkem presets lists them.", minLength=1),
                ref("Schedule"),
                {"type": "null"},
            ]
        },
        "TraceSchedule": {"oneOf": [wire.link_parts()["TraceSchedule"], _trace_file()]},
    }


def _trace_file() -> Schema:
    whole: Schema = {"type": "integer", "minimum": 1}
    properties = {
        "type": {"const": "trace"},
        "file": text("Beside the scenario.", minLength=1),
        "format": {"enum": list(get_args(TraceFormat)), "description": "By default as the file's name ends."},
        "bin_ms": {**whole, "description": "Of mahimahi: the rate is that of so long."},
        "packet_bytes": {**whole, "description": "Of mahimahi: what a packet counts."},
        "duration_s": {"type": "number", "exclusiveMinimum": 0, "description": "How long a time series lasts."},
        "repeat": switch("Start over at the end (true)."),
    }
    return titled("trace", "A recorded link in a file.", inbound(properties, "type", "file"))


def _fields() -> dict[str, Schema]:
    return {name: {"$ref": f"#/$defs/Impairment/properties/{name}"} for name in FIELDS}


def _link(direction: Schema) -> Schema:
    both, one = ref("Impairment"), ref("ScheduleOrName")
    says: list[Schema] = [
        {"required": ["preset"]},
        {"required": ["impairment"]},
        {"required": ["uplink", "downlink"]},
        {"required": ["uplink", "one_way"], "properties": {"one_way": {"const": True}}},
    ]
    properties = {
        "name": text(
            "Its segment. By default link1, link2, ... between two peers, lan between more.",
            pattern="^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$", maxLength=SEGMENT_NAME_LENGTH,
        ),
        "source": {**ref("Peer"), "description": "Where the uplink begins; of two peers the first by default."},
        "destination": {**ref("Peer"), "description": "Where it ends; of two peers the second by default."},
        "one_way": switch("true: there is no way back."),
        "preset": {**ref("PresetName"), "description": "What both directions are."},
        "impairment": {**both, "description": "Both directions, on top of the preset."},
        "uplink": {**direction, "description": "From source to destination, on top of the two."},
        "downlink": {**direction, "description": "The way back, on top of the two."},
        "schedule": {**one, "description": "What happens in both directions, drawn independently."},
        "uplink_schedule": {**one, "description": "What happens from source to destination, instead."},
        "downlink_schedule": {**one, "description": "What happens on the way back, instead."},
    }  # fmt: skip
    return {"title": "A link", **inbound(properties), "anyOf": says}
