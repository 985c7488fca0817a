"""Access links: what bounds all links of a peer together, upward in its tree, downward at its door.

    upward, in the peer                     downward, at the hub's port or on an ifb in the peer
      htb 1:                                  htb 1: (all that comes)
        1:fff0  rate = ceil = the uplink        1:fff0  rate = ceil = the downlink
          1:1000+g  the groups, which borrow      netem     a microsecond
            ...                                     bfifo   what waits for it

What has no link is in no class of the root (see `plan.tree`), and so beside the uplink.
"""

from __future__ import annotations

from collections.abc import Iterator

from linkem_py.model.access import AccessLink
from linkem_py.model.topology import Peer, Segment, Topology
from linkem_py.plan import addressing, handles, match, placement, translate
from linkem_py.plan.objects import (
    ETH_P_ALL,
    HUB,
    TC_H_CLSACT,
    TC_H_INGRESS_FILTERS,
    TC_H_ROOT,
    Class,
    Clsact,
    Fifo,
    Filter,
    Htb,
    Ifb,
    Object,
    Qdisc,
    Redirect,
)

_INGRESS_PRIORITY = 5  # none that a hook for duplication has: then its one entry can be taken away again
_MINOR = 0xFFFF


def at_peer(topology: Topology, peer: Peer, segment: Segment) -> Iterator[Object]:
    """What an interface has of its access link: the class of its uplink, what shapes its downlink on arrival.

    Both are there once there was such a rate.
    """
    link = topology.accesses.get((peer.name, segment.name))
    if link is None:
        return
    if link.upward:
        ns, dev = placement.place(peer, segment)
        rate = translate.access_class(link.access.uplink_kbit)
        yield Class(ns, dev, handles.ACCESS_CLASS, handles.ROOT, "htb", rate)
    if link.downward and link.access.downlink_at == "peer":
        yield from _ingress(peer, segment, link)


def at_hub(topology: Topology, peer: Peer, segment: Segment) -> Iterator[Object]:
    """What the hub's port towards a peer has of its access link: what shapes its downlink."""
    link = topology.accesses.get((peer.name, segment.name))
    if link is not None and link.downward and link.access.downlink_at == "hub":
        yield from _shaper(HUB, addressing.port(segment, peer), link)


def _ingress(peer: Peer, segment: Segment, link: AccessLink) -> Iterator[Object]:
    dev, ingress = addressing.interface(segment), addressing.ingress(segment)
    yield Ifb(peer.name, ingress)
    yield from _shaper(peer.name, ingress, link)
    yield Qdisc(peer.name, dev, handles.CLSACT, TC_H_CLSACT, "clsact", Clsact())
    yield Filter(
        peer.name,
        dev,
        TC_H_INGRESS_FILTERS,
        _INGRESS_PRIORITY,
        ETH_P_ALL,
        1,
        match.everything(action=Redirect(ingress)),
    )


def _shaper(ns: str, dev: str, link: AccessLink) -> Iterator[Object]:
    rate_kbit = link.access.downlink_kbit
    yield Qdisc(ns, dev, handles.ROOT, TC_H_ROOT, "htb", Htb(default=handles.ACCESS_CLASS & _MINOR))
    yield Class(ns, dev, handles.ACCESS_CLASS, handles.ROOT, "htb", translate.access_class(rate_kbit))
    yield Qdisc(ns, dev, handles.ACCESS_NETEM, handles.ACCESS_CLASS, "netem", translate.ACCESS_NETEM)
    limit = Fifo(translate.access_queue_bytes(link.access, rate_kbit))
    yield Qdisc(ns, dev, handles.ACCESS_QUEUE, handles.ACCESS_NETEM | 1, "bfifo", limit)
