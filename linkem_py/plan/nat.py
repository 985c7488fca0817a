"""A gateway's NAT as nftables rules, in the language of ``nft`` (nft(8)), and conntrack's timers.

Linux by itself maps connection by connection: it keeps a source's port where it can, so two destinations see
the same mapping until another source holds that port towards one of them. Here mappings stand in maps of
their own, learnt from what goes out:

    udp_out     inside address and port -> the mapping, for the next destination (endpoint-independent)
    udp_in      a mapping's port -> inside address and port, for whoever may send in unasked
    udp_peers   a mapping's port and the addresses that were sent to from it (address-dependent filtering)
    udp_ports   the ports that mappings have: nobody else gets them

and the same for TCP.
"""

from __future__ import annotations

from collections.abc import Iterator

from linkem_py.model.gateway import Gateway
from linkem_py.model.nat import Nat
from linkem_py.model.topology import Topology
from linkem_py.plan import addressing
from linkem_py.plan.objects import Ruleset

TABLE = "linkem"
_PORTS = "1024-65535"
_CONNTRACK = "net/netfilter/nf_conntrack"
# What a packet out is part of, and where conntrack has the two sides of the mapping then.
_DIRECTIONS = (
    (
        "ct direction original ct original ip saddr != {}",
        "ct original ip saddr", "ct original proto-src", "ct reply ip daddr", "ct reply proto-dst",
    ),
    (
        "ct direction reply ct status dnat",
        "ct reply ip saddr", "ct reply proto-src", "ct original ip daddr", "ct original proto-dst",
    ),
)  # fmt: skip
_TRANSITORY = ("syn_sent", "syn_recv", "fin_wait", "close_wait", "last_ack", "time_wait", "unacknowledged")


def ruleset(topology: Topology, name: str) -> Iterator[Ruleset]:
    """The NAT of a peer, if it is a gateway with one."""
    gateway = topology.gateways.get(name)
    if gateway is not None and gateway.nat is not None:
        yield Ruleset(name, "\n".join(_table(topology, gateway, gateway.nat)) + "\n", _timers(gateway.nat))


def _timers(nat: Nat) -> tuple[tuple[str, str], ...]:
    udp, transitory = str(nat.udp_timeout_s), str(nat.tcp_transitory_timeout_s)
    return (
        (f"{_CONNTRACK}_udp_timeout", udp),
        (f"{_CONNTRACK}_udp_timeout_stream", udp),
        (f"{_CONNTRACK}_tcp_timeout_established", str(nat.tcp_established_timeout_s)),
        *((f"{_CONNTRACK}_tcp_timeout_{state}", transitory) for state in _TRANSITORY),
        (f"{_CONNTRACK}_icmp_timeout", str(nat.icmp_timeout_s)),
    )


def _table(topology: Topology, gateway: Gateway, nat: Nat) -> Iterator[str]:
    outside = topology.all_segments[gateway.outside]
    rules = _Rules(nat, addressing.interface(outside), str(addressing.ipv4(outside, topology.peers[gateway.name])))
    # Made, deleted, made: the first so that the second finds one. All of it happens at once.
    yield f"table ip {TABLE}"
    yield f"delete table ip {TABLE}"
    yield f"table ip {TABLE} {{"
    yield from rules.sets("udp", nat.udp_timeout_s)
    yield from rules.sets("tcp", nat.tcp_transitory_timeout_s)
    for head, lines in (
        ("untracked { type filter hook prerouting priority raw;", rules.untracked()),
        ("inward { type nat hook prerouting priority dstnat;", rules.inward()),
        ("local { type filter hook input priority filter;", rules.local()),
        ("forward { type filter hook forward priority filter;", rules.forward()),
        ("outward { type nat hook postrouting priority srcnat;", rules.outward()),
        ("learn { type filter hook postrouting priority srcnat + 10;", rules.learn()),
    ):
        yield f"  chain {head}"
        for line in lines:
            yield f"    {line}"
        yield "  }"
    yield "}"


