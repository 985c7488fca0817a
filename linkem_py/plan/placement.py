"""Where the queueing tree of a peer's interface stands, and what leads there.

``sender``: on the interface itself. ``hub``: on an ifb device in the hub, to which the peer's port sends
all that comes in. From the ifb a packet goes on where it would have gone from the port: the kernel gives
it back to the port's receive path, past the filters that it has seen (``tc_skip_classify``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from linkem_py.model.topology import Peer, Segment, Topology
from linkem_py.plan import addressing, handles, match
from linkem_py.plan.objects import (
    ETH_P_ALL,
    HUB,
    TC_H_CLSACT,
    TC_H_INGRESS_FILTERS,
    Clsact,
    Filter,
    Ifb,
    Object,
    Qdisc,
    Redirect,
)

NEEDS = ("ifb", "clsact", "mirred")
REDIRECT_PRIORITY = 2  # behind the partition's
# As many as a veth has: what passes the tree unimpaired waits for the device, and an ifb has room for 32 by itself.
_QUEUE_PACKETS = 1000


class Place(NamedTuple):
    """A device: its namespace and its name."""

    ns: str
    dev: str


def place(peer: Peer, segment: Segment) -> Place:
    """Where the tree of a peer's interface on a segment stands."""
    if peer.placement == "hub":
        return Place(HUB, f"ifb{segment.number}-{peer.number}")
    return Place(peer.name, addressing.interface(segment))


def approach(peer: Peer, segment: Segment) -> Iterator[Object]:
    """What leads from a peer's interface to its tree; nothing where it is the same device."""
    if peer.placement == "sender":
        return
    ns, device = place(peer, segment)
    port = addressing.port(segment, peer)
    yield Ifb(ns, device, queue_packets=_QUEUE_PACKETS)
    yield Qdisc(ns, port, handles.CLSACT, TC_H_CLSACT, "clsact", Clsact())
    everything = match.everything(action=Redirect(device))
    yield Filter(ns, port, TC_H_INGRESS_FILTERS, REDIRECT_PRIORITY, ETH_P_ALL, 1, everything)


def source_of(topology: Topology, ns: str, device: str) -> tuple[Peer, Segment] | None:
    """Whose interface a device stands for, its tree's or itself: the inverse of `place`."""
    if ns != HUB:
        peer = topology.peers.get(ns)
        segments = (segment for segment in topology.segments.values() if addressing.interface(segment) == device)
        segment = next(segments, None)
        return None if peer is None or segment is None else (peer, segment)
    return next(
        (
            (peer, segment)
            for segment in topology.segments.values()
            for peer in topology.peers.values()
            if peer.placement == "hub" and place(peer, segment).dev == device
        ),
        None,
    )
