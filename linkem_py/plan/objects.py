"""What a network consists of, in the kernel's own units: one named tuple per kind of object.

These are what `desired` makes, what `operations` compares and what a driver carries out. They are
tuples, not attrs classes, because a full mesh of 100 peers has 60,000 of them: a tuple is made and
compared in a third of the time. Nothing here validates: `model` did.

Units: nanoseconds, bytes, bytes per second, packets; probabilities are the kernel's 32-bit
fractions (2**32 - 1 is certainty).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

HUB = "/hub"  # the hub's namespace; a peer's name has no slash, so the two never meet

Key: TypeAlias = tuple[str | int, ...]


# --- options of qdiscs, classes and filters -----------------------------------------------------


class GilbertElliottLoss(NamedTuple):
    """netem's NETEM_LOSS_GE, 32-bit fractions; the fields of ``struct tc_netem_gemodel``."""

    p: int
    r: int
    h: int  # probability of *delivery* in the bad state
    k1: int  # probability of *loss* in the good state


class FourStateLoss(NamedTuple):
    """netem's NETEM_LOSS_GI, 32-bit fractions; the fields of ``struct tc_netem_gimodel``."""

    p13: int
    p31: int
    p32: int
    p14: int
    p23: int


class NetemSlot(NamedTuple):
    """netem's slots: a time until the next one, and how much fits into one (2**31 - 1: anything)."""

    delay_ns: int
    jitter_ns: int = 0
    room_packets: int = 2**31 - 1
    room_bytes: int = 2**31 - 1
    table: bytes = b""  # as a netem's


class Netem(NamedTuple):
    """All parameters of a netem qdisc. Every message carries all of them (see `tc-netem(8)`)."""

    limit_packets: int
    latency_ns: int = 0
    jitter_ns: int = 0
    delay_correlation: int = 0
    table: bytes = b""  # delay table, int16 in native order; empty: uniform
    loss: int = 0
    loss_correlation: int = 0
    loss_model: GilbertElliottLoss | FourStateLoss | None = None
    duplicate: int = 0
    duplicate_correlation: int = 0
    corrupt: int = 0
    corrupt_correlation: int = 0
    reorder: int = 0
    reorder_correlation: int = 0
    gap: int = 0
    ecn: bool = False
    rate: int = 0  # bytes per second; 0: none
    packet_overhead: int = 0
    cell_size: int = 0
    cell_overhead: int = 0
    slot: NetemSlot | None = None
    seed: int | None = None  # 64 bits; None: the kernel's own choice (before Linux 6.6: always)


class Htb(NamedTuple):
    """An htb qdisc. Unclassified packets bypass its classes (``default 0``)."""

    default: int = 0
    r2q: int = 10


class HtbClass(NamedTuple):
    """An htb class; rate and ceil in bytes per second, burst, cburst and quantum in bytes."""

    rate: int
    ceil: int
    burst: int
    cburst: int
    quantum: int
    prio: int = 0


class Prio(NamedTuple):
    """A prio qdisc of `bands` bands; everything unclassified goes to the first one."""

    bands: int = 16


class Fifo(NamedTuple):
    """bfifo (limit in bytes) or pfifo (limit in packets); the qdisc's kind says which."""

    limit: int


class FqCodel(NamedTuple):
    """fq_codel: at most `limit` packets; times in microseconds."""

    limit: int = 10240
    target_us: int = 5000
    interval_us: int = 100_000
    ecn: bool = False


class Cake(NamedTuple):
    """cake: times in microseconds, rate in bytes per second (0: none, a queue only)."""

    target_us: int = 5000
    interval_us: int = 100_000
    rate: int = 0


class Tbf(NamedTuple):
    """tbf: bytes per second, bytes at once, bytes that wait in it."""

    rate: int
    burst: int
    limit: int


class Clsact(NamedTuple):
    """The clsact qdisc: a place for filters on ingress and egress, no queue."""


class Drop(NamedTuple):
    """gact: drop the packet."""


class Redirect(NamedTuple):
    """mirred: send the packet out of another device of the same namespace instead."""

    device: str


class Mirror(NamedTuple):
    """mirred: send a copy of the packet out of another device of the same namespace, then go on."""

    device: str


class Mark(NamedTuple):
    """skbedit: set the packet's mark, then go on."""

    mark: int


Action: TypeAlias = Drop | Redirect | Mirror | Mark


class U32Table(NamedTuple):
    """A u32 hash table: ``divisor`` buckets."""

    divisor: int


class U32Key(NamedTuple):
    """One 32-bit comparison: ``(word at offset) & mask == value``; offset from the network header."""

    value: int
    mask: int
    offset: int


class U32(NamedTuple):
    """A u32 entry: all keys must match (none: always does).

    Then exactly one of: `link` (go to that hash table, at the bucket that `hash_mask` and
    `hash_offset` select), `classid`, or an action; an action beside a `classid` goes first, and a drop
    leaves the class without packets. `mark`, if given, is (value, mask) of skb->mark.
    """

    keys: tuple[U32Key, ...] = ()
    classid: int = 0
    action: Action | None = None
    link: int = 0  # handle of a hash table, htid << 20
    hash_mask: int = 0
    hash_offset: int = 0
    mark: tuple[int, int] | None = None


