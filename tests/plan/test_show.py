from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given

from linkem_py.model import Capabilities, DelayTable, FourState, GilbertElliott, Impairment, Slot, Topology
from linkem_py.plan import EMPTY, Operation, desired, words
from linkem_py.plan.desired import state
from linkem_py.plan.objects import (
    HUB,
    TC_H_EGRESS_FILTERS,
    U32,
    Address,
    Bridge,
    Cake,
    Class,
    Drop,
    Filter,
    Forwarding,
    FqCodel,
    Htb,
    HtbClass,
    Ifb,
    Namespace,
    Neighbour,
    Netem,
    Object,
    Qdisc,
    QdiscOptions,
    Route,
    Rule,
    Tbf,
    U32Key,
    U32Table,
    Up,
    Veth,
)
from linkem_py.plan.show import as_json, describe, show, summary
from linkem_py.plan.translate import netem
from tests import strategies as own

ANY = Capabilities()


def test_a_prio_tree_says_how_many_bands_it_has() -> None:
    topology = Topology("t", classifier="prio")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b")
    assert "16 bands" in show(desired(topology, ANY), topology)


TREE = """\
eu
  eth0: veth to the hub, up, MTU 1500 bytes, MAC 02:4c:00:01:00:01, offloads off
    address 10.0.0.1/16
    address fd00:1::1/64
    neighbour 10.0.0.2 at 02:4c:00:01:00:02 (us)
    neighbour fd00:1::2 at 02:4c:00:01:00:02 (us)
    qdisc htb 1: root, what no filter matches passes at once
      filter prio 1, 0:0:1 ARP, any packet -> 1:
      filter prio 3, table 3: of 256 buckets
      filter prio 3, 0:0:1 all, to a MAC that begins with 02:4c -> table 3:, bucket by the MAC's last bytes & ffe0
      class 1:1 rate unlimited, burst 1.049 MB (a group)
        qdisc htb 10: what no filter matches passes at once
          filter prio 3, table 3: of 32 buckets
          filter prio 3, 0:0:1 all, to a MAC that begins with 02:4c -> table 3:, bucket by the MAC's last bytes & 1f
          class 10:3 rate 10 Mbit/s, burst 1.514 kB -> eu->us
            qdisc netem 1002: delay 40 ms, jitter 5 ms uniform, loss 0.1 %, limit 1048576 packets
              qdisc bfifo 8002: limit 25 kB
          filter prio 3, 3:2:1 all, to 02:4c:00:01:00:02 (us) -> 10:3
      filter prio 3, 3:0:1 all, to 02:4c:00:01:00:00 and the next (peers 1 to 31) -> 1:1"""


@pytest.fixture
def topology() -> Topology:
    made = Topology("t", duplicates="isolate")
    for name in ("eu", "us"):
        made.add_peer(name)
    made.add_link("eu", "us", Impairment(delay_ms=40, jitter_ms=5, loss_pct=0.1, rate_kbit=10_000, queue_ms=20))
    made.add_link("us", "eu", Impairment(duplicate_pct=5))
    return made


def without(text: str, *left_out: str) -> str:
    """The lines that have none of these words."""
    return "\n".join(line for line in text.splitlines() if not any(word in line for word in left_out)).strip()


def test_a_plan_is_a_tree_with_names_and_units(topology: Topology) -> None:
    text = show(desired(topology, ANY), topology)
    eu = text[text.index("\neu\n") : text.index("\nus\n")]
    assert without(eu, "sysctl", "IPv6", "clsact", "egress") == TREE
    lines = text.splitlines()
    assert "  dup1-1: ifb, up, MTU 1500 bytes" in lines
    assert "    qdisc netem 1: root, duplicate 5 %, limit 1048576 packets -> us->eu" in lines
    assert "  br-lan: bridge, up, MTU 1500 bytes" in lines
    assert "    forwarding entry 02:4c:00:01:00:01 (eu)" in lines
    port = next(line for line in lines if line.startswith("  lan.1: veth to eu, up, MTU 1500 bytes, "))
    assert port.endswith("MAC 02:4d:00:01:00:01, offloads off, port of br-lan, no unicast flooding, no learning")


