"""Access links as JSON, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from linkem_py.control.wire.pieces import Schema, text
from linkem_py.control.wire.shape import as_number, as_object, as_text
from linkem_py.model.access import Access
from linkem_py.model.impairment import HIGHEST_RATE_KBIT

Accesses = Mapping[str, Mapping[str, Access]]

_RATE: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": HIGHEST_RATE_KBIT}
_FIELDS: Mapping[str, Schema] = {
    "uplink_kbit": {
        **_RATE,
        "description": "What all links from the peer may send together, in 1000 bit/s of Ethernet frames.",
    },
    "downlink_kbit": {**_RATE, "description": "What the peer may receive together, likewise."},
    "downlink_at": text("Where what comes waits.", enum=["hub", "peer"]),
    "queue_ms": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "How much waits for it, in milliseconds at its rate.",
    },
}
_NUMBERS = ("uplink_kbit", "downlink_kbit", "queue_ms")


def accesses_json(accesses: Accesses) -> dict[str, Any]:
    """By peer and segment, the settings that differ from none."""
    return {
        name: {
            segment: {
                field.name: getattr(access, field.name)
                for field in attrs.fields(Access)
                if getattr(access, field.name) != field.default
            }
            for segment, access in on.items()
        }
        for name, on in accesses.items()
    }


def accesses(value: Any, path: str) -> dict[str, dict[str, Access]]:
    """Access links from their JSON; what they have besides is passed over."""
    return {
        name: {
            segment: _access(as_object(row, f"{path}.{name}.{segment}"), f"{path}.{name}.{segment}.")
            for segment, row in as_object(on, f"{path}.{name}").items()
        }
        for name, on in as_object(value, path).items()
    }


def _access(data: dict[str, Any], path: str) -> Access:
    fields: dict[str, Any] = {name: as_number(data[name], path + name) for name in _NUMBERS if name in data}
    if "downlink_at" in data:
        fields["downlink_at"] = as_text(data["downlink_at"], f"{path}downlink_at")
    return Access(**fields)


def accesses_schema() -> Schema:
    """The schema of `accesses_json`."""
    access = {"type": "object", "properties": dict(_FIELDS)}
    on = {"type": "object", "additionalProperties": access}
    return {
        "type": "object",
        "additionalProperties": on,
        "description": "By name, then segment: the access link that all links of the peer share there.",
    }