class _Rules:
    """The rules of one NAT: `device` leads outside, where it has `address`."""

    def __init__(self, nat: Nat, device: str, address: str) -> None:
        self.nat = nat
        self.comes = f'iifname "{device}" ip daddr {address}'
        self.enters = f'iifname "{device}"'
        self.leaves = f'oifname "{device}"'
        self.address = address
        self.unasked = nat.filtering != "address-and-port-dependent"
        self.lasting = nat.mapping != "address-and-port-dependent"
        self.by_address = nat.mapping == "address-dependent"

    def sets(self, protocol: str, timeout_s: int) -> Iterator[str]:
        tail = f"flags dynamic,timeout; timeout {timeout_s}s; size 65535; }}"
        yield f"  set {protocol}_ports {{ type inet_service; {tail}"
        if self.unasked:
            yield f"  map {protocol}_in {{ type inet_service : ipv4_addr . inet_service; {tail}"
        if self.nat.filtering == "address-dependent":
            yield f"  set {protocol}_peers {{ type inet_service . ipv4_addr; {tail}"
        if self.lasting:
            key = "ipv4_addr . inet_service" + (" . ipv4_addr" if self.by_address else "")
            yield f"  map {protocol}_out {{ type {key} : ipv4_addr . inet_service; {tail}"

    def untracked(self) -> Iterator[str]:
        # What comes to a port before it is a mapping's must leave no trace in conntrack: the mapping could not
        # have that port towards the sender then.
        yield f"{self.comes} udp dport != @udp_ports notrack"

    def inward(self) -> Iterator[str]:
        for protocol in ("udp", "tcp") if self.unasked else ():
            asked = f"{protocol} dport . ip saddr @{protocol}_peers "
            allowed = asked if self.nat.filtering == "address-dependent" else ""
            yield f"{self.comes} {allowed}dnat ip to {protocol} dport map @{protocol}_in"

    def local(self) -> Iterator[str]:
        # Whoever may not send in to a mapping gets no answer either, and no trace in conntrack. The gateway's
        # own ports are open.
        for protocol in ("udp", "tcp"):
            yield f"{self.comes} ct state new {protocol} dport @{protocol}_ports drop"

    def forward(self) -> Iterator[str]:
        yield f"{self.enters} ct state established,related accept"
        yield f"{self.enters} ct status dnat accept"
        yield f"{self.enters} drop"

    def outward(self) -> Iterator[str]:
        translated = f"{self.leaves} ip saddr != {self.address}"
        for protocol in ("udp", "tcp"):
            if self.lasting:
                key = f"ip saddr . {protocol} sport" + (" . ip daddr" if self.by_address else "")
                yield f"{translated} snat ip to {key} map @{protocol}_out"
            if self.nat.keep_ports and self.nat.mapping == "endpoint-independent":
                yield f"{translated} {protocol} sport != @{protocol}_ports snat ip to {self.address}"
            yield f"{translated} meta l4proto {protocol} snat ip to {self.address}:{_PORTS} fully-random"
        yield f"{translated} snat ip to {self.address}"

    def learn(self) -> Iterator[str]:
        """From each packet out, in a connection that began inside, and in one that began outside."""
        for ways, inner, inner_port, outer, outer_port in _DIRECTIONS if self.unasked else _DIRECTIONS[:1]:
            for protocol in ("udp", "tcp"):
                updates = [f"@{protocol}_ports {{ {outer_port} }}"]
                if self.unasked:
                    updates.append(f"@{protocol}_in {{ {outer_port} : {inner} . {inner_port} }}")
                if self.nat.filtering == "address-dependent":
                    updates.append(f"@{protocol}_peers {{ {outer_port} . ip daddr }}")
                if self.lasting:
                    key = f"{inner} . {inner_port}" + (" . ip daddr" if self.by_address else "")
                    updates.append(f"@{protocol}_out {{ {key} : {outer} . {outer_port} }}")
                for update in updates:
                    yield f"{self.leaves} {ways.format(self.address)} ip protocol {protocol} update {update}"
