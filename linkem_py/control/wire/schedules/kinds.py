"""The schedules by their type, and what each is made of in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from linkem_py.control.wire.schedules.bounds import LEAST_GAP_S, MOST_CHANGES, MOST_PARTS, check_pace
from linkem_py.control.wire.schedules.changes import timed, what
from linkem_py.control.wire.schedules.modifiers import effect, settings_of
from linkem_py.control.wire.schedules.places import of_member, placed
from linkem_py.control.wire.schedules.traces import trace
from linkem_py.control.wire.shape import (
    as_flag,
    as_list,
    as_number,
    as_object,
    as_text,
    check_names,
    member,
    refuse,
)
from linkem_py.errors import TopologyError
from linkem_py.model import presets
from linkem_py.model.schedule import (
    Constant,
    Handover,
    Markov,
    OrnsteinUhlenbeck,
    Overlay,
    Replay,
    Schedule,
    Steps,
    Sum,
    bufferbloat,
    degradation_cycle,
    handover,
    outage,
)
from linkem_py.model.schedule.change import LONGEST_S

# What is inside a schedule is read by whoever reads that: it knows how deep it is.
Inner = Callable[[Any, str], Schedule]
Reader = Callable[[dict[str, Any], str, Inner], Schedule]

_SITUATION = ("type", "normal", "at_s", "for_s", "every_s")


def _constant(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    check_names(data, ("type", "what"), f"{path}.")
    return Constant(what(data.get("what", {}), f"{path}.what"))


def _steps(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    check_names(data, ("type", "steps", "interpolate", "tick_ms", "period_s"), f"{path}.")
    steps = timed(member(data, "steps", f"{path}."), f"{path}.steps")
    settings = _numbers(data, path, "tick_ms", "period_s")
    if "interpolate" in data:
        settings["interpolate"] = as_flag(data["interpolate"], f"{path}.interpolate")
    with placed(path):
        made = Steps(steps, **settings)
    if made.period_s is not None:
        check_pace(made.period_s, len(steps), f"{path}.period_s")
    return made


def _markov(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    check_names(data, ("type", "states", "matrix", "initial", "mean_dwell_s"), f"{path}.")
    states = member(data, "states", f"{path}.")
    if isinstance(states, list):
        states = {str(number): state for number, state in enumerate(states)}
    _at_most(as_object(states, f"{path}.states"), f"{path}.states")
    matrix = [
        [as_number(share, f"{path}.matrix[{row}][{place}]") for place, share in enumerate(_row(shares, path, row))]
        for row, shares in enumerate(as_list(member(data, "matrix", f"{path}."), f"{path}.matrix"))
    ]
    dwell = member(data, "mean_dwell_s", f"{path}.")
    for number, dwell_s in enumerate(dwell if isinstance(dwell, list) else [dwell]):
        place = f"{path}.mean_dwell_s" + (f"[{number}]" if isinstance(dwell, list) else "")
        if as_number(dwell_s, place) < LEAST_GAP_S:
            refuse(place, f"must be at least {LEAST_GAP_S:g} s", dwell_s)
    with placed(path):
        return Markov(
            states={name: what(state, of_member(f"{path}.states", name)) for name, state in states.items()},
            matrix=matrix,
            mean_dwell_s=dwell,
            initial=data.get("initial", 0),
        )


def _row(shares: Any, path: str, row: int) -> list[Any]:
    return as_list(shares, f"{path}.matrix[{row}]")


_PROCESS = ("mean", "sd", "floor")
_PROCESS_KBIT = tuple(f"{name}_kbit" for name in _PROCESS)


def _ornstein_uhlenbeck(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    numbers = (*_PROCESS, *_PROCESS_KBIT, "tau_s", "tick_ms", "ceiling")
    check_names(data, ("type", "field", *numbers), f"{path}.")
    settings = _numbers(data, path, *numbers)
    field = as_text(data.get("field", "rate_kbit"), f"{path}.field")
    with placed(path):
        return OrnsteinUhlenbeck(field=field, **settings)


def _replay(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    check_names(data, ("type", "changes", "speed"), f"{path}.")
    changes = timed(member(data, "changes", f"{path}."), f"{path}.changes")
    with placed(path):
        return Replay(changes, **_numbers(data, path, "speed"))


def _overlay(data: dict[str, Any], path: str, inner: Inner) -> Schedule:
    check_names(data, ("type", "base", "effect", "spans", "every_s"), f"{path}.")
    base = Constant() if data.get("base") is None else inner(data["base"], f"{path}.base")
    over = effect(member(data, "effect", f"{path}."), f"{path}.effect")
    rows = as_list(member(data, "spans", f"{path}."), f"{path}.spans")
    if len(rows) > MOST_CHANGES:
        refuse(f"{path}.spans", f"must be at most {MOST_CHANGES}", len(rows))
    spans = [_span(row, f"{path}.spans[{number}]") for number, row in enumerate(rows)]
    with placed(path):
        made = Overlay(base, over, spans, **_numbers(data, path, "every_s"))
    if made.every_s is not None:
        check_pace(made.every_s, 2 * len(spans), f"{path}.every_s")
    return made


def _span(row: Any, path: str) -> tuple[float, float]:
    ends = as_list(row, path)
    if len(ends) != 2:
        refuse(path, "must be a pair of seconds: begin and end, which may be null", ends)
    # JSON has no infinity: an end that is null never comes.
    never = ends[1] is None or ends[1] == math.inf
    return _moment(ends[0], f"{path}[0]"), math.inf if never else _moment(ends[1], f"{path}[1]")


def _moment(value: Any, path: str) -> float:
    if (at_s := as_number(value, path)) > LONGEST_S:
        refuse(path, f"must be at most {LONGEST_S:g} s", at_s)
    return at_s


def _sum(data: dict[str, Any], path: str, inner: Inner) -> Schedule:
    check_names(data, ("type", "parts"), f"{path}.")
    rows = as_list(member(data, "parts", f"{path}."), f"{path}.parts")
    if not 0 < len(rows) <= MOST_PARTS:
        refuse(f"{path}.parts", f"must be 1 to {MOST_PARTS}", len(rows))
    parts = [inner(row, f"{path}.parts[{number}]") for number, row in enumerate(rows)]
    with placed(path):
        return Sum(*parts)


def _trace(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    return trace(data, path)


# --- by name -------------------------------------------------------------------------------------


def _preset(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    check_names(data, ("type", "name"), f"{path}.")
    name = as_text(member(data, "name", f"{path}."), f"{path}.name")
    try:
        return presets.schedule(name).schedule
    except TopologyError as error:
        refuse(f"{path}.name", error.rule, name)


def _handover(data: dict[str, Any], path: str, inner: Inner) -> Schedule:
    check_names(data, (*_SITUATION, *attrs.fields_dict(Handover)), f"{path}.")
    with placed(path):
        modifier = Handover(**settings_of(Handover, data, path))
        return _checked(handover(_normal(data, path, inner), modifier=modifier, **_times(data, path)), path)


def _outage(data: dict[str, Any], path: str, inner: Inner) -> Schedule:
    check_names(data, _SITUATION, f"{path}.")
    for name in ("at_s", "for_s"):
        member(data, name, f"{path}.")
    with placed(path):
        return _checked(outage(_normal(data, path, inner), **_times(data, path)), path)


def _bufferbloat(data: dict[str, Any], path: str, inner: Inner) -> Schedule:
    check_names(data, (*_SITUATION, "severity"), f"{path}.")
    with placed(path):
        severity = _numbers(data, path, "severity")
        return _checked(bufferbloat(_normal(data, path, inner), **severity, **_times(data, path)), path)


def _degradation_cycle(data: dict[str, Any], path: str, _inner: Inner) -> Schedule:
    check_names(data, ("type", "good", "poor", "poor_at_s", "good_at_s", "interpolate", "period_s"), f"{path}.")
    settings = _numbers(data, path, "poor_at_s", "good_at_s", "period_s")
    if "interpolate" in data:
        settings["interpolate"] = as_flag(data["interpolate"], f"{path}.interpolate")
    good, poor = (what(member(data, name, f"{path}."), f"{path}.{name}") for name in ("good", "poor"))
    with placed(path):
        made = degradation_cycle(good, poor, **settings)
    if made.period_s is not None:
        check_pace(made.period_s, len(made.steps), f"{path}.period_s")
    return made


def _normal(data: dict[str, Any], path: str, inner: Inner) -> Schedule | None:
    return None if data.get("normal") is None else inner(data["normal"], f"{path}.normal")


def _times(data: dict[str, Any], path: str) -> dict[str, Any]:
    return _numbers(data, path, "at_s", "for_s", "every_s")


def _checked(made: Overlay, path: str) -> Overlay:
    if made.every_s is not None:
        check_pace(made.every_s, 2 * len(made.spans), f"{path}.every_s")
    return made


# --- what all have in common ---------------------------------------------------------------------


def _numbers(data: dict[str, Any], path: str, *names: str) -> dict[str, Any]:
    """The numbers that are given under these names; null is as if it were not."""
    return {name: as_number(data[name], f"{path}.{name}") for name in names if data.get(name) is not None}


def _at_most(rows: Any, path: str) -> None:
    if len(rows) > MOST_CHANGES:
        refuse(path, f"must be at most {MOST_CHANGES}", len(rows))


TYPES: Mapping[str, Reader] = {
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
