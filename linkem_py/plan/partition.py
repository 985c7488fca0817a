"""Partitions: cuts between groups of peers, made at the hub so that links and their changes are untouched.

Each port of a named peer marks what comes in with its group's number and lets out what has its own
group's mark or none; so peers that are not named reach everybody, and whatever crosses the bridge,
IPv6, multicast and ARP included, is cut.

What comes from a peer whose queues stand in the hub has passed its port long before it is let out, maybe in
another partition or none. So it is not marked: the ports of the other groups know the peer's MAC and drop
what comes from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from linkem_py.errors import RequestError
from linkem_py.model.topology import Peer, Segment, Topology
from linkem_py.plan import addressing, handles, match
from linkem_py.plan.objects import (
    ETH_P_ALL,
    HUB,
    TC_H_CLSACT,
    TC_H_EGRESS_FILTERS,
    TC_H_INGRESS_FILTERS,
    U32,
    Clsact,
    Drop,
    Filter,
    FilterOptions,
    Mark,
    Object,
    Qdisc,
    U32Key,
    U32Table,
)

Groups = tuple[frozenset[str], ...]

_MASK = 0xFFFF
_EGRESS, _INGRESS, _SOURCES = 1 << 20, 2 << 20, 4 << 20
_SOURCE_BUCKETS = 256
_ACCEPT = 0x10001  # any class: clsact lets pass what a filter without an action matches
_ANY = (U32Key(0, 0, 0),)


def check(topology: Topology, groups: Sequence[Collection[str]]) -> Groups:
    """The groups, checked: at least two, none empty, every peer known and in one group only."""
    if len(groups) < 2:
        raise RequestError("partition", "must have at least two groups", len(groups))
    seen: dict[str, int] = {}
    for index, group in enumerate(groups):
        if isinstance(group, str) or not isinstance(group, Collection) or not group:
            raise RequestError("partition", "must have groups of at least one peer name each", group)
        for name in group:
            check_peer(topology, name)
            if seen.setdefault(name, index) != index:
                raise RequestError("peer", "must not be in two groups", name, where="partition")
    return tuple(frozenset(group) for group in groups)


def check_peers(topology: Topology, groups: Groups) -> None:
    """Every named peer is there (still)."""
    for group in groups:
        for name in group:
            check_peer(topology, name)


def check_peer(topology: Topology, name: str) -> None:
    """The named peer is there."""
    if not isinstance(name, str) or name not in topology.peers:
        raise RequestError("peer", "is not in the topology", name, where="partition")


def without(groups: Groups, name: str) -> Groups:
    """The groups when a peer has gone. Groups keep their numbers, so nobody else's marks change."""
    return tuple(group - {name} for group in groups)


def hook(segment: Segment, peer: Peer) -> Iterator[Object]:
    """What a peer's port in the hub has from the start, empty, so that a partition only adds entries.

    From the start: adding clsact to a port that is up, or taking it away, loses what crosses it
    meanwhile (qdisc_graft deactivates the device). In tables of our own: the kernel numbers root
    tables itself, so entries in them cannot be named again.
    """
    port = addressing.port(segment, peer)
    yield Qdisc(HUB, port, handles.CLSACT, TC_H_CLSACT, "clsact", Clsact())
    for parent, table in ((TC_H_EGRESS_FILTERS, _EGRESS), (TC_H_INGRESS_FILTERS, _INGRESS)):
        yield _filter(port, parent, table, U32Table(1))
        yield _filter(port, parent, 1, U32(keys=_ANY, link=table))
    # From the start, too: a table can be deleted only some time after what leads to it.
    yield _filter(port, TC_H_EGRESS_FILTERS, _SOURCES, U32Table(_SOURCE_BUCKETS))
    sources = match.source_table(_SOURCES, mask=_SOURCE_BUCKETS - 1)
    yield _filter(port, TC_H_EGRESS_FILTERS, _EGRESS | 1, sources)


def cuts(topology: Topology, groups: Groups) -> Iterator[Object]:
    """The entries on the hub's ports of every named peer."""
    for mark, group in enumerate(groups, 1):
        for name in sorted(group):
            foreign = _unmarked(topology, groups, group)
            for segment in topology.segments_of(name):
                yield from _cut(segment, topology.peers[name], mark, foreign)


def cuts_of(topology: Topology, segment: Segment, peer: Peer, groups: Groups) -> Iterator[Object]:
    """The entries on one peer's port; none if no group has it."""
    for mark, group in enumerate(groups, 1):
        if peer.name in group:
            yield from _cut(segment, peer, mark, _unmarked(topology, groups, group))


def cuts_against(topology: Topology, name: str, groups: Groups) -> Iterator[Object]:
    """The entries on other peers' ports that are about this peer alone; none if it is marked or not named."""
    peer = topology.peers[name]
    if peer.placement == "sender" or not any(name in group for group in groups):
        return
    for group in groups:
        if name not in group:
            for other in sorted(group):
                for segment in topology.segments_of(other):
                    yield _drop_of(segment, topology.peers[other], peer.number)


def _unmarked(topology: Topology, groups: Groups, own: frozenset[str]) -> list[int]:
    """Numbers of the peers of the other groups that are not marked."""
    named = (topology.peers[name] for group in groups if group is not own for name in group)
    return sorted(peer.number for peer in named if peer.placement == "hub")


def _cut(segment: Segment, peer: Peer, mark: int, foreign: Iterable[int]) -> Iterator[Object]:
    # What is let out comes before what comes in is marked, and the drop comes last.
    port = addressing.port(segment, peer)
    for number in foreign:
        yield _drop_of(segment, peer, number)
    yield _filter(port, TC_H_EGRESS_FILTERS, _EGRESS | 2, U32(keys=_ANY, classid=_ACCEPT, mark=(0, _MASK)))
    yield _filter(port, TC_H_EGRESS_FILTERS, _EGRESS | 3, U32(keys=_ANY, classid=_ACCEPT, mark=(mark, _MASK)))
    yield _filter(port, TC_H_EGRESS_FILTERS, _EGRESS | 4, match.everything(action=Drop()))
    if peer.placement == "sender":
        yield _filter(port, TC_H_INGRESS_FILTERS, _INGRESS | 1, U32(keys=_ANY, action=Mark(mark)))


def _drop_of(segment: Segment, peer: Peer, number: int) -> Filter:
    handle = _SOURCES | (number % _SOURCE_BUCKETS) << 12 | number // _SOURCE_BUCKETS + 1
    entry = match.source(segment.number, number, action=Drop())
    return _filter(addressing.port(segment, peer), TC_H_EGRESS_FILTERS, handle, entry)


def _filter(port: str, parent: int, handle: int, options: FilterOptions) -> Filter:
    return Filter(HUB, port, parent, 1, ETH_P_ALL, handle, options)
