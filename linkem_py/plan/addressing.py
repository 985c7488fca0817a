"""Which address, MAC and interface name every peer gets: all follow from its number, unless it was given addresses."""

from __future__ import annotations

import ipaddress

from linkem_py.model.addresses import own_ipv4, own_ipv6
from linkem_py.model.topology import MOST_SEGMENTS, Peer, Segment

_MAC = 0x024C  # locally administered; the first two bytes of every MAC that we give out
BRIDGE_PORTS = 1000  # a bridge has 1,023 ports; the rest is for joining bridges
LINK_LOCAL = 0xFE80 << 112
MAIN_TABLE = 254  # the kernel's own, for whatever no rule of ours is about
_FIRST_TABLE = 1000  # far from the kernel's own (253 to 255)
OUR_TABLES = range(_FIRST_TABLE + 1, _FIRST_TABLE + MOST_SEGMENTS + 1)


def interface(segment: Segment) -> str:
    """Name of a peer's interface on a segment: eth0 on the first one."""
    return f"eth{segment.number - 1}"


def port(segment: Segment, peer: Peer) -> str:
    """Name of the hub's end of that interface."""
    return f"{segment.name}.{peer.number}"


def duplicator(segment: Segment, number: int) -> str:
    """Name of the device, beside the interface, on which packets to peer `number` are duplicated."""
    return f"dup{segment.number}-{number}"


def copies(interface: str) -> str:
    """Name of the device beside an interface that gets copies of what is handed to it."""
    return f"copy-{interface}"


def ingress(segment: Segment) -> str:
    """Name of the device, beside the interface, in which what comes in waits for the access link."""
    return f"in-{interface(segment)}"


def bridge_of(segment: Segment, number: int) -> str:
    """The bridge that peer `number` of a segment is joined to."""
    return bridge(segment, number // BRIDGE_PORTS)


def bridge(segment: Segment, index: int) -> str:
    """Name of a segment's bridge; index 0 is the core, to which the others are joined."""
    return f"br-{segment.name}" if index == 0 else f"br{index}-{segment.name}"


def trunk(segment: Segment, index: int) -> tuple[str, str]:
    """Names of the pair that joins bridge `index` to the core: the core's end, the bridge's."""
    return f"t{index}-{segment.name}", f"u{index}-{segment.name}"


def packed_mac(segment_number: int, number: int) -> bytes:
    """MAC of a peer's interface: 02:4c, the segment in two bytes, the peer in two bytes."""
    return ((_MAC << 32) | (segment_number << 16) | number).to_bytes(6, "big")


def hub_mac(segment_number: int, number: int) -> bytes:
    """MAC of the hub's end: as the peer's, with 02:4d before it."""
    return (((_MAC + 1) << 32) | (segment_number << 16) | number).to_bytes(6, "big")


def mac_text(mac: bytes) -> str:
    """``02:4c:00:01:00:07``."""
    return mac.hex(":")


def mac_words(segment_number: int, number: int) -> tuple[int, int]:
    """What u32 compares: the first two bytes of the MAC, and the last four, as numbers."""
    return _MAC, (segment_number << 16) | number


def ipv4(segment: Segment, peer: Peer) -> ipaddress.IPv4Address:
    """IPv4 address of a peer on a segment."""
    return own_ipv4(segment, peer)


def ipv6(segment: Segment, peer: Peer) -> ipaddress.IPv6Address | None:
    """IPv6 address of a peer on a segment, if the segment has IPv6."""
    return own_ipv6(segment, peer)


def link_local(segment: Segment, peer: Peer) -> ipaddress.IPv6Address:
    """The link-local address that the kernel makes of the MAC (RFC 4291, appendix A)."""
    mac = packed_mac(segment.number, peer.number)
    identifier = bytes((mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, mac[3], mac[4], mac[5]))
    return ipaddress.IPv6Address(LINK_LOCAL | int.from_bytes(identifier, "big"))


def table(segment: Segment) -> int:
    """Number of the routing table, and of the rule, for what is sent from addresses of a segment."""
    return _FIRST_TABLE + segment.number


def addresses(segment: Segment, peer: Peer) -> tuple[str, ...]:
    """Addresses of a peer on a segment as text, IPv4 first."""
    six = ipv6(segment, peer)
    return (str(ipv4(segment, peer)),) if six is None else (str(ipv4(segment, peer)), str(six))
