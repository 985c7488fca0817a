"""The state that a topology asks for, whole or in part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from linkem_py.model.capabilities import Capabilities
from linkem_py.model.topology import LinkKey, Topology
from linkem_py.plan import access, addressing, duplicates, hub, partition, routing
from linkem_py.plan.objects import Key, Neighbour, Object, Route
from linkem_py.plan.partition import Groups
from linkem_py.plan.requirements import check_access, check_links, unmet_by_partition
from linkem_py.plan.tree import Planner

#: Objects by key, in an order in which they can be made.
State: TypeAlias = Mapping[Key, Object]

EMPTY: State = {}


def state(objects: Iterable[Object]) -> State:
    """A state of these objects; of two with the same key the first place and the last value."""
    return {made.key: made for made in objects}


def desired(topology: Topology, capabilities: Capabilities, *, seed: int | None = None, groups: Groups = ()) -> State:
    """Everything that a topology needs on a kernel with these capabilities.

    `seed` is the run's; `groups` the partition in force. Raises `DuplicateRestrictionError` if
    the topology is ``strict`` and breaks the duplicate rule. Pure.
    """
    duplicates.check(topology, topology.links.values())
    check_links(topology, topology.links.values())
    check_access(topology, topology.accesses)
    return state(_everything(Planner(topology, capabilities, seed), groups))


def _everything(planner: Planner, groups: Groups) -> Iterator[Object]:
    topology = planner.topology
    peers = topology.peers.values()
    divisible = not unmet_by_partition(planner.capabilities)
    yield from hub.hub(topology)
    for peer in peers:
        yield hub.namespace(peer)
    for segment in topology.segments.values():
        there = topology.peers_on(segment.name)
        yield from hub.bridges(topology, segment, there)
        for peer in there:
            yield from hub.joint(topology, peer, segment)
            if divisible:
                yield from partition.hook(segment, peer)
            yield from access.at_hub(topology, peer, segment)
    for peer in peers:
        for segment in topology.segments_of(peer.name):
            yield from hub.interface(peer, segment)
            yield from planner.root(peer, segment)
            links = topology.outgoing(peer.name, segment.name)
            yield from planner.groups(peer, segment, links)
            for link in links:
                yield from planner.link(link)
    if divisible:
        yield from partition.cuts(topology, groups)
    for raised in (hub.port_raised, hub.interface_raised):
        for peer in peers:
            for segment in topology.segments_of(peer.name):
                yield raised(peer, segment)
    yield from routing.routing(topology, topology.peers)
    for link in topology.links.values():
        yield from planner.routes(link)


def part_of_links(planner: Planner, keys: Iterable[LinkKey]) -> Iterator[Object]:
    """What these links need, and what they share with others: the part that a change of them concerns.

    Links that are not in the topology contribute only what others share with them. Both directions
    are looked at, because the neighbour entries of a pair are theirs in common.
    """
    wanted = _both_ways(keys)
    yield from _trees(planner, wanted)
    yield from _routes(planner, wanted)


def _trees(planner: Planner, wanted: Mapping[LinkKey, None]) -> Iterator[Object]:
    topology = planner.topology
    for source, segment_name in dict.fromkeys((source, segment) for source, _, segment in wanted):
        if not topology.is_on(source, segment_name):
            continue
        peer, segment = topology.peers[source], topology.segments[segment_name]
        links = topology.outgoing(source, segment_name)
        yield from planner.groups(peer, segment, links)
        for link in links:
            if link.key in wanted:
                yield from planner.link(link)


def part_of_trees(planner: Planner, keys: Iterable[LinkKey]) -> Iterator[Object]:
    """As `part_of_links`, without the routes: what can be there before the interfaces are up."""
    yield from _trees(planner, _both_ways(keys))


def part_of_routes(planner: Planner, keys: Iterable[LinkKey]) -> Iterator[Object]:
    """The routes that `part_of_links` has, for when the interfaces are up."""
    yield from _routes(planner, _both_ways(keys))


def _both_ways(keys: Iterable[LinkKey]) -> dict[LinkKey, None]:
    return {key: None for there in keys for key in (there, (there[1], there[0], there[2]))}


def _routes(planner: Planner, keys: Iterable[LinkKey]) -> Iterator[Object]:
    links = planner.topology.links
    for key in keys:
        if key in links:
            yield from planner.routes(links[key])


def part_of_peer(planner: Planner, name: str, groups: Groups) -> Iterator[Object]:
    """What there is of one peer beside its ends and links: its namespace, and cuts on others' ports."""
    topology = planner.topology
    if name in topology.peers:
        yield hub.namespace(topology.peers[name])
        if not unmet_by_partition(planner.capabilities):
            yield from partition.cuts_against(topology, name, groups)


