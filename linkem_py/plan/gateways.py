"""Ways by gateways: default routes towards the outside, routes back to an inside that is not translated.

What goes by a gateway is sent to its MAC address, so it falls into the class of the link to the gateway
without a filter of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from linkem_py.model.gateway import Gateway
from linkem_py.model.topology import Link, Peer, Segment, Topology
from linkem_py.plan import addressing, translate
from linkem_py.plan.objects import Route

EVERYTHING_4, EVERYTHING_6 = "0.0.0.0/0", "::/0"

# The first one sets the others to what routers have. A redirect would lead past the gateway that was asked for.
FORWARDING_IPV4 = (
    ("net/ipv4/ip_forward", "1"),
    ("?net/ipv4/conf/all/send_redirects", "0"),
    ("?net/ipv4/conf/default/send_redirects", "0"),
)
FORWARDING_IPV6 = (("?net/ipv6/conf/all/forwarding", "1"),)


class Way(NamedTuple):
    """A route of a peer in a table: by which gateway, on which segment; without one it is unreachable."""

    table: int
    destination: str
    segment: Segment
    gateway: str


def forwarding(topology: Topology, peer: Peer) -> tuple[tuple[str, str], ...]:
    """The sysctls by which a gateway forwards; none of others. IPv6 is not translated, and goes by no NAT."""
    gateway = topology.gateways.get(peer.name)
    if gateway is None:
        return ()
    return FORWARDING_IPV4 + (FORWARDING_IPV6 if gateway.nat is None else ())


def routes(topology: Topology, name: str) -> Iterator[Route]:
    """Every route of a peer that has to do with gateways."""
    for way in _ways(topology, name):
        link = topology.links.get((name, way.gateway, way.segment.name))
        yield _route(topology, name, way, None if link is None else link.impairment.mtu)


def of_link(topology: Topology, link: Link) -> Iterator[Route]:
    """The routes of a link's source by its destination: they have the link's MTU."""
    if link.destination in topology.gateways:
        for way in _ways(topology, link.source):
            if (way.gateway, way.segment.name) == (link.destination, link.segment):
                yield _route(topology, link.source, way, link.impairment.mtu)


def _route(topology: Topology, name: str, way: Way, mtu: int | None) -> Route:
    if not way.gateway:
        return Route(name, "", way.table, way.destination)
    four = ":" not in way.destination
    far = topology.peers[way.gateway]
    address = addressing.ipv4(way.segment, far) if four else addressing.ipv6(way.segment, far)
    metrics = (0, 0) if mtu is None else translate.route_metrics(mtu, four=four)
    return Route(name, addressing.interface(way.segment), way.table, way.destination, str(address), *metrics)


def _ways(topology: Topology, name: str) -> list[Way]:
    """The ways of a peer. Of several gateways on a segment the one that was added first is the way out."""
    if not topology.gateways:
        return []
    segments = topology.segments_of(name)
    on = {segment.name for segment in segments}
    own = topology.gateways.get(name)
    several = own is None and len(segments) > 1  # what has tables of its own, see `plan.routing`
    found: dict[tuple[int, str], Way] = {}
    for segment in segments:
        tables = (addressing.MAIN_TABLE, addressing.table(segment)) if several else (addressing.MAIN_TABLE,)
        for gateway in topology.gateways.values():
            leads = [] if gateway is own else _destinations(topology, gateway, segment, on, own)
            for table in tables:
                for destination in leads:
                    found.setdefault((table, destination), Way(table, destination, segment, gateway.name))
    if several:
        # The source address decides: what is sent from one goes out by its segment or not at all.
        for destination in (EVERYTHING_4, EVERYTHING_6):
            if (addressing.MAIN_TABLE, destination) in found:
                for segment in segments:
                    table = addressing.table(segment)
                    found.setdefault((table, destination), Way(table, destination, segment, ""))
    return list(found.values())


def _destinations(
    topology: Topology, gateway: Gateway, segment: Segment, on: set[str], own: Gateway | None
) -> list[str]:
    """Where a gateway leads to from a segment, for a peer that is on these segments."""
    found: list[str] = []
    if gateway.inside == segment.name and gateway.outside not in on and (own is None or own.inside != segment.name):
        found.append(EVERYTHING_4)
        if gateway.nat is None and segment.ipv6 is not None and topology.all_segments[gateway.outside].ipv6 is not None:
            found.append(EVERYTHING_6)
    if gateway.outside == segment.name and gateway.nat is None:
        for name in _behind(topology, gateway):
            inside = topology.all_segments[name]
            if name not in on:
                found.append(str(inside.ipv4))
                if inside.ipv6 is not None and segment.ipv6 is not None:
                    found.append(str(inside.ipv6))
    return found


def _behind(topology: Topology, gateway: Gateway) -> Iterator[str]:
    """The segments that a gateway without NAT leads to inwards, by further ones too."""
    yield gateway.inside
    for further in topology.gateways.values():
        if further.nat is None and further.outside == gateway.inside:
            yield from _behind(topology, further)
