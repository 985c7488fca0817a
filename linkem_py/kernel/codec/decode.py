"""Rows of dumps: what the kernel has, one named tuple per object.

Every function takes the messages that `NetlinkSocket.dump` returns. Options stay bytes: the
decoder of each kind (`decode_netem`, `decode_u32`, ...) reads them when somebody wants to know.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from socket import AF_INET6, ntohs
from typing import NamedTuple

from linkem_py.kernel.codec.attributes import find_attributes

TCA_KIND = 1
TCA_OPTIONS = 2
TCA_STATS2 = 7
TCA_STATS_BASIC = 1
TCA_STATS_QUEUE = 3
TCA_STATS_PKT64 = 8

_TCMSG = struct.Struct("=4xiIII")  # ifindex, handle, parent, info
_BASIC = struct.Struct("=QI")
_QUEUE = struct.Struct("=5I")  # length, backlog, drops, requeues, overlimits
_U64 = struct.Struct("=Q")
_U32 = struct.Struct("=I")
_HEADER_BYTES = 16
_TC_START = _HEADER_BYTES + 20


class Counters(NamedTuple):
    """Statistics of a qdisc or class: totals since creation, and what waits now."""

    bytes: int = 0
    packets: int = 0
    drops: int = 0
    overlimits: int = 0
    requeues: int = 0
    backlog_bytes: int = 0
    backlog_packets: int = 0


class QdiscRow(NamedTuple):
    """A qdisc as the kernel has it; `options` is the payload of TCA_OPTIONS."""

    ifindex: int
    handle: int
    parent: int
    kind: str
    options: bytes
    counters: Counters


class ClassRow(NamedTuple):
    """A class as the kernel has it; `leaf` is the handle of the qdisc below it (0: the default)."""

    ifindex: int
    classid: int
    parent: int
    leaf: int
    kind: str
    options: bytes
    counters: Counters


class FilterRow(NamedTuple):
    """A filter as the kernel has it; `protocol` in host order."""

    ifindex: int
    parent: int
    priority: int
    protocol: int
    handle: int
    kind: str
    options: bytes


def qdisc_rows(messages: Iterable[bytes], ifindex: int = 0) -> list[QdiscRow]:
    """Rows of a qdisc dump, of one device or (0) of all."""
    rows = []
    for data in messages:
        device, handle, parent, _ = _TCMSG.unpack_from(data, _HEADER_BYTES)
        if ifindex and device != ifindex:
            continue
        found = find_attributes(data, _TC_START, len(data))
        kind, options = _kind_and_options(data, found)
        rows.append(QdiscRow(device, handle, parent, kind, options, _counters(data, found)))
    return rows


def class_rows(messages: Iterable[bytes]) -> list[ClassRow]:
    """Rows of a class dump."""
    rows = []
    for data in messages:
        device, classid, parent, leaf = _TCMSG.unpack_from(data, _HEADER_BYTES)
        found = find_attributes(data, _TC_START, len(data))
        kind, options = _kind_and_options(data, found)
        rows.append(ClassRow(device, classid, parent, leaf, kind, options, _counters(data, found)))
    return rows


def filter_rows(messages: Iterable[bytes]) -> list[FilterRow]:
    """Rows of a filter dump: hash tables and entries; the line that only names a priority is left out."""
    rows = []
    for data in messages:
        device, handle, parent, info = _TCMSG.unpack_from(data, _HEADER_BYTES)
        kind, options = _kind_and_options(data, find_attributes(data, _TC_START, len(data)))
        if handle:
            rows.append(FilterRow(device, parent, info >> 16, ntohs(info & 0xFFFF), handle, kind, options))
    return rows


def _kind_and_options(data: bytes, found: dict[int, tuple[int, int]]) -> tuple[str, bytes]:
    first, end = found[TCA_KIND]
    start, stop = found.get(TCA_OPTIONS, (0, 0))
    return data[first : end - 1].decode(), data[start:stop]


def _counters(data: bytes, found: dict[int, tuple[int, int]]) -> Counters:
    if TCA_STATS2 not in found:
        return Counters()
    parts = find_attributes(data, *found[TCA_STATS2])
    total_bytes = packets = length = backlog = drops = requeues = overlimits = 0
    if TCA_STATS_BASIC in parts:
        total_bytes, packets = _BASIC.unpack_from(data, parts[TCA_STATS_BASIC][0])
    if TCA_STATS_PKT64 in parts:
        (packets,) = _U64.unpack_from(data, parts[TCA_STATS_PKT64][0])
    if TCA_STATS_QUEUE in parts:
        length, backlog, drops, requeues, overlimits = _QUEUE.unpack_from(data, parts[TCA_STATS_QUEUE][0])
    return Counters(total_bytes, packets, drops, overlimits, requeues, backlog, length)


# --- devices, addresses, neighbours ---------------------------------------------------------------

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_STATS64, IFLA_INFO_KIND = 16, 18, 23, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
NDA_DST, NDA_LLADDR = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_METRICS, RTA_TABLE = 1, 4, 5, 8, 15
RTAX_MTU, RTAX_ADVMSS = 2, 8
RTPROT_STATIC = 4
FRA_SRC, FRA_TABLE = 2, 15

_IFINFO = struct.Struct("=BxHiI")  # family, hardware type, index, flags
_STATS64 = struct.Struct("=8Q")  # packets, bytes, errors, dropped: received and sent by turns
_IFADDR = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=8BI")
_NDMSG = struct.Struct("=B3xiHBB")


class LinkCounters(NamedTuple):
    """Totals of a device since its creation."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


