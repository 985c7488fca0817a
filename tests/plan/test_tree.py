from __future__ import annotations

import struct

import pytest
from hypothesis import given

from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan import State, addressing, desired, handles, match
from linkem_py.plan.objects import (
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IPV6,
    TC_H_EGRESS_FILTERS,
    U32,
    Class,
    Drop,
    Filter,
    Netem,
    Object,
    Prio,
    Qdisc,
    Redirect,
)
from linkem_py.plan.placement import place
from linkem_py.plan.tree import Planner
from tests import strategies as own

ANY = Capabilities()
HEADROOM = 2  # u32 reads the word that begins before the frame
ETHERNET = 14


class DroppedError(Exception):
    """The packet ends at a filter that drops it."""


class Packet:
    """An Ethernet frame, of which u32 sees the words from the network header on."""

    def __init__(
        self, destination: bytes, protocol: int, payload: bytes = bytes(64), *, source: bytes = bytes(6)
    ) -> None:
        self.protocol = protocol
        self.data = bytes(HEADROOM) + destination.ljust(6, b"\0") + source + protocol.to_bytes(2, "big") + payload

    def word(self, offset: int) -> int:
        return int(struct.unpack_from(">I", self.data, HEADROOM + ETHERNET + offset)[0])


def verdict(state: State, ns: str, parent: int, packet: Packet, dev: str = "eth0") -> U32 | None:
    """The entry that a packet ends at, found as the kernel's u32_classify does."""
    filters = [m for m in state.values() if isinstance(m, Filter) and (m.ns, m.dev, m.parent) == (ns, dev, parent)]
    for priority in sorted({made.priority for made in filters}):
        chain = [made for made in filters if made.priority == priority]
        if chain[0].protocol not in (ETH_P_ALL, packet.protocol):
            continue
        entry = _walk(chain, 0, 0, packet)
        if entry is not None:
            return entry
    return None


def _walk(chain: list[Filter], table: int, bucket: int, packet: Packet) -> U32 | None:
    for made in chain:
        entry = made.options
        if made.handle >> 20 != table or made.handle >> 12 & 0xFF != bucket or not isinstance(entry, U32):
            continue
        if any(packet.word(key.offset) & key.mask != key.value for key in entry.keys):
            continue
        if not entry.link:
            return entry
        below = next(m.options for m in chain if m.handle == entry.link)
        shift = (entry.hash_mask & -entry.hash_mask).bit_length() - 1
        word = packet.word(entry.hash_offset) & entry.hash_mask
        found = _walk(chain, entry.link >> 20, word >> shift & below.divisor - 1, packet)  # type: ignore[union-attr]
        if found is not None:
            return found
    return None


def leaf_of(state: State, ns: str, packet: Packet, dev: str = "eth0") -> Netem | None:
    """The netem that a packet is queued in; None if it passes unimpaired. Raises DroppedError."""
    qdisc: Object | None = state["qdisc", ns, dev, handles.ROOT]
    while isinstance(qdisc, Qdisc) and not isinstance(qdisc.options, Netem):
        entry = verdict(state, ns, qdisc.handle, packet, dev)
        if entry is not None and isinstance(entry.action, Drop):
            raise DroppedError
        if entry is None or entry.classid == qdisc.handle:
            return None
        below = [m for m in state.values() if isinstance(m, Qdisc) and (m.ns, m.dev) == (ns, dev)]
        qdisc = next((made for made in below if made.parent == entry.classid), None)
    return qdisc.options if isinstance(qdisc, Qdisc) and isinstance(qdisc.options, Netem) else None


# --- where packets go ---------------------------------------------------------------------------


@given(own.topologies(), own.kernels)
def test_a_packet_meets_the_netem_of_its_destination_and_no_other(topology: Topology, kernel: Capabilities) -> None:
    state = desired(topology, kernel)
    planner = Planner(topology, kernel, None)
    named = [peer for peer in topology.peers.values() if not peer.name.startswith("filler")]
    for source in named:
        for destination in named:
            if source == destination:
                continue
            for segment in topology.segments_of(source.name):
                link = topology.links.get((source.name, destination.name, segment.name))
                packet = Packet(addressing.packed_mac(segment.number, destination.number), 0x0800)
                ns, dev = place(source, segment)
                if link is not None:
                    assert leaf_of(state, ns, packet, dev) == planner.netem(link)
                elif topology.unlinked == "open":
                    assert leaf_of(state, ns, packet, dev) is None
                else:
                    with pytest.raises(DroppedError):
                        leaf_of(state, ns, packet, dev)


@given(own.topologies(), own.kernels)
def test_a_packet_is_duplicated_on_the_device_of_its_destination(topology: Topology, kernel: Capabilities) -> None:
    state = desired(topology, kernel)
    planner = Planner(topology, kernel, None)
    for link in topology.links.values():
        number = topology.peers[link.destination].number
        segment = topology.segments[link.segment]
        packet = Packet(addressing.packed_mac(segment.number, number), 0x0800)
        entry = verdict(state, link.source, TC_H_EGRESS_FILTERS, packet, addressing.interface(segment))
        if not planner.isolated(link):
            assert entry is None
            continue
        assert entry is not None
        assert entry.action == Redirect(f"dup{segment.number}-{number}")
        root = state["qdisc", link.source, f"dup{segment.number}-{number}", handles.ROOT]
        assert isinstance(root, Qdisc)
        assert isinstance(root.options, Netem)
        assert root.options.duplicate > 0


