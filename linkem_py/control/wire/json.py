"""Commands, replies, states and events as JSON, both ways: every name of the codec."""

from __future__ import annotations

from linkem_py.control.wire.answers import problem_of, reply, reply_json
from linkem_py.control.wire.impairments import fields, fields_json, impairment, impairment_json
from linkem_py.control.wire.limits import dump, parse
from linkem_py.control.wire.measures import measures, measures_json
from linkem_py.control.wire.news import event, event_json
from linkem_py.control.wire.reports import (
    counters,
    counters_json,
    description,
    description_json,
    link_state,
    link_state_json,
    stats,
    stats_json,
    topology_json,
)
from linkem_py.control.wire.requests import (
    COMMAND_NAMES,
    carrier,
    command,
    command_id,
    command_json,
    heal,
    link,
    link_json,
    named_command,
    partition,
    readdress,
    reschedule,
    schedule_of_link,
    switch,
    switch_of_link,
    update,
    update_of_link,
)

__all__ = [
    "COMMAND_NAMES",
    "carrier",
    "command",
    "command_id",
    "command_json",
    "counters",
    "counters_json",
    "description",
    "description_json",
    "dump",
    "event",
    "event_json",
    "fields",
    "fields_json",
    "heal",
    "impairment",
    "impairment_json",
    "link",
    "link_json",
    "link_state",
    "link_state_json",
    "measures",
    "measures_json",
    "named_command",
    "parse",
    "partition",
    "problem_of",
    "readdress",
    "reply",
    "reply_json",
    "reschedule",
    "schedule_of_link",
    "stats",
    "stats_json",
    "switch",
    "switch_of_link",
    "topology_json",
    "update",
    "update_of_link",
]