class LinkRow(NamedTuple):
    """A device. `flags` are IFF_* bits, `operstate` IF_OPER_* (6: up), `peer` a veth's other index."""

    ifindex: int
    name: str
    mac: bytes
    master: int
    mtu: int
    flags: int
    operstate: int
    kind: str
    peer: int
    counters: LinkCounters

    @property
    def up(self) -> bool:
        """Administratively up."""
        return bool(self.flags & 1)


class AddressRow(NamedTuple):
    """An address of an interface, packed."""

    ifindex: int
    address: bytes
    prefixlen: int
    flags: int


class NeighbourRow(NamedTuple):
    """A neighbour, or (family AF_BRIDGE) a forwarding entry; `address` is empty for the latter."""

    ifindex: int
    family: int
    state: int
    flags: int
    address: bytes
    mac: bytes


def link_rows(messages: Iterable[bytes]) -> Iterator[LinkRow]:
    """Rows of a link dump."""
    for data in messages:
        _, _, ifindex, flags = _IFINFO.unpack_from(data, _HEADER_BYTES)
        found = find_attributes(data, _HEADER_BYTES + 16, len(data))
        kind = b""
        if IFLA_LINKINFO in found:
            kind = _bytes(data, find_attributes(data, *found[IFLA_LINKINFO]), IFLA_INFO_KIND)
        counters = LinkCounters()
        if IFLA_STATS64 in found:
            counters = LinkCounters(*_STATS64.unpack_from(data, found[IFLA_STATS64][0]))
        operstate = _bytes(data, found, IFLA_OPERSTATE)
        yield LinkRow(
            ifindex=ifindex,
            name=_bytes(data, found, IFLA_IFNAME).rstrip(b"\0").decode(),
            mac=_bytes(data, found, IFLA_ADDRESS),
            master=_number(data, found, IFLA_MASTER),
            mtu=_number(data, found, IFLA_MTU),
            flags=flags,
            operstate=operstate[0] if operstate else 0,
            kind=kind.rstrip(b"\0").decode(),
            peer=_number(data, found, IFLA_LINK),
            counters=counters,
        )


def address_rows(messages: Iterable[bytes]) -> Iterator[AddressRow]:
    """Rows of an address dump."""
    for data in messages:
        _, prefixlen, flags, _, ifindex = _IFADDR.unpack_from(data, _HEADER_BYTES)
        found = find_attributes(data, _HEADER_BYTES + 8, len(data))
        address = _bytes(data, found, IFA_LOCAL) or _bytes(data, found, IFA_ADDRESS)
        yield AddressRow(ifindex, address, prefixlen, flags)


def neighbour_rows(messages: Iterable[bytes]) -> Iterator[NeighbourRow]:
    """Rows of a neighbour dump."""
    for data in messages:
        family, ifindex, state, flags, _ = _NDMSG.unpack_from(data, _HEADER_BYTES)
        found = find_attributes(data, _HEADER_BYTES + 12, len(data))
        yield NeighbourRow(ifindex, family, state, flags, _bytes(data, found, NDA_DST), _bytes(data, found, NDA_LLADDR))


class RouteRow(NamedTuple):
    """A static route, destination and gateway packed (empty: none); `mtu` and `advmss` 0 where it has none."""

    table: int
    destination: bytes
    prefixlen: int
    ifindex: int = 0
    gateway: bytes = b""
    mtu: int = 0
    advmss: int = 0


class RuleRow(NamedTuple):
    """A rule, its source packed; empty: any."""

    table: int
    source: bytes


def route_rows(messages: Iterable[bytes]) -> Iterator[RouteRow]:
    """Rows of a route dump: the static ones, as are all that we make."""
    for data in messages:
        family, prefixlen, _, _, table, protocol, _, _, _ = _RTMSG.unpack_from(data, _HEADER_BYTES)
        if protocol != RTPROT_STATIC:
            continue
        found = find_attributes(data, _HEADER_BYTES + _RTMSG.size, len(data))
        metrics = find_attributes(data, *found.get(RTA_METRICS, (0, 0)))
        yield RouteRow(
            _number(data, found, RTA_TABLE) or table,
            _bytes(data, found, RTA_DST) or bytes(16 if family == AF_INET6 else 4),  # a default route has none
            prefixlen,
            _number(data, found, RTA_OIF),
            _bytes(data, found, RTA_GATEWAY),
            _number(data, metrics, RTAX_MTU),
            _number(data, metrics, RTAX_ADVMSS),
        )


def rule_rows(messages: Iterable[bytes]) -> Iterator[RuleRow]:
    """Rows of a rule dump."""
    for data in messages:
        found = find_attributes(data, _HEADER_BYTES + 12, len(data))
        yield RuleRow(_number(data, found, FRA_TABLE), _bytes(data, found, FRA_SRC))


def _bytes(data: bytes, found: dict[int, tuple[int, int]], kind: int) -> bytes:
    first, end = found.get(kind, (0, 0))
    return data[first:end]


def _number(data: bytes, found: dict[int, tuple[int, int]], kind: int) -> int:
    return int(_U32.unpack_from(data, found[kind][0])[0]) if kind in found else 0