@pytest.mark.parametrize("classifier", ["htb", "prio"])
@pytest.mark.parametrize("unlinked", ["open", "blocked"])
def test_arp_and_neighbour_discovery_pass_unimpaired(classifier: str, unlinked: str) -> None:
    topology = Topology("t", classifier=classifier, unlinked=unlinked)  # type: ignore[arg-type]
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", Impairment(loss_pct=100))
    state = desired(topology, ANY)
    to_b, to_all = addressing.packed_mac(1, 2), b"\xff" * 6
    for mac in (to_b, to_all):
        assert leaf_of(state, "a", Packet(mac, ETH_P_ARP)) is None
        for kind in range(133, 138):
            discovery = bytes([0x60, 0, 0, 0, 0, 0, 58, 255]) + bytes(32) + bytes([kind]) + bytes(63)
            assert leaf_of(state, "a", Packet(mac, ETH_P_IPV6, discovery)) is None
    echo = bytes([0x60, 0, 0, 0, 0, 0, 58, 255]) + bytes(32) + bytes([128]) + bytes(63)
    assert leaf_of(state, "a", Packet(to_b, ETH_P_IPV6, echo)) is not None


def test_reports_of_multicast_listeners_are_dropped_where_the_kernel_can() -> None:
    topology = Topology("t")
    topology.add_peer("a")
    report = bytes([0x60, 0, 0, 0, 0, 0, 0, 1]) + bytes(32) + bytes([58, 0, 5, 2, 0, 0, 1, 0, 143]) + bytes(60)
    packet = Packet(bytes.fromhex("333300000016"), ETH_P_IPV6, report)
    with pytest.raises(DroppedError):
        leaf_of(desired(topology, ANY), "a", packet)
    assert leaf_of(desired(topology, Capabilities(gact=False)), "a", packet) is None


def test_without_ipv6_there_is_no_filter_for_it() -> None:
    topology = Topology("t", ipv6=None)
    topology.add_peer("a")
    filters = [made for made in desired(topology, ANY).values() if isinstance(made, Filter)]
    assert ETH_P_IPV6 not in {made.protocol for made in filters}


# --- its shape ----------------------------------------------------------------------------------


def test_destinations_of_a_peer_with_many_are_spread_over_small_qdiscs() -> None:
    topology = Topology("t")
    for number in range(200):
        topology.add_peer(f"p{number}")
    for number in range(1, 200):
        topology.add_link("p0", f"p{number}")
    classes = [made for made in desired(topology, ANY).values() if isinstance(made, Class)]
    for parent in {made.parent for made in classes}:
        assert sum(made.parent == parent for made in classes) <= handles.GROUP_SIZE
    assert len(classes) == 199 + 7


def test_prio_has_a_band_for_each_link_and_no_class() -> None:
    topology = Topology("t", classifier="prio")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", Impairment(rate_kbit=8))
    made = desired(topology, ANY).values()
    assert not any(isinstance(m, Class) for m in made)
    qdiscs = [m for m in made if isinstance(m, Qdisc) and m.ns == "a"]
    assert [m.options for m in qdiscs if m.kind == "prio"] == [Prio(16)]
    assert [(m.parent, m.options.rate) for m in qdiscs if isinstance(m.options, Netem)] == [(0x10002, 1000)]


@pytest.mark.parametrize(
    ("run_seed", "own_seed", "kernel", "seeded"),
    [
        (None, None, ANY, False),
        (1, None, ANY, True),
        (None, 5, ANY, True),
        (1, 5, ANY, True),
        (1, 5, Capabilities(seed=False), False),
        (None, 5, Capabilities(seed=False), False),
    ],
)
def test_netems_are_seeded_where_somebody_asks_and_the_kernel_can(
    run_seed: int | None, own_seed: int | None, kernel: Capabilities, seeded: bool
) -> None:
    topology = Topology("t", duplicates="isolate")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", Impairment(duplicate_pct=1, seed=own_seed))
    state = desired(topology, kernel, seed=run_seed)
    netems = [m.options for m in state.values() if isinstance(m, Qdisc) and isinstance(m.options, Netem)]
    assert len(netems) == 2
    assert [netem.seed is not None for netem in netems] == [seeded, seeded]
    assert not seeded or netems[0].seed != netems[1].seed


@given(own.impairments(), own.impairments())
def test_a_seed_of_its_own_is_fresh_after_each_change_of_netem(first: Impairment, second: Impairment) -> None:
    topology = Topology("t")
    topology.add_peer("a")
    topology.add_peer("b")
    planner = Planner(topology, ANY, 3)
    link = topology.add_link("a", "b", first)
    new = own.changed(planner, link, second)
    plain = [planner.netem(each)._replace(seed=None) for each in (link, new)]
    fresh = planner.netem(link).seed != planner.netem(new).seed
    assert fresh == (plain[0] != plain[1] or first.seed != second.seed)


def test_an_entry_for_a_group_covers_exactly_its_members() -> None:
    entry = match.destination(1, 64, classid=1, group_bits=5)
    (value, mask, offset) = entry.keys[0]
    covered = [n for n in range(200) if addressing.mac_words(1, n)[1] & mask == value]
    assert covered == list(range(64, 96))
    assert offset == match.MAC_LOW
