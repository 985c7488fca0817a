"""Two homes behind NATs that want to talk to each other, one of them behind a carrier's NAT too."""

from __future__ import annotations

from linkem_py import Topology
from linkem_py.model import presets


def topology(
    alice: str = "home", bob: str = "home", carrier: str = "cgnat", alice_line: str = "good", bob_line: str = "lte"
) -> Topology:
    """``alice`` and ``bob`` behind ``alice-router`` and ``bob-router``, and two servers, ``stun`` and ``relay``.

    `alice`, `bob` and `carrier` name presets of NATs, the lines presets of links. What bob's router has for the
    outside is an address that his carrier's customers share (RFC 6598).
    """
    network = Topology("home_nat")
    for name in ("alice", "bob", "stun", "relay"):
        network.add_peer(name)
    network.add_segment("wan", ipv4="198.51.100.0/24")
    network.add_segment("alices", ipv4="192.168.0.0/24")
    network.add_segment("bobs", ipv4="192.168.1.0/24")
    network.add_segment("access", ipv4="100.64.0.0/10")
    network.add_gateway("alice-router", inside="alices", outside="wan", nat=alice)
    network.add_gateway("bob-router", inside="bobs", outside="access", nat=bob)
    network.add_gateway("carrier", inside="access", outside="wan", nat=carrier)
    network.connect("alice", "alice-router", segment="alices")
    network.connect("bob", "bob-router", segment="bobs")
    up, down = (preset.impairment for preset in presets.pair(bob_line))
    network.connect("bob-router", "carrier", up, back=down, segment="access")
    up, down = (preset.impairment for preset in presets.pair(alice_line))
    for server in ("stun", "relay"):
        network.connect("alice-router", server, up, back=down, segment="wan")
        network.connect("carrier", server, segment="wan")
    return network
