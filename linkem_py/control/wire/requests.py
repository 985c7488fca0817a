"""Commands as JSON, both ways. What is wrong with one is a `RequestError` that says where in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linkem_py.control.wire.commands import (
    Carrier,
    Command,
    Heal,
    LinkSchedule,
    LinkUpdate,
    Partition,
    Readdress,
    Reschedule,
    Switch,
    Update,
)
from linkem_py.control.wire.impairments import fields, fields_json
from linkem_py.control.wire.schedules import schedule_from_json, schedule_to_json
from linkem_py.control.wire.shape import (
    as_flag,
    as_id,
    as_list,
    as_name,
    as_object,
    as_text,
    check_names,
    member,
    refuse,
    unknown,
)
from linkem_py.errors import RequestError
from linkem_py.model import DEFAULT_SEGMENT, LinkKey
from linkem_py.model.schedule import Schedule
from linkem_py.model.topology import link_name

_UPDATE = frozenset({"id", "changes"})
_CHANGE = frozenset({"src", "dst", "segment", "set", "clear"})
_PARTITION = frozenset({"id", "groups"})
_HEAL = frozenset({"id"})
_SCHEDULE = ("src", "dst", "segment", "schedule")
_SWITCH = ("id", "src", "dst", "segment", "up", "both")
_CARRIER = ("id", "peer", "segment", "up")
_READDRESS = ("id", "peer", "segment", "ipv4", "ipv6")


def update_of_link(link: LinkKey, data: dict[str, Any]) -> Update:
    """``{"delay_ms": 80, "id": "7"}`` for one link: fields of `Impairment`, and perhaps ``id`` and ``clear``."""
    named = as_id(data.get("id"))
    clear = "clear" in data and as_flag(data["clear"], "clear")
    if named is None and "clear" not in data and "id" not in data:
        given = data
    else:
        given = {name: value for name, value in data.items() if name not in ("id", "clear")}
    change = LinkUpdate(link, fields(given, link=link), clear)
    if not given and not clear:
        refuse("payload", 'must name a field of the impairment, or have "clear": true', data, link_name(link))
    return Update(changes=(change,), id=named)


def update(data: dict[str, Any]) -> Update:
    """``{"id", "changes": [{"src", "dst", "segment", "set": {...}, "clear": true}, ...]}``."""
    if not data.keys() <= _UPDATE:
        check_names(data, ("id", "changes"))
    named = as_id(data.get("id"))
    entries = as_list(member(data, "changes"), "changes")
    if not entries:
        refuse("changes", "must name a link", entries)
    changes = [_change(entry, f"changes[{number}]") for number, entry in enumerate(entries)]
    _refuse_the_second([change.link for change in changes])
    return Update(changes=tuple(changes), id=named)


def partition(data: dict[str, Any]) -> Partition:
    """``{"id", "groups": [["a"], ["b", "c"]]}``."""
    if not data.keys() <= _PARTITION:
        check_names(data, ("id", "groups"))
    named = as_id(data.get("id"))
    rows = as_list(member(data, "groups"), "groups")
    if len(rows) < 2:
        refuse("groups", "must be at least two", rows)
    return Partition(groups=tuple(_group(row, f"groups[{number}]") for number, row in enumerate(rows)), id=named)


def heal(data: dict[str, Any]) -> Heal:
    """``{"id"}``."""
    if not data.keys() <= _HEAL:
        check_names(data, ("id",))
    return Heal(id=as_id(data.get("id")))


def schedule_of_link(link: LinkKey, data: dict[str, Any]) -> Reschedule:
    """A schedule for one link, itself or as ``{"schedule": ...}``, perhaps with ``id``; null ends the one there is."""
    named = as_id(data.get("id"))
    given: Any = {name: value for name, value in data.items() if name != "id"}
    if "type" not in given:
        check_names(given, ("id", "schedule"))
        given = member(given, "schedule")
    return Reschedule(changes=(LinkSchedule(link, _scheduled(given, "schedule", link)),), id=named)


def reschedule(data: dict[str, Any]) -> Reschedule:
    """``{"id", "changes": [{"src", "dst", "segment", "schedule": {...} or null}, ...]}``."""
    check_names(data, ("id", "changes"))
    named = as_id(data.get("id"))
    entries = as_list(member(data, "changes"), "changes")
    if not entries:
        refuse("changes", "must name a link", entries)
    changes = [_link_schedule(entry, f"changes[{number}]") for number, entry in enumerate(entries)]
    _refuse_the_second([change.link for change in changes])
    return Reschedule(changes=tuple(changes), id=named)


def switch_of_link(link: LinkKey, data: dict[str, Any]) -> Switch:
    """``{"id", "up": false, "both": true}`` for one link."""
    check_names(data, ("id", "up", "both"))
    return Switch(
        link=link,
        up=as_flag(member(data, "up"), "up"),
        both=as_flag(data.get("both", False), "both"),
        id=as_id(data.get("id")),
    )


def switch(data: dict[str, Any]) -> Switch:
    """``{"id", "src", "dst", "segment", "up": false, "both": true}``."""
    check_names(data, _SWITCH)
    return switch_of_link(link(data), {name: data[name] for name in ("id", "up", "both") if name in data})


def carrier(data: dict[str, Any]) -> Carrier:
    """``{"id", "peer", "segment", "up": false}``."""
    check_names(data, _CARRIER)
    return Carrier(
        peer=as_name(member(data, "peer"), "peer"),
        segment=as_name(data["segment"], "segment") if "segment" in data else DEFAULT_SEGMENT,
        up=as_flag(member(data, "up"), "up"),
        id=as_id(data.get("id")),
    )


def readdress(data: dict[str, Any]) -> Readdress:
    """``{"id", "peer", "segment", "ipv4", "ipv6"}``."""
    check_names(data, _READDRESS)
    return Readdress(
        peer=as_name(member(data, "peer"), "peer"),
        segment=as_name(data["segment"], "segment") if "segment" in data else DEFAULT_SEGMENT,
        ipv4=as_name(data["ipv4"], "ipv4") if "ipv4" in data else None,
        ipv6=as_name(data["ipv6"], "ipv6") if "ipv6" in data else None,
        id=as_id(data.get("id")),
    )


def command_id(data: dict[str, Any]) -> str | None:
    """The command's id if it is a proper one: for the answer to a command that is broken otherwise."""
    try:
        return as_id(data.get("id"))
    except RequestError:
        return None


