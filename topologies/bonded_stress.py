"""Four unequal links, none of which carries a video alone: together 2,200 kbit/s."""

from __future__ import annotations

from linkem_py import Impairment, Topology

#: By segment: rate in kbit/s, delay in ms, loss in %; either direction.
LINKS: dict[str, tuple[float, float, float]] = {
    "link1": (1000.0, 20.0, 0.1),
    "link2": (700.0, 30.0, 0.2),
    "link3": (350.0, 45.0, 0.3),
    "link4": (150.0, 60.0, 0.4),
}


def topology(rate_factor: float = 1.0, loss_factor: float = 1.0) -> Topology:
    """``sender`` and ``receiver``, on four segments with the numbers of `LINKS`, times the factors."""
    network = Topology("bonded_stress")
    network.add_peer("sender")
    network.add_peer("receiver")
    for segment, (rate_kbit, delay_ms, loss_pct) in LINKS.items():
        link = Impairment(rate_kbit=rate_kbit * rate_factor, delay_ms=delay_ms, loss_pct=loss_pct * loss_factor)
        network.connect("sender", "receiver", link, segment=segment)
    return network
