"""Devices on Wi-Fi or 5G, an edge site near them, and a cloud region behind it."""

from __future__ import annotations

from linkem_py import Impairment, Topology, TopologyError
from linkem_py.model import presets


def topology(devices: int = 4, access: str = "nr", cloud_delay_ms: float = 30.0) -> Topology:
    """``device-1`` to ``device-(devices)``, ``edge``, ``cloud``.

    `access` names the preset of what is between a device and the edge, uplink and downlink. The cloud is
    `cloud_delay_ms` from the edge, one way, at 1 Gbit/s; a device reaches it over both: the delays add up,
    loss and rate are those of the access.
    """
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise TopologyError("devices", "must be a whole number, 1 or more", devices)
    up, down = (preset.impairment for preset in presets.pair(access))
    backbone = Impairment(delay_ms=cloud_delay_ms, rate_kbit=1_000_000)
    network = Topology("edge_cloud", unlinked="blocked")
    network.add_peer("edge")
    network.add_peer("cloud")
    network.connect("edge", "cloud", backbone)
    for number in range(1, devices + 1):
        device = f"device-{number}"
        network.add_peer(device)
        network.connect(device, "edge", up, back=down)
        network.connect(device, "cloud", _further(up, cloud_delay_ms), back=_further(down, cloud_delay_ms))
    return network


def _further(link: Impairment, delay_ms: float) -> Impairment:
    return link.evolve(delay_ms=link.delay_ms + delay_ms)
