"""What a change of a topology's structure is about: the part of the whole to be looked at before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from linkem_py.model.topology import LinkKey, Topology
from linkem_py.plan import routing
from linkem_py.plan.desired import (
    part_of_access,
    part_of_ends,
    part_of_ends_raised,
    part_of_hub,
    part_of_peer,
    part_of_routes,
    part_of_trees,
)
from linkem_py.plan.objects import Object
from linkem_py.plan.partition import Groups
from linkem_py.plan.tree import Planner


class Scope(NamedTuple):
    """Links, the peer that comes or goes, the ends (peer, segment) that do, peers whose routing may change, the
    ends that stay and whose access link changes.
    """

    keys: tuple[LinkKey, ...]
    peer: str | None
    ends: tuple[tuple[str, str], ...]
    routed: tuple[str, ...]
    accesses: tuple[tuple[str, str], ...] = ()


def scope(
    before: Topology,
    after: Topology,
    keys: Sequence[LinkKey],
    peer: str | None = None,
    end: tuple[str, str] | None = None,
) -> Scope:
    """What lies between two topologies that differ in these links, this peer and this end (peer, segment).

    An end comes with the first link of a peer on a segment, or as the peer joins, and goes with the last one.
    """
    candidates = {(name, key[2]): None for key in keys for name in key[:2]}
    if end is not None:
        candidates[end] = None
    if peer is not None:
        keys = [*keys, *(link.key for link in (before if peer in before.peers else after).links_of(peer))]
        candidates |= {(name, key[2]): None for key in keys for name in key[:2]}
        candidates |= {(peer, segment): None for segment in {**before.segments, **after.segments}}
    ends = tuple(end for end in candidates if before.is_on(*end) != after.is_on(*end))
    routed = _routed(before, after, keys, [name for name, _ in ends])
    return Scope(tuple(dict.fromkeys(keys)), peer, ends, routed, _accesses(before, after))


def _accesses(before: Topology, after: Topology) -> tuple[tuple[str, str], ...]:
    if before.accesses == after.accesses:
        return ()
    return tuple(
        end
        for end in dict.fromkeys((*before.accesses, *after.accesses))
        if before.is_on(*end) and after.is_on(*end) and before.accesses.get(end) != after.accesses.get(end)
    )


def part(planner: Planner, groups: Groups, about: Scope) -> Iterator[Object]:
    """The objects of that scope that the planner's topology needs, in an order in which they can be made."""
    topology = planner.topology
    if about.peer is not None or about.ends:
        yield from part_of_hub(topology)
    if about.peer is not None:
        yield from part_of_peer(planner, about.peer, groups)
    yield from part_of_ends(planner, about.ends, groups)
    yield from part_of_access(planner, about.accesses)
    yield from part_of_trees(planner, about.keys)
    yield from part_of_ends_raised(topology, about.ends)
    yield from routing.routing(topology, about.routed)
    yield from part_of_routes(planner, about.keys)


def _routed(before: Topology, after: Topology, keys: Iterable[LinkKey], moved: list[str]) -> tuple[str, ...]:
    if max(len(before.segments), len(after.segments)) < 2:
        return ()
    names = {name: None for key in keys for name in key[:2]}
    for topology in (before, after):
        names |= routing.concerned(topology, moved)
    return tuple(names)
