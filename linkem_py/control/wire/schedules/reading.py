"""A schedule from its JSON."""

from __future__ import annotations

from typing import Any

from linkem_py.control.wire.schedules.bounds import MOST_NESTED, check_extremes
from linkem_py.control.wire.schedules.kinds import TYPES
from linkem_py.control.wire.shape import as_object, as_text, member, refuse, unknown
from linkem_py.model.schedule import Schedule


def schedule_from_json(value: Any, place: str = "schedule") -> Schedule:
    """The schedule that an object says: ``{"type": "ornstein_uhlenbeck", "mean_kbit": 4000, "tau_s": 1.5}``.

    ``type`` is one of `TYPES`, what else it has goes by the names of the class; ``{"type": "preset",
    "name": "race_4g"}`` is one of ``linkem_py.model.presets``. Whether it goes with a link is for the
    topology to say.

    Parameters
    ----------
    value : of JSON, or of TOML
    place : the path of the object, for errors

    Raises `RequestError` whose field is the path of what is wrong (``schedule.states.good.delay_ms``), with
    rule and value; also for a schedule that asks for too much.
    """
    schedule = _read(value, place, MOST_NESTED)
    check_extremes(schedule, place)
    return schedule


def _read(value: Any, path: str, levels: int) -> Schedule:
    data = as_object(value, path)
    name = as_text(member(data, "type", f"{path}."), f"{path}.type")
    if name not in TYPES:
        refuse(f"{path}.type", unknown(name, TYPES), name)
    if not levels:
        refuse(path, f"must not hold schedules in schedules deeper than {MOST_NESTED}", name)
    return TYPES[name](data, path, lambda inner, place: _read(inner, place, levels - 1))
