"""The hub: bridges, ports, forwarding entries; and every peer's interface and addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkem_py.model.topology import Peer, Segment, Topology
from linkem_py.plan import addressing
from linkem_py.plan.objects import HUB, Address, Bridge, Forwarding, Namespace, Object, Up, Veth

# bridge-nf-call-* would pass bridged packets to netfilter; the file is there with br_netfilter only.
HUB_SYSCTLS = (
    ("?net/bridge/bridge-nf-call-iptables", "0"),
    ("?net/bridge/bridge-nf-call-ip6tables", "0"),
    ("?net/bridge/bridge-nf-call-arptables", "0"),
    ("?net/ipv6/conf/default/disable_ipv6", "1"),
)
# A peer with two interfaces answers for an address on the segment of that address only, asks from an
# address of the segment it asks on, and takes packets wherever they come in. (The kernel takes the
# greater of "all" and the interface's own.)
SEVERAL_SEGMENTS = (
    ("?net/ipv4/conf/all/arp_ignore", "1"),
    ("?net/ipv4/conf/all/arp_announce", "2"),
    ("?net/ipv4/conf/all/rp_filter", "0"),
    ("?net/ipv4/conf/default/rp_filter", "0"),
)
# Else the kernel would take an interface's other addresses of a subnet away with its first one.
OTHER_ADDRESSES = (("?net/ipv4/conf/all/promote_secondaries", "1"),)
# Without them an address waits for duplicate address detection, and every peer asks for routers.
PEER_SYSCTLS = (
    ("?net/ipv6/conf/default/accept_dad", "0"),
    ("?net/ipv6/conf/default/dad_transmits", "0"),
    ("?net/ipv6/conf/default/accept_ra", "0"),
    ("?net/ipv6/conf/default/router_solicitations", "0"),
    *SEVERAL_SEGMENTS,
    *OTHER_ADDRESSES,
)


def hub(topology: Topology) -> Iterator[Object]:
    """The hub's namespace and the core bridge of every segment."""
    yield Namespace(HUB, HUB_SYSCTLS)
    for segment in topology.segments.values():
        yield Bridge(HUB, addressing.bridge(segment, 0))


def bridges(topology: Topology, segment: Segment, peers: Iterable[Peer]) -> Iterator[Object]:
    """The further bridges of a segment that these peers need, each joined to the core by a pair.

    The core forwards to a pair what lives behind it (static entries); a further bridge sends
    all that it does not know to the core.
    """
    for index in sorted({peer.number // addressing.BRIDGE_PORTS for peer in peers} - {0}):
        name = addressing.bridge(segment, index)
        near, far = addressing.trunk(segment, index)
        yield Bridge(HUB, name)
        yield Veth(
            HUB, near, addressing.mac_text(addressing.hub_mac(0, 2 * index)),
            HUB, far, addressing.mac_text(addressing.hub_mac(0, 2 * index + 1)),
            master=addressing.bridge(segment, 0), peer_master=name, peer_flood=True, offload=topology.offload,
        )  # fmt: skip
        yield Up(HUB, near)
        yield Up(HUB, far)


def namespace(peer: Peer) -> Namespace:
    """A peer's namespace."""
    return Namespace(peer.name, PEER_SYSCTLS)


def joint(topology: Topology, peer: Peer, segment: Segment) -> Iterator[Object]:
    """The pair that joins a peer to its bridge, and the static forwarding entries for it."""
    mac = addressing.packed_mac(segment.number, peer.number)
    port = addressing.port(segment, peer)
    yield Veth(
        HUB, port, addressing.mac_text(addressing.hub_mac(segment.number, peer.number)),
        peer.name, addressing.interface(segment), addressing.mac_text(mac),
        master=addressing.bridge_of(segment, peer.number), offload=topology.offload,
    )  # fmt: skip
    yield Forwarding(HUB, port, mac)
    index = peer.number // addressing.BRIDGE_PORTS
    if index:
        yield Forwarding(HUB, addressing.trunk(segment, index)[0], mac)


def interface(peer: Peer, segment: Segment) -> Iterator[Object]:
    """A peer's addresses on a segment."""
    dev = addressing.interface(segment)
    yield Address(peer.name, dev, str(addressing.ipv4(segment, peer)), segment.ipv4.prefixlen)
    six = addressing.ipv6(segment, peer)
    if six is not None and segment.ipv6 is not None:
        yield Address(peer.name, dev, str(six), segment.ipv6.prefixlen)


def port_raised(peer: Peer, segment: Segment) -> Up:
    """The hub's end up. Before the peer's, so that the last to come up is the one that the driver can tell
    from a single look at the hub: an end that is raised first gets its carrier, and its queue, later.
    """
    return Up(HUB, addressing.port(segment, peer))


def interface_raised(peer: Peer, segment: Segment) -> Up:
    """The peer's end up: last, so that no packet meets half a tree."""
    return Up(peer.name, addressing.interface(segment))
