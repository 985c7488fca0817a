"""u32 selectors: what the filters compare, as offsets from the network header.

Traffic is matched by the destination's MAC address, not its IP address: one entry covers IPv4, IPv6,
link-local addresses, addresses that change, and packets routed through the destination.
"""

from __future__ import annotations

from linkem_py.plan.addressing import mac_words
from linkem_py.plan.objects import U32, Action, Drop, Redirect, U32Key

MAC_HIGH = -16  # this word's last two bytes are the destination MAC's first two
MAC_LOW = -12  # the destination MAC's last four bytes
SOURCE_HIGH = -8  # this word's first two bytes are the source MAC's first two
SOURCE_LOW = -6  # the source MAC's last four bytes

_ICMPV6 = U32Key(0x00003A00, 0x0000FF00, 4)  # next header 58
# Neighbour discovery is types 133 to 137 (RFC 4861); 132, an MLD message, shares the first mask.
_DISCOVERY = (
    U32Key(0x84000000, 0xFC000000, 40),
    U32Key(0x88000000, 0xFE000000, 40),
)
# MLDv2 reports carry a hop-by-hop header (RFC 3810, 5): next header 0, ICMPv6 type 143 behind its 8 bytes.
_LISTENER_REPORT = (
    U32Key(0x00000000, 0x0000FF00, 4),
    U32Key(0x3A000000, 0xFF000000, 40),
    U32Key(0x8F000000, 0xFF000000, 48),
)


def everything(*, classid: int = 0, action: Action | None = None) -> U32:
    """Match every packet."""
    return U32(keys=(U32Key(0, 0, 0),), classid=classid, action=action)


def discovery(classid: int) -> tuple[U32, ...]:
    """IPv6 neighbour discovery."""
    return tuple(U32(keys=(_ICMPV6, kind), classid=classid) for kind in _DISCOVERY)


def listener_reports() -> U32:
    """MLDv2 reports: nobody on these bridges listens for them, and each would go to every peer."""
    return U32(keys=_LISTENER_REPORT, action=Drop())


def table_link(table: int, *, mask: int, mac_high: int) -> U32:
    """Unicast to one of our MACs: go to `table`, at the bucket that the MAC's last word gives."""
    return U32(keys=(U32Key(mac_high, 0xFFFF, MAC_HIGH),), link=table, hash_mask=mask, hash_offset=MAC_LOW)


def destination(
    segment_number: int, number: int, *, classid: int = 0, group_bits: int = 0, action: Redirect | None = None
) -> U32:
    """Packets to peer `number`; with `group_bits` to any peer that differs in the last bits only."""
    _, word = mac_words(segment_number, number)
    mask = 0xFFFFFFFF >> group_bits << group_bits
    return U32(keys=(U32Key(word & mask, mask, MAC_LOW),), classid=classid, action=action)


def source_table(table: int, *, mask: int) -> U32:
    """From one of our MACs: go to `table`, at the bucket that the source MAC's last word gives."""
    high, _ = mac_words(0, 0)
    return U32(keys=(U32Key(high << 16, 0xFFFF0000, SOURCE_HIGH),), link=table, hash_mask=mask, hash_offset=SOURCE_LOW)


def source(segment_number: int, number: int, *, action: Action) -> U32:
    """Packets from peer `number`."""
    _, word = mac_words(segment_number, number)
    return U32(keys=(U32Key(word, 0xFFFFFFFF, SOURCE_LOW),), action=action)
