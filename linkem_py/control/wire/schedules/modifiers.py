"""What an overlay does to a link, as JSON: a modifier with its settings, or what else may hold for a while."""

from __future__ import annotations

from typing import Any

import attrs

from linkem_py.control.wire.schedules.changes import what, what_json
from linkem_py.control.wire.schedules.places import placed
from linkem_py.control.wire.shape import as_number, as_object, as_text, check_names, refuse
from linkem_py.model.presets import modifier
from linkem_py.model.schedule import Bufferbloat, Handover, Modifier, ScheduledChange, What

KINDS: dict[str, type[Any]] = {"handover": Handover, "bufferbloat": Bufferbloat}
_NAMES: dict[type[Any], str] = {kind: name for name, kind in KINDS.items()}


def effect(value: Any, path: str) -> Modifier | What:
    """``{"modifier": "handover", "delay_ms": 300}``, or fields, ``clear`` and ``outage`` as in a state."""
    data = as_object(value, path)
    if "modifier" not in data:
        return what(data, path)
    name = as_text(data["modifier"], f"{path}.modifier")
    with placed(path):
        kind = KINDS[_NAMES[type(modifier(name))]]
        check_names(data, ("modifier", *attrs.fields_dict(kind)), f"{path}.")
        made: Modifier = kind(**settings_of(kind, data, path))
    return made


def effect_json(given: Modifier | ScheduledChange) -> dict[str, Any]:
    """The JSON that `effect` reads. Raises `RequestError` for a modifier that is none of ours."""
    if isinstance(given, ScheduledChange):
        return what_json(given)
    kind = type(given)
    if kind not in _NAMES:
        refuse("effect", f"must be one of {', '.join(KINDS)}, or it cannot be written down", kind.__name__)
    return {"modifier": _NAMES[kind], **{name: getattr(given, name) for name in attrs.fields_dict(KINDS[_NAMES[kind]])}}


def settings_of(kind: type[Any], data: dict[str, Any], path: str) -> dict[str, float]:
    """The settings of a modifier of that kind that are given."""
    return {name: as_number(data[name], f"{path}.{name}") for name in attrs.fields_dict(kind) if name in data}
