"""Who is connected to whom, and how well."""

from __future__ import annotations

import heapq
import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Literal, NoReturn, TypeVar, get_args

import attrs
import networkx as nx

from linkem_py.errors import TopologyError
from linkem_py.model.access import ACCESS_FIELDS, Access, AccessLink, DownlinkPlace
from linkem_py.model.addresses import IPAddress, OwnAddresses, host_address, next_free, own_ipv4, own_ipv6
from linkem_py.model.cross_traffic import CrossTraffic, check_cross_traffic
from linkem_py.model.impairment import FIELDS, Impairment
from linkem_py.model.rules import check_peer_name, check_segment_name
from linkem_py.model.schedule.schedule import Schedule, check_schedule

Unlinked = Literal["open", "blocked"]
Classifier = Literal["htb", "prio"]
Duplicates = Literal["auto", "strict", "isolate"]
Placement = Literal["sender", "hub"]

DEFAULT_SEGMENT = "lan"
PRIO_DESTINATIONS = 15  # prio has 16 bands (TCQ_PRIO_BANDS), and one is for everything else
MOST_PEERS = 28_671  # the 16-bit majors of one interface hold a netem and a queue for so many
MOST_SEGMENTS = 255

LinkKey = tuple[str, str, str]
_Subnet = TypeVar("_Subnet", ipaddress.IPv4Network, ipaddress.IPv6Network)

# Where a segment finds its subnets if it is not given any.
_DEFAULT_IPV4 = tuple(ipaddress.IPv4Network(f"10.{index}.0.0/16") for index in range(256))
_DEFAULT_IPV6 = tuple(ipaddress.IPv6Network(f"fd00:{index:x}::/64") for index in range(1, 0x101))


@attrs.frozen
class Peer:
    """A host of the emulated network. `number` places its addresses and never changes.

    `placement` says where the queues of its links stand: on its own interfaces (``sender``), or in the hub.
    `given` are the addresses that it was given in place of its number's, on the segments where it was.
    """

    name: str
    number: int
    placement: Placement = "sender"
    given: tuple[OwnAddresses, ...] = ()


@attrs.frozen
class Link:
    """One direction between two peers on one segment.

    With the prio classifier `slot` is the link's band, numbered from 0 among those of its source
    and segment; with htb the destination's number places it, and `slot` is 0. `revision` counts the
    changes of what netem does, so that each gets a seed of its own.
    `shaped` says that the link has, or once had, a rate: its queue stays, so that taking the rate
    away loses no packet. `ceiling_kbit` is the highest rate that its schedule will ask for: netem is
    sized for it, so that no tick of the rate takes a netem message. During an `outage` nothing is let in;
    what is on its way arrives. While it is `down` likewise, which an outage's end does not change.
    """

    source: str
    destination: str
    segment: str
    impairment: Impairment
    slot: int
    revision: int = 0
    shaped: bool = False
    ceiling_kbit: float | None = None
    outage: bool = False
    down: bool = False

    @property
    def key(self) -> LinkKey:
        """(source, destination, segment)."""
        return (self.source, self.destination, self.segment)

    def __str__(self) -> str:
        return link_name(self.key)


@attrs.frozen
class Segment:
    """A bridge of its own with its subnets. `number` is part of the interfaces' MAC addresses."""

    name: str
    number: int
    ipv4: ipaddress.IPv4Network
    ipv6: ipaddress.IPv6Network | None

    @property
    def room(self) -> int:
        """How many peers the subnets can address."""
        room = max(0, min(self.ipv4.num_addresses - 2, MOST_PEERS))
        return min(room, self.ipv6.num_addresses - 1) if self.ipv6 is not None else room


def link_name(key: LinkKey) -> str:
    """``a->b``, with the segment behind it where it is not the default one."""
    source, destination, segment = key
    suffix = "" if segment == DEFAULT_SEGMENT else f" ({segment})"
    return f"link {source}->{destination}{suffix}"


def access_name(end: tuple[str, str]) -> str:
    """``access link of a``, with the segment behind it where it is not the default one."""
    name, segment = end
    return f"access link of {name}" + ("" if segment == DEFAULT_SEGMENT else f" ({segment})")


_NO_ACCESS = AccessLink(Access())


