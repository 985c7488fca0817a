"""Pieces that JSON Schemas are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linkem_py.model.rules import Number, Whole

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A part, by its name."""
    return {"$ref": f"#/$defs/{name}"}


def titled(title: str, description: str, schema: Schema) -> Schema:
    """With a title and a description."""
    return {"title": title, "description": description, **schema}


def inbound(properties: Mapping[str, Any], *required: str) -> Schema:
    """An object with these members and no others."""
    schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def outbound(properties: Mapping[str, Any], perhaps: Mapping[str, Any] | None = None) -> Schema:
    """An object with at least these members, and perhaps those."""
    # Open: a later version may say more.
    return {"type": "object", "properties": {**properties, **(perhaps or {})}, "required": list(properties)}


def bounds(rule: Number | Whole, *, nullable: bool) -> Schema:
    """A number that keeps the rule."""
    name = "integer" if isinstance(rule, Whole) else "number"
    schema: Schema = {"type": [name, "null"] if nullable else name}
    if isinstance(rule, Number) and rule.above is not None:
        schema["exclusiveMinimum"] = rule.above
    else:
        schema["minimum"] = rule.least
    return {**schema, "maximum": rule.most}


def text(description: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": description, **more}


def switch(description: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description}


def count(description: str) -> Schema:
    """A whole number from 0 on."""
    return {"type": "integer", "minimum": 0, "description": description}


def amount(description: str) -> Schema:
    """A number from 0 on."""
    return {"type": "number", "minimum": 0, "description": description}


def some(items: Schema, *, least: int = 1, **more: Any) -> Schema:
    """A list of at least so many items."""
    return {"type": "array", "items": items, "minItems": least, **more}


def collect(schema: Any, everything: Mapping[str, Schema], found: dict[str, Schema]) -> None:
    """Every part that a schema refers to, and what these refer to."""
    if isinstance(schema, list):
        for item in schema:
            collect(item, everything, found)
    elif isinstance(schema, dict):
        for item in schema.values():
            collect(item, everything, found)
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/").split("/")[0]
        if name and name not in found:
            found[name] = everything[name]
            collect(everything[name], everything, found)
