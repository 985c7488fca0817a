"""Messages about routes (``struct rtmsg``) and policy rules (``struct fib_rule_hdr``)."""

from __future__ import annotations

import ipaddress
import struct

from linkem_py.kernel.codec.attributes import attribute, nested, u32
from linkem_py.kernel.codec.tc import CREATE_FLAGS, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, Verb
from linkem_py.plan.objects import Route, Rule

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
NLM_F_REPLACE = 0x100
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_METRICS, RTA_TABLE = 1, 4, 5, 8, 15
RTAX_MTU, RTAX_ADVMSS = 2, 8
RTN_UNICAST, RTN_UNREACHABLE = 1, 7
RTPROT_STATIC = 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
FRA_SRC, FRA_PRIORITY, FRA_TABLE = 2, 6, 15
FR_ACT_TO_TBL = 1

# nlmsghdr, then rtmsg (family, destination length, source length, TOS, table, protocol, scope, type,
# flags); fib_rule_hdr has the same bytes (family, destination length, source length, TOS, table,
# reserved, reserved, action, flags). A table above 255 stands in an attribute.
_HEAD = struct.Struct("=IHH8xBBBBBBBBI")
_FAMILIES = {4: 2, 6: 10}  # AF_INET, AF_INET6
_MOST_IN_HEAD = 255
_ROUTE_VERBS = {
    "create": (RTM_NEWROUTE, CREATE_FLAGS),
    "change": (RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE),
    "delete": (RTM_DELROUTE, NLM_F_REQUEST),
}


def route_message(verb: Verb, route: Route, ifindex: int) -> bytes:
    """Add, replace ("change") or delete a route; `ifindex` is of no use for one that leads nowhere.

    An interface that it leads to must be up.
    """
    subnet = ipaddress.ip_network(route.destination)
    kind, flags = _ROUTE_VERBS[verb]
    payload = attribute(RTA_DST, subnet.network_address.packed)
    scope = RT_SCOPE_UNIVERSE
    if route.gateway:
        payload += attribute(RTA_GATEWAY, ipaddress.ip_address(route.gateway).packed)
    elif route.dev and subnet.version == 4:
        scope = RT_SCOPE_LINK  # IPv6 knows no scopes
    if route.table > _MOST_IN_HEAD:
        payload += u32(RTA_TABLE, route.table)
    if route.dev:
        payload += u32(RTA_OIF, ifindex)
    leads = RTN_UNICAST if route.dev else RTN_UNREACHABLE
    if verb == "delete":
        leads = 0
    elif route.mtu or route.advmss:
        payload += nested(RTA_METRICS, u32(RTAX_MTU, route.mtu), u32(RTAX_ADVMSS, route.advmss))
    table = route.table if route.table <= _MOST_IN_HEAD else 0
    return _HEAD.pack(
        _HEAD.size + len(payload), kind, flags,
        _FAMILIES[subnet.version], subnet.prefixlen, 0, 0, table, RTPROT_STATIC, scope, leads, 0,
    ) + payload  # fmt: skip


def rule_message(verb: Verb, rule: Rule) -> bytes:
    """Add or delete a rule; its priority is the number of its table."""
    source = ipaddress.ip_address(rule.source)
    kind, flags = (RTM_DELRULE, NLM_F_REQUEST) if verb == "delete" else (RTM_NEWRULE, CREATE_FLAGS)
    action = 0 if verb == "delete" else FR_ACT_TO_TBL
    payload = attribute(FRA_SRC, source.packed) + u32(FRA_TABLE, rule.table) + u32(FRA_PRIORITY, rule.table)
    return _HEAD.pack(
        _HEAD.size + len(payload), kind, flags,
        _FAMILIES[source.version], 0, source.max_prefixlen, 0, 0, 0, 0, action, 0,
    ) + payload  # fmt: skip


def route_dump_message() -> bytes:
    """Dump of all routes, IPv4 and IPv6."""
    return _HEAD.pack(_HEAD.size, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, *(0,) * 9)


def rule_dump_message() -> bytes:
    """Dump of all rules, IPv4 and IPv6."""
    return _HEAD.pack(_HEAD.size, RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, *(0,) * 9)
