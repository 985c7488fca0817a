"""Impairments as JSON: the fields that are set, by their names in `Impairment`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from linkem_py.control.wire.limits import MOST_DIGITS
from linkem_py.control.wire.shape import as_list, as_object, as_text, as_whole, check_names, member, refuse, unknown
from linkem_py.errors import RequestError, TopologyError
from linkem_py.model import DelayTable, FourState, GilbertElliott, Impairment, LinkKey, Slot
from linkem_py.model.impairment import FIELDS
from linkem_py.model.loss import LossModel
from linkem_py.model.topology import link_name

LOSS_MODELS: dict[str, type[LossModel]] = {"gilbert_elliott": GilbertElliott, "four_state": FourState}
_MODEL_NAMES: dict[type[Any], str] = {model: name for name, model in LOSS_MODELS.items()}
_PARAMETERS: dict[str, tuple[str, ...]] = {
    name: tuple(field.name for field in attrs.fields(model)) for name, model in LOSS_MODELS.items()
}
_NEEDED: dict[str, tuple[str, ...]] = {
    name: tuple(field.name for field in attrs.fields(model) if field.default is attrs.NOTHING)
    for name, model in LOSS_MODELS.items()
}
SLOT_FIELDS = tuple(field.name for field in attrs.fields(Slot))
_KNOWN = frozenset(FIELDS)


def fields(data: dict[str, Any], path: str = "", link: LinkKey | None = None) -> dict[str, Any]:
    """Fields of `Impairment` from their JSON; null stays None.

    Names and the make of models and tables are checked; whether a value is within its range, and
    whether the fields go together, is for `Impairment.evolve` to say.

    Parameters
    ----------
    path, link : for errors: what stands before a field's name, and the link that it is about
    """
    if not data.keys() <= _KNOWN:
        name = next(name for name in data if name not in _KNOWN)
        check_names({name: data[name]}, FIELDS, path, _where(link))
    if data.keys().isdisjoint(_READERS):
        return dict(data)
    return {name: _read(name, value, path, link) if name in _READERS else value for name, value in data.items()}


def fields_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of fields of `Impairment`. Raises `RequestError` for a value that JSON cannot hold."""
    return {name: value if type(value) in _PLAIN else _value_json(name, value) for name, value in fields.items()}


def impairment(data: dict[str, Any]) -> Impairment:
    """An impairment from its JSON. Raises `RequestError` or `TopologyError`."""
    return Impairment.from_mapping(fields(data))


def impairment_json(impairment: Impairment) -> dict[str, Any]:
    """The fields that are set."""
    return fields_json(impairment.set_fields())


def _read(name: str, value: Any, path: str, link: LinkKey | None) -> Any:
    if value is None:
        return None
    try:
        return _READERS[name](value, path + name)
    except RequestError as error:
        raise error.at(_where(link)) from None
    except TopologyError as error:
        field = path + name if error.field == name else f"{path}{name}.{error.field}"
        refuse(field, error.rule, error.value, _where(link))


def _loss(value: Any, path: str) -> LossModel:
    given = as_object(value, path)
    model = as_text(member(given, "model", f"{path}."), f"{path}.model")
    if model not in LOSS_MODELS:
        refuse(f"{path}.model", unknown(model, LOSS_MODELS), model)
    check_names(given, ("model", *_PARAMETERS[model]), f"{path}.")
    for name in _NEEDED[model]:
        member(given, name, f"{path}.")
    return LOSS_MODELS[model](**{name: number for name, number in given.items() if name != "model"})


def _distribution(value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        return value  # a name, or what the model refuses
    check_names(value, ("table", "name"), f"{path}.")
    entries = as_list(member(value, "table", f"{path}."), f"{path}.table")
    if any(type(entry) is not int for entry in entries):
        entries = [as_whole(entry, f"{path}.table[{number}]", None) for number, entry in enumerate(entries)]
    return DelayTable(entries, as_text(value.get("name", "table"), f"{path}.name"))


def _slot(value: Any, path: str) -> Slot:
    given = as_object(value, path)
    check_names(given, SLOT_FIELDS, f"{path}.")
    member(given, "every_ms", f"{path}.")
    if "distribution" in given:
        given = {**given, "distribution": _distribution(given["distribution"], f"{path}.distribution")}
    return Slot(**{name: _whole(number, path) if name == "packets" else number for name, number in given.items()})


def _whole(value: Any, _path: str) -> Any:
    # 5.0 is a whole number in JSON; the rest is for the model to judge.
    return int(value) if isinstance(value, float) and value.is_integer() else value


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "loss": _loss,
    "slot": _slot,
    "distribution": _distribution,
    "reorder_gap": _whole,
    "queue_packets": _whole,
    "packet_overhead": _whole,
    "cell_size": _whole,
    "cell_overhead": _whole,
    "mtu": _whole,
    "seed": _whole,
}


# --- the other way -------------------------------------------------------------------------------

_PLAIN = frozenset({str, bool, type(None)})


def _value_json(name: str, value: Any) -> Any:
    if isinstance(value, DelayTable):
        return {"table": list(value.values), "name": value.name}
    if type(value) in _MODEL_NAMES:
        return {"model": _MODEL_NAMES[type(value)], **attrs.asdict(value)}
    if isinstance(value, Slot):
        # What is left out has its default.
        given = attrs.asdict(value, recurse=False, filter=lambda field, set_to: set_to != field.default)
        return {key: _value_json(f"{name}.{key}", item) for key, item in given.items()}
    if not isinstance(value, int | float | str):
        refuse(name, "must be a number, a text, a loss model, a Slot or a DelayTable", value)
    if isinstance(value, float) and not math.isfinite(value):
        refuse(name, "must be a finite number", value)
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        refuse(name, f"must have at most {MOST_DIGITS} digits", value)
    return value


def _where(link: LinkKey | None) -> str:
    return "" if link is None else link_name(link)
