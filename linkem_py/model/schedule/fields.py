"""What a scheduled change can name: fields of `Impairment`, and the numbers inside its loss model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import FIELDS, Impairment
from linkem_py.model.loss import GilbertElliott
from linkem_py.model.rules import plain

# ``loss.p_pct`` and so on: a Gilbert-Elliott parameter of the model that is in force by then.
LOSS_FIELDS: dict[str, str] = {f"loss.{field.name}": field.name for field in attrs.fields(GilbertElliott)}
WHOLE = ("queue_packets", "reorder_gap", "mtu")
NUMERIC: tuple[str, ...] = (
    *(name for name in FIELDS if name.endswith(("_pct", "_ms", "_kbit", "_kb"))),
    *WHOLE,
    *LOSS_FIELDS,
)
KNOWN: tuple[str, ...] = (*FIELDS, *LOSS_FIELDS)
# Fields of one family replace each other.
_FAMILIES = {
    "loss": "loss",
    "loss_pct": "loss",
    "loss_correlation_pct": "loss",
    "kernel_loss_correlation": "loss",
    "queue_ms": "queue",
    "queue_packets": "queue",
}


@attrs.frozen
class needed:  # noqa: N801 - a validator, named as attrs names its own
    """A validator that, unlike `rule`, does not let None pass."""

    rule: Callable[[Any, attrs.Attribute[Any], Any], None]

    def __call__(self, instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        """Check a field's value, as a validator."""
        if value is None:
            raise TopologyError(attribute.name, "must be a number", None)
        self.rule(instance, attribute, value)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is most like `name`; empty if none is."""
    close = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def checked_value(name: Any, value: Any) -> Any:
    """`value` as the field takes it; raises `TopologyError` unless `name` is known and `value` within its bounds.

    None takes a setting away. Numbers of numpy become Python's.
    """
    value = plain(value)
    if name not in KNOWN:
        hint = nearest(name, KNOWN) if isinstance(name, str) else ""
        raise TopologyError(str(name), f"is not a field{hint}; the fields are {', '.join(KNOWN)}", value)
    if name in LOSS_FIELDS:
        attribute = attrs.fields_dict(GilbertElliott)[LOSS_FIELDS[name]]
        if value is None:
            raise TopologyError(name, "must be a number", None)
    else:
        attribute = attrs.fields_dict(Impairment)[name]
    if value is not None and attribute.validator is not None:
        try:
            attribute.validator(None, attribute, value)
        except TopologyError as error:
            raise TopologyError(name, error.rule, error.value) from None
    return value


def check_numeric(name: Any) -> str:
    """`name` if it is a field that holds a number; raises `TopologyError` with the nearest otherwise."""
    if name not in NUMERIC:
        hint = nearest(name, NUMERIC) if isinstance(name, str) else ""
        raise TopologyError("field", f"must be a field that is a number{hint}; they are {', '.join(NUMERIC)}", name)
    return str(name)


def clash(first: str, second: str) -> bool:
    """Whether two fields cannot be set independently: one and the same, or two forms of one thing."""
    if first == second:
        return True
    if first in LOSS_FIELDS and second in LOSS_FIELDS:
        return False
    families = [_FAMILIES.get(name.partition(".")[0], name) for name in (first, second)]
    # The correlation of a loss is a number beside it; a model takes the place of both.
    return families[0] == families[1] and {first, second} != {"loss_pct", "loss_correlation_pct"}


def resolved(impairment: Impairment, fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` as `Impairment.evolve` takes them: numbers inside the loss model become a model.

    Raises `TopologyError` where the impairment has no Gilbert-Elliott model to change.
    """
    inner = {LOSS_FIELDS[name]: value for name, value in fields.items() if name in LOSS_FIELDS}
    if not inner:
        return dict(fields)
    outer = {name: value for name, value in fields.items() if name not in LOSS_FIELDS}
    model = outer.get("loss", impairment.loss)
    if not isinstance(model, GilbertElliott):
        name = next(name for name in fields if name in LOSS_FIELDS)
        raise TopologyError(name, "needs loss to be a GilbertElliott on this link", model)
    return outer | {"loss": attrs.evolve(model, **inner)}


def difference(before: Impairment, after: Impairment) -> dict[str, Any]:
    """The fields that lead from one impairment to another."""
    return {name: getattr(after, name) for name in FIELDS if getattr(before, name) != getattr(after, name)}


def number_of(impairment: Impairment, name: str) -> float | None:
    """A numeric field of an impairment; None where it has none."""
    if name in LOSS_FIELDS:
        model = impairment.loss
        return getattr(model, LOSS_FIELDS[name]) if isinstance(model, GilbertElliott) else None
    value: float | None = getattr(impairment, name)
    return value
