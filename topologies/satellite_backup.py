"""A ship's office with a good line while in harbour, and a satellite beside it: for failover and for both at once."""

from __future__ import annotations

from linkem_py import Topology
from linkem_py.model import presets


def topology(line: str = "good", satellite: str = "satellite_geo_modem") -> Topology:
    """``ship`` and ``office``, on the segments ``line`` and ``satellite``; both parameters name presets.

    `Network.down("ship", "office", segment="line")` is the day at sea.
    """
    network = Topology("satellite_backup")
    network.add_peer("ship")
    network.add_peer("office")
    for segment, name in (("line", line), ("satellite", satellite)):
        up, down = (preset.impairment for preset in presets.pair(name))
        network.connect("ship", "office", up, back=down, segment=segment)
    return network
