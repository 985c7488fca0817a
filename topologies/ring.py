"""Peers in a circle, each with a link to both neighbours: token rings, gossip, leader election."""

from __future__ import annotations

from linkem_py import Impairment, Topology, TopologyError
from linkem_py.model.topology import Unlinked


def topology(
    peers: int = 5,
    delay_ms: float = 20.0,
    jitter_ms: float = 0.0,
    loss_pct: float = 0.0,
    rate_kbit: float | None = None,
    unlinked: Unlinked = "blocked",
) -> Topology:
    """``peer-1`` to ``peer-(peers)``; the last is a neighbour of the first. The numbers hold each way.

    Nothing is routed: ``blocked`` peers reach their neighbours only; ``open`` ones reach the
    others too, unimpaired, which is a shortcut past the ring.
    """
    if isinstance(peers, bool) or not isinstance(peers, int) or peers < 3:
        raise TopologyError("peers", "must be a whole number, 3 or more", peers)
    link = Impairment(delay_ms=delay_ms, jitter_ms=jitter_ms, loss_pct=loss_pct, rate_kbit=rate_kbit)
    network = Topology("ring", unlinked=unlinked)
    names = [f"peer-{number}" for number in range(1, peers + 1)]
    for name in names:
        network.add_peer(name)
    for name, neighbour in zip(names, [*names[1:], names[0]], strict=True):
        network.connect(name, neighbour, link)
    return network
