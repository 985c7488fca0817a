"""Events as JSON, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linkem_py.control.wire.answers import problem, problem_json
from linkem_py.control.wire.events import Changed, Event, Missed, Notice, Refused
from linkem_py.control.wire.reports import groups, groups_json, link_state, link_state_json
from linkem_py.control.wire.requests import link, link_json
from linkem_py.control.wire.shape import (
    as_id,
    as_list,
    as_number,
    as_object,
    as_text,
    as_whole,
    member,
    refuse,
    unknown,
)


def event_json(event: Event) -> dict[str, Any]:
    """``{"event": "changed"|"refused"|"notice"|"missed", "at", ...}``, the rest by its attributes."""
    if isinstance(event, Changed):
        return {
            "event": "changed",
            "at": event.at,
            "revision": event.revision,
            "what": event.what,
            "links": [link_state_json(state) for state in event.links],
            "removed": [link_json(key) for key in event.removed],
            "peer": event.peer,
            "groups": groups_json(event.groups),
        }
    if isinstance(event, Refused):
        return {"event": "refused", "at": event.at, "id": event.id, "error": problem_json(event.error)}
    if isinstance(event, Notice):
        return {"event": "notice", "at": event.at, "message": event.message}
    return {"event": "missed", "at": event.at, "count": event.count}


def event(data: dict[str, Any]) -> Event:
    """An event from its JSON; what it has besides is passed over. Raises `RequestError` or `TopologyError`."""
    name = as_text(member(data, "event"), "event")
    if name not in _EVENTS:
        refuse("event", unknown(name, _EVENTS), name)
    return _EVENTS[name](data, as_number(member(data, "at"), "at"))


def _changed(data: dict[str, Any], at: float) -> Changed:
    links, removed = as_list(member(data, "links"), "links"), as_list(member(data, "removed"), "removed")
    peer = data.get("peer")
    return Changed(
        revision=as_whole(member(data, "revision"), "revision"),
        at=at,
        what=as_text(member(data, "what"), "what"),
        links=tuple(link_state(as_object(row, f"links[{n}]"), f"links[{n}].") for n, row in enumerate(links)),
        removed=tuple(link(as_object(row, f"removed[{n}]"), f"removed[{n}].") for n, row in enumerate(removed)),
        peer=None if peer is None else as_text(peer, "peer"),
        groups=groups(member(data, "groups"), "groups"),
    )


def _refused(data: dict[str, Any], at: float) -> Refused:
    return Refused(at=at, error=problem(member(data, "error"), "error"), id=as_id(data.get("id")))


def _notice(data: dict[str, Any], at: float) -> Notice:
    return Notice(at=at, message=as_text(member(data, "message"), "message"))


def _missed(data: dict[str, Any], at: float) -> Missed:
    return Missed(at=at, count=as_whole(member(data, "count"), "count"))


_EVENTS: dict[str, Callable[[dict[str, Any], float], Event]] = {
    "changed": _changed,
    "refused": _refused,
    "notice": _notice,
    "missed": _missed,
}
