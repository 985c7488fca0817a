"""A typical link and a poor one between two peers: what a bonding sender has to weigh against each other."""

from __future__ import annotations

from linkem_py import Topology
from linkem_py.model import presets


def topology(strong: str = "typical", weak: str = "poor") -> Topology:
    """``sender`` and ``receiver``, on the segments ``strong`` and ``weak``.

    Both parameters name presets, pairs of an uplink (what the sender sends) and a downlink.
    """
    network = Topology("bonding_asymmetric")
    network.add_peer("sender")
    network.add_peer("receiver")
    for segment, name in (("strong", strong), ("weak", weak)):
        up, down = (preset.impairment for preset in presets.pair(name))
        network.connect("sender", "receiver", up, back=down, segment=segment)
    return network