QdiscOptions: TypeAlias = Netem | Htb | Prio | Fifo | FqCodel | Cake | Tbf | Clsact
FilterOptions: TypeAlias = U32Table | U32


# --- objects ------------------------------------------------------------------------------------


class Namespace(NamedTuple):
    """A network namespace and the sysctls set in it before any interface exists."""

    name: str
    sysctls: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("namespace", self.name)


class Bridge(NamedTuple):
    """A bridge: no STP, no multicast snooping, up."""

    ns: str
    name: str
    mtu: int = 1500

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("device", self.ns, self.name)


class Veth(NamedTuple):
    """A veth pair; its first end is a port of `master` in `ns`, its second the peer's interface.

    Both ends are created down; `Up` raises them once everything else is in place. When
    `peer_master` is set the pair joins two bridges. `flood` is the port's unicast flooding
    (`peer_flood` that of the other end, if a port). Learning is always off.
    """

    ns: str
    name: str
    mac: str
    peer_ns: str
    peer_name: str
    peer_mac: str
    master: str
    peer_master: str = ""
    flood: bool = False
    peer_flood: bool = False
    mtu: int = 1500
    offload: bool = False

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("device", self.ns, self.name)


class Ifb(NamedTuple):
    """An intermediate functional block device, up.

    `queue_packets` that may wait for the device itself; 0: as many as the kernel gives it (32).
    """

    ns: str
    name: str
    mtu: int = 1500
    queue_packets: int = 0

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("device", self.ns, self.name)


class Up(NamedTuple):
    """A device is administratively up (of a veth: this end)."""

    ns: str
    dev: str

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("up", self.ns, self.dev)


class Address(NamedTuple):
    """An address of an interface, IPv4 or IPv6, in text, without duplicate address detection."""

    ns: str
    dev: str
    address: str
    prefixlen: int

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("address", self.ns, self.dev, self.address)


class Route(NamedTuple):
    """A route: to a subnet or an address by an interface, or by a gateway behind it; no interface: unreachable.

    `mtu` is the greatest IP packet that goes there, `advmss` the greatest TCP segment that the other side is
    told to send (that of the interface, so that one direction's MTU does not shrink the other's segments),
    both in bytes; 0: the interface's.
    """

    ns: str
    dev: str
    table: int
    destination: str
    gateway: str = ""
    mtu: int = 0
    advmss: int = 0

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("route", self.ns, self.table, self.destination)


class Rule(NamedTuple):
    """A policy rule: what is sent from an address is routed by a table, if that says anything."""

    ns: str
    source: str
    table: int

    @property
    def dev(self) -> str:
        """Empty: a rule belongs to no interface."""
        return ""

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("rule", self.ns, self.source)


class Neighbour(NamedTuple):
    """A permanent neighbour entry; `address` and `mac` are packed (4 or 16 bytes, 6 bytes)."""

    ns: str
    dev: str
    address: bytes
    mac: bytes

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("neighbour", self.ns, self.dev, self.address)  # type: ignore[return-value]


class Forwarding(NamedTuple):
    """A static forwarding entry of a bridge port; `mac` is packed."""

    ns: str
    dev: str
    mac: bytes

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("forwarding", self.ns, self.dev, self.mac)  # type: ignore[return-value]


class Qdisc(NamedTuple):
    """A qdisc. `handle` is the whole 32 bits (major << 16); `parent` TC_H_ROOT or a class."""

    ns: str
    dev: str
    handle: int
    parent: int
    kind: str
    options: QdiscOptions

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("qdisc", self.ns, self.dev, self.handle)


class Class(NamedTuple):
    """A class of an htb; `parent` is the classid of the qdisc (major << 16) or of another class."""

    ns: str
    dev: str
    classid: int
    parent: int
    kind: str
    options: HtbClass

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("class", self.ns, self.dev, self.classid)


class Filter(NamedTuple):
    """A u32 filter. `parent` is the qdisc's handle, or clsact's ingress or egress.

    `handle` is htid << 20 | bucket << 12 | node; an entry whose htid is 0 stands in the root
    table of its priority. `protocol` is an ETH_P_ number in host order.
    """

    ns: str
    dev: str
    parent: int
    priority: int
    protocol: int
    handle: int
    options: FilterOptions

    @property
    def key(self) -> Key:
        """Identity of the object."""
        return ("filter", self.ns, self.dev, self.parent, self.priority, self.handle)


Object: TypeAlias = (
    Namespace | Bridge | Veth | Ifb | Up | Address | Route | Rule | Neighbour | Forwarding | Qdisc | Class | Filter
)

TC_H_ROOT = 0xFFFFFFFF
TC_H_CLSACT = 0xFFFFFFF1
TC_H_INGRESS_FILTERS = 0xFFFFFFF2  # clsact's ingress hook
TC_H_EGRESS_FILTERS = 0xFFFFFFF3  # clsact's egress hook
ETH_P_ALL = 0x0003
ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
