"""The JSON of a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from linkem_py.control.wire.schedules.changes import timed_json, what_json
from linkem_py.control.wire.schedules.modifiers import effect_json
from linkem_py.control.wire.schedules.traces import trace_json
from linkem_py.control.wire.shape import refuse
from linkem_py.model.schedule import (
    Constant,
    Markov,
    OrnsteinUhlenbeck,
    Overlay,
    Replay,
    Schedule,
    Steps,
    Sum,
    Trace,
)


def schedule_to_json(schedule: Schedule) -> dict[str, Any]:
    """The object that `schedule_from_json` makes an equal schedule of.

    Raises `RequestError` for a schedule of a class of your own, or a value that JSON cannot hold.
    """
    kind = type(schedule)
    if kind not in _WRITERS:
        refuse("schedule", "must be one of linkem's own, or it cannot be written down", kind.__name__)
    return _WRITERS[kind](schedule)


def _constant(schedule: Constant) -> dict[str, Any]:
    return {"type": "constant", "what": what_json(schedule.what)}


def _process(schedule: OrnsteinUhlenbeck) -> dict[str, Any]:
    names = ("field", "mean", "sd", "floor", "ceiling", "tau_s", "tick_ms")
    return {"type": "ornstein_uhlenbeck"} | {name: getattr(schedule, name) for name in names}


def _replay(schedule: Replay) -> dict[str, Any]:
    return {"type": "replay", "changes": timed_json(schedule.recorded), "speed": schedule.speed}


def _sum(schedule: Sum) -> dict[str, Any]:
    return {"type": "sum", "parts": [schedule_to_json(part) for part in schedule.parts]}


def _steps(schedule: Steps) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "steps", "steps": timed_json(schedule.steps)}
    data |= {"interpolate": schedule.interpolate, "tick_ms": schedule.tick_ms}
    return data if schedule.period_s is None else data | {"period_s": schedule.period_s}


def _markov(schedule: Markov) -> dict[str, Any]:
    assert isinstance(schedule.initial, int)
    assert not isinstance(schedule.mean_dwell_s, float)
    return {
        "type": "markov",
        "states": {name: what_json(change) for name, change in schedule.states},
        "matrix": [list(row) for row in schedule.matrix],
        "initial": schedule.states[schedule.initial][0],
        "mean_dwell_s": list(schedule.mean_dwell_s),
    }


def _overlay(schedule: Overlay) -> dict[str, Any]:
    data = {
        "type": "overlay",
        "base": schedule_to_json(schedule.base),
        "effect": effect_json(schedule.effect),
        "spans": [[begin_s, None if math.isinf(end_s) else end_s] for begin_s, end_s in schedule.spans],
    }
    return data if schedule.every_s is None else data | {"every_s": schedule.every_s}


_WRITERS: dict[type[Schedule], Callable[[Any], dict[str, Any]]] = {
    Constant: _constant,
    Steps: _steps,
    Markov: _markov,
    OrnsteinUhlenbeck: _process,
    Trace: trace_json,
    Replay: _replay,
    Overlay: _overlay,
    Sum: _sum,
}
