"""A scenario from the object that a file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linkem_py.control.wire.scenarios.links import link
from linkem_py.control.wire.scenarios.traces import with_traces
from linkem_py.control.wire.shape import as_list, as_number, as_object, as_text, check_names, member, refuse
from linkem_py.errors import TopologyError
from linkem_py.model.rules import check_peer_name
from linkem_py.model.scenario import RECEIVER, SENDER, Scenario, ScenarioLink
from linkem_py.model.schedule import Trace
from linkem_py.model.topology import LinkKey, link_name

NAMES = ("$schema", "name", "about", "duration_s", "peers", "links")
MOST_LINKS = 10_000


def scenario_from_json(value: Any, *, name: str = "scenario", traces: Mapping[str, Trace] | None = None) -> Scenario:
    """The scenario that an object says, of JSON or of TOML.

    ``{"duration_s": 60, "links": [{"name": "lte", "preset": "lte", "schedule": "handover"}]}``

    Parameters
    ----------
    name : what it is called if it does not say so
    traces : what was read from the files that it names, by the places that `trace_files` gives

    Raises `RequestError` whose field is the path of what is wrong (``links[1].uplink.delay_ms``), with rule and value.
    """
    data = with_traces(as_object(value, "scenario"), traces or {})
    check_names(data, NAMES)
    peers = _peers(data)
    rows = as_list(member(data, "links"), "links")
    if not 0 < len(rows) <= MOST_LINKS:
        refuse("links", f"must be 1 to {MOST_LINKS}", len(rows))
    duration_s = as_number(member(data, "duration_s"), "duration_s")
    links = [link(row, f"links[{number}]", number + 1, peers) for number, row in enumerate(rows)]
    _check_distinct(links)
    try:
        return Scenario(
            name=as_text(data.get("name", name), "name"),
            about=as_text(data.get("about", ""), "about"),
            duration_s=duration_s,
            links=links,
            peers=peers,
        )
    except TopologyError as error:
        refuse(error.field, error.rule, error.value, error.where)


def _peers(data: dict[str, Any]) -> tuple[str, ...]:
    if "peers" not in data:
        return (SENDER, RECEIVER)
    rows = as_list(data["peers"], "peers")
    if len(rows) < 2:
        refuse("peers", "must be at least two", rows)
    for number, row in enumerate(rows):
        try:
            check_peer_name(row)
        except TopologyError as error:
            refuse(f"peers[{number}]", error.rule, row)
        if row in rows[:number]:
            refuse(f"peers[{number}]", "must not be named twice", row)
    return tuple(rows)


def _check_distinct(links: list[ScenarioLink]) -> None:
    seen: dict[LinkKey, int] = {}
    for number, one in enumerate(links):
        for key in one.keys:
            if key in seen:
                place, rule = f"links[{number}]", f"must differ from links[{seen[key]}] in its peers or its name"
                refuse(place, rule, link_name(key).removeprefix("link "))
            seen[key] = number
