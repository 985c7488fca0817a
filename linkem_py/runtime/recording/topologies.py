"""A topology as JSON, and back: what it takes to build a recorded network again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.topology import DEFAULT_SEGMENT, LinkKey, Topology
from linkem_py.runtime.recording import values

_SETTINGS = ("unlinked", "classifier", "duplicates", "offload")


def topology_json(topology: Topology) -> dict[str, Any]:
    """The JSON of a topology as it is now, without its schedules.

    ``joined`` has the (peer, segment) that stay without a link there, ``numbers`` those of the peers, if
    they are not 1, 2, 3 and so on, ``placement`` the peers whose queues are not their own, ``access`` the access
    links, ``addresses`` those that peers were given in place of their numbers'.
    """
    line: dict[str, Any] = {
        "name": topology.name,
        **{name: getattr(topology, name) for name in _SETTINGS},
        "segments": [
            {"name": found.name, "ipv4": str(found.ipv4), "ipv6": None if found.ipv6 is None else str(found.ipv6)}
            for found in topology.all_segments.values()
        ],
        "peers": list(topology.peers),
        "joined": sorted(map(list, topology.joins)),
        "links": [
            values.key_json(key)
            | {"set": values.fields_json(link.impairment.set_fields())}
            | values.cross_traffic_json(topology.cross_traffic.get(key))
            for key, link in topology.links.items()
        ],
    }
    placed = {peer.name: peer.placement for peer in topology.peers.values() if peer.placement != "sender"}
    if placed:
        line["placement"] = placed
    if topology.accesses:
        line["access"] = [
            {"peer": peer, "segment": segment, **values.access_json(link.access)}
            for (peer, segment), link in topology.accesses.items()
        ]
    numbers = [peer.number for peer in topology.peers.values()]
    if numbers != list(range(1, len(numbers) + 1)):
        line["numbers"] = numbers
    given = [(peer.name, own) for peer in topology.peers.values() for own in peer.given]
    if given:
        line["addresses"] = [
            [name, own.segment, str(own.ipv4), None if own.ipv6 is None else str(own.ipv6)] for name, own in given
        ]
    return line


def topology_of(data: Any) -> Topology:
    """A topology from its JSON. Raises `TopologyError`.

    Of what is left out the topology's defaults hold: earlier recordings have no ``joined``.
    """
    if not isinstance(data, dict):
        raise TopologyError("topology", "must be an object", data)
    links = [_link(link) for link in values.items(data, "links")]
    topology = _empty(data)
    placed = data.get("placement", {})
    if not isinstance(placed, dict):
        raise TopologyError("placement", "must be an object of peers", placed)
    _add_peers(topology, values.items(data, "peers"), data.get("numbers"), placed)
    for pair in values.items(data, "joined", default=()):
        if not isinstance(pair, list) or len(pair) != 2:
            raise TopologyError("joined", "must be pairs of a peer and a segment", pair)
        topology.join(*pair)
    for access in values.items(data, "access", default=()):
        topology.set_access(**_access(access))
    for key, impairment in links:
        topology.add_link(key[0], key[1], impairment, segment=key[2])
    topology.place(dict(map(_address, values.items(data, "addresses", default=()))))
    return topology


def _access(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or not isinstance(data.get("peer"), str):
        raise TopologyError("access", "must be an object with a peer", data)
    fields = {name: value for name, value in data.items() if name != "peer"}
    return {"name": data["peer"], **fields}


def with_ceiling(topology: Topology, key: LinkKey, rate_kbit: float) -> None:
    """Have a link be sized for a rate that it will have, as one with a schedule is."""
    link = topology.links[key]
    topology.put_link(attrs.evolve(link, ceiling_kbit=rate_kbit, shaped=True))


def _empty(data: dict[str, Any]) -> Topology:
    settings = {name: data[name] for name in _SETTINGS if name in data}
    segments = values.items(data, "segments", default=())
    subnets = {}
    for segment in segments:
        if not isinstance(segment, dict) or not isinstance(segment.get("name"), str):
            raise TopologyError("segment", "must be an object with a name", segment)
        subnets[segment["name"]] = (segment.get("ipv4"), segment.get("ipv6"))
    if subnets:
        ipv4, ipv6 = subnets.pop(DEFAULT_SEGMENT, (None, None))
        without = ipv6 is None and all(six is None for _, six in subnets.values())
        settings |= {} if ipv4 is None else {"ipv4": ipv4}
        settings |= {"ipv6": None} if without else {} if ipv6 is None else {"ipv6": ipv6}
    topology = Topology(data.get("name"), **settings)  # type: ignore[arg-type]  # it is checked there
    for name, (four, six) in subnets.items():
        topology.add_segment(name, four, False if six is None else six)
    return topology


def _add_peers(topology: Topology, names: Sequence[Any], numbers: Any, placed: Mapping[str, Any]) -> None:
    if numbers is None:
        for name in names:
            topology.add_peer(name, placement=placed.get(name))
        return
    if not isinstance(numbers, list) or len(numbers) != len(names) or not all(map(_is_number, numbers)):
        raise TopologyError("numbers", "must be a number from 1 on for each peer", numbers)
    named = dict(zip(numbers, names, strict=True))
    if len(named) < len(names):
        raise TopologyError("numbers", "must not have a number twice", numbers)
    gaps = [number for number in range(1, max(named) + 1) if number not in named]
    taken = {str(name).lower() for name in names}
    fillers = {number: _free_name(f"gap-{number}", taken) for number in gaps}
    for number in range(1, max(named) + 1):
        name = named[number] if number in named else fillers[number]
        topology.add_peer(name, placement=placed.get(name))
    for name in fillers.values():
        topology.remove_peer(name)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "x"
    return name


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**16


def _link(data: Any) -> tuple[LinkKey, Impairment]:
    key = values.key(data)
    return key, Impairment.from_mapping(values.fields(data.get("set")))


def _address(data: Any) -> tuple[tuple[str, str], tuple[str, str | None]]:
    if not isinstance(data, list) or len(data) != 4:
        raise TopologyError("addresses", "must be lists of a peer, a segment, IPv4 and IPv6", data)
    name, segment, ipv4, ipv6 = data
    if not all(isinstance(text, str) for text in data[:3]) or not (ipv6 is None or isinstance(ipv6, str)):
        raise TopologyError("addresses", "must be lists of a peer, a segment, IPv4 and IPv6", data)
    return (name, segment), (ipv4, ipv6)
