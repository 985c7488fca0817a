"""Which address a peer has on a segment: the one that its number places, until it is given another."""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from linkem_py.errors import TopologyError

if TYPE_CHECKING:
    from linkem_py.model.topology import Peer, Segment

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class OwnAddresses(NamedTuple):
    """Addresses that a peer was given on a segment; `ipv6` is None where the segment has no IPv6."""

    segment: str
    ipv4: ipaddress.IPv4Address
    ipv6: ipaddress.IPv6Address | None


def own_ipv4(segment: Segment, peer: Peer) -> ipaddress.IPv4Address:
    """IPv4 address of a peer on a segment."""
    for given in peer.given:
        if given.segment == segment.name:
            return given.ipv4
    return segment.ipv4.network_address + peer.number


def own_ipv6(segment: Segment, peer: Peer) -> ipaddress.IPv6Address | None:
    """IPv6 address of a peer on a segment, if the segment has IPv6."""
    if segment.ipv6 is None:
        return None
    for given in peer.given:
        if given.segment == segment.name and given.ipv6 is not None:
            return given.ipv6
    return segment.ipv6.network_address + peer.number


def next_free(network: IPNetwork, room: int, present: IPAddress, taken: Container[IPAddress | None]) -> IPAddress:
    """The first address behind `present` that nobody has, from the subnet's first again behind its last.

    `room` is how many addresses from the first on are given out. Raises `TopologyError` if all are taken.
    """
    begin = min(int(present) - int(network.network_address), room)
    for offset in (*range(begin + 1, room + 1), *range(1, begin + 1)):
        address: IPAddress = network.network_address + offset
        if address != present and address not in taken:
            return address
    raise TopologyError(_field(network), f"cannot be another one: {network} has no free address left", str(present))


def host_address(network: IPNetwork, value: object) -> IPAddress:
    """The address of a host in a subnet, from text. Raises `TopologyError`."""
    four = network.version == 4
    try:
        address = ipaddress.IPv4Address(str(value)) if four else ipaddress.IPv6Address(str(value))
    except ValueError:
        raise TopologyError(_field(network), f"must be an address in {network}", value) from None
    last = network.broadcast_address if four else None
    if address not in network or address in (network.network_address, last):
        raise TopologyError(_field(network), f"must be the address of a host in {network}", value)
    return address


def _field(network: IPNetwork) -> str:
    return f"ipv{network.version}"
