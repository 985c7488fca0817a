"""Plans as text, for people, and as plain values, for programs."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Any

from linkem_py.model.topology import Topology
from linkem_py.plan import addressing, handles, words
from linkem_py.plan.desired import State
from linkem_py.plan.locate import link_of
from linkem_py.plan.objects import (
    HUB,
    TC_H_CLSACT,
    TC_H_EGRESS_FILTERS,
    TC_H_INGRESS_FILTERS,
    TC_H_ROOT,
    Address,
    Bridge,
    Class,
    Filter,
    Forwarding,
    Ifb,
    Key,
    Namespace,
    Neighbour,
    Netem,
    NetemSlot,
    Object,
    Qdisc,
    Route,
    Rule,
    Up,
    Veth,
)
from linkem_py.plan.operations import Operation

# --- one operation -------------------------------------------------------------------------------


def describe(operation: Operation) -> str:
    """An operation in a line: ``change qdisc netem 1003: on eth0 in eu``."""
    verb, made = operation.verb, operation.object
    if isinstance(made, Up):
        return f"set {made.dev} in {_where(made.ns)} {'down' if verb == 'delete' else 'up'}"
    if isinstance(made, Namespace):
        return f"{verb} namespace of {_where(made.name)}"
    if isinstance(made, Veth):
        return f"{verb} veth {made.name} in {_where(made.ns)} to {made.peer_name} in {_where(made.peer_ns)}"
    if isinstance(made, Bridge | Ifb):
        return f"{verb} {type(made).__name__.lower()} {made.name} in {_where(made.ns)}"
    if not made.dev:
        return f"{verb} {_part(made)} in {_where(made.ns)}"
    return f"{verb} {_part(made)} on {made.dev} in {_where(made.ns)}"


def _part(made: Address | Route | Rule | Neighbour | Forwarding | Qdisc | Class | Filter) -> str:
    if isinstance(made, Qdisc):
        return f"qdisc {made.kind} {handles.describe(made.handle)}"
    if isinstance(made, Class):
        return f"class {handles.describe(made.classid)}"
    if isinstance(made, Filter):
        return f"filter {words.u32_handle(made.handle)} of {words.place(made.parent)}"
    if isinstance(made, Address):
        return f"address {made.address}/{made.prefixlen}"
    if isinstance(made, Neighbour):
        return f"neighbour {ipaddress.ip_address(made.address)} at {made.mac.hex(':')}"
    if isinstance(made, Route):
        if made.table == addressing.MAIN_TABLE:  # all of them lead to single addresses on the link
            return f"route to {made.destination.partition('/')[0]}"
        way = f"via {made.gateway}" if made.gateway else "direct" if made.dev else "unreachable"
        return f"route to {made.destination} in table {made.table}, {way}"
    if isinstance(made, Rule):
        return f"rule from {made.source} to table {made.table}"
    return f"forwarding entry {made.mac.hex(':')}"


def _where(namespace: str) -> str:
    return "the hub" if namespace == HUB else namespace


# --- a state as a tree ---------------------------------------------------------------------------


def show(state: State, topology: Topology) -> str:
    """The state as an indented tree: per namespace its devices, per device what hangs on it."""
    return "\n".join([*_Tree(state, topology).lines(), "", summary(state)])


def summary(state: State) -> str:
    """What there is of each kind, and how many netlink messages make it."""
    counts = Counter(type(made).__name__ for made in state.values())
    listed = ", ".join(f"{counts[kind]} {forms[counts[kind] > 1]}" for kind, forms in _COUNTED.items() if counts[kind])
    messages = sum(_messages(made) for made in state.values())
    return f"objects: {len(state)}, netlink messages: {messages} ({listed or 'nothing'})"


_COUNTED = {
    "Namespace": ("namespace", "namespaces"),
    "Bridge": ("bridge", "bridges"),
    "Veth": ("veth pair", "veth pairs"),
    "Ifb": ("ifb device", "ifb devices"),
    "Up": ("interface up", "interfaces up"),
    "Address": ("address", "addresses"),
    "Route": ("route", "routes"),
    "Rule": ("rule", "rules"),
    "Neighbour": ("neighbour", "neighbours"),
    "Forwarding": ("forwarding entry", "forwarding entries"),
    "Qdisc": ("qdisc", "qdiscs"),
    "Class": ("class", "classes"),
    "Filter": ("filter", "filters"),
}


def _messages(made: Object) -> int:
    if isinstance(made, Namespace):
        return 0
    # A pair: one message for both ends, then the flags of each port; a second master.
    return (4 if made.peer_master else 2) if isinstance(made, Veth) else 1


class _Tree:
    def __init__(self, state: State, topology: Topology) -> None:
        self.state = state
        self.topology = topology
        self.names = {peer.number: peer.name for peer in topology.peers.values()}
        self.devices: dict[str, list[Bridge | Veth | Ifb]] = {}
        self.on: dict[tuple[str, str], list[Object]] = {}
        self.below: dict[Key, list[Qdisc | Class | Filter]] = {}
        for made in state.values():
            if isinstance(made, Qdisc | Class | Filter):
                self.below.setdefault((made.ns, made.dev, _above(made, state)), []).append(made)
            elif isinstance(made, Bridge | Veth | Ifb):
                self.devices.setdefault(made.ns, []).append(made)
                if isinstance(made, Veth) and made.peer_ns != made.ns:
                    self.devices.setdefault(made.peer_ns, []).append(made)
            elif not isinstance(made, Namespace):
                self.on.setdefault((made.ns, made.dev), []).append(made)

    def lines(self) -> Iterator[str]:
        for made in self.state.values():
            if isinstance(made, Namespace):
                yield _where(made.name)
                for path, value in made.sysctls:
                    yield f"  sysctl {path.removeprefix('?')} = {value}" + (", if there" if path[0] == "?" else "")
                for held in self.on.get((made.name, ""), ()):
                    yield f"  {_part(held)}"  # type: ignore[arg-type]
                for device in self.devices.get(made.name, ()):
                    yield from self.device(made.name, device)

    def device(self, ns: str, made: Bridge | Veth | Ifb) -> Iterator[str]:
        ends = [(made.name, "")]
        text = ""
        if isinstance(made, Veth):
            offloads = f"offloads {'on' if made.offload else 'off'}"
            far = [(made.peer_name, f"MAC {made.peer_mac}, {offloads}{_port(made.peer_master, made.peer_flood)}")]
            near = [(made.name, f"MAC {made.mac}, {offloads}{_port(made.master, made.flood)}")]
            # A pair within a namespace has both ends there.
            ends = (near if ns == made.ns else []) + (far if ns == made.peer_ns else [])
            text = f"veth to {_where(made.peer_ns if ns == made.ns else made.ns)}, "
        elif isinstance(made, Ifb):
            text = "ifb, "
        else:
            text = "bridge, "
        for end, detail in ends:
            up = not isinstance(made, Veth) or ("up", ns, end) in self.state
            detail = f", {detail}" if detail else ""
            yield f"  {end}: {text}{'up' if up else 'down'}, MTU {made.mtu} bytes{detail}"
            for held in self.on.get((ns, end), ()):
                if not isinstance(held, Up):
                    yield f"    {_part(held)}{self.peer_of(held)}"  # type: ignore[arg-type]
            yield from self.hanging(ns, end, 0, 4)

    def peer_of(self, made: Object) -> str:
        if isinstance(made, Route):
            return f", MTU {made.mtu} bytes{self.link(made)}" if made.mtu else ""
        if not isinstance(made, Neighbour | Forwarding):
            return ""
        return f" ({self.names.get(int.from_bytes(made.mac[-2:], 'big'), 'no peer')})"

    def hanging(self, ns: str, dev: str, above: int, depth: int) -> Iterator[str]:
        """What hangs below a handle (0: below the device itself), and what hangs below that."""
        for made in self.below.get((ns, dev, above), ()):
            if isinstance(made, Filter):
                hook = made.parent in (TC_H_INGRESS_FILTERS, TC_H_EGRESS_FILTERS)
                text = f"filter {words.place(made.parent) + ' ' if hook else ''}{words.filter_(made, self.names)}"
                yield " " * depth + text
                continue
            yield " " * depth + self.queueing(made)
            yield from self.hanging(ns, dev, made.classid if isinstance(made, Class) else made.handle, depth + 2)

    def queueing(self, made: Qdisc | Class) -> str:
        if isinstance(made, Qdisc):
            root = "root" if made.handle == handles.ROOT else ""
            options = ", ".join(part for part in (root, words.qdisc(made)) if part)
            return f"{_part(made)} {options}".rstrip() + self.link(made)
        role = ""
        if handles.in_root(made.classid):
            role = " (the access link)" if made.classid == handles.ACCESS_CLASS else " (a group)"
        return f"{_part(made)} {words.class_(made)}{role}{self.link(made)}"

    def link(self, made: Qdisc | Class | Route) -> str:
        if isinstance(made, Qdisc) and self.topology.classifier == "htb" and made.handle != handles.ROOT:
            return ""  # the class above says it
        key = link_of(self.topology, made)
        return f" -> {key[0]}->{key[1]}" if key else ""


def _port(master: str, flood: bool) -> str:
    return f", port of {master}, {'' if flood else 'no '}unicast flooding, no learning" if master else ""


def _above(made: Qdisc | Class | Filter, state: State) -> int:
    """The handle that an object hangs below; 0 for the device itself."""
    if isinstance(made, Filter):
        hook = made.parent in (TC_H_INGRESS_FILTERS, TC_H_EGRESS_FILTERS)
        return handles.CLSACT if hook else made.parent
    if isinstance(made, Class):
        return made.parent
    if ("class", made.ns, made.dev, made.parent) in state:
        return made.parent
    # Otherwise a class that nobody made: a band of prio, the only class of netem.
    return 0 if made.parent in (TC_H_ROOT, TC_H_CLSACT) else made.parent & 0xFFFF0000


# --- a state as plain values ---------------------------------------------------------------------


def as_json(state: State) -> dict[str, Any]:
    """The whole state as values that JSON knows: ``objects`` in the order in which they are made.

    Handles are written as tc writes them; what has a unit in its name has that unit, probabilities
    are the kernel's 32-bit fractions, rates bytes per second. Delay tables stand under ``tables``,
    by the name that netems use.
    """
    tables: dict[bytes, str] = {b"": "uniform"}
    objects = [_plain(made, tables) for made in state.values()]
    return {
        "objects": objects,
        "tables": {name: _entries(packed) for packed, name in tables.items() if packed},
        "messages": sum(_messages(made) for made in state.values()),
    }


_HANDLES = {"handle", "parent", "classid", "link"}


def _plain(made: Object, tables: dict[bytes, str]) -> dict[str, Any]:
    values = {key: _value(key, value, tables) for key, value in made._asdict().items()}
    if isinstance(made, Filter):
        values["handle"] = words.u32_handle(made.handle)
    if isinstance(made, Neighbour):
        values["address"] = str(ipaddress.ip_address(made.address))
    return {"object": type(made).__name__.lower(), **values}


def _value(key: str, value: Any, tables: dict[bytes, str]) -> Any:
    if isinstance(value, Netem | NetemSlot):
        name = words.table_name(value.table)
        if value.table not in tables:
            same = sum(other.partition(" #")[0] == name for other in tables.values())
            tables[value.table] = f"{name} #{same + 1}" if same else name
        return {**_fields(value._replace(table=b""), tables), "table": tables[value.table]}
    if hasattr(value, "_asdict"):
        return _fields(value, tables)
    if isinstance(value, tuple):
        return [_value("", item, tables) for item in value]
    if isinstance(value, bytes):
        return value.hex(":")
    return words.place(value) if key in _HANDLES else value


def _fields(value: Any, tables: dict[bytes, str]) -> dict[str, Any]:
    fields = {key: _value(key, item, tables) for key, item in value._asdict().items()}
    return {"type": type(value).__name__, **fields}


def _entries(packed: bytes) -> list[int]:
    return list(memoryview(packed).cast("h"))