class Topology:
    """Peers and links, over a networkx graph. It can be written down, looked at and planned
    without a kernel; `Network` brings it up.

    Peers meet on segments. Without a word about segments there is one, ``lan``, and every peer is on it.
    Once the topology has another one, a peer is on exactly those on which it has a link or that it
    was told to `join`, and ``lan`` exists only if somebody is, or was, on it.

    Parameters
    ----------
    name : for reports and messages
    ipv4 : subnet of the peers on ``lan``; the first peer has its first address
    ipv6 : likewise; None for a network without IPv6, on every segment
    unlinked : what happens between peers without a link: ``open`` lets packets pass unimpaired,
        ``blocked`` drops them (IPv4, IPv6 and all multicast; ARP and neighbour discovery pass)
    classifier : ``htb``, or ``prio`` (at most 15 destinations a peer, the rate is netem's own)
    duplicates : what to do where a kernel refuses a duplicating netem beside others: ``auto``
        isolates it there, ``isolate`` always does, ``strict`` refuses such a topology anywhere
    offload : leave segmentation offloads on; netem then sees packets of up to 64 KB
    placement : where peers' queues stand unless `add_peer` says otherwise: ``sender``, on the peer's own
        interface, or ``hub``, behind it, as those of a modem at the other end of a cable: see docs/shaping.md

    All methods raise `TopologyError` and leave the topology as it was.
    """

    def __init__(
        self,
        name: str,
        *,
        ipv4: str = "10.0.0.0/16",
        ipv6: str | None = "fd00:1::/64",
        unlinked: Unlinked = "open",
        classifier: Classifier = "htb",
        duplicates: Duplicates = "auto",
        offload: bool = False,
        placement: Placement = "sender",
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise TopologyError("name", "must be some text", name)
        self.name = name
        _check(unlinked, "unlinked", get_args(Unlinked))
        _check(classifier, "classifier", get_args(Classifier))
        _check(duplicates, "duplicates", get_args(Duplicates))
        _check(placement, "placement", get_args(Placement))
        self.unlinked: Unlinked = unlinked
        self.classifier: Classifier = classifier
        self.duplicates: Duplicates = duplicates
        self.placement: Placement = placement
        if not isinstance(offload, bool):
            raise TopologyError("offload", "must be true or false", offload)
        self.offload = offload
        self._segments = {DEFAULT_SEGMENT: Segment(DEFAULT_SEGMENT, 1, _ipv4(ipv4), _ipv6(ipv6))}
        self._others: dict[str, Segment] = {}  # all of them but the default one
        self._default_used = False
        self._ipv6 = ipv6 is not None
        self._joined: set[tuple[str, str]] = set()  # (peer, segment) of those told to join
        self._reasons: dict[str, dict[str, int]] = {DEFAULT_SEGMENT: {}}  # by segment and peer: its links, a join
        self._accesses: dict[tuple[str, str], AccessLink] = {}  # by (peer, segment)
        self._peers: dict[str, Peer] = {}
        self._lowered: dict[str, str] = {}
        self._given: frozenset[str] = frozenset()  # peers that were given addresses
        self._free: list[int] = []  # numbers of removed peers, a heap
        self._links: dict[LinkKey, Link] = {}
        self._outgoing: dict[tuple[str, str], dict[str, Link]] = {}
        self._schedules: dict[LinkKey, Schedule] = {}
        self._cross_traffic: dict[LinkKey, CrossTraffic] = {}
        self._graph: nx.MultiDiGraph[str] | None = None

    @classmethod
    def from_graph(
        cls,
        name: str,
        graph: nx.Graph[Any],
        impairment: Impairment | None = None,
        **settings: Any,
    ) -> Topology:
        """A topology with the nodes and edges of any networkx graph.

        Peers are named ``str(node)``. An undirected edge becomes a link each way. Edge attributes
        named like fields of `Impairment` override `impairment` on that edge; an attribute
        ``impairment`` replaces it, ``segment`` names the segment; others are left alone. Node attributes
        named like fields of `Access` are the peer's on the default segment. `settings` are the constructor's.
        """
        topology = cls(name, **settings)
        for node, data in graph.nodes(data=True):
            topology.add_peer(str(node), **{key: value for key, value in data.items() if key in ACCESS_FIELDS})
        base = impairment if impairment is not None else Impairment()
        for first, second, data in graph.edges(data=True):
            source, destination = str(first), str(second)
            fields = {key: value for key, value in data.items() if key in FIELDS}
            own = data.get("impairment", base)
            try:
                _check_impairment(own)
                own = own.evolve(**fields)
            except TopologyError as error:
                raise error.at(link_name((source, destination, DEFAULT_SEGMENT))) from None
            segment = data.get("segment", DEFAULT_SEGMENT)
            topology.add_link(source, destination, own, segment=segment)
            if not graph.is_directed():
                topology.add_link(destination, source, own, segment=segment)
        return topology

    # --- writing it down ---------------------------------------------------------------------

    def add_peer(
        self,
        name: str,
        *,
        placement: Placement | None = None,
        uplink_kbit: float | None = None,
        downlink_kbit: float | None = None,
        downlink_at: DownlinkPlace | None = None,
        queue_ms: float | None = None,
    ) -> Peer:
        """Add a peer. It gets the lowest free address and keeps it.

        `placement` of its queues, ``sender`` or ``hub``; None: as the topology says. The rest is its access
        link on the default segment, see `Access`.
        """
        check_peer_name(name)
        placement = self.placement if placement is None else placement
        _check(placement, "placement", get_args(Placement), f"peer {name}")
        if name in self._peers:
            raise TopologyError("peer", "must not be added twice", name)
        other = self._lowered.get(name.lower())
        if other is not None:
            # Host names do not tell upper from lower case (RFC 1035, 2.3.3).
            raise TopologyError("peer", f"must differ from {other!r} in more than upper and lower case", name)
        if len(self._peers) >= MOST_PEERS:
            raise TopologyError("peer", f"does not fit: a topology has room for {MOST_PEERS} peers", name)
        if not self._others:
            _check_room(self._segments[DEFAULT_SEGMENT], name, len(self._peers) + 1)
        access = self._planned_access(
            (name, DEFAULT_SEGMENT),
            uplink_kbit=uplink_kbit,
            downlink_kbit=downlink_kbit,
            downlink_at=downlink_at,
            queue_ms=queue_ms,
        )
        peer = self._placed(Peer(name, self._free[0] if self._free else len(self._peers) + 1, placement))
        if self._free:
            heapq.heappop(self._free)
        self._peers[name] = peer
        self._given |= {name} if peer.given else set()
        self._lowered[name.lower()] = name
        self._put_access((name, DEFAULT_SEGMENT), access)
        self._graph = None
        return peer

    def remove_peer(self, name: str) -> None:
        """Take a peer away, and every link from it and to it. No other peer changes."""
        peer = self.peer(name)
        for link in self.links_of(name):
            self.remove_link(*link.key)
        for segment in [segment for peer_name, segment in self._joined if peer_name == name]:
            self.leave(name, segment)
        for key in [key for key in self._accesses if key[0] == name]:
            del self._accesses[key]
        del self._peers[name]
        self._given -= {name}
        del self._lowered[name.lower()]
        heapq.heappush(self._free, peer.number)
        self._graph = None

    def add_segment(self, name: str, ipv4: str | None = None, ipv6: str | Literal[False] | None = None) -> Segment:
        """Add a segment: a bridge of its own, on which each peer has an interface and addresses of its own.

        A name has at most 9 characters (devices are named by it), and ``studio.NAME`` resolves to the
        addresses of ``studio`` there. By default it has the next free subnets: 10.1.0.0/16 and fd00:2::/64
        beside a ``lan`` as it is by default. `ipv6` False: without IPv6, as in a topology without.
        """
        segment = self._new_segment(name, ipv4, ipv6)
        self._put_segment(segment)
        return segment

    def join(
        self,
        name: str,
        segment: str,
        *,
        uplink_kbit: float | None = None,
        downlink_kbit: float | None = None,
        downlink_at: DownlinkPlace | None = None,
        queue_ms: float | None = None,
    ) -> None:
        """Put a peer on a segment, whether it has a link there or not. Twice is harmless.

        What is given of its access link there holds from then on, see `Access`; the rest of it stays.
        """
        self._check_peer_and_segment(name, segment)
        given = {
            "uplink_kbit": uplink_kbit,
            "downlink_kbit": downlink_kbit,
            "downlink_at": downlink_at,
            "queue_ms": queue_ms,
        }
        fields = {field: value for field, value in given.items() if value is not None}
        access = self._planned_access((name, segment), **fields)
        if (name, segment) not in self._joined:
            _check_room(self._segments[segment], name, self._peers[name].number)
            self._joined.add((name, segment))
            self._count(name, segment, 1)
        self._put_access((name, segment), access)

    def set_access(self, name: str, *, segment: str = DEFAULT_SEGMENT, **fields: Any) -> Access:
        """Change what is named of a peer's access link on a segment, see `Access`; None takes a setting away.

        It holds as long as the peer is on the segment, and may be said before it is.
        """
        self._check_peer_and_segment(name, segment)
        access = self._planned_access((name, segment), **fields)
        self._put_access((name, segment), access)
        return access

    def leave(self, name: str, segment: str) -> None:
        """Take back `join`: without a link on the segment the peer is not on it. Harmless if it never joined."""
        self._check_peer_and_segment(name, segment)
        if (name, segment) in self._joined:
            self._joined.discard((name, segment))
            self._count(name, segment, -1)

    def readdress(
        self, name: str, *, segment: str = DEFAULT_SEGMENT, ipv4: str | None = None, ipv6: str | None = None
    ) -> Peer:
        """Give a peer other addresses on a segment that it is on: these, or the next free ones of its subnets.

        No peer may have them there, whether it is on the segment or could come to it. Its MAC address stays.
        """
        self._check_peer_and_segment(name, segment)
        where = f"peer {name}"
        if not self.is_on(name, segment):
            raise TopologyError("segment", "is not one that the peer is on", segment, where=where)
        peer, found = self._peers[name], self._segments[segment]
        if found.ipv6 is None and ipv6 is not None:
            raise TopologyError("ipv6", f"must be left out: segment {segment} has no IPv6", ipv6, where=where)
        try:
            new = self._renewed(peer, found, ipv4, ipv6)
        except TopologyError as error:
            raise error.at(where) from None
        self.place({(name, segment): new})
        return self._peers[name]

    def place(self, addresses: Mapping[tuple[str, str], tuple[str, str | None]]) -> None:
        """Give several peers addresses at once, by (peer, segment): two may have each other's afterwards.

        An IPv6 address that is None is the one that the peer's number places.
        """
        peers = dict(self._peers)
        for (name, segment), (ipv4, ipv6) in addresses.items():
            self._check_peer_and_segment(name, segment)
            _check_room(self._segments[segment], name, peers[name].number)
            try:
                peers[name] = _with_addresses(peers[name], self._segments[segment], ipv4, ipv6)
            except TopologyError as error:
                raise error.at(f"peer {name}") from None
        for segment in dict.fromkeys(segment for _, segment in addresses):
            # Those who come to an address last, so that an error is about them.
            in_order = sorted(peers.values(), key=lambda peer: (peer.name, segment) in addresses)
            _check_distinct(self._segments[segment], in_order)
        self._peers = peers
        self._given = frozenset(name for name, peer in peers.items() if peer.given)

    def settle(self) -> None:
        """Have every peer join what it is on only because nothing was said about segments.

        A network does so when it starts: a segment that comes later takes no peer off ``lan``.
        """
        if not self._others:
            for name in self._peers:
                self.join(name, DEFAULT_SEGMENT)

    def add_link(
        self,
        source: str,
        destination: str,
        impairment: Impairment | None = None,
        *,
        schedule: Schedule | None = None,
        cross_traffic: CrossTraffic | None = None,
        segment: str = DEFAULT_SEGMENT,
    ) -> Link:
        """Add the link from `source` to `destination`, one direction only; `schedule` says how it goes on.

        `cross_traffic` shares its queue. A segment that is not there yet is added with the next free
        subnets, as `add_segment` does.
        """
        link = self.plan_link(source, destination, impairment, schedule=schedule, segment=segment)
        check_possible(link, cross_traffic)
        self._put_new(link, schedule, cross_traffic)
        return link

    def connect(
        self,
        first: str,
        second: str,
        impairment: Impairment | None = None,
        *,
        back: Impairment | None = None,
        schedule: Schedule | None = None,
        back_schedule: Schedule | None = None,
        cross_traffic: CrossTraffic | None = None,
        back_cross_traffic: CrossTraffic | None = None,
        segment: str = DEFAULT_SEGMENT,
    ) -> tuple[Link, Link]:
        """Add a link each way: `impairment` from `first` to `second`, `back` (or the same) back.

        `schedule` says how the link from `first` to `second` goes on, `back_schedule` the other. A link
        that is the same both ways, with neither `back` nor `back_schedule`, has `schedule` both ways,
        drawn independently. ``Constant()`` is a schedule of nothing. `cross_traffic` shares the queue from
        `first` to `second` and `back_cross_traffic` the other: neither stands for both. A segment that is not
        there yet is added with the next free subnets, as `add_segment` does.
        """
        if back is None and back_schedule is None:
            back_schedule = schedule
        back = back if back is not None else impairment
        there = self.plan_link(first, second, impairment, schedule=schedule, segment=segment)
        again = self.plan_link(second, first, back, schedule=back_schedule, segment=segment)
        check_possible(there, cross_traffic)
        check_possible(again, back_cross_traffic)
        self._put_new(there, schedule, cross_traffic)
        self._put_new(again, back_schedule, back_cross_traffic)
        return there, again

    def disconnect(self, first: str, second: str, *, segment: str = DEFAULT_SEGMENT) -> None:
        """Take the links between two peers away, both directions (at least one must be there)."""
        for link in self.links_between(first, second, segment=segment):
            self.remove_link(*link.key)

    def remove_link(self, source: str, destination: str, segment: str = DEFAULT_SEGMENT) -> None:
        """Take one direction away."""
        link = self.link(source, destination, segment=segment)
        del self._links[link.key]
        self._count(source, segment, -1)
        self._count(destination, segment, -1)
        self._schedules.pop(link.key, None)
        self._cross_traffic.pop(link.key, None)
        del self._outgoing[source, segment][destination]
        self._graph = None

    def set_impairment(
        self, source: str, destination: str, impairment: Impairment, *, segment: str = DEFAULT_SEGMENT
    ) -> Link:
        """Give one direction another impairment; a schedule of its must be possible over it."""
        link = self.link(source, destination, segment=segment)
        _check_impairment(impairment)
        ceiling_kbit = _ceiling_kbit(link.key, impairment, self._schedules.get(link.key))
        shaped = link.shaped or impairment.rate_kbit is not None or ceiling_kbit is not None
        new = attrs.evolve(link, impairment=impairment, shaped=shaped, ceiling_kbit=ceiling_kbit)
        self.put_link(new)
        return new

    def set_schedule(
        self, source: str, destination: str, schedule: Schedule | None, *, segment: str = DEFAULT_SEGMENT
    ) -> Link:
        """Say how one direction goes on from what it is; None: it stays so."""
        link = self.link(source, destination, segment=segment)
        new = self.plan_schedule(link, schedule)
        self.put_link(new)
        self.put_schedule(new.key, schedule)
        return new

    def set_cross_traffic(
        self, source: str, destination: str, traffic: CrossTraffic | None, *, segment: str = DEFAULT_SEGMENT
    ) -> None:
        """Have background packets share the queue of one direction; None: no more."""
        link = self.link(source, destination, segment=segment)
        check_possible(link, traffic)
        self.put_cross_traffic(link.key, traffic)

    # --- looking at it -----------------------------------------------------------------------

    @property
    def graph(self) -> nx.MultiDiGraph[str]:
        """The networkx graph: nodes are peer names, edges links, the edge key is the segment.

        Nodes have ``number`` and ``placement``; edges have ``segment``, ``impairment`` and every field of it by
        its name, so that ``nx.shortest_path(topology.graph, "a", "b", weight="delay_ms")`` works. The graph
        is frozen: change the topology through its methods.
        """
        if self._graph is None:
            graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=self.name)
            graph.add_nodes_from(
                (peer.name, {"number": peer.number, "placement": peer.placement}) for peer in self._peers.values()
            )
            for link in self._links.values():
                fields = {name: getattr(link.impairment, name) for name in FIELDS}
                fields |= {"impairment": link.impairment, "segment": link.segment}
                graph.add_edge(link.source, link.destination, key=link.segment, **fields)
            self._graph = nx.freeze(graph)
        return self._graph

    @property
    def peers(self) -> Mapping[str, Peer]:
        """Peers by name, in the order added."""
        return self._peers

    @property
    def links(self) -> Mapping[LinkKey, Link]:
        """Links by (source, destination, segment), in the order added."""
        return self._links

    @property
    def schedules(self) -> Mapping[LinkKey, Schedule]:
        """Schedules by link, of those that have one."""
        return self._schedules

    @property
    def cross_traffic(self) -> Mapping[LinkKey, CrossTraffic]:
        """Cross traffic by link, of those that have some."""
        return self._cross_traffic

    @property
    def segments(self) -> Mapping[str, Segment]:
        """Segments by name; the default one only if it is the only one, or some peer is or was on it.

        It does not go again: a bridge that goes lets go of ports that a failed change has to keep.
        """
        return self._segments if self._default_used or not self._others else self._others

    @property
    def all_segments(self) -> Mapping[str, Segment]:
        """As `segments`, with the default one also where nobody ever was on it, first."""
        return self._segments

    @property
    def joins(self) -> frozenset[tuple[str, str]]:
        """(peer, segment) of those told to `join`."""
        return frozenset(self._joined)

    def is_on(self, name: str, segment: str) -> bool:
        """Whether a peer is on a segment."""
        if segment == DEFAULT_SEGMENT and not self._others:
            return name in self._peers
        return name in self._reasons.get(segment, ())

    def segments_of(self, name: str) -> list[Segment]:
        """The segments that a peer is on, in the order in which they were added."""
        return [segment for segment in self.segments.values() if self.is_on(name, segment.name)]

    def peers_on(self, segment: str) -> list[Peer]:
        """The peers on a segment, in the order added."""
        return [peer for peer in self._peers.values() if self.is_on(peer.name, segment)]

    def peer(self, name: str) -> Peer:
        """The peer of that name."""
        try:
            return self._peers[name]
        except (KeyError, TypeError):
            raise TopologyError("peer", f"is not in the topology; the peers are {_some(self._peers)}", name) from None

    @property
    def accesses(self) -> Mapping[tuple[str, str], AccessLink]:
        """Access links by (peer, segment), of the interfaces that have one or once had."""
        return self._accesses

    def access(self, name: str, *, segment: str = DEFAULT_SEGMENT) -> Access:
        """The access link of a peer on a segment; one without rates if there is none."""
        self._check_peer_and_segment(name, segment)
        return self._access((name, segment)).access

    def link(self, source: str, destination: str, *, segment: str = DEFAULT_SEGMENT) -> Link:
        """The link from `source` to `destination`."""
        try:
            return self._links[source, destination, segment]
        except (KeyError, TypeError):
            self._no_link(source, destination, segment)

    def links_between(self, first: str, second: str, *, segment: str = DEFAULT_SEGMENT) -> list[Link]:
        """The links between two peers, whichever directions there are (at least one must be there)."""
        self._check_ends((first, second, segment))
        keys = ((first, second, segment), (second, first, segment))
        found = [self._links[key] for key in keys if key in self._links]
        if not found:
            self._no_link(first, second, segment)
        return found

    def outgoing(self, source: str, segment: str = DEFAULT_SEGMENT) -> Collection[Link]:
        """The links that start at `source`, in the order added."""
        return self._outgoing.get((source, segment), {}).values()

    def links_of(self, name: str) -> Iterator[Link]:
        """Every link from and to a peer."""
        return iter([link for link in self._links.values() if name in (link.source, link.destination)])

    def copy(self) -> Topology:
        """An independent copy; numbers and slots are kept."""
        twin = Topology.__new__(Topology)
        twin.__dict__.update(self.__dict__)
        twin._accesses = dict(self._accesses)
        twin._peers = dict(self._peers)
        twin._lowered = dict(self._lowered)
        twin._free = list(self._free)
        twin._links = dict(self._links)
        twin._schedules = dict(self._schedules)
        twin._cross_traffic = dict(self._cross_traffic)
        twin._outgoing = {key: dict(links) for key, links in self._outgoing.items()}
        twin._segments, twin._others = dict(self._segments), dict(self._others)
        twin._joined = set(self._joined)
        twin._reasons = {segment: dict(peers) for segment, peers in self._reasons.items()}
        return twin

    def without_ipv6(self) -> Topology:
        """A copy whose segments have no IPv6."""
        twin = self.copy()
        twin._ipv6 = False
        twin._segments = {name: attrs.evolve(segment, ipv6=None) for name, segment in self._segments.items()}
        twin._others = {name: twin._segments[name] for name in self._others}
        return twin

    # --- for the planner and a running network -----------------------------------------------

    def plan_link(
        self,
        source: str,
        destination: str,
        impairment: Impairment | None = None,
        *,
        schedule: Schedule | None = None,
        segment: str = DEFAULT_SEGMENT,
    ) -> Link:
        """The link that `add_link` would add, without adding it."""
        key = (source, destination, segment)
        self._check_peers(key)
        found = self._segments.get(segment) if isinstance(segment, str) else None
        if found is None:
            try:
                found = self._new_segment(segment)
            except TopologyError as error:
                raise error.at(link_name(key)) from None
        if source == destination:
            raise TopologyError("destination", "must not be the source", destination, where=link_name(key))
        if key in self._links:
            raise TopologyError("link", "must not be added twice", f"{source}->{destination}", where=link_name(key))
        for name in (source, destination):
            _check_room(found, name, self._peers[name].number)
        impairment = impairment if impairment is not None else Impairment()
        _check_impairment(impairment, link_name(key))
        slot = 0
        if self.classifier == "prio":
            used = {link.slot for link in self.outgoing(source, segment)}
            if len(used) >= PRIO_DESTINATIONS:
                rule = f"must have at most {PRIO_DESTINATIONS} destinations with the prio classifier (use htb)"
                raise TopologyError("source", rule, len(used) + 1, where=f"peer {source}")
            slot = next(number for number in range(PRIO_DESTINATIONS) if number not in used)
        link = Link(source, destination, segment, impairment, slot, 0, impairment.rate_kbit is not None)
        return link if schedule is None else self.plan_schedule(link, schedule)

    def plan_schedule(self, link: Link, schedule: Schedule | None) -> Link:
        """The link as it is with a schedule over it. Raises `TopologyError` if the schedule is impossible there."""
        ceiling_kbit = _ceiling_kbit(link.key, link.impairment, schedule)
        return attrs.evolve(link, ceiling_kbit=ceiling_kbit, shaped=link.shaped or ceiling_kbit is not None)

    def put_link(self, link: Link) -> None:
        """Store a link as it is, new or in place of the one with the same key."""
        key = link.key
        if key not in self._links:
            if link.segment not in self._segments:
                self._put_segment(self._new_segment(link.segment))
            self._count(link.source, link.segment, 1)
            self._count(link.destination, link.segment, 1)
            self._outgoing.setdefault((link.source, link.segment), {})
        self._links[key] = link
        self._outgoing[link.source, link.segment][link.destination] = link
        self._graph = None

    def _put_new(self, link: Link, schedule: Schedule | None, traffic: CrossTraffic | None) -> None:
        self.put_link(link)
        self.put_schedule(link.key, schedule)
        self.put_cross_traffic(link.key, traffic)

    def put_schedule(self, key: LinkKey, schedule: Schedule | None) -> None:
        """Store a link's schedule, None for none, and leave the link as it is."""
        if schedule is None:
            self._schedules.pop(key, None)
        else:
            self._schedules[key] = schedule

    def put_cross_traffic(self, key: LinkKey, traffic: CrossTraffic | None) -> None:
        """Store a link's cross traffic, None for none."""
        if traffic is None:
            self._cross_traffic.pop(key, None)
        else:
            self._cross_traffic[key] = traffic

    def __repr__(self) -> str:
        return f"<Topology {self.name!r}: {len(self._peers)} peers, {len(self._links)} links>"

    def _access(self, end: tuple[str, str]) -> AccessLink:
        return self._accesses.get(end, _NO_ACCESS)

    def _planned_access(self, end: tuple[str, str], **fields: Any) -> Access:
        try:
            return self._access(end).access.evolve(**fields)
        except TopologyError as error:
            raise error.at(access_name(end)) from None

    def _put_access(self, end: tuple[str, str], access: Access) -> None:
        changed = self._access(end).changed(access)
        if changed != _NO_ACCESS:
            self._accesses[end] = changed
        else:
            self._accesses.pop(end, None)

    def _no_link(self, source: str, destination: str, segment: str) -> NoReturn:
        key = (source, destination, segment)
        self._check_ends(key)
        raise TopologyError("link", "is not in the topology", f"{source}->{destination}", where=link_name(key))

    def _check_ends(self, key: LinkKey) -> None:
        self._check_peers(key)
        self._check_segment(key[2], link_name(key))

    def _check_peers(self, key: LinkKey) -> None:
        for name in key[:2]:
            if not isinstance(name, str) or name not in self._peers:
                known = f"is not in the topology; the peers are {_some(self._peers)}"
                raise TopologyError("peer", known, name, where=link_name(key))

    def _check_segment(self, segment: object, where: str = "") -> None:
        if not isinstance(segment, str) or segment not in self._segments:
            known = f"is not in the topology; the segments are {_some(self.segments)}"
            raise TopologyError("segment", known, segment, where=where)

    def _check_peer_and_segment(self, name: str, segment: object) -> None:
        self.peer(name)
        self._check_segment(segment, f"peer {name}")

    def _renewed(self, peer: Peer, segment: Segment, ipv4: str | None, ipv6: str | None) -> tuple[str, str | None]:
        """These addresses, or the next free ones in place of those that are None."""
        others = [other for other in self._peers.values() if other.name != peer.name and other.number <= segment.room]
        if ipv4 is None:
            taken = {own_ipv4(segment, other) for other in others}
            ipv4 = str(next_free(segment.ipv4, segment.room, own_ipv4(segment, peer), taken))
        present = own_ipv6(segment, peer)
        if ipv6 is None and present is not None and segment.ipv6 is not None:
            taken_too: set[IPAddress | None] = {own_ipv6(segment, other) for other in others}
            ipv6 = str(next_free(segment.ipv6, segment.room, present, taken_too))
        return ipv4, ipv6

    def _placed(self, peer: Peer) -> Peer:
        """A peer that comes, with other addresses where somebody was given those of its number."""
        others = [self._peers[name] for name in self._given]
        for segment in self._segments.values() if others else ():
            if peer.number > segment.room:
                continue
            four, six = own_ipv4(segment, peer), own_ipv6(segment, peer)
            ipv4 = None if any(own_ipv4(segment, other) == four for other in others) else str(four)
            ipv6 = None if six is None or any(own_ipv6(segment, other) == six for other in others) else str(six)
            if ipv4 is None or (ipv6 is None and six is not None):
                peer = _with_addresses(peer, segment, *self._renewed(peer, segment, ipv4, ipv6))
        return peer

    def _new_segment(self, name: object, ipv4: str | None = None, ipv6: str | Literal[False] | None = None) -> Segment:
        """The segment that would be added, without adding it."""
        text = check_segment_name(name)
        if text in self._segments:
            raise TopologyError("segment", "must not be added twice", name)
        if len(self._segments) >= MOST_SEGMENTS:
            raise TopologyError("segment", f"does not fit: a topology has room for {MOST_SEGMENTS} segments", name)
        number = len(self._segments) + 1
        four = _ipv4(ipv4) if ipv4 is not None else self._free_subnet(_DEFAULT_IPV4, name)
        six = None
        if self._ipv6 and ipv6 is not False:
            six = _ipv6(ipv6) if ipv6 is not None else self._free_subnet(_DEFAULT_IPV6, name)
        elif ipv6:
            raise TopologyError("ipv6", "must be left out in a topology without IPv6", ipv6)
        for other in self._segments.values():
            for field, subnet, taken in (("ipv4", four, other.ipv4), ("ipv6", six, other.ipv6)):
                if subnet is not None and taken is not None and subnet.overlaps(taken):
                    rule = f"must not overlap {taken} of segment {other.name}"
                    raise TopologyError(field, rule, str(subnet), where=f"segment {text}")
        return Segment(text, number, four, six)

    def _free_subnet(self, candidates: Iterable[_Subnet], name: object) -> _Subnet:
        taken = {subnet for other in self._segments.values() for subnet in (other.ipv4, other.ipv6) if subnet}
        for candidate in candidates:
            if candidate not in taken and not any(candidate.overlaps(subnet) for subnet in taken):
                return candidate
        raise TopologyError("segment", "has no free default subnet left: give it subnets", name)

    def _put_segment(self, segment: Segment) -> None:
        self._segments[segment.name] = self._others[segment.name] = segment
        self._reasons[segment.name] = {}

    def _count(self, name: str, segment: str, by: int) -> None:
        """So many more reasons for a peer to be on a segment."""
        self._default_used = self._default_used or segment == DEFAULT_SEGMENT
        peers = self._reasons[segment]
        peers[name] = peers.get(name, 0) + by
        if not peers[name]:
            del peers[name]


