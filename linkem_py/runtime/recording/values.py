"""Fields of an impairment, and links, as JSON. The same names as on every other surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.access import Access
from linkem_py.model.cross_traffic import CrossTraffic
from linkem_py.model.distribution import DelayTable
from linkem_py.model.loss import FourState, GilbertElliott
from linkem_py.model.slot import Slot
from linkem_py.model.topology import DEFAULT_SEGMENT, LinkKey

_MODELS: dict[str, type[Any]] = {"gilbert_elliott": GilbertElliott, "four_state": FourState}
_MODEL_NAMES = {model: name for name, model in _MODELS.items()}
_PLAIN = (bool, int, float, str, type(None))


def fields_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of fields of `Impairment`."""
    return {name: value if isinstance(value, _PLAIN) else _value_json(value) for name, value in fields.items()}


def fields(data: Any) -> dict[str, Any]:
    """Fields of `Impairment` from their JSON. Raises `TopologyError`; ranges are for `Impairment` to check."""
    if not isinstance(data, dict):
        raise TopologyError("set", "must be an object of fields", data)
    return {name: _value(name, value) if isinstance(value, dict) else value for name, value in data.items()}


def key_json(key: LinkKey) -> dict[str, str]:
    """The JSON of a link's identity."""
    return {"src": key[0], "dst": key[1], "segment": key[2]}


def cross_traffic_json(traffic: CrossTraffic | None) -> dict[str, Any]:
    """The member that says a link's cross traffic; none without."""
    if traffic is None:
        return {}
    fields = attrs.asdict(traffic, recurse=False, filter=lambda _, value: value is not None)
    return {"cross_traffic": fields}


def access_json(access: Access) -> dict[str, Any]:
    """The JSON of an access link."""
    return attrs.asdict(access, filter=lambda _, value: value is not None)


def access(data: Any) -> Access:
    """An access link from its JSON. Raises `TopologyError`."""
    if not isinstance(data, dict):
        raise TopologyError("access", "must be an object of fields", data)
    return Access().evolve(**data)


def key(data: Any) -> LinkKey:
    """A link's identity from its JSON. Raises `TopologyError`."""
    if not isinstance(data, dict):
        raise TopologyError("link", "must be an object with src and dst", data)
    names = (data.get("src"), data.get("dst"), data.get("segment", DEFAULT_SEGMENT))
    for field, name in zip(("src", "dst", "segment"), names, strict=True):
        if not isinstance(name, str):
            raise TopologyError(field, "must be a name", name)
    return names  # type: ignore[return-value]  # all three are texts


def _value_json(value: Any) -> dict[str, Any]:
    if isinstance(value, DelayTable):
        return {"table": list(value.values), "name": value.name}
    if isinstance(value, Slot):
        return fields_json(attrs.asdict(value, recurse=False))
    return {"model": _MODEL_NAMES[type(value)], **attrs.asdict(value)}


def _value(name: str, data: dict[str, Any]) -> Any:
    if name == "distribution" and data.keys() == {"table", "name"}:
        return DelayTable(data["table"], data["name"])
    if name == "slot":
        return _made(name, Slot, fields(data))
    parameters = dict(data)
    model = _MODELS.get(str(parameters.pop("model", "")))
    if name != "loss" or model is None:
        raise TopologyError(name, "must be a number, a text, a loss model, a slot or a delay table", data)
    return _made(name, model, parameters)


def _made(name: str, kind: type[Any], parameters: dict[str, Any]) -> Any:
    try:
        return kind(**parameters)
    except TypeError:
        known = ", ".join(field.name for field in attrs.fields(kind))
        raise TopologyError(name, f"must have the parameters {known}", parameters) from None


def items(data: Mapping[str, Any], name: str, *, default: Any = None) -> list[Any]:
    """The list of that name. Raises `TopologyError`."""
    value = data.get(name, default)
    if not isinstance(value, list | tuple):
        raise TopologyError(name, "must be a list", value)
    return list(value)