@given(own.topologies(), own.kernels)
def test_nothing_of_a_plan_is_left_out(topology: Topology, kernel: Capabilities) -> None:
    groups = (frozenset(list(topology.peers)[:1]), frozenset(list(topology.peers)[1:]))
    planned = desired(topology, kernel, groups=groups)
    text = show(planned, topology)
    lines = text.splitlines()[:-2]
    # Both ends of a pair have a line, being up is part of the line of the device.
    ends = sum(isinstance(made, Veth) for made in planned.values())
    states = sum(isinstance(made, Up) for made in planned.values())
    sysctls = sum(len(made.sysctls) for made in planned.values() if isinstance(made, Namespace))
    assert len(lines) == len(planned) + ends - states + sysctls
    assert lines.count(lines[0]) == 1
    for link in topology.links.values():
        assert f" -> {link.source}->{link.destination}" in text


def test_a_pair_within_the_hub_shows_both_ends() -> None:
    topology = Topology("t")
    for number in range(1, 1001):
        topology.add_peer(f"p{number}")
    text = show(desired(topology, ANY), topology)
    assert "  t1-lan: veth to the hub, up, MTU 1500 bytes, MAC 02:4d:00:00:00:02" in text
    assert (
        "  u1-lan: veth to the hub, up, MTU 1500 bytes, MAC 02:4d:00:00:00:03, offloads off, port of br1-lan, " in text
    )
    assert ", port of br1-lan, unicast flooding, no learning" in text


def test_what_is_down_is_said_to_be_down() -> None:
    pair = Veth(HUB, "lan.1", "02:00:00:00:00:01", "a", "eth0", "02:00:00:00:00:02", "br-lan", offload=True)
    text = show(state([Namespace("a"), pair]), Topology("t"))
    assert "  eth0: veth to the hub, down, MTU 1500 bytes, MAC 02:00:00:00:00:02, offloads on" in text


def test_an_entry_for_somebody_unknown_says_so() -> None:
    pair = Veth(HUB, "lan.1", "", "a", "eth0", "", "br-lan")
    entry = Neighbour("a", "eth0", bytes(4), bytes.fromhex("024c00010009"))
    assert "neighbour 0.0.0.0 at 02:4c:00:01:00:09 (no peer)" in show(
        state([Namespace("a"), pair, entry]), Topology("t")
    )


def test_the_summary_counts_objects_and_messages(topology: Topology) -> None:
    bare = Topology("t")
    bare.add_peer("a")
    assert show(desired(bare, ANY), bare).splitlines()[-1] == (
        "objects: 24, netlink messages: 23 (2 namespaces, 1 bridge, 1 veth pair, 2 interfaces up, 2 addresses, "
        "1 forwarding entry, 3 qdiscs, 12 filters)"
    )
    assert summary(EMPTY) == "objects: 0, netlink messages: 0 (nothing)"
    joined = Veth(HUB, "t1-lan", "", HUB, "u1-lan", "", "br-lan", peer_master="br1-lan")
    assert summary(state([joined])) == "objects: 1, netlink messages: 4 (1 veth pair)"


