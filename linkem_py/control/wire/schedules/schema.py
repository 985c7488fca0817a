"""JSON Schema of schedules: the parts that commands refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import attrs

from linkem_py.control.wire.meanings import FIELDS
from linkem_py.control.wire.pieces import Schema, bounds, inbound, ref, some, switch, text, titled
from linkem_py.control.wire.schedules.bounds import LEAST_GAP_S, MOST_CHANGES, MOST_NAME, MOST_PARTS
from linkem_py.control.wire.schedules.kinds import TYPES
from linkem_py.control.wire.schedules.modifiers import KINDS
from linkem_py.model.loss import GilbertElliott
from linkem_py.model.presets import SCHEDULES
from linkem_py.model.rules import Number
from linkem_py.model.schedule import Bufferbloat, Handover, OrnsteinUhlenbeck, Replay, Steps
from linkem_py.model.schedule.change import LONGEST_S
from linkem_py.model.schedule.fields import LOSS_FIELDS, NUMERIC
from linkem_py.model.schedule.trace import BIN_MS, FRAME_BYTES, TraceFormat


def parts() -> dict[str, Schema]:
    """The schema of a schedule under ``Schedule``, and what it refers to."""
    return {
        "Schedule": {
            "description": "How a link goes on in time; the times are seconds since it began.",
            "oneOf": [ref(_part(name)) for name in TYPES],
        },
        **{_part(name): _SCHEMAS[name]() for name in TYPES},
        "ScheduledFields": titled("What holds", _HOLDS, inbound(_fields())),
        "ScheduledChange": titled(
            "What holds from a moment on",
            f"{_HOLDS} In a trace a rate_kbit of 0 is an outage.",
            inbound({"at_s": _seconds("When."), **_fields(), **_RATE}, "at_s"),
        ),
        "Effect": {
            "description": "What is over a link for a while: a modifier with its settings, or what else may hold.",
            "anyOf": [ref("ScheduledFields"), *(_modifier(name) for name in KINDS)],
        },
    }


_HOLDS = (
    "Fields of an impairment, and numbers of the Gilbert-Elliott model in force. What is not named stays, null takes a "
    "setting away."
)
_RATE = {"rate_kbit": {"type": ["number", "null"], "minimum": 0, "description": FIELDS["rate_kbit"]}}


def _part(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_")) + "Schedule"


def _tagged(name: str, description: str, properties: Mapping[str, Schema], *required: str) -> Schema:
    return titled(name, description, inbound({"type": {"const": name}, **properties}, "type", *required))


def _fields() -> dict[str, Schema]:
    impairment = {name: {"$ref": f"#/$defs/Impairment/properties/{name}"} for name in FIELDS}
    inside = {name: _number(GilbertElliott, field, f"The {field} of the model.") for name, field in LOSS_FIELDS.items()}
    return {
        **impairment,
        **inside,
        "clear": switch("true: no impairment first, then the fields."),
        "outage": switch("Whether nothing passes; the fields hold underneath."),
    }


def _number(kind: type[Any], name: str, description: str) -> Schema:
    field = attrs.fields_dict(kind)[name]
    rule = getattr(field.validator, "rule", field.validator)
    schema = bounds(rule, nullable=False) if isinstance(rule, Number) else {"type": "number"}
    return {**schema, "description": description}


def _optional(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _seconds(description: str) -> Schema:
    return {"type": "number", "minimum": 0, "maximum": LONGEST_S, "description": description}


def _after(description: str) -> Schema:
    return {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": LONGEST_S, "description": description}


def _changes(description: str) -> Schema:
    return some(ref("ScheduledChange"), maxItems=MOST_CHANGES, description=description)


def _modifier(name: str) -> Schema:
    return titled(name, _ABOUT[name], inbound({"modifier": {"const": name}, **_settings(KINDS[name])}, "modifier"))


def _settings(kind: type[Any]) -> dict[str, Schema]:
    return {
        field.name: {**_number(kind, field.name, _MEANINGS[field.name]), "default": field.default}
        for field in attrs.fields(kind)
    }


# --- one for each type ---------------------------------------------------------------------------


def _constant() -> Schema:
    return _tagged("constant", "One change, at the beginning.", {"what": ref("ScheduledFields")})


def _steps() -> Schema:
    properties = {
        "steps": _changes("Their times rise."),
        "interpolate": switch("Numbers go linearly from one step to the next."),
        "tick_ms": _optional(_number(Steps, "tick_ms", "How often, when interpolated, in milliseconds.")),
        "period_s": _after("Begin again after so long, in seconds; null: the last step holds for ever."),
    }
    return _tagged("steps", "Changes at given times.", properties, "steps")


def _markov() -> Schema:
    dwell = {"type": "number", "minimum": LEAST_GAP_S, "maximum": LONGEST_S}
    states = ref("ScheduledFields")
    properties = {
        "states": {
            "description": "By name, in the order of the matrix's rows; or a list. All name the same fields.",
            "anyOf": [{"type": "object", "additionalProperties": states, "minProperties": 1}, some(states)],
        },
        "matrix": some(
            some({"type": "number", "minimum": 0, "maximum": 1}),
            description="A row for each state: the probabilities of the next. Each sums to 1.",
        ),
        "initial": {"type": ["string", "integer"], "description": "The name or the number of the first state."},
        "mean_dwell_s": {
            "description": "Mean seconds until the matrix is asked: one number, or one for each state.",
            "anyOf": [dwell, some(dwell)],
        },
    }
    about = "States at random; each lasts an exponential time, then a row of the matrix says what is next."
    return _tagged("markov", about, properties, "states", "matrix", "mean_dwell_s")


def _ornstein_uhlenbeck() -> Schema:
    meanings = {"mean": "Mean", "sd": "Standard deviation", "floor": "Least value set"}
    numbers: dict[str, Schema] = {}
    for name, meaning in meanings.items():
        numbers[name] = {"type": ["number", "null"], "description": f"{meaning}, in the field's unit."}
        about = f"{meaning} of a rate, in 1000 bit/s: another name of {name}."
        numbers[f"{name}_kbit"] = {"type": ["number", "null"], "description": about}
    properties = {
        "field": {"enum": list(NUMERIC), "default": "rate_kbit", "description": "What wanders."},
        **numbers,
        "ceiling": {"type": ["number", "null"], "description": "Greatest value set, in the field's unit."},
        "tau_s": _optional(_number(OrnsteinUhlenbeck, "tau_s", "How long it remembers, in seconds.")),
        "tick_ms": _optional(_number(OrnsteinUhlenbeck, "tick_ms", "A value every so many milliseconds.")),
    }
    schema = _tagged("ornstein_uhlenbeck", "A number that wanders around its mean.", properties)
    return {**schema, "anyOf": [{"required": ["mean"]}, {"required": ["mean_kbit"]}]}


def _trace() -> Schema:
    properties = {
        "points": _changes("Their times rise."),
        "rates_kbit": some(
            {"type": "number", "minimum": 0},
            maxItems=MOST_CHANGES,
            description="The rate of each bin, in 1000 bit/s; 0 is an outage.",
        ),
        "text": text("The trace as it was recorded."),
        "format": {"enum": list(get_args(TraceFormat)), "description": "Of the text."},
        "bin_ms": {"type": "integer", "minimum": 1, "default": BIN_MS, "description": "Length of a bin, milliseconds."},
        "packet_bytes": {
            "type": "integer",
            "minimum": 1,
            "default": FRAME_BYTES,
            "description": "What a packet of a Mahimahi trace counts.",
        },
        "duration_s": _after("How long the trace lasts, in seconds."),
        "repeat": switch("Whether it starts over at the end; true by default."),
        "name": text("For people.", maxLength=MOST_NAME),
    }
    schema = _tagged("trace", "A recorded link, by points, by bins of one length, or as a text.", properties)
    return {
        **schema,
        "oneOf": [{"required": ["points"]}, {"required": ["rates_kbit"]}, {"required": ["text", "format"]}],
    }


def _replay() -> Schema:
    speed = _optional(_number(Replay, "speed", "2 is twice as fast."))
    properties = {"changes": _changes("Their times do not fall."), "speed": speed}
    return _tagged("replay", "The changes of a recording.", properties, "changes")


def _overlay() -> Schema:
    end = {"type": ["number", "null"], "minimum": 0}
    span = {"type": "array", "prefixItems": [{"type": "number", "minimum": 0}, end], "minItems": 2, "maxItems": 2}
    properties = {
        "base": {
            "description": "What is underneath; null: the link's own impairment.",
            "anyOf": [_NULL, ref("Schedule")],
        },
        "effect": ref("Effect"),
        "spans": some(span, maxItems=MOST_CHANGES, description="Begin and end in seconds; an end of null never comes."),
        "every_s": _after("The spans again and again, so many seconds apart; null: once."),
    }
    return _tagged("overlay", "A schedule with something over it for a while.", properties, "effect", "spans")


def _sum() -> Schema:
    items = some(ref("Schedule"), maxItems=MOST_PARTS, description="Each sets fields of its own.")
    return _tagged("sum", "Schedules side by side.", {"parts": items}, "parts")


def _preset() -> Schema:
    name = text(f"One of {', '.join(SCHEDULES)}; - equals _.")
    return _tagged("preset", "A schedule by name.", {"name": name}, "name")


def _situation(name: str, settings: Mapping[str, Schema], *required: str) -> Schema:
    properties = {
        "normal": {"description": "What is underneath; null: the link's own.", "anyOf": [_NULL, ref("Schedule")]},
        "at_s": _optional(_seconds("When it begins.")),
        "for_s": _after("How long it lasts, in seconds."),
        "every_s": _after("Again and again, so many seconds apart; null: once."),
        **settings,
    }
    return _tagged(name, _ABOUT[name], properties, *required)


def _handover() -> Schema:
    return _situation("handover", _settings(Handover))


def _outage() -> Schema:
    return _situation("outage", {}, "at_s", "for_s")


def _bufferbloat() -> Schema:
    return _situation("bufferbloat", {name: _optional(schema) for name, schema in _settings(Bufferbloat).items()})


def _degradation_cycle() -> Schema:
    properties = {
        "good": ref("ScheduledFields"),
        "poor": ref("ScheduledFields"),
        "poor_at_s": _optional(_seconds("When it becomes poor; 30 by default.")),
        "good_at_s": _optional(_seconds("When it becomes good again; 90 by default.")),
        "interpolate": switch("Numbers go linearly from one to the other."),
        "period_s": _after("Begin again after so long, in seconds."),
    }
    return _tagged("degradation_cycle", "Good, then poor, then good again.", properties, "good", "poor")


_NULL: Schema = {"type": "null"}
_ABOUT = {
    "handover": "A radio link while it changes cells: slower, and losing in bursts.",
    "bufferbloat": "A queue that holds (1 + 5 severity) times the usual; the link needs a rate.",
    "outage": "Nothing passes for a while.",
}
_MEANINGS = {
    "delay_ms": "Added to the delay, in milliseconds.",
    "jitter_factor": "Multiplies the jitter.",
    "loss_factor": "Multiplies the mean loss.",
    "most_loss_pct": "What the mean loss goes up to, in percent.",
    "loss_correlation_pct": "Correlation of one packet's loss with the next's, in percent.",
    "reorder_factor": "Multiplies the reordering.",
    "severity": "0 is the usual queue, 1 six times as much.",
}
_SCHEMAS = {
    "constant": _constant,
    "steps": _steps,
    "markov": _markov,
    "ornstein_uhlenbeck": _ornstein_uhlenbeck,
    "trace": _trace,
    "replay": _replay,
    "overlay": _overlay,
    "sum": _sum,
    "preset": _preset,
    "handover": _handover,
    "outage": _outage,
    "bufferbloat": _bufferbloat,
    "degradation_cycle": _degradation_cycle,
}