_COMMANDS: dict[str, Callable[[dict[str, Any]], Command]] = {
    "set": update,
    "schedule": reschedule,
    "switch": switch,
    "carrier": carrier,
    "readdress": readdress,
    "partition": partition,
    "heal": heal,
}
COMMAND_NAMES = tuple(_COMMANDS)


def command(data: dict[str, Any]) -> Command:
    """The command named by ``command``, one of `COMMAND_NAMES`; the rest as each of them has it."""
    name = as_text(member(data, "command"), "command")
    if name not in _COMMANDS:
        refuse("command", unknown(name, _COMMANDS), name)
    return named_command(name, {key: value for key, value in data.items() if key != "command"})


def named_command(name: str, data: dict[str, Any]) -> Command:
    """The command of that name, one of `COMMAND_NAMES`, from its JSON."""
    return _COMMANDS[name](data)


def command_json(command: Command) -> dict[str, Any]:
    """The JSON that `command` reads. Raises `RequestError` for a field's value that JSON cannot hold."""
    named = {} if command.id is None else {"id": command.id}
    if isinstance(command, Update):
        return {"command": "set", **named, "changes": [_change_json(change) for change in command.changes]}
    if isinstance(command, Partition):
        return {"command": "partition", **named, "groups": [sorted(group) for group in command.groups]}
    if isinstance(command, Reschedule):
        return {"command": "schedule", **named, "changes": [_link_schedule_json(change) for change in command.changes]}
    if isinstance(command, Switch):
        return {"command": "switch", **named, **link_json(command.link), "up": command.up, "both": command.both}
    if isinstance(command, Carrier):
        return {"command": "carrier", **named, "peer": command.peer, "segment": command.segment, "up": command.up}
    if isinstance(command, Readdress):
        given = {"ipv4": command.ipv4, "ipv6": command.ipv6}
        given = {family: address for family, address in given.items() if address is not None}
        return {"command": "readdress", **named, "peer": command.peer, "segment": command.segment, **given}
    return {"command": "heal", **named}


def link(data: dict[str, Any], path: str = "") -> LinkKey:
    """(source, destination, segment) from ``src``, ``dst`` and perhaps ``segment``."""
    return (
        as_name(member(data, "src", path), f"{path}src"),
        as_name(member(data, "dst", path), f"{path}dst"),
        as_name(data["segment"], f"{path}segment") if "segment" in data else DEFAULT_SEGMENT,
    )


def link_json(link: LinkKey) -> dict[str, Any]:
    """``{"src", "dst", "segment"}``."""
    return {"src": link[0], "dst": link[1], "segment": link[2]}


def _change(entry: Any, path: str) -> LinkUpdate:
    data = as_object(entry, path)
    if not data.keys() <= _CHANGE:
        check_names(data, ("src", "dst", "segment", "set", "clear"), f"{path}.")
    key = link(data, f"{path}.")
    clear = "clear" in data and as_flag(data["clear"], f"{path}.clear")
    given = as_object(data["set"], f"{path}.set") if "set" in data else {}
    if not given and not clear:
        refuse(path, 'must have "set" with a field of the impairment, or "clear": true', data, link_name(key))
    return LinkUpdate(key, fields(given, f"{path}.set.", key), clear)


def _change_json(change: LinkUpdate) -> dict[str, Any]:
    data = {**link_json(change.link), "set": fields_json(change.fields)}
    return {**data, "clear": True} if change.clear else data


def _link_schedule(entry: Any, path: str) -> LinkSchedule:
    data = as_object(entry, path)
    check_names(data, _SCHEDULE, f"{path}.")
    key = link(data, f"{path}.")
    return LinkSchedule(key, _scheduled(member(data, "schedule", f"{path}."), f"{path}.schedule", key))


def _scheduled(value: Any, path: str, key: LinkKey) -> Schedule | None:
    try:
        return None if value is None else schedule_from_json(value, path)
    except RequestError as error:
        raise error.at(link_name(key)) from None


def _link_schedule_json(change: LinkSchedule) -> dict[str, Any]:
    schedule = None if change.schedule is None else schedule_to_json(change.schedule)
    return {**link_json(change.link), "schedule": schedule}


def _refuse_the_second(links: list[LinkKey]) -> None:
    if len(set(links)) == len(links):
        return
    first: dict[LinkKey, int] = {}
    for number, key in enumerate(links):
        if (before := first.setdefault(key, number)) != number:
            name = link_name(key)
            refuse(f"changes[{number}]", f"must not name the link of changes[{before}] again", name, name)


def _group(row: Any, path: str) -> frozenset[str]:
    names = [as_name(name, f"{path}[{number}]") for number, name in enumerate(as_list(row, path))]
    if not names:
        refuse(path, "must name a peer", names)
    if len(set(names)) != len(names):
        refuse(path, "must not name a peer twice", names)
    return frozenset(names)
