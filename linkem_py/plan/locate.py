"""Which link a kernel object belongs to: the inverse of the handles."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from linkem_py.model.topology import Link, LinkKey, Peer, Segment, Topology
from linkem_py.plan import addressing, handles
from linkem_py.plan.objects import (
    U32,
    Bridge,
    Class,
    Filter,
    Forwarding,
    Ifb,
    Namespace,
    Neighbour,
    Object,
    Qdisc,
    Redirect,
    Route,
    Rule,
    Veth,
)
from linkem_py.plan.placement import source_of

_ISOLATION_DEVICE = re.compile(r"dup(\d+)-(\d+)")
_ONE_DESTINATION = 0xFFFFFFFF  # the mask of an entry for one peer; entries for groups leave bits out


def link_of(topology: Topology, made: Object) -> LinkKey | None:
    """(source, destination, segment) of the link that an object is part of; None if of none alone.

    The link need not be in the topology (it may be about to be added), its peers must.
    """
    if isinstance(made, Namespace | Bridge | Veth | Forwarding | Rule):
        return None
    device = made.name if isinstance(made, Ifb) else made.dev
    isolation = _ISOLATION_DEVICE.fullmatch(device)
    found = _isolated(topology, made.ns, isolation) if isolation else source_of(topology, made.ns, device)
    if found is None:
        return None
    source, segment = found
    if topology.classifier == "prio" and isinstance(made, Qdisc) and not isolation:
        return _in_band(topology.outgoing(source.name, segment.name), made)
    number = int(isolation[2]) if isolation else _destination(topology, made, segment)
    for peer in topology.peers.values():
        if peer.number == number:
            key = (source.name, peer.name, segment.name)
            back = (peer.name, source.name, segment.name)
            if key in topology.links or back not in topology.links:
                return key
            # A pair's neighbour entries, and its ways to other segments, are there for either direction.
            if isinstance(made, Neighbour):
                return back
            return None if isinstance(made, Route) and made.gateway else key
    return None


def _isolated(topology: Topology, ns: str, device: re.Match[str]) -> tuple[Peer, Segment] | None:
    """Whose packets are duplicated on a device, and on which segment."""
    for segment in topology.segments.values():
        if ns in topology.peers and int(device[1]) == segment.number:
            return topology.peers[ns], segment
    return None


def _in_band(links: Iterable[Link], qdisc: Qdisc) -> LinkKey | None:
    band = handles.destination_of(qdisc.handle)
    return next((link.key for link in links if link.slot + 1 == band), None)


def _destination(topology: Topology, made: Object, segment: Segment) -> int | None:
    """The number of the peer that an object leads to."""
    if isinstance(made, Neighbour):
        return int.from_bytes(made.mac[-2:], "big")
    if isinstance(made, Route):
        return _next_hop(topology, made, segment)
    if isinstance(made, Qdisc):
        return handles.destination_of(made.handle)
    if isinstance(made, Class):
        return None if handles.in_root(made.classid) else handles.member_of(made.classid)
    if isinstance(made, Filter) and isinstance(made.options, U32):
        leads = made.options.classid or isinstance(made.options.action, Redirect)
        value, mask, _ = made.options.keys[0]
        return value & 0xFFFF if leads and mask == _ONE_DESTINATION else None
    return None


def _next_hop(topology: Topology, route: Route, segment: Segment) -> int | None:
    subnet = ipaddress.ip_network(route.gateway or route.destination)
    if subnet.prefixlen < subnet.max_prefixlen:
        return None
    address = str(subnet.network_address)
    for peer in topology.peers_on(segment.name):
        if address in addressing.addresses(segment, peer):
            return peer.number
    return None