# --- options in words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("impairment", "text"),
    [
        (Impairment(), "limit 1048576 packets"),
        (Impairment(seed=7), "delay 1 us, limit 1048576 packets"),
        (Impairment(delay_ms=0.25, jitter_ms=0.0505), "delay 0.25 ms, jitter 50.5 us uniform, limit 1048576 packets"),
        (
            Impairment(delay_ms=5, jitter_ms=1, distribution="pareto", delay_correlation_pct=25),
            "delay 5 ms, jitter 1 ms pareto, correlated 25 %, limit 1048576 packets",
        ),
        (
            Impairment(delay_ms=5, jitter_ms=1, distribution=DelayTable([1, 2, 3])),
            "delay 5 ms, jitter 1 ms table of 3 entries, limit 1048576 packets",
        ),
        (
            Impairment(loss_pct=5, loss_correlation_pct=50, kernel_loss_correlation=True, ecn=True),
            "delay 1 us, loss 5 % correlated 50 %, ECN marks instead, limit 1048576 packets",
        ),
        (
            Impairment(loss=GilbertElliott(1, 10, 80, 2)),
            "delay 1 us, loss Gilbert-Elliott p 1 % r 10 % (80 % lost in the bad state, 2 % in the good one), "
            "limit 1048576 packets",
        ),
        (
            Impairment(loss=FourState(1, 10, 20, 30, 5)),
            "delay 1 us, loss four states p13 1 % p31 10 % p32 20 % p14 5 % p23 30 %, limit 1048576 packets",
        ),
        (
            Impairment(delay_ms=1, duplicate_pct=1, corrupt_pct=2, reorder_pct=3, reorder_gap=4),
            "delay 1 ms, duplicate 1 %, corrupt 2 %, reorder 3 %, gap 4 packets, limit 1048576 packets",
        ),
        (
            Impairment(rate_kbit=8, shaper="netem", queue_packets=3, packet_overhead=7, cell_size=48, cell_overhead=5),
            "delay 1 us, rate 8 kbit/s with 7 bytes more a packet in cells of 48 and 5 bytes, limit 3 packets",
        ),
        (Impairment(slot=Slot(10)), "delay 1 us, slots every 10 ms, limit 1048576 packets"),
        (
            Impairment(slot=Slot(10, 2, "normal", packets=5, kb=7)),
            "delay 1 us, slots every 10 ms jitter 2 ms normal of 5 packets of 7 kB, limit 65 packets",
        ),
    ],
    ids=str,
)
def test_a_netem_is_told_in_the_words_of_its_settings(impairment: Impairment, text: str) -> None:
    assert words.netem(netem(impairment)) == text


def test_a_netem_tells_its_rate_and_its_seed() -> None:
    assert words.netem(Netem(5, rate=125_000_000_000, seed=9)) == "rate 1 Tbit/s, limit 5 packets, seed 9"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1514, "1.514 kB"), (15_140, "15.14 kB"), (2.5e6, "2.5 MB"), (5e15, "5000 TB")],
)  # fmt: skip
def test_a_size_has_a_decimal_prefix(value: float, text: str) -> None:
    assert words.scaled(value, "B") == text


STRANGER = "02:4c:00:01:00:09"
ENTRY = U32(keys=(U32Key(0x1234, 0xFFFF, 8),), classid=0x10001)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (ENTRY, "prio 3, 0:0:1 IPv4, byte 8: 00001234/0000ffff -> 1:1"),
        (U32(action=Drop(), mark=(3, 0xFFFF)), "prio 3, 0:0:1 IPv4, mark 3 -> drop"),
        (U32(link=2 << 20), "prio 3, 0:0:1 IPv4, any packet -> table 2:"),
        (U32Table(4), "prio 3, table 0: of 4 buckets"),
        (U32((U32Key(0x10009, 2**32 - 1, -12),), classid=1), f"prio 3, 0:0:1 IPv4, to {STRANGER} (no peer) -> 0:1"),
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_tells_what_it_matches_and_where_it_leads(options: Any, text: str) -> None:
    assert words.filter_(Filter("a", "eth0", 0x10000, 3, 0x0800, 1, options), {}) == text


def test_a_filter_of_another_protocol_tells_its_number() -> None:
    assert "0:0:1 88cc, " in words.filter_(Filter("a", "eth0", TC_H_EGRESS_FILTERS, 3, 0x88CC, 1, ENTRY), {})


def test_a_class_tells_what_it_may_borrow() -> None:
    made = Class("a", "eth0", 0x10002, 0x10000, "htb", HtbClass(125_000, 250_000, 1514, 1514, 1514))
    assert words.class_(made) == "rate 1 Mbit/s, ceil 2 Mbit/s, burst 1.514 kB"