def part_of_ends(planner: Planner, ends: Iterable[tuple[str, str]], groups: Groups) -> Iterator[Object]:
    """What these peers need to be on these segments, (peer, segment); nothing of those that they are not on.

    Without links, and not up yet: see `part_of_ends_raised`.
    """
    topology = planner.topology
    divisible = not unmet_by_partition(planner.capabilities)
    for name, segment_name in ends:
        if not topology.is_on(name, segment_name):
            continue
        peer, segment = topology.peers[name], topology.segments[segment_name]
        yield from hub.joint(topology, peer, segment)
        if divisible:
            yield from partition.hook(segment, peer)
            yield from partition.cuts_of(topology, segment, peer, groups)
        yield from access.at_hub(topology, peer, segment)
        yield from hub.interface(peer, segment)
        yield from planner.root(peer, segment)


def part_of_access(planner: Planner, ends: Iterable[tuple[str, str]]) -> Iterator[Object]:
    """What an access link of these interfaces, (peer, segment), concerns: their trees as a whole."""
    topology = planner.topology
    for name, segment_name in ends:
        peer, segment = topology.peers[name], topology.segments[segment_name]
        links = topology.outgoing(name, segment_name)
        yield from access.at_hub(topology, peer, segment)
        yield from planner.root(peer, segment)
        yield from planner.groups(peer, segment, links)
        for link in links:
            yield from planner.link(link)


def part_of_ends_raised(topology: Topology, ends: Iterable[tuple[str, str]]) -> Iterator[Object]:
    """The interfaces of these ends up: the last thing, so that no packet meets half a tree."""
    there = [end for end in ends if topology.is_on(*end)]
    for raised in (hub.port_raised, hub.interface_raised):
        for name, segment in there:
            yield raised(topology.peers[name], topology.segments[segment])


def part_of_carrier(planner: Planner, name: str, segment_name: str) -> Iterator[Object]:
    """What the kernel takes away when an interface goes down, in an order in which it can be made again.

    Up, addresses (IPv6), permanent neighbours, routes. What hangs on the interface for queueing stays.
    """
    topology = planner.topology
    peer, segment = topology.peers[name], topology.segments[segment_name]
    yield hub.port_raised(peer, segment)
    yield hub.interface_raised(peer, segment)
    yield from hub.interface(peer, segment)
    keys = [link.key for link in topology.links_of(name) if link.segment == segment_name]
    dev = addressing.interface(segment)
    links = part_of_trees(planner, keys)
    yield from (made for made in links if isinstance(made, Neighbour) and made.ns == name)
    routes: list[Object] = [*routing.routing(topology, [name])]
    for link in topology.outgoing(name, segment_name):
        routes += planner.routes(link)
    yield from (made for made in state(routes).values() if isinstance(made, Route) and made.dev == dev)


def part_of_addresses(planner: Planner, name: str, segment_name: str) -> Iterator[Object]:
    """What a peer's addresses on a segment are in: its own, others' neighbour entries, rules and routes."""
    topology = planner.topology
    yield from hub.interface(topology.peers[name], topology.segments[segment_name])
    links = [*topology.links_of(name)]
    trees = part_of_trees(planner, [link.key for link in links if link.segment == segment_name])
    yield from (made for made in trees if isinstance(made, Neighbour))
    yield from routing.routing(topology, routing.concerned(topology, [name]))
    for link in links:
        yield from planner.routes(link)


def part_of_hub(topology: Topology) -> Iterator[Object]:
    """The hub's bridges."""
    yield from hub.hub(topology)
    for segment in topology.segments.values():
        yield from hub.bridges(topology, segment, topology.peers_on(segment.name))
