"""What the kernel really has in a namespace, as keys of plan objects."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

from linkem_py.kernel.codec.address import address_dump_message
from linkem_py.kernel.codec.decode import (
    LinkRow,
    address_rows,
    class_rows,
    filter_rows,
    link_rows,
    neighbour_rows,
    qdisc_rows,
    route_rows,
    rule_rows,
)
from linkem_py.kernel.codec.link import AF_BRIDGE, link_dump_message
from linkem_py.kernel.codec.neighbour import neighbour_dump_message
from linkem_py.kernel.codec.route import route_dump_message, rule_dump_message
from linkem_py.kernel.codec.tc import class_dump_message, filter_dump_message, qdisc_dump_message
from linkem_py.kernel.netlink import NetlinkSocket
from linkem_py.plan.addressing import MAIN_TABLE, OUR_TABLES
from linkem_py.plan.objects import HUB, TC_H_EGRESS_FILTERS, TC_H_INGRESS_FILTERS, Key

_CLSACT = 0xFFFF0000
_ROOT_TABLES = 0x80000000  # u32's own tables have this bit; ours have not
_NODE = 0xFFF
_INGRESS_TABLE = 2  # the one table that stands at ingress (see `plan.partition`)
_NUD_NOARP, _NUD_PERMANENT = 0x40, 0x80


def present(netlink: NetlinkSocket, namespace: str, indexes: Mapping[str, int]) -> set[Key]:
    """Keys of everything in a namespace: devices, addresses, neighbours, forwarding entries, qdiscs,
    classes and filters of the devices in `indexes` (name -> interface index).
    """
    names = {index: name for name, index in indexes.items()}
    keys: set[Key] = {("namespace", namespace)}
    links = {link.ifindex: link for link in link_rows(netlink.dump(link_dump_message(statistics=False)))}
    for link in links.values():
        # A pair is known by its end in the hub (by the first one, if both are), and a bridge is up by being there.
        if link.ifindex in names and link.name != "lo":
            if link.kind != "veth" or (namespace == HUB and not _is_second_end(link, links)):
                keys.add(("device", namespace, link.name))
            if link.up and link.kind == "veth":
                keys.add(("up", namespace, link.name))
    for address in address_rows(netlink.dump(address_dump_message())):
        text = str(ipaddress.ip_address(address.address))
        if address.ifindex in names and not text.startswith(("fe80:", "127.")) and text != "::1":
            keys.add(("address", namespace, names[address.ifindex], text))
    for route in route_rows(netlink.dump(route_dump_message())):
        host = route.prefixlen == 8 * len(route.destination)
        ours = (host or route.gateway) and route.ifindex in names
        if route.table in OUR_TABLES or (route.table == MAIN_TABLE and ours):
            subnet = f"{ipaddress.ip_address(route.destination)}/{route.prefixlen}"
            keys.add(("route", namespace, route.table, subnet))
    for rule in rule_rows(netlink.dump(rule_dump_message())):
        if rule.table in OUR_TABLES:
            keys.add(("rule", namespace, str(ipaddress.ip_address(rule.source))))
    for family in (socket.AF_INET, socket.AF_INET6, AF_BRIDGE):
        for entry in neighbour_rows(netlink.dump(neighbour_dump_message(family))):
            if entry.ifindex not in names:
                continue
            if family == AF_BRIDGE and entry.state == _NUD_NOARP:
                keys.add(("forwarding", namespace, names[entry.ifindex], entry.mac))  # type: ignore[arg-type]
            elif family != AF_BRIDGE and entry.state == _NUD_PERMANENT:
                keys.add(("neighbour", namespace, names[entry.ifindex], entry.address))  # type: ignore[arg-type]
    qdiscs = [row for row in qdisc_rows(netlink.dump(qdisc_dump_message())) if row.ifindex in names]
    for qdisc in qdiscs:
        if qdisc.handle:
            keys.add(("qdisc", namespace, names[qdisc.ifindex], qdisc.handle))
    for qdisc in qdiscs:
        if qdisc.kind == "htb":
            for class_ in class_rows(netlink.dump(class_dump_message(qdisc.ifindex, qdisc.handle))):
                keys.add(("class", namespace, names[qdisc.ifindex], class_.classid))
        if qdisc.kind in ("htb", "prio"):
            parents: tuple[int, ...] = (qdisc.handle,)
        elif qdisc.handle == _CLSACT:
            parents = (TC_H_INGRESS_FILTERS, TC_H_EGRESS_FILTERS)
        else:
            continue
        for parent in parents:
            for row in filter_rows(netlink.dump(filter_dump_message(qdisc.ifindex, parent))):
                handle = row.handle
                if qdisc.handle == _CLSACT and _of_the_other_hook(handle, parent):
                    continue
                if handle & _ROOT_TABLES:
                    handle &= _NODE
                if handle:
                    keys.add(("filter", namespace, names[qdisc.ifindex], parent, row.priority, handle))
    return keys


def _is_second_end(link: LinkRow, links: Mapping[int, LinkRow]) -> bool:
    # The index may be one of another namespace: then whatever has it here does not point back.
    other = links.get(link.peer)
    return other is not None and other.kind == "veth" and other.peer == link.ifindex and other.ifindex < link.ifindex


def _of_the_other_hook(handle: int, parent: int) -> bool:
    # u32 keeps the tables of both hooks in one place, and shows them all under each that has any filter.
    return not handle & _ROOT_TABLES and (handle >> 20 == _INGRESS_TABLE) != (parent == TC_H_INGRESS_FILTERS)
