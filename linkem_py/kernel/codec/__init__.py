"""Routing netlink messages: pure functions from objects to bytes and back."""

# attributes   length, type, payload: the bricks
# netem, htb, fifo, fq_codel, cake, tbf, prio, clsact, u32, action   the options of each kind, encoded and decoded
# tc           messages about qdiscs, classes and filters
# link, address, neighbour, route   messages about devices, addresses, neighbours, forwarding entries, routes
# decode       the rows of dumps

from linkem_py.kernel.codec.action import decode_action, encode_action
from linkem_py.kernel.codec.address import address_dump_message, address_message
from linkem_py.kernel.codec.cake import decode_cake, encode_cake
from linkem_py.kernel.codec.clsact import decode_clsact, encode_clsact
from linkem_py.kernel.codec.decode import (
    AddressRow,
    ClassRow,
    Counters,
    FilterRow,
    LinkCounters,
    LinkRow,
    NeighbourRow,
    QdiscRow,
    RouteRow,
    RuleRow,
    address_rows,
    class_rows,
    filter_rows,
    link_rows,
    neighbour_rows,
    qdisc_rows,
    route_rows,
    rule_rows,
)
from linkem_py.kernel.codec.fifo import decode_fifo, encode_fifo
from linkem_py.kernel.codec.fq_codel import decode_fq_codel, encode_fq_codel
from linkem_py.kernel.codec.htb import decode_htb, decode_htb_class, encode_htb, encode_htb_class
from linkem_py.kernel.codec.link import (
    bridge_message,
    ifb_message,
    link_delete_message,
    link_dump_message,
    link_get_message,
    master_message,
    mtu_message,
    port_message,
    up_message,
    veth_message,
)
from linkem_py.kernel.codec.neighbour import forwarding_message, neighbour_dump_message, neighbour_message
from linkem_py.kernel.codec.netem import UNIFORM_TABLE, decode_netem, encode_netem
from linkem_py.kernel.codec.prio import decode_prio, encode_prio
from linkem_py.kernel.codec.route import (
    route_dump_message,
    route_message,
    rule_dump_message,
    rule_message,
)
from linkem_py.kernel.codec.tbf import decode_tbf, encode_tbf
from linkem_py.kernel.codec.tc import (
    FIRST_ROOT_TABLE,
    Verb,
    class_dump_message,
    class_message,
    filter_dump_message,
    filter_message,
    filters_delete_message,
    qdisc_dump_message,
    qdisc_message,
)
from linkem_py.kernel.codec.u32 import decode_u32, encode_u32, encode_u32_table

__all__ = [
    "FIRST_ROOT_TABLE",
    "UNIFORM_TABLE",
    "AddressRow",
    "ClassRow",
    "Counters",
    "FilterRow",
    "LinkCounters",
    "LinkRow",
    "NeighbourRow",
    "QdiscRow",
    "RouteRow",
    "RuleRow",
    "Verb",
    "address_dump_message",
    "address_message",
    "address_rows",
    "bridge_message",
    "class_dump_message",
    "class_message",
    "class_rows",
    "decode_action",
    "decode_cake",
    "decode_clsact",
    "decode_fifo",
    "decode_fq_codel",
    "decode_htb",
    "decode_htb_class",
    "decode_netem",
    "decode_prio",
    "decode_tbf",
    "decode_u32",
    "encode_action",
    "encode_cake",
    "encode_clsact",
    "encode_fifo",
    "encode_fq_codel",
    "encode_htb",
    "encode_htb_class",
    "encode_netem",
    "encode_prio",
    "encode_tbf",
    "encode_u32",
    "encode_u32_table",
    "filter_dump_message",
    "filter_message",
    "filter_rows",
    "filters_delete_message",
    "forwarding_message",
    "ifb_message",
    "link_delete_message",
    "link_dump_message",
    "link_get_message",
    "link_rows",
    "master_message",
    "mtu_message",
    "neighbour_dump_message",
    "neighbour_message",
    "neighbour_rows",
    "port_message",
    "qdisc_dump_message",
    "qdisc_message",
    "qdisc_rows",
    "route_dump_message",
    "route_message",
    "route_rows",
    "rule_dump_message",
    "rule_message",
    "rule_rows",
    "up_message",
    "veth_message",
]
