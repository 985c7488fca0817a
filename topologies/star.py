"""A hub and leaves around it: clients of one server, sensors of one collector."""

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
    """`peers` in all: ``hub``, and ``leaf-1`` to ``leaf-(peers - 1)``. The numbers hold each way.

    Nothing is routed: ``blocked`` leaves cannot reach each other, the hub's program has to pass
    things on; ``open`` ones reach each other unimpaired, as neighbours in one room would.
    """
    if isinstance(peers, bool) or not isinstance(peers, int) or peers < 2:
        raise TopologyError("peers", "must be a whole number, 2 or more", peers)
    link = Impairment(delay_ms=delay_ms, jitter_ms=jitter_ms, loss_pct=loss_pct, rate_kbit=rate_kbit)
    network = Topology("star", unlinked=unlinked)
    network.add_peer("hub")
    for number in range(1, peers):
        network.add_peer(f"leaf-{number}")
        network.connect("hub", f"leaf-{number}", link)
    return network
