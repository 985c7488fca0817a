"""One link of a scenario from its JSON: presets, fields on top of them, schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from linkem_py.control.wire import impairments
from linkem_py.control.wire.schedules import schedule_from_json
from linkem_py.control.wire.shape import as_flag, as_object, as_text, check_names, refuse
from linkem_py.errors import RequestError, TopologyError
from linkem_py.model import Impairment
from linkem_py.model.impairment import FIELDS
from linkem_py.model.presets import ALIASES, PRESETS, SCHEDULES, Preset, pair, preset, schedule, schedule_pair
from linkem_py.model.rules import check_segment_name
from linkem_py.model.scenario import ScenarioLink
from linkem_py.model.schedule import Schedule

LINK_NAMES = (
    "name", "source", "destination", "one_way", "preset", "impairment",
    "uplink", "downlink", "schedule", "uplink_schedule", "downlink_schedule",
)  # fmt: skip

Direction = Literal["uplink", "downlink"]
DIRECTIONS: tuple[Direction, ...] = ("uplink", "downlink")


def link(value: Any, place: str, number: int, peers: Sequence[str]) -> ScenarioLink:
    """The link with that number (from 1). Raises `RequestError` with the path of what is wrong."""
    data = as_object(value, place)
    check_names(data, LINK_NAMES, f"{place}.")
    one_way = as_flag(data.get("one_way", False), f"{place}.one_way")
    _check_directions(data, place, one_way=one_way)
    name = _name(data, place, f"link{number}" if len(peers) == 2 else "lan")
    source, destination = _ends(data, place, peers)
    uplink = _direction(data, place, "uplink", name)
    downlink = None if one_way else _direction(data, place, "downlink", name)
    return ScenarioLink(
        name=name,
        source=source,
        destination=destination,
        uplink=uplink,
        downlink=downlink,
        uplink_schedule=_schedule(data, place, "uplink", uplink),
        downlink_schedule=None if downlink is None else _schedule(data, place, "downlink", downlink),
    )


def _check_directions(data: dict[str, Any], place: str, *, one_way: bool) -> None:
    """What is said about a link is enough, and about directions that it has."""
    for name in ("downlink", "downlink_schedule") if one_way else ():
        if name in data:
            refuse(f"{place}.{name}", "must not stand beside one_way", data[name])
    if "preset" in data or "impairment" in data:
        return
    given = [direction for direction in DIRECTIONS if direction in data]
    if not given:
        refuse(place, "must have a preset, an impairment, or uplink and downlink")
    missing = [direction for direction in DIRECTIONS if direction not in given]
    if missing and not (one_way and given == ["uplink"]):
        hint = " (or one_way = true)" if missing == ["downlink"] else ""
        refuse(f"{place}.{missing[0]}", f"must be given{hint}")


# --- whose it is ---------------------------------------------------------------------------------


def _name(data: dict[str, Any], place: str, default: str) -> str:
    try:
        return check_segment_name(data.get("name", default))
    except TopologyError as error:
        refuse(f"{place}.name", error.rule.removeprefix("name "), error.value)


def _ends(data: dict[str, Any], place: str, peers: Sequence[str]) -> tuple[str, str]:
    ends = []
    for index, name in enumerate(("source", "destination")):
        path = f"{place}.{name}"
        if name not in data and len(peers) != 2:
            refuse(path, f"must be given: one of {', '.join(peers)}")
        end = as_text(data.get(name, peers[index]), path)
        if end not in peers:
            refuse(path, f"must be one of the peers {', '.join(peers)}", end)
        ends.append(end)
    if ends[0] == ends[1]:
        refuse(f"{place}.destination", "must be another peer than source", ends[1])
    return ends[0], ends[1]


# --- what it is ----------------------------------------------------------------------------------


def _direction(data: dict[str, Any], place: str, direction: Direction, name: str) -> Preset:
    """The link's preset, its impairment's fields on top, and the direction's own on top of that."""
    made = Preset(name=name, impairment=Impairment())
    if "preset" in data:
        made = _end(data["preset"], f"{place}.preset", direction, exact=False)
    if "impairment" in data:
        made = _changed(made, data["impairment"], f"{place}.impairment", name)
    own = data.get(direction, {})
    if isinstance(own, str):
        return _end(own, f"{place}.{direction}", direction, exact=True)
    given = dict(as_object(own, f"{place}.{direction}"))
    if "preset" in given:
        made = _end(given.pop("preset"), f"{place}.{direction}.preset", direction, exact=True)
    return _changed(made, given, f"{place}.{direction}", name)


def _end(value: Any, place: str, direction: Direction, *, exact: bool) -> Preset:
    """One end of a pair; `exact`: the preset itself, where it is the name of one."""
    name = as_text(value, place)
    try:
        uplink, downlink = pair(name)
        if exact and _is_known(name, PRESETS):
            return preset(name)
    except TopologyError as error:
        refuse(place, error.rule, name)
    return uplink if direction == "uplink" else downlink


def _changed(base: Preset, value: Any, place: str, name: str) -> Preset:
    """The preset with these fields of its impairment; one without a name but the link's, if there are any."""
    fields = as_object(value, place)
    if not fields:
        return base
    check_names(fields, (*FIELDS, "preset") if place.endswith(DIRECTIONS) else FIELDS, f"{place}.")
    try:
        whole = base.on_link.evolve(**impairments.fields(fields, f"{place}."))
    except RequestError:
        raise
    except TopologyError as error:
        refuse(f"{place}.{error.field}", error.rule, error.value)
    return Preset(name=name, about=base.about and f"{base.about}, changed", impairment=whole)


# --- what happens on it --------------------------------------------------------------------------


def _schedule(data: dict[str, Any], place: str, direction: Direction, own: Preset) -> Schedule | None:
    named = f"{direction}_schedule" if f"{direction}_schedule" in data else "schedule"
    if data.get(named) is None:
        return None
    path = f"{place}.{named}"
    found = _scheduled(data[named], path, direction, exact=named != "schedule")
    try:
        found.check(own.on_link)
    except TopologyError as error:
        where = f"{error.where}: " if error.where else ""
        refuse(path, f"must go with the {direction}: {where}{error.field} {error.rule}", error.value)
    return found


def _scheduled(value: Any, path: str, direction: Direction, *, exact: bool) -> Schedule:
    if not isinstance(value, str):
        return schedule_from_json(value, path)
    try:
        up, down = schedule_pair(value)
        if exact and _is_known(value, SCHEDULES):
            return schedule(value).schedule
    except TopologyError as error:
        refuse(path, error.rule, value)
    return (up if direction == "uplink" else down).schedule


def _is_known(name: str, table: Any) -> bool:
    plain = name.strip().lower().replace("-", "_")
    return ALIASES.get(plain, plain) in table
