"""Peers in a row, each with a link to the next: relays, pipelines, multi-hop radio."""

from __future__ import annotations

import itertools

from linkem_py import Impairment, Topology, TopologyError
from linkem_py.model.topology import Unlinked


def topology(
    peers: int = 4,
    delay_ms: float = 20.0,
    jitter_ms: float = 0.0,
    loss_pct: float = 0.0,
    rate_kbit: float | None = None,
    unlinked: Unlinked = "blocked",
) -> Topology:
    """``peer-1`` to ``peer-(peers)``. The numbers hold each way, for every hop.

    Nothing is routed: a program on each peer passes things on. ``blocked`` peers reach their
    neighbours only; ``open`` ones reach the others too, unimpaired, past the chain.
    """
    if isinstance(peers, bool) or not isinstance(peers, int) or peers < 2:
        raise TopologyError("peers", "must be a whole number, 2 or more", peers)
    link = Impairment(delay_ms=delay_ms, jitter_ms=jitter_ms, loss_pct=loss_pct, rate_kbit=rate_kbit)
    network = Topology("chain", unlinked=unlinked)
    names = [f"peer-{number}" for number in range(1, peers + 1)]
    for name in names:
        network.add_peer(name)
    for name, following in itertools.pairwise(names):
        network.connect(name, following, link)
    return network
