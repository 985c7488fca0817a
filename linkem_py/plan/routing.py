"""Policy routing: what is sent from an address of one segment leaves by that segment.

Only a peer that is on several segments has it, and no gateway: a router goes by the destination. For each
segment it has a table, and a rule that leads there from its address. Such a table leads to the segment's own
subnet; to the addresses that peers linked there have on the peer's other segments, by their address on this
one; and to nothing else in the subnets of the other segments. About everything else it is silent, so that
routes added by hand hold, unless there are gateways (see `plan.gateways`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkem_py.model.topology import Link, Peer, Segment, Topology
from linkem_py.plan import addressing, gateways, translate
from linkem_py.plan.objects import Route, Rule


def routing(topology: Topology, names: Iterable[str]) -> Iterator[Route | Rule]:
    """Rules and routes of these peers; nothing for one that is not there, or on one segment only.

    Their interfaces must be up: the kernel takes no route by one that is down.
    """
    if len(topology.segments) < 2:
        return
    linked = _linked(topology)
    for name in names:
        segments = topology.segments_of(name) if name in topology.peers else []
        if len(segments) > 1:
            for segment in segments if name not in topology.gateways else ():
                yield from _table(
                    topology, topology.peers[name], segment, segments, linked.get((name, segment.name), ())
                )
        if segments:
            yield from gateways.routes(topology, name)


def _table(
    topology: Topology, peer: Peer, segment: Segment, segments: list[Segment], linked: Iterable[str]
) -> Iterator[Route | Rule]:
    """The rules that lead to the table of a segment, and its routes; `linked` are the peers linked there."""
    number = addressing.table(segment)
    others = [other for other in segments if other is not segment]
    for source, subnet in _own(segment, peer):
        yield Rule(peer.name, source, number)
        yield Route(peer.name, addressing.interface(segment), number, subnet)
    for other in others:
        for _, subnet in _own(other, peer):
            yield Route(peer.name, "", number, subnet)
    for far in linked:
        link = topology.links.get((peer.name, far, segment.name))
        yield from _ways(
            topology, peer.name, segment, topology.peers[far], None if link is None else link.impairment.mtu
        )


def of_link(topology: Topology, link: Link) -> Iterator[Route]:
    """Routes that a link has a part in: what gives it its MTU, and its ways to other segments, if it has any.

    Its source's table for the segment comes before the main one in what is sent from an address there, so that
    the MTU stands in both. Their tables' own subnets are not among them (see `routing`).
    """
    mtu = link.impairment.mtu
    segment, far = topology.segments[link.segment], topology.peers[link.destination]
    if mtu is not None:
        for address in addressing.addresses(segment, far):
            yield _host(link.source, segment, addressing.MAIN_TABLE, address, mtu)
    yield from gateways.of_link(topology, link)
    if link.source in topology.gateways:
        return
    if len(topology.segments) > 1 and len(topology.segments_of(link.source)) > 1:
        yield from _ways(topology, link.source, segment, far, mtu)


def _ways(topology: Topology, name: str, segment: Segment, far: Peer, mtu: int | None) -> Iterator[Route]:
    """What the table of a peer's segment has for a peer that is linked there: to it, if there is an MTU; through it."""
    if mtu is not None:
        for address in addressing.addresses(segment, far):
            yield _host(name, segment, addressing.table(segment), address, mtu)
    for other in topology.segments_of(name):
        if other is not segment and topology.is_on(far.name, other.name):
            gateways = {":" in address: address for address in addressing.addresses(segment, far)}
            for address in addressing.addresses(other, far):
                if (":" in address) in gateways:
                    yield _host(name, segment, addressing.table(segment), address, mtu, gateways[":" in address])


def _host(name: str, segment: Segment, table: int, address: str, mtu: int | None, gateway: str = "") -> Route:
    four = ":" not in address
    metrics = (0, 0) if mtu is None else translate.route_metrics(mtu, four=four)
    destination = f"{address}/{32 if four else 128}"
    return Route(name, addressing.interface(segment), table, destination, gateway, *metrics)


def _linked(topology: Topology) -> dict[tuple[str, str], dict[str, None]]:
    """By (peer, segment): the peers that have a link with it there, in either direction."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for source, destination, segment in topology.links:
        found.setdefault((source, segment), {})[destination] = None
        found.setdefault((destination, segment), {})[source] = None
    return found


def concerned(topology: Topology, names: Iterable[str]) -> dict[str, None]:
    """The peers whose routing may change when these come to segments or leave them: they, and those linked to them.

    A gateway among them concerns everybody.
    """
    wanted = dict.fromkeys(names)
    if not wanted.keys().isdisjoint(topology.gateways):
        return dict.fromkeys(topology.peers)
    far = {
        end: None
        for source, destination, _ in topology.links
        if source in wanted or destination in wanted
        for end in (source, destination)
    }
    return wanted | far


def _own(segment: Segment, peer: Peer) -> Iterator[tuple[str, str]]:
    """(address, subnet) of a peer on a segment, IPv4 first."""
    yield str(addressing.ipv4(segment, peer)), str(segment.ipv4)
    six = addressing.ipv6(segment, peer)
    if six is not None:
        yield str(six), str(segment.ipv6)
