"""States as JSON, both ways: what is, in the topics that report it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from linkem_py.control.wire.accesses import accesses, accesses_json
from linkem_py.control.wire.impairments import impairment, impairment_json
from linkem_py.control.wire.requests import link, link_json
from linkem_py.control.wire.shape import as_flag, as_list, as_number, as_object, as_text, as_whole, member
from linkem_py.control.wire.states import Description, GatewayState, LinkCounters, LinkRate, LinkState, RunningSchedule

_COUNTS = (
    "packets",
    "bytes",
    "drops",
    "lost",
    "queue_drops",
    "overlimits",
    "backlog_packets",
    "backlog_bytes",
)


def link_state_json(state: LinkState) -> dict[str, Any]:
    """``{"src", "dst", "segment", "impairment", "revision", "applied_at"}``; ``schedule`` and ``down`` if it is so."""
    data: dict[str, Any] = {
        **link_json(state.link),
        "impairment": impairment_json(state.impairment),
        "revision": state.revision,
        "applied_at": state.applied_at,
    }
    if state.schedule is not None:
        name = {"name": state.schedule.name} if state.schedule.name else {}
        data["schedule"] = {"type": state.schedule.type, **name}
    return {**data, "down": True} if state.down else data


def link_state(data: dict[str, Any], path: str = "") -> LinkState:
    """A link's state from its JSON."""
    return LinkState(
        link=link(data, path),
        impairment=impairment(as_object(member(data, "impairment", path), f"{path}impairment")),
        revision=as_whole(member(data, "revision", path), f"{path}revision"),
        applied_at=as_number(member(data, "applied_at", path), f"{path}applied_at"),
        schedule=_schedule(data["schedule"], f"{path}schedule") if "schedule" in data else None,
        down="down" in data and as_flag(data["down"], f"{path}down"),
    )


def _schedule(value: Any, path: str) -> RunningSchedule:
    data = as_object(value, path)
    kind = as_text(member(data, "type", f"{path}."), f"{path}.type")
    return RunningSchedule(type=kind, name=as_text(data.get("name", ""), f"{path}.name"))


def topology_json(description: Description) -> dict[str, Any]:
    """Who is there, which links and what partition, without what changes all the time: impairments, revision."""
    without = [{"peer": peer, "segment": segment} for peer, segment in description.without_carrier]
    return {
        "name": description.name,
        "topology": description.topology,
        "release": description.release,
        "seed": description.seed,
        "started_at": description.started_at,
        "segments": {name: {"ipv4": ipv4, "ipv6": ipv6} for name, (ipv4, ipv6) in description.segments.items()},
        "peers": {
            name: {segment: list(addresses) for segment, addresses in on.items()}
            for name, on in description.peers.items()
        },
        "links": [link_json(state.link) for state in description.links],
        "groups": groups_json(description.groups),
        "notes": list(description.notes),
        **({"without_carrier": without} if without else {}),
        **({"access": accesses_json(description.access)} if description.access else {}),
        **({"gateways": [gateway_json(found) for found in description.gateways]} if description.gateways else {}),
    }


def gateway_json(gateway: GatewayState) -> dict[str, Any]:
    """``{"peer", "inside", "outside", "nat"}``; ``nat`` null without."""
    return {
        "peer": gateway.peer,
        "inside": gateway.inside,
        "outside": gateway.outside,
        "nat": gateway.nat,
    }


def description_json(description: Description) -> dict[str, Any]:
    """All of it: `topology_json` with the links' states and the revision."""
    return {
        **topology_json(description),
        "revision": description.revision,
        "links": [link_state_json(state) for state in description.links],
    }