def test_an_htb_tells_its_default_class() -> None:
    assert words.qdisc(Qdisc("a", "eth0", 0x10000, 0, "htb", Htb(default=0x20))) == "default 20"


# --- an operation in a line ---------------------------------------------------------------------

MAC, TEXT = bytes.fromhex("024c00010002"), "02:4c:00:01:00:02"
RATE = HtbClass(1, 1, 1514, 1514, 1514)
EGRESS = Filter("a", "eth0", TC_H_EGRESS_FILTERS, 3, 3, 1, ENTRY)


@pytest.mark.parametrize(
    ("verb", "made", "text"),
    [
        ("create", Namespace(HUB), "create namespace of the hub"),
        ("delete", Namespace("a"), "delete namespace of a"),
        ("create", Bridge(HUB, "br-lan"), "create bridge br-lan in the hub"),
        ("create", Ifb("a", "dup1-2"), "create ifb dup1-2 in a"),
        ("create", Veth(HUB, "lan.1", "", "a", "eth0", "", ""), "create veth lan.1 in the hub to eth0 in a"),
        ("create", Up("a", "eth0"), "set eth0 in a up"),
        ("delete", Up("a", "eth0"), "set eth0 in a down"),
        ("create", Address("a", "eth0", "10.0.0.1", 16), "create address 10.0.0.1/16 on eth0 in a"),
        ("create", Neighbour("a", "eth0", b"\x0a\0\0\2", MAC), f"create neighbour 10.0.0.2 at {TEXT} on eth0 in a"),
        (
            "create",
            Route("eu", "eth1", 1002, "10.1.0.0/16"),
            "create route to 10.1.0.0/16 in table 1002, direct on eth1 in eu",
        ),
        (
            "delete",
            Route("eu", "eth1", 1002, "10.2.0.2/32", "10.1.0.2"),
            "delete route to 10.2.0.2/32 in table 1002, via 10.1.0.2 on eth1 in eu",
        ),
        (
            "create",
            Route("eu", "", 1002, "10.2.0.0/16"),
            "create route to 10.2.0.0/16 in table 1002, unreachable in eu",
        ),
        ("delete", Rule("eu", "10.1.0.1", 1002), "delete rule from 10.1.0.1 to table 1002 in eu"),
        ("create", Forwarding(HUB, "lan.2", MAC), "create forwarding entry 02:4c:00:01:00:02 on lan.2 in the hub"),
        ("create", Route("a", "eth0", 254, "10.0.0.2/32"), "create route to 10.0.0.2 on eth0 in a"),
        ("change", Qdisc("a", "eth0", 0x10030000, 0, "netem", Netem(1)), "change qdisc netem 1003: on eth0 in a"),
        ("create", Class("a", "eth0", 0x100002, 0x100000, "htb", RATE), "create class 10:2 on eth0 in a"),
        ("create", Filter("a", "eth0", 0x100000, 3, 3, 0x302001, ENTRY), "create filter 3:2:1 of 10: on eth0 in a"),
        ("create", EGRESS, "create filter 0:0:1 of egress on eth0 in a"),
    ],
    ids=str,
)  # fmt: skip
def test_an_operation_is_told_in_a_line(verb: Any, made: Object, text: str) -> None:
    assert describe(Operation(verb, made)) == text


# --- for programs -------------------------------------------------------------------------------


@given(own.topologies(), own.kernels)
def test_a_plan_as_json_is_complete(topology: Topology, kernel: Capabilities) -> None:
    planned = desired(topology, kernel, seed=5)
    values = json.loads(json.dumps(as_json(planned)))
    assert len(values["objects"]) == len(planned)
    for plain, made in zip(values["objects"], planned.values(), strict=True):
        assert plain["object"] == type(made).__name__.lower()
        assert plain.keys() - {"object"} == set(made._fields)
    netems = [made.options for made in planned.values() if isinstance(made, Qdisc) and isinstance(made.options, Netem)]
    shown = [o["options"] for o in values["objects"] if o["object"] == "qdisc" and o["kind"] == "netem"]
    for netem_, plain in zip(netems, shown, strict=True):
        assert plain["latency_ns"] == netem_.latency_ns
        packed = b"".join(n.to_bytes(2, sys.byteorder, signed=True) for n in values["tables"].get(plain["table"], []))
        assert packed == netem_.table


