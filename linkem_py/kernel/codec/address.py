"""Messages about addresses of interfaces (``struct ifaddrmsg``)."""

from __future__ import annotations

import socket
import struct

from linkem_py.kernel.codec.attributes import attribute
from linkem_py.kernel.codec.tc import CREATE_FLAGS, NLM_F_DUMP, NLM_F_REQUEST, Verb
from linkem_py.plan.objects import Address

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_F_NODAD = 0x02

# nlmsghdr, then ifaddrmsg (family, prefix length, flags, scope, index)
_HEAD = struct.Struct("=IHH8xBBBBI")
NLM_F_REPLACE = 0x100
_VERBS = {
    "create": (RTM_NEWADDR, CREATE_FLAGS),
    "change": (RTM_NEWADDR, NLM_F_REQUEST | NLM_F_REPLACE),
    "delete": (RTM_DELADDR, NLM_F_REQUEST),
}


def address_message(verb: Verb, address: Address, ifindex: int) -> bytes:
    """Add or delete an address; of IPv6 without duplicate address detection."""
    family = socket.AF_INET6 if ":" in address.address else socket.AF_INET
    packed = socket.inet_pton(family, address.address)
    flags = IFA_F_NODAD if family == socket.AF_INET6 and verb != "delete" else 0
    payload = attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    kind, message_flags = _VERBS[verb]
    head = _HEAD.pack(24 + len(payload), kind, message_flags, family, address.prefixlen, flags, 0, ifindex)
    return head + payload


def address_dump_message() -> bytes:
    """Dump of all addresses, IPv4 and IPv6."""
    return _HEAD.pack(24, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, socket.AF_UNSPEC, 0, 0, 0, 0)
