"""Messages about neighbours and bridge forwarding entries (``struct ndmsg``)."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6

from linkem_py.kernel.codec.link import AF_BRIDGE
from linkem_py.kernel.codec.tc import CREATE_FLAGS, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, Verb
from linkem_py.plan.objects import Forwarding, Neighbour

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NLM_F_REPLACE = 0x100
NDA_DST = 1
NDA_LLADDR = 2
NUD_REACHABLE = 0x02
NUD_NOARP = 0x40
NUD_PERMANENT = 0x80
NTF_MASTER = 0x04

# nlmsghdr, then ndmsg (family, index, state, flags, type)
_HEAD = "=IHH8xB3xiHBB"
_DUMP = struct.Struct(_HEAD)
_IPV4 = struct.Struct(_HEAD + "HH4s" + "HH6s2x")
_IPV6 = struct.Struct(_HEAD + "HH16s" + "HH6s2x")
_FORWARDING = struct.Struct(_HEAD + "HH6s2x")
REPLACE_FLAGS = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE


def neighbour_message(verb: Verb, neighbour: Neighbour, ifindex: int) -> bytes:
    """Set or delete a permanent neighbour. To create replaces what the kernel may have learnt."""
    kind, flags = (RTM_DELNEIGH, NLM_F_REQUEST) if verb == "delete" else (RTM_NEWNEIGH, REPLACE_FLAGS)
    address = neighbour.address
    if len(address) == 4:
        return _IPV4.pack(
            48, kind, flags, AF_INET, ifindex, NUD_PERMANENT, 0, 0,
            8, NDA_DST, address, 10, NDA_LLADDR, neighbour.mac,
        )  # fmt: skip
    return _IPV6.pack(
        60, kind, flags, AF_INET6, ifindex, NUD_PERMANENT, 0, 0,
        20, NDA_DST, address, 10, NDA_LLADDR, neighbour.mac,
    )  # fmt: skip


def forwarding_message(verb: Verb, entry: Forwarding, ifindex: int) -> bytes:
    """Add or delete a static forwarding entry; `ifindex` is that of the bridge port."""
    kind, flags = (RTM_DELNEIGH, NLM_F_REQUEST) if verb == "delete" else (RTM_NEWNEIGH, CREATE_FLAGS)
    if verb == "change":
        flags = REPLACE_FLAGS
    return _FORWARDING.pack(
        40, kind, flags, AF_BRIDGE, ifindex, NUD_NOARP | NUD_REACHABLE, NTF_MASTER, 0,
        10, NDA_LLADDR, entry.mac,
    )  # fmt: skip


def neighbour_dump_message(family: int = 0) -> bytes:
    """Dump of neighbours: of one family, of both (0), or of all bridges' entries (AF_BRIDGE)."""
    return _DUMP.pack(28, RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, family, 0, 0, 0, 0)
