"""What holds from a moment on, as JSON: fields of an impairment, ``clear``, ``outage``, and ``at_s``.

``{"delay_ms": 80}`` changes what it names, ``{"delay_ms": 80, "clear": true}`` replaces the whole, and
``{"outage": true}`` lets nothing pass. What a schedule can set besides: ``loss.p_pct`` and so on, numbers
of the Gilbert-Elliott model in force.
"""

from __future__ import annotations

from typing import Any

from linkem_py.control.wire import impairments
from linkem_py.control.wire.schedules.bounds import MOST_CHANGES
from linkem_py.control.wire.schedules.places import placed
from linkem_py.control.wire.shape import as_flag, as_list, as_number, as_object, check_names, member, refuse
from linkem_py.model import Impairment
from linkem_py.model.schedule import ScheduledChange, What
from linkem_py.model.schedule.fields import KNOWN, LOSS_FIELDS, checked_value

WORDS = ("clear", "outage")


def what(value: Any, path: str) -> What:
    """What a state, a constant or an overlay does, from its JSON: an `Impairment`, or fields."""
    change = _change(as_object(value, path), path, 0.0, outage=None)
    if change.clear and change.outage:
        refuse(f"{path}.outage", "must not stand beside clear here", True)
    if change.clear:
        return change.applied_to(Impairment())
    return {**change.fields, **({"outage": change.outage} if "outage" in value else {})}


def what_json(given: What | ScheduledChange) -> dict[str, Any]:
    """The JSON that `what` reads."""
    if isinstance(given, ScheduledChange):
        return _words(given.clear, given.outage or None) | impairments.fields_json(given.fields)
    if isinstance(given, Impairment):
        return {"clear": True} | impairments.impairment_json(given)
    fields = {name: value for name, value in given.items() if name != "outage"}
    return _words(False, given.get("outage")) | impairments.fields_json(fields)


def timed(value: Any, path: str, *, rates: bool = False) -> tuple[ScheduledChange, ...]:
    """Changes with their times, from a list. An outage lasts until something ends it.

    rates : a rate of 0 is an outage, and any other ends it
    """
    rows = as_list(value, path)
    if len(rows) > MOST_CHANGES:
        refuse(path, f"must be at most {MOST_CHANGES}", len(rows))
    found: list[ScheduledChange] = []
    for number, row in enumerate(rows):
        place = f"{path}[{number}]"
        given = dict(as_object(row, place))
        at_s = as_number(member(given, "at_s", f"{place}."), f"{place}.at_s")
        del given["at_s"]
        last = found[-1].outage if found else False
        if rates and given.get("rate_kbit") is not None and "clear" not in given:
            last = given["rate_kbit"] == 0 and not isinstance(given["rate_kbit"], bool)
            if last:
                del given["rate_kbit"]
        found.append(_change(given, place, at_s, outage=last))
    return tuple(found)


def timed_json(changes: tuple[ScheduledChange, ...], *, rates: bool = False) -> list[dict[str, Any]]:
    """The JSON that `timed` reads; an outage is said where it does not follow from what is before."""
    rows, before = [], False
    for change in changes:
        follows = before and not change.clear
        if rates and change.fields.get("rate_kbit") is not None and not change.clear:
            follows = False
        said = change.outage if change.outage != follows else None
        rows.append({"at_s": change.at_s} | _words(change.clear, said) | impairments.fields_json(change.fields))
        before = change.outage
    return rows


def _change(given: dict[str, Any], path: str, at_s: float, *, outage: bool | None) -> ScheduledChange:
    check_names(given, (*KNOWN, *WORDS), f"{path}.")
    clear = as_flag(given.get("clear", False), f"{path}.clear")
    out = as_flag(given.get("outage", bool(outage) and not clear), f"{path}.outage")
    plain = {name: value for name, value in given.items() if name not in WORDS and name not in LOSS_FIELDS}
    fields = impairments.fields(plain, f"{path}.")
    with placed(path):
        checked = {
            name: checked_value(name, fields.get(name, value)) for name, value in given.items() if name not in WORDS
        }
        change = ScheduledChange(at_s, checked, clear, out)
        if clear:
            change.applied_to(Impairment())
    return change


def _words(clear: bool, outage: Any) -> dict[str, Any]:
    return ({"clear": True} if clear else {}) | ({} if outage is None else {"outage": outage})