def _with_addresses(peer: Peer, segment: Segment, ipv4: str, ipv6: str | None) -> Peer:
    rest = tuple(given for given in peer.given if given.segment != segment.name)
    default = Peer(peer.name, peer.number)
    four = host_address(segment.ipv4, ipv4)
    six: IPAddress | None = own_ipv6(segment, default)
    if ipv6 is not None and segment.ipv6 is not None:
        six = host_address(segment.ipv6, ipv6)
    if (four, six) != (own_ipv4(segment, default), own_ipv6(segment, default)):
        rest += (OwnAddresses(segment.name, four, six),)  # type: ignore[arg-type]  # of the subnets' families
    return attrs.evolve(peer, given=tuple(sorted(rest, key=itemgetter(0))))


def _check_distinct(segment: Segment, peers: Iterable[Peer]) -> None:
    """No two peers may have an address on a segment; those that it has no room for have none."""
    owners: dict[IPAddress, str] = {}
    for peer in peers:
        if peer.number > segment.room:
            continue
        for address in (own_ipv4(segment, peer), own_ipv6(segment, peer)):
            other = peer.name if address is None else owners.setdefault(address, peer.name)
            if other != peer.name:
                rule = f"must not be that of peer {other} on segment {segment.name}"
                raise TopologyError("address", rule, str(address), where=f"peer {peer.name}")


