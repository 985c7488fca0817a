"""JSON Schema (2020-12) of every payload, generated from the model's fields and their rules.

What a schema cannot say is in words: which fields go together, that a link is named once, that a
peer exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from linkem_py.control.wire.accesses import accesses_schema
from linkem_py.control.wire.impairments import LOSS_MODELS
from linkem_py.control.wire.meanings import COUNTS, FIELDS, PARAMETERS
from linkem_py.control.wire.pieces import (
    Schema,
    amount,
    bounds,
    collect,
    count,
    inbound,
    outbound,
    ref,
    some,
    switch,
    text,
    titled,
)
from linkem_py.control.wire.schedules import TYPES
from linkem_py.control.wire.schedules import schema as schedules
from linkem_py.control.wire.shape import ID_PATTERN, MOST_ID
from linkem_py.control.wire.states import LinkCounters, LinkRate
from linkem_py.control.wire.topics import PREFIX
from linkem_py.errors import RequestError
from linkem_py.model import DelayTable, Impairment, Slot
from linkem_py.model.distribution import GREATEST, LEAST, MOST, NAMES
from linkem_py.model.impairment import QUEUES, SHAPERS
from linkem_py.model.rules import PEER_NAME_LENGTH, Number, Whole, flag

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """The schema of every payload, by its name under ``$defs``; an instance is valid if it is any of them."""
    payloads = _payloads()
    return {
        "$schema": DIALECT,
        "title": "What a network of linkem says and is told",
        "description": "The payloads by MQTT topic, and the control socket's requests, which hold the same.",
        "anyOf": [ref(name) for name in payloads],
        "$defs": payloads | _parts(),
    }


def payload_names() -> tuple[str, ...]:
    """The payloads that `payload_schema` knows."""
    return tuple(_payloads())


def payload_schema(name: str) -> Schema:
    """The schema of one payload, with the parts that it refers to. Raises `RequestError` for an unknown name."""
    payloads = _payloads()
    if name not in payloads:
        raise RequestError("payload", f"must be one of {', '.join(payloads)}", name)
    everything = payloads | _parts()
    needed: dict[str, Schema] = {}
    collect(payloads[name], everything, needed)
    return {"$schema": DIALECT, **payloads[name], "$defs": needed}


# --- parts ---------------------------------------------------------------------------------------


def link_parts() -> dict[str, Schema]:
    """The parts that impairments and schedules are made of."""
    return {
        "Impairment": _impairment(),
        **{model.__name__: _loss_model(name, model) for name, model in LOSS_MODELS.items()},
        "Slot": _slot(),
        **schedules.parts(),
        "DelayTable": _delay_table(),
    }


def _parts() -> dict[str, Schema]:
    return {
        **link_parts(),
        "Name": text("A peer or a segment.", minLength=1, maxLength=PEER_NAME_LENGTH),
        "Id": {
            "description": "Names the command in its reply; the same id again is a redelivery and not carried out.",
            "anyOf": [
                {"type": "string", "pattern": ID_PATTERN},
                {"type": "integer", "minimum": -MOST_ID, "maximum": MOST_ID},
                {"type": "null"},
            ],
        },
        "Change": _change(),
        "LinkName": outbound({"src": ref("Name"), "dst": ref("Name"), "segment": ref("Name")}),
        "LinkState": _link_state(),
        "Problem": _problem(),
        "Time": {"type": "number", "description": "Seconds since the epoch."},
        "Groups": {
            "type": "array",
            "items": {"type": "array", "items": ref("Name")},
            "description": "The partition in force: groups that are cut from each other; empty if there is none.",
        },
    }


def _impairment() -> Schema:
    return {
        "title": "Impairment",
        "description": "What happens to packets on one link, in one direction. null takes a setting away.",
        "type": "object",
        "properties": {field.name: _field(field, FIELDS[field.name]) for field in attrs.fields(Impairment)},
        "additionalProperties": False,
    }


def _field(field: attrs.Attribute[Any], description: str) -> Schema:
    rule = field.validator
    if isinstance(rule, Number | Whole):
        return {**bounds(rule, nullable=True), "description": description}
    if rule is flag:
        return {"type": ["boolean", "null"], "description": description}
    if field.name in ("queue", "shaper"):
        return {"enum": [*(QUEUES if field.name == "queue" else SHAPERS), None], "description": description}
    if field.name == "slot":
        return {"anyOf": [{"type": "null"}, ref("Slot")], "description": description}
    if field.name == "distribution":
        return {"anyOf": [{"enum": [*NAMES, None]}, ref("DelayTable")], "description": description}
    models = [ref(model.__name__) for model in LOSS_MODELS.values()]
    return {"anyOf": [{"type": "null"}, *models], "description": description}


def _loss_model(name: str, model: type[Any]) -> Schema:
    properties: Schema = {"model": {"const": name}}
    for field in attrs.fields(model):
        assert isinstance(field.validator, Number)
        properties[field.name] = {
            **bounds(field.validator, nullable=field.default is None),
            "description": PARAMETERS[model][field.name],
        }
        if field.default is not attrs.NOTHING:
            properties[field.name]["default"] = field.default
    needed = ["model", *(field.name for field in attrs.fields(model) if field.default is attrs.NOTHING)]
    return {
        "title": model.__name__,
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


def _slot() -> Schema:
    properties: Schema = {}
    for field in attrs.fields(Slot):
        rule = field.validator
        if isinstance(rule, Number | Whole):
            properties[field.name] = bounds(rule, nullable=field.default is None)
        else:
            properties[field.name] = {"anyOf": [{"enum": [*NAMES]}, ref("DelayTable")]}
        properties[field.name]["description"] = PARAMETERS[Slot][field.name]
        if field.default is not attrs.NOTHING:
            properties[field.name]["default"] = field.default
    return {
        "title": "Slot",
        "type": "object",
        "properties": properties,
        "required": ["every_ms"],
        "additionalProperties": False,
    }


def _delay_table() -> Schema:
    entry = {"type": "integer", "minimum": LEAST, "maximum": GREATEST}
    return {
        "title": DelayTable.__name__,
        "description": "An inverse distribution of delay, in units of jitter / 8192.",
        "type": "object",
        "properties": {
            "table": {"type": "array", "items": entry, "minItems": 2, "maxItems": MOST},
            "name": text("For messages and reports.", default="table"),
        },
        "required": ["table"],
        "additionalProperties": False,
    }


def _link_state() -> Schema:
    return outbound(
        {
            **_link_name(),
            "impairment": ref("Impairment"),
            "revision": count("The network's revision that brought it; 0 since the start."),
            "applied_at": ref("Time"),
        },
        {
            "schedule": {
                **outbound({"type": text("As in a Schedule.")}, {"name": text("Of the preset, or of the trace.")}),
                "description": "Which schedule goes on over the link; absent if none does.",
            },
            "down": switch("true: nothing gets in until it is switched up; absent if it is not down."),
        },
    )


def _problem() -> Schema:
    return outbound(
        {
            "field": text("What broke a rule, empty for an error of the kernel."),
            "rule": text("The rule."),
            "value": {"description": "The value that broke it, cut if it is long.", "type": _SCALARS},
            "message": text("All of it in one sentence."),
            "kind": text("The error's class."),
        }
    )


# --- what comes in -------------------------------------------------------------------------------


def _payloads() -> dict[str, Schema]:
    return {
        "link-set": titled(f"{_TOPIC}/{_LINK_TOPIC}/set", "Change one link: only what is named changes.", _link_set()),
        "set": titled(f"{_TOPIC}/set", "Change links: all of them, or none. Each link once.", _set()),
        "partition": titled(
            f"{_TOPIC}/partition",
            "Cut everything between groups of peers; replaces the partition before. No peer is in two groups.",
            _partition(),
        ),
        "heal": titled(f"{_TOPIC}/heal", "End the partition.", _heal()),
        "link-schedule": titled(
            f"{_TOPIC}/{_LINK_TOPIC}/schedule",
            "Have a schedule go on over one link, in place of its earlier one; null ends that.",
            _link_schedule(),
        ),
        "schedule": titled(
            f"{_TOPIC}/schedule", "Schedules of links: all of them, or none. Each link once.", _schedule()
        ),
        "link-switch": titled(
            f"{_TOPIC}/{_LINK_TOPIC}/switch", "Let nothing into one link, or again what comes.", _link_switch()
        ),
        "switch": titled(f"{_TOPIC}/switch", "Let nothing into a link, or again what comes.", _switch()),
        "carrier": titled(
            f"{_TOPIC}/carrier", "Take the carrier of a peer's interface away, or give it back.", _carrier()
        ),
        "readdress": titled(f"{_TOPIC}/readdress", "Give a peer other addresses on a segment.", _readdress()),
        "request": titled("A line to the control socket", "Any request.", {"oneOf": _requests()}),
        "status": titled(
            f"{_TOPIC}/status",
            "Retained. Plain text, not JSON; offline is also the last will.",
            {"enum": ["online", "offline"]},
        ),
        "topology": titled(f"{_TOPIC}/topology", "Retained. Who is there, which links, what partition.", _topology()),
        "link": titled(f"{_TOPIC}/{_LINK_TOPIC}", "Retained. The impairment in force.", _link_state()),
        "reply": titled(f"{_TOPIC}/reply/<id>", "What became of a command.", _reply()),
        "stats": titled(f"{_TOPIC}/stats/<segment>/<src>/<dst>", "Counters of a link, and its rate.", _stats()),
        "event": titled(f"{_TOPIC}/event", "What happens.", {"oneOf": _events()}),
        "description": titled("The control socket's answer to describe", "The whole as it is.", _description()),
    }


def _link_set() -> Schema:
    properties = {
        "id": ref("Id"),
        "clear": switch("true: no impairment first, then the fields."),
        **{name: {"$ref": f"#/$defs/Impairment/properties/{name}"} for name in FIELDS},
    }
    anything: Schema = {"not": {"propertyNames": {"enum": ["id", "clear"]}}}
    return {**inbound(properties), "anyOf": [anything, _CLEARING]}


def _change() -> Schema:
    properties = {
        **_link_name(),
        "segment": {**ref("Name"), "default": "lan"},
        "set": {**ref("Impairment"), "description": "Only what is named changes."},
        "clear": switch("true: no impairment first, then what is in set."),
    }
    something: Schema = {"properties": {"set": {"minProperties": 1}}, "required": ["set"]}
    return {**inbound(properties, "src", "dst"), "anyOf": [something, _CLEARING]}


def _set() -> Schema:
    return inbound({"id": ref("Id"), "changes": some(ref("Change"), least=1)}, "changes")


def _partition() -> Schema:
    groups = some(some(ref("Name"), uniqueItems=True), least=2)
    return inbound({"id": ref("Id"), "groups": groups}, "groups")


def _heal() -> Schema:
    return inbound({"id": ref("Id")})


def _link_schedule() -> Schema:
    wrapped = inbound({"id": ref("Id"), "schedule": _SCHEDULE_OR_NULL}, "schedule")
    tagged = {
        "type": "object",
        "description": "A Schedule, and perhaps an id.",
        "properties": {"id": ref("Id"), "type": {"enum": list(TYPES)}},
        "required": ["type"],
    }
    return {"anyOf": [{"type": "null"}, wrapped, tagged]}


def _schedule() -> Schema:
    properties = {**_link_name(), "segment": {**ref("Name"), "default": "lan"}, "schedule": _SCHEDULE_OR_NULL}
    change = inbound(properties, "src", "dst", "schedule")
    return inbound({"id": ref("Id"), "changes": some(change, least=1)}, "changes")


def _link_switch() -> Schema:
    properties = {
        "id": ref("Id"),
        "up": switch("Whether anything passes from then on."),
        "both": switch("true: the way back too, if there is one."),
    }
    return inbound(properties, "up")


def _switch() -> Schema:
    place = {**_link_name(), "segment": {**ref("Name"), "default": "lan"}}
    return inbound({**place, **_link_switch()["properties"]}, "src", "dst", "up")


def _carrier() -> Schema:
    properties = {
        "id": ref("Id"),
        "peer": ref("Name"),
        "segment": {**ref("Name"), "default": "lan"},
        "up": switch("Whether the interface has a carrier from then on."),
    }
    return inbound(properties, "peer", "up")


def _readdress() -> Schema:
    words = "The peer's {} address from then on; left out: the next free one."
    properties = {
        "id": ref("Id"),
        "peer": ref("Name"),
        "segment": {**ref("Name"), "default": "lan"},
        "ipv4": {**ref("Name"), "description": words.format("IPv4")},
        "ipv6": {**ref("Name"), "description": words.format("IPv6")},
    }
    return inbound(properties, "peer")


def _requests() -> list[Schema]:
    bare = [(name, inbound({})) for name in ("describe", "counters", "measures", "ping", "watch", "down")]
    named = [
        *(("set", _set()), ("schedule", _schedule()), ("switch", _switch()), ("carrier", _carrier())),
        *(("readdress", _readdress()), ("partition", _partition()), ("heal", _heal()), *bare),
        *(("exec", _exec()), ("capture", _capture())),
    ]
    return [_request(name, schema) for name, schema in named]


def _request(name: str, schema: Schema) -> Schema:
    number = {"type": "integer", "minimum": 0, "maximum": MOST_ID, "description": "Every answer repeats it."}
    properties = {"n": number, "request": {"const": name}, **schema["properties"]}
    return inbound(properties, "n", "request", *schema.get("required", ()))


def _exec() -> Schema:
    word, size = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1, "maximum": 2**16 - 1}
    properties = {
        "peer": text("Where it runs.", minLength=1),
        "argv": some(word, description="The program and its arguments."),
        "env": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "null"]},
            "description": "Changes to the environment of the network's owner; null takes a variable away.",
        },
        "cwd": text("Where it starts; by default where the network's owner does.", type=["string", "null"]),
        "terminal": {
            **inbound({"rows": size, "columns": size}, "rows", "columns"),
            "type": ["object", "null"],
            "description": "The size of the terminal that it shall have; without it, it has pipes.",
        },
    }
    return inbound(properties, "peer", "argv")


def _capture() -> Schema:
    properties = {
        "peer": text("Where.", minLength=1),
        "segment": text("The peer's interface there; by default all of them.", type=["string", "null"]),
        "filter": text("Which packets, as pcap-filter(7) has it; by default all.", type=["string", "null"]),
        "snaplen": {"type": ["integer", "null"], "description": "Bytes of a packet that are kept; by default 65535."},
        "count": {"type": ["integer", "null"], "minimum": 1, "description": "End after so many packets."},
        "seconds": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "End after so many seconds."},
    }
    return inbound(properties, "peer")


# --- what goes out -------------------------------------------------------------------------------


def _topology() -> Schema:
    addresses = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
    subnets = outbound({"ipv4": text("The subnet."), "ipv6": {"type": ["string", "null"]}})
    schema = outbound(
        {
            "name": text("Of the network."),
            "topology": text("The topology's name."),
            "release": text("Of the kernel that it runs on."),
            "seed": count("Of the run."),
            "started_at": ref("Time"),
            "segments": {"type": "object", "additionalProperties": subnets, "description": "Subnets by segment."},
            "peers": {
                "type": "object",
                "additionalProperties": addresses,
                "description": "By name: addresses by segment.",
            },
            "links": {"type": "array", "items": ref("LinkName")},
            "groups": ref("Groups"),
            "notes": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What this kernel cannot do of what was asked.",
            },
        },
        {
            "without_carrier": {
                "type": "array",
                "items": outbound({"peer": ref("Name"), "segment": ref("Name")}),
                "description": "Interfaces whose carrier was taken away; absent if there are none.",
            },
            "gateways": {
                "type": "array",
                "items": outbound(
                    {
                        "peer": ref("Name"),
                        "inside": ref("Name"),
                        "outside": ref("Name"),
                        "nat": {"type": ["string", "null"], "description": "Which NAT, in words; null without."},
                    }
                ),
                "description": "Peers that forward between segments; absent if there are none.",
            },
        },
    )
    # A network without access links may leave it out.
    return {**schema, "properties": {**schema["properties"], "access": accesses_schema()}}


def _description() -> Schema:
    states = {"links": {"type": "array", "items": ref("LinkState")}}
    topology = _topology()
    properties = {**topology["properties"], "revision": count("Counts the changes."), **states}
    return {**topology, "properties": properties, "required": [*topology["required"], "revision"]}


def _reply() -> Schema:
    properties = {
        "id": text("The command's; absent if it had none."),
        "ok": switch("The kernel has taken all of it."),
        "revision": count("Of the network, counts its changes."),
        "applied_at": {"type": ["number", "null"], "description": "Seconds since the epoch; null if it was refused."},
        "error": {"anyOf": [{"type": "null"}, ref("Problem")]},
    }
    schema = outbound(properties)
    return {**schema, "required": [name for name in properties if name != "id"]}


def _stats() -> Schema:
    properties = {**_link_name(), "at": ref("Time")}
    for value in (LinkCounters, LinkRate):
        for field in attrs.fields(value):
            if field.name in COUNTS:
                properties[field.name] = count(COUNTS[field.name])
    properties["interval_s"] = amount("Seconds since the message before; 0 in the first one.")
    properties["rate_kbit"] = amount("What left the link over the interval, in 1000 bit/s of Ethernet frames.")
    return outbound(properties)


def _events() -> list[Schema]:
    links = {"type": "array", "items": ref("LinkState"), "description": "Those concerned, as they are now."}
    removed = {"type": "array", "items": ref("LinkName"), "description": "Links that went."}
    changed = {
        "revision": count("Counts the network's changes."),
        "what": text(
            "update, clear, set_schedule, schedule, down, up, carrier down, carrier up, partition, heal, connect, "
            "add_link, disconnect, add_peer, remove_peer, set_access, readdress, join or leave."
        ),
        "links": links,
        "removed": removed,
        "peer": {
            "type": ["string", "null"],
            "description": "The peer that came or went, whose carrier or access link changed, that joined or left a "
            "segment, or got other addresses.",
        },
        "groups": ref("Groups"),
    }
    refused = {"id": {"type": ["string", "null"], "description": "The command's."}, "error": ref("Problem")}
    return [
        _event("changed", "The kernel has taken a change.", changed),
        _event("refused", "A command was refused.", refused),
        _event("notice", "Something worth knowing, in words.", {"message": {"type": "string"}}),
        _event("missed", "Events that are not here: whoever listens was too slow.", {"count": count("How many.")}),
    ]


def _event(name: str, description: str, properties: Mapping[str, Any]) -> Schema:
    return titled(name, description, outbound({"event": {"const": name}, "at": ref("Time"), **properties}))


# --- words ---------------------------------------------------------------------------------------

_TOPIC = f"{PREFIX}/<network>"
_LINK_TOPIC = "link/<segment>/<src>/<dst>"
_SCALARS = ["string", "number", "boolean", "null"]
_SCHEDULE_OR_NULL: Schema = {"anyOf": [{"type": "null"}, ref("Schedule")]}
_CLEARING: Schema = {"properties": {"clear": {"const": True}}, "required": ["clear"]}


def _link_name() -> Schema:
    return {"src": ref("Name"), "dst": ref("Name"), "segment": ref("Name")}