def description(data: dict[str, Any]) -> Description:
    """A description from the JSON of `description_json`."""
    segments = as_object(member(data, "segments"), "segments")
    peers = as_object(member(data, "peers"), "peers")
    links = as_list(member(data, "links"), "links")
    return Description(
        name=as_text(member(data, "name"), "name"),
        topology=as_text(member(data, "topology"), "topology"),
        release=as_text(member(data, "release"), "release"),
        seed=as_whole(member(data, "seed"), "seed"),
        started_at=as_number(member(data, "started_at"), "started_at"),
        revision=as_whole(member(data, "revision"), "revision"),
        segments={name: _segment(row, f"segments.{name}") for name, row in segments.items()},
        peers={name: _peer(row, f"peers.{name}") for name, row in peers.items()},
        links=tuple(link_state(as_object(row, f"links[{n}]"), f"links[{n}].") for n, row in enumerate(links)),
        groups=groups(member(data, "groups"), "groups"),
        notes=texts(member(data, "notes"), "notes"),
        without_carrier=tuple(
            _end(row, f"without_carrier[{number}]")
            for number, row in enumerate(as_list(data.get("without_carrier", []), "without_carrier"))
        ),
        access=accesses(data.get("access", {}), "access"),
        gateways=tuple(
            _gateway(row, f"gateways[{number}]")
            for number, row in enumerate(as_list(data.get("gateways", []), "gateways"))
        ),
    )


def _gateway(value: Any, path: str) -> GatewayState:
    data = as_object(value, path)
    nat = member(data, "nat", f"{path}.")
    named = {name: as_text(member(data, name, f"{path}."), f"{path}.{name}") for name in ("peer", "inside", "outside")}
    return GatewayState(**named, nat=None if nat is None else as_text(nat, f"{path}.nat"))


def counters_json(counters: LinkCounters) -> dict[str, Any]:
    """``{"src", "dst", "segment", "at", "packets", ...}``."""
    return {**link_json(counters.link), "at": counters.at} | {name: getattr(counters, name) for name in _COUNTS}


def counters(data: dict[str, Any], path: str = "") -> LinkCounters:
    """A link's counters from their JSON."""
    counts = {name: as_whole(member(data, name, path), path + name) for name in _COUNTS}
    return LinkCounters(link=link(data, path), at=as_number(member(data, "at", path), f"{path}at"), **counts)


def stats_json(rate: LinkRate) -> dict[str, Any]:
    """The counters, with ``interval_s``, ``interval_packets``, ``interval_drops`` and ``rate_kbit``."""
    return {
        **counters_json(rate.counters),
        "interval_s": rate.interval_s,
        "interval_packets": rate.interval_packets,
        "interval_drops": rate.interval_drops,
        "rate_kbit": rate.rate_kbit,
    }


def stats(data: dict[str, Any]) -> LinkRate:
    """Counters and rates from their JSON."""
    return LinkRate(
        counters=counters(data),
        interval_s=as_number(member(data, "interval_s"), "interval_s"),
        interval_packets=as_whole(member(data, "interval_packets"), "interval_packets"),
        interval_drops=as_whole(member(data, "interval_drops"), "interval_drops"),
        rate_kbit=as_number(member(data, "rate_kbit"), "rate_kbit"),
    )


def groups_json(groups: Iterable[Iterable[str]]) -> list[list[str]]:
    """A partition in force; a group is empty when its peers have gone."""
    return [list(group) for group in groups]


def groups(value: Any, path: str) -> tuple[tuple[str, ...], ...]:
    """A partition in force from its JSON."""
    return tuple(texts(row, f"{path}[{number}]") for number, row in enumerate(as_list(value, path)))


def texts(value: Any, path: str) -> tuple[str, ...]:
    """Some strings."""
    return tuple(as_text(text, f"{path}[{number}]") for number, text in enumerate(as_list(value, path)))


def _segment(value: Any, path: str) -> tuple[str, str | None]:
    data = as_object(value, path)
    ipv6 = data.get("ipv6")
    return (
        as_text(member(data, "ipv4", f"{path}."), f"{path}.ipv4"),
        None if ipv6 is None else as_text(ipv6, f"{path}.ipv6"),
    )


def _end(value: Any, path: str) -> tuple[str, str]:
    data = as_object(value, path)
    peer, segment = (as_text(member(data, name, f"{path}."), f"{path}.{name}") for name in ("peer", "segment"))
    return peer, segment


def _peer(value: Any, path: str) -> dict[str, tuple[str, ...]]:
    return {segment: texts(row, f"{path}.{segment}") for segment, row in as_object(value, path).items()}
