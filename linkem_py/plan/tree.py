"""The queueing tree of one peer interface; `placement` says on which device it stands.

    htb 1:                    unclassified: direct, unimpaired (or dropped, in a blocked topology)
      1:g  one class per group of 32 destinations
        htb 1g:               small, because adding a class costs steps per class of its htb
          1g:s  one class per destination: the link's rate
            netem             delay, loss and so on; packets wait their delay, then their turn in
              bfifo           the queue behind the rate

Below an access link (see `plan.access`) the groups hang below its class instead, and every link has a queue.

Filters: in the root, by the group bits of the destination's MAC; in each group, by the rest of it.
With the prio classifier there are no groups: a band per link, netem with its own rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from linkem_py.model.access import Access
from linkem_py.model.capabilities import Capabilities
from linkem_py.model.impairment import Impairment
from linkem_py.model.topology import PRIO_DESTINATIONS, Link, Peer, Segment, Topology
from linkem_py.plan import access, addressing, handles, match, placement, routing, translate
from linkem_py.plan.duplicates import isolates
from linkem_py.plan.objects import (
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IPV6,
    TC_H_CLSACT,
    TC_H_EGRESS_FILTERS,
    TC_H_ROOT,
    U32,
    Class,
    Clsact,
    Drop,
    Filter,
    FilterOptions,
    Htb,
    Ifb,
    Neighbour,
    Netem,
    Object,
    Prio,
    Qdisc,
    QdiscOptions,
    Redirect,
    U32Table,
)

ARP_PRIORITY, IPV6_PRIORITY, LINK_PRIORITY, BLOCK_PRIORITY = 1, 2, 3, 4
_GROUP_BITS = handles.GROUP_SIZE.bit_length() - 1
_GROUP_MASK = 0xFFFF >> _GROUP_BITS << _GROUP_BITS
_MEMBER_MASK = handles.GROUP_SIZE - 1
_BAND_BUCKETS = 256
_ISOLATION_BUCKETS = 256

# A topology has few impairments and many links with each.
_netem = lru_cache(maxsize=4096)(translate.netem)
_queue = lru_cache(maxsize=4096)(translate.queue)
_htb_class = lru_cache(maxsize=4096)(translate.htb_class)


class Shape(NamedTuple):
    """What of a link its impairment shapes, unless that is isolated. Under prio there is the netem alone."""

    netem: Qdisc
    class_: Class | None = None
    queue: Qdisc | None = None


class Planner:
    """Makes the objects of one topology for one kernel. Pure: the same in, the same out.

    Parameters
    ----------
    topology : read, never changed; links handed to `link` need not be in it yet
    capabilities : what the kernel can do
    run_seed : where netem's seeds come from; None leaves them to the kernel
    """

    def __init__(self, topology: Topology, capabilities: Capabilities, run_seed: int | None) -> None:
        self.topology = topology
        self.capabilities = capabilities
        self.run_seed = run_seed if capabilities.seed else None
        self.htb = topology.classifier == "htb"
        self.isolating = isolates(topology, capabilities)
        self.blocked = topology.unlinked == "blocked"

    # --- the part that is there with the interface -----------------------------------------------

    def root(self, peer: Peer, segment: Segment) -> Iterator[Object]:
        """The root qdisc and its filters, and what leads there."""
        yield from placement.approach(peer, segment)
        ns, dev = placement.place(peer, segment)
        if self.htb:
            yield Qdisc(ns, dev, handles.ROOT, TC_H_ROOT, "htb", Htb())
        else:
            yield Qdisc(ns, dev, handles.ROOT, TC_H_ROOT, "prio", Prio(PRIO_DESTINATIONS + 1))
        if self.capabilities.clsact:
            yield from self._hook(peer.name, addressing.interface(segment))
        # htb sends what has its own handle as class past all classes; prio's first band is free.
        direct = handles.ROOT if self.htb else handles.ROOT | 1
        rules: list[tuple[int, int, int, FilterOptions]] = [
            (ARP_PRIORITY, ETH_P_ARP, 1, match.everything(classid=direct))
        ]
        if segment.ipv6 is not None:
            entries = match.discovery(direct)
            if self.capabilities.gact:
                entries = (match.listener_reports(), *entries)
            rules += [(IPV6_PRIORITY, ETH_P_IPV6, node, entry) for node, entry in enumerate(entries, 1)]
        buckets = handles.GROUP_BUCKETS if self.htb else _BAND_BUCKETS
        mask = _GROUP_MASK if self.htb else _BAND_BUCKETS - 1
        high, _ = addressing.mac_words(0, 0)
        rules += [
            (LINK_PRIORITY, ETH_P_ALL, handles.DESTINATIONS, U32Table(buckets)),
            (LINK_PRIORITY, ETH_P_ALL, 1, match.table_link(handles.DESTINATIONS, mask=mask, mac_high=high)),
        ]
        if self.blocked:
            rules.append((BLOCK_PRIORITY, ETH_P_ALL, 1, match.everything(action=Drop())))
        for priority, protocol, handle, options in rules:
            yield Filter(ns, dev, handles.ROOT, priority, protocol, handle, options)
        yield from access.at_peer(self.topology, peer, segment)

    # --- the part that several links share -------------------------------------------------------

    def groups(self, peer: Peer, segment: Segment, links: Iterable[Link]) -> Iterator[Object]:
        """The groups that these links need: class, child htb, its table, the entry that leads there."""
        if not self.htb:
            return
        peers = self.topology.peers
        ns, dev = placement.place(peer, segment)
        high, _ = addressing.mac_words(0, 0)
        above, class_of, rate = handles.ROOT, handles.group_class, translate.UNLIMITED_CLASS
        if self.shared(peer.name, segment.name) is not None:
            above, class_of, rate = handles.ACCESS_CLASS, handles.access_group_class, translate.BORROWING_CLASS
        for group in sorted({handles.group_of(peers[link.destination].number) for link in links}):
            classid, parent = class_of(group), handles.group_qdisc(group)
            yield Class(ns, dev, classid, above, "htb", rate)
            yield Qdisc(ns, dev, parent, classid, "htb", Htb())
            yield Filter(
                ns, dev, parent, LINK_PRIORITY, ETH_P_ALL, handles.DESTINATIONS, U32Table(handles.MEMBER_BUCKETS)
            )
            link = match.table_link(handles.DESTINATIONS, mask=_MEMBER_MASK, mac_high=high)
            yield Filter(ns, dev, parent, LINK_PRIORITY, ETH_P_ALL, 1, link)
            if self.blocked:
                yield Filter(ns, dev, parent, BLOCK_PRIORITY, ETH_P_ALL, 1, match.everything(action=Drop()))
            entry = match.destination(
                segment.number,
                group * handles.GROUP_SIZE,
                classid=classid,
                group_bits=_GROUP_BITS,
            )
            yield Filter(ns, dev, handles.ROOT, LINK_PRIORITY, ETH_P_ALL, handles.group_entry(group), entry)

    def _hook(self, ns: str, dev: str) -> Iterator[Object]:
        # On the peer's own interface wherever the tree stands. From the start: adding clsact to an interface that
        # is up, or taking it away, empties all queues of that interface (qdisc_graft deactivates the device
        # meanwhile). Captures hang on it.
        yield Qdisc(ns, dev, handles.CLSACT, TC_H_CLSACT, "clsact", Clsact())
        if self.isolating:
            yield from self._isolation(ns, dev)

    def _isolation(self, ns: str, dev: str) -> Iterator[Object]:
        # Here too where the tree is the hub's: filters of an ifb's port are not asked again about what the ifb
        # gave back.
        high, _ = addressing.mac_words(0, 0)
        for handle, options in (
            (handles.DESTINATIONS, U32Table(_ISOLATION_BUCKETS)),
            (1, match.table_link(handles.DESTINATIONS, mask=_ISOLATION_BUCKETS - 1, mac_high=high)),
        ):
            yield Filter(ns, dev, TC_H_EGRESS_FILTERS, LINK_PRIORITY, ETH_P_ALL, handle, options)

    # --- one link --------------------------------------------------------------------------------

    def isolated(self, link: Link) -> bool:
        """Whether this link's duplication is done on a device of its own."""
        return self.isolating and link.impairment.duplicate_pct > 0

    def unseeded(self, link: Link) -> tuple[Netem, Netem | None, int | None]:
        """What of a link, when it changes, takes a netem message and so a fresh seed."""
        duplicator = translate.duplicator(link.impairment) if self.isolated(link) else None
        return self._options(link), duplicator, link.impairment.seed

    def netem(self, link: Link) -> Netem:
        """The link's netem with its seed."""
        return self.seeded(self._options(link), link)

    def _options(self, link: Link) -> Netem:
        return _netem(
            link.impairment,
            own_rate=not self.htb,
            isolated=self.isolated(link),
            ceiling_kbit=link.ceiling_kbit,
            shared=self.shared(link.source, link.segment) is not None,
        )

    def shared(self, source: str, segment: str) -> Access | None:
        """The access link above the links from a peer on a segment, None if there never was an uplink."""
        found = self.topology.accesses.get((source, segment))
        return found.access if found is not None and found.upward else None

    def queue(self, impairment: Impairment, shared: Access | None) -> tuple[str, QdiscOptions]:
        """Kind and options of the queue of a link with this impairment, below that access link."""
        if shared is None:
            return _queue(impairment)
        return _queue(impairment, shared_bytes=translate.access_queue_bytes(shared, shared.uplink_kbit))

    def seeded(self, options: Netem, link: Link, *, role: str = "") -> Netem:
        """Options of a link with the seed that it has at its revision; `role` as in `link_seed`."""
        if self.run_seed is None and (link.impairment.seed is None or not self.capabilities.seed):
            return options
        # As `_replace` does, in a tenth of the time.
        return Netem(*options[:-1], translate.link_seed(self.run_seed or 0, link, role=role))

    def shape(self, link: Link) -> Shape:
        """Class, netem and queue of a link."""
        number = self.topology.peers[link.destination].number
        ns, dev = placement.place(self.topology.peers[link.source], self.topology.segments[link.segment])
        if not self.htb:
            band = handles.band_class(link.slot)
            return Shape(Qdisc(ns, dev, handles.netem(link.slot + 1), band, "netem", self.netem(link)))
        classid, parent = handles.member_class(number), handles.group_qdisc(handles.group_of(number))
        queue = None
        shared = self.shared(link.source, link.segment)
        if link.shaped or shared is not None:
            kind, options = self.queue(link.impairment, shared)
            queue = Qdisc(ns, dev, handles.queue(number), handles.netem_child(number), kind, options)
        return Shape(
            Qdisc(ns, dev, handles.netem(number), classid, "netem", self.netem(link)),
            Class(ns, dev, classid, parent, "htb", _htb_class(link.impairment)),
            queue,
        )

    def leaf(self, link: Link) -> list[Object]:
        """Class, netem, queue, filter, duplication, routes: all of a link that its impairment may change."""
        return self._branch(link) + self.routes(link)

    def _branch(self, link: Link) -> list[Object]:
        netem, class_, queue = self.shape(link)
        objects: list[Object] = [netem] if class_ is None else [class_, netem]
        if queue is not None:
            objects.append(queue)
        objects.append(self._entry(link, netem.parent))
        return objects + self._duplication(link) if self.isolated(link) else objects

    def _entry(self, link: Link, classid: int) -> Filter:
        """The filter that leads to a link's class; in an outage it drops instead.

        In front of the queue, so that shaper and netem stay as they are: the first packet after an
        outage does not wait, and the loss model goes on.
        """
        segment = self.topology.segments[link.segment]
        number = self.topology.peers[link.destination].number
        if self.htb:
            parent, handle = handles.group_qdisc(handles.group_of(number)), handles.member_entry(number)
        else:
            parent = handles.ROOT
            handle = handles.DESTINATIONS | (number % _BAND_BUCKETS) << 12 | number // _BAND_BUCKETS + 1
        entry = _entry(segment.number, number, classid)
        if link.outage or link.down:
            entry = entry._replace(action=Drop())
        ns, dev = placement.place(self.topology.peers[link.source], segment)
        return Filter(ns, dev, parent, LINK_PRIORITY, ETH_P_ALL, handle, entry)

    def link(self, link: Link) -> list[Object]:
        """Everything that belongs to one link alone, but for its routes: they need an interface that is up."""
        return self._branch(link) + self._neighbours(link)

    def routes(self, link: Link) -> list[Object]:
        """The routes that give a link its MTU, if it has one, and those by which it leads to other segments."""
        return [*routing.of_link(self.topology, link)]

    def _duplication(self, link: Link) -> list[Object]:
        segment = self.topology.segments[link.segment]
        number = self.topology.peers[link.destination].number
        ns, dev, device = link.source, addressing.interface(segment), addressing.duplicator(segment, number)
        options = self.seeded(translate.duplicator(link.impairment), link, role="duplicator")
        handle = handles.DESTINATIONS | (number % _ISOLATION_BUCKETS) << 12 | number // _ISOLATION_BUCKETS + 1
        entry = match.destination(segment.number, number, action=Redirect(device))
        return [
            Ifb(ns, device),
            Qdisc(ns, device, handles.ROOT, TC_H_ROOT, "netem", options),
            Filter(ns, dev, TC_H_EGRESS_FILTERS, LINK_PRIORITY, ETH_P_ALL, handle, entry),
        ]

    def _neighbours(self, link: Link) -> list[Object]:
        # Both ends know each other, even if the link goes one way, so that no ARP is ever impaired.
        segment = self.topology.segments[link.segment]
        dev = addressing.interface(segment)
        source, destination = self.topology.peers[link.source], self.topology.peers[link.destination]
        objects: list[Object] = []
        pairs = [(link.source, destination)]
        if (link.destination, link.source, link.segment) not in self.topology.links:
            pairs.append((link.destination, source))
        for ns, far in pairs:
            mac = addressing.packed_mac(segment.number, far.number)
            objects += [Neighbour(ns, dev, address, mac) for address in packed_addresses(segment, far)]
        return objects


@lru_cache(maxsize=65536)
def packed_addresses(segment: Segment, peer: Peer) -> tuple[bytes, ...]:
    """Addresses of a peer on a segment, as the kernel wants them."""
    six = addressing.ipv6(segment, peer)
    four = addressing.ipv4(segment, peer).packed
    return (four,) if six is None else (four, six.packed)


@lru_cache(maxsize=65536)
def _entry(segment_number: int, number: int, classid: int) -> U32:
    return match.destination(segment_number, number, classid=classid)
