"""Every peer with a link to every other: replicas of one service, consensus groups."""

from __future__ import annotations

from itertools import combinations

from linkem_py import Impairment, Topology, TopologyError


def topology(
    peers: int = 5,
    delay_ms: float = 20.0,
    jitter_ms: float = 0.0,
    loss_pct: float = 0.0,
    rate_kbit: float | None = None,
) -> Topology:
    """``peer-1`` to ``peer-(peers)``, peers x (peers - 1) links. The numbers hold each way."""
    if isinstance(peers, bool) or not isinstance(peers, int) or peers < 2:
        raise TopologyError("peers", "must be a whole number, 2 or more", peers)
    link = Impairment(delay_ms=delay_ms, jitter_ms=jitter_ms, loss_pct=loss_pct, rate_kbit=rate_kbit)
    network = Topology("full_mesh")
    names = [f"peer-{number}" for number in range(1, peers + 1)]
    for name in names:
        network.add_peer(name)
    for first, second in combinations(names, 2):
        network.connect(first, second, link)
    return network