def test_json_has_handles_as_tc_writes_them_and_addresses_as_people_do(topology: Topology) -> None:
    values = as_json(desired(topology, ANY))
    kinds: dict[str, list[dict[str, Any]]] = {}
    for plain in values["objects"]:
        kinds.setdefault(plain["object"], []).append(plain)
    assert {"1:", "10:", "1002:", "8002:", "ffff:"} <= {plain["handle"] for plain in kinds["qdisc"]}
    assert {"root", "clsact", "1:1", "10:3", "1002:1"} <= {plain["parent"] for plain in kinds["qdisc"]}
    assert {"3:2:1", "3:0:0", "0:0:1"} <= {plain["handle"] for plain in kinds["filter"]}
    assert kinds["neighbour"][0]["address"] == "10.0.0.2"
    assert kinds["neighbour"][0]["mac"] == "02:4c:00:01:00:02"
    assert values["messages"] == len(values["objects"]) - 3 + 2  # a pair takes two, a namespace none


def test_json_has_each_table_once() -> None:
    topology = Topology("t")
    for name in "abcd":
        topology.add_peer(name)
    for destination, shape in zip("bcd", ("normal", DelayTable([1, 2]), DelayTable([3, 4])), strict=True):
        impairment = Impairment(delay_ms=2, jitter_ms=1, distribution=shape)  # type: ignore[arg-type]
        topology.connect("a", destination, impairment)
    tables = as_json(desired(topology, ANY))["tables"]
    assert list(tables) == ["normal", "table of 2 entries", "table of 2 entries #2"]
    assert tables["table of 2 entries #2"] == [3, 4]


def test_a_route_tells_its_mtu_and_its_link() -> None:
    topology = Topology("t")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", Impairment(mtu=1300))
    planned = desired(topology, ANY)
    assert "    route to 10.0.0.2, MTU 1300 bytes -> a->b" in show(planned, topology).splitlines()
    (route, _) = [made for made in as_json(planned)["objects"] if made["object"] == "route"]
    assert (route["destination"], route["mtu"]) == ("10.0.0.2/32", 1300)


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("fq_codel", FqCodel(50, ecn=True), "limit 50 packets, target 5 ms, interval 100 ms, ECN marks first"),
        ("fq_codel", FqCodel(50, 6000), "limit 50 packets, target 6 ms, interval 100 ms"),
        ("cake", Cake(), "target 5 ms, interval 100 ms"),
        ("cake", Cake(rate=1000), "rate 8 kbit/s, target 5 ms, interval 100 ms"),
        ("tbf", Tbf(1000, 2000, 3000), "rate 8 kbit/s, burst 2 kB, limit 3 kB"),
    ],
)
def test_a_queue_tells_its_settings(kind: str, options: QdiscOptions, text: str) -> None:
    assert words.qdisc(Qdisc("a", "eth0", 0x80020000, 0x10020001, kind, options)) == text


def test_a_plan_of_several_segments_shows_them_all() -> None:
    topology = Topology("bonded")
    topology.add_peer("camera")
    topology.add_peer("studio")
    for segment in ("lte", "nr"):
        topology.connect("camera", "studio", segment=segment)
    lines = show(desired(topology, ANY), topology).splitlines()
    for line in (
        "  br-lte: bridge, up, MTU 1500 bytes",
        "  rule from 10.1.0.1 to table 1002",
        "  route to 10.2.0.0/16 in table 1002, unreachable",
        "    route to 10.1.0.0/16 in table 1002, direct",
        "    route to 10.2.0.2/32 in table 1002, via 10.1.0.2",
        "    address 10.2.0.1/16",
    ):
        assert line in lines
    assert "8 rules" in lines[-1]