def _check_room(segment: Segment, name: str, number: int) -> None:
    if number > segment.room:
        subnets = f"subnets {segment.ipv4} and {segment.ipv6} have" if segment.ipv6 else f"{segment.ipv4} has"
        raise TopologyError("peer", f"does not fit: {subnets} room for {segment.room} peers", name)


def _check_impairment(impairment: object, where: str = "") -> None:
    if not isinstance(impairment, Impairment):
        raise TopologyError("impairment", "must be an Impairment", impairment, where=where)


def _ceiling_kbit(key: LinkKey, under: Impairment, schedule: Schedule | None) -> float | None:
    """The highest rate that a link will have, None if it never has one. Checks the schedule as a whole."""
    if schedule is None:
        return None
    try:
        states = check_schedule(schedule).throughout(under)
        return max((state.rate_kbit for state in states if state.rate_kbit is not None), default=None)
    except TopologyError as error:
        raise error.at(link_name(key)) from None


def check_possible(link: Link, traffic: CrossTraffic | None) -> None:
    """Raise `TopologyError` unless the link can have this cross traffic: a share needs a rate to be a share of."""
    if traffic is None:
        return
    try:
        if check_cross_traffic(traffic).load_pct is not None and not link.shaped:
            raise TopologyError("load_pct", "needs a link with rate_kbit", traffic.load_pct)
    except TopologyError as error:
        raise error.at(str(link)) from None


def _check(value: object, field: str, choices: tuple[str, ...], where: str = "") -> None:
    if value not in choices:
        raise TopologyError(field, f"must be one of {', '.join(choices)}", value, where=where)


def _ipv4(text: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(str(text))
    except ValueError as error:
        raise TopologyError("ipv4", "must be a subnet such as 10.0.0.0/16", text) from error
    if network.is_multicast or network.is_loopback or network.is_unspecified:
        raise TopologyError("ipv4", "must be a subnet for hosts", text)
    return network


def _ipv6(text: str | None) -> ipaddress.IPv6Network | None:
    if text is None:
        return None
    try:
        network = ipaddress.IPv6Network(str(text))
    except ValueError as error:
        raise TopologyError("ipv6", "must be a subnet such as fd00:1::/64, or None", text) from error
    if network.is_multicast or network.is_loopback or network.is_link_local or network.is_unspecified:
        raise TopologyError("ipv6", "must be a subnet for hosts", text)
    return network


def _some(names: Iterable[str], most: int = 8) -> str:
    listed = list(names)
    text = ", ".join(listed[:most]) or "none"
    return text if len(listed) <= most else f"{text} and {len(listed) - most} more"
