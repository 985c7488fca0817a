"""Packets go where the filters say: by destination MAC, through nested htbs, duplicated, or nowhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from linkem_py.kernel.codec import decode_u32, filter_message, qdisc_message
from linkem_py.plan.objects import (
    ETH_P_ALL,
    HUB,
    TC_H_EGRESS_FILTERS,
    TC_H_INGRESS_FILTERS,
    TC_H_ROOT,
    U32,
    Drop,
    Fifo,
    Filter,
    Htb,
    Mark,
    Netem,
    Qdisc,
    Redirect,
    U32Key,
    U32Table,
)
from tests.kernel.scratch import FIRST_IFB, FIRST_PORT, Scratch, received, receiver, udp, until

pytestmark = pytest.mark.kernel("htb", "u32", "clsact")

ALL = 0xFFFFFFFF
UNICAST = U32Key(value=0x0200, mask=0xFFFF, offset=-16)  # our MAC addresses begin with 02:00
GROUP = "224.0.0.251"
PEERS = (1, 2, 3, 34)


def ends_in(word: int, mask: int = ALL) -> U32Key:
    """The last four bytes of the destination MAC."""
    return U32Key(value=word, mask=mask, offset=-12)


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        made.lan(*PEERS)
        yield made


def nested_tree(scratch: Scratch, netem: bool) -> None:
    """Groups of 32 destinations, each a child htb: 1:1 holds 1 to 31 in 10:, 1:2 holds 32 to 63 in 11:."""
    scratch.qdisc("p1", "htb", Htb())
    scratch.filter("p1", 0x10000, 0x300000, U32Table(256))
    for group in (0, 1):
        child = (0x10 + group) << 16
        scratch.htb_class("p1", 0x10001 + group)
        scratch.qdisc("p1", "htb", Htb(), child, 0x10001 + group)
        scratch.filter("p1", child, 0x300000, U32Table(32))
        found = U32((ends_in(group << 5, 0xFFFFFFE0),), classid=0x10001 + group)
        scratch.filter("p1", 0x10000, 0x300001 | group << 12, found)
        scratch.filter("p1", child, 1, U32((), link=0x300000, hash_mask=0x1F, hash_offset=-12))
    scratch.filter("p1", 0x10000, 1, U32((UNICAST,), link=0x300000, hash_mask=0xFFE0, hash_offset=-12))
    for number in PEERS[1:]:
        child = (0x10 + (number >> 5)) << 16
        classid = child | ((number & 0x1F) + 1)
        scratch.htb_class("p1", classid)
        handle = (0x100 + number) << 16
        if netem:
            scratch.qdisc("p1", "netem", Netem(1000, 20_000_000), handle, classid)
        else:
            scratch.qdisc("p1", "bfifo", Fifo(100_000), handle, classid)
        scratch.filter("p1", child, 0x300001 | (number & 0x1F) << 12, U32((ends_in(number),), classid=classid))


def leaf_packets(scratch: Scratch) -> dict[int, int]:
    rows = scratch.qdiscs("p1")
    return {number: rows[(0x100 + number) << 16].counters.packets for number in PEERS[1:]}


@pytest.mark.parametrize("netem", [False, pytest.param(True, marks=pytest.mark.netem)])
def test_nested_htbs_classify_by_destination_mac(scratch: Scratch, netem: bool) -> None:
    nested_tree(scratch, netem)
    for number, count in ((2, 5), (3, 7), (34, 11)):
        udp(scratch, "p1", f"10.0.0.{number}", count)
        udp(scratch, "p1", f"fd00::{number}", count)
    until(lambda: leaf_packets(scratch) == {2: 10, 3: 14, 34: 22})
    assert scratch.class_packets("p1", 0x10000) == {0x10001: 24, 0x10002: 22}
    assert scratch.class_packets("p1", 0x100000) == {0x100003: 10, 0x100004: 14}
    assert scratch.class_packets("p1", 0x110000) == {0x110003: 22}


def test_multicast_and_broadcast_pass_by(scratch: Scratch) -> None:
    nested_tree(scratch, netem=False)
    sink = receiver(scratch, "p2", group=GROUP)
    udp(scratch, "p1", GROUP, 5)
    udp(scratch, "p1", "ff02::fb", 5)
    until(lambda: received(sink) == 5)
    assert leaf_packets(scratch) == {2: 0, 3: 0, 34: 0}
    assert scratch.class_packets("p1", 0x10000) == {0x10001: 0, 0x10002: 0}


def test_the_qdiscs_own_handle_as_class_means_no_class(scratch: Scratch) -> None:
    """HTB_DIRECT: a filter can exempt one destination from what a later one catches."""
    scratch.qdisc("p1", "htb", Htb(default=0x9))
    scratch.htb_class("p1", 0x10009)
    scratch.filter("p1", 0x10000, 1, U32((ends_in(2),), classid=0x10000))
    scratch.filter("p1", 0x10000, 2, U32((UNICAST,), classid=0x10009))
    sinks = [receiver(scratch, name) for name in ("p2", "p3")]
    udp(scratch, "p1", "10.0.0.2", 5)
    udp(scratch, "p1", "10.0.0.3", 7)
    until(lambda: [received(sink) for sink in sinks] in ([5, 7], [0, 0]))
    assert scratch.class_packets("p1", 0x10000)[0x10009] >= 7
    shown = scratch.json("p1", "tc -j -s qdisc show dev eth0")[0]
    assert shown["options"]["direct_packets_stat"] >= 5


@pytest.mark.kernel("netem", "ifb", "mirred")
def test_a_duplicating_netem_on_an_ifb_gives_copies_back_to_the_root(scratch: Scratch) -> None:
    """Wherever the kernel refuses a duplicating netem beside others in one tree, another device is free."""
    scratch.qdisc("p1", "htb", Htb())
    for number, delay_ms in ((2, 20), (3, 40)):
        scratch.htb_class("p1", 0x10000 | number)
        netem = Netem(1000, delay_ms * 1_000_000)
        scratch.qdisc("p1", "netem", netem, number << 16, 0x10000 | number)
        scratch.filter("p1", 0x10000, number, U32((ends_in(number), UNICAST), classid=0x10000 | number))
    scratch.ifb("p1")
    scratch.qdisc("p1", "netem", Netem(1000, duplicate=ALL), dev=FIRST_IFB)
    scratch.clsact("p1")
    redirect = U32((ends_in(2), UNICAST), action=Redirect("ifb400"))
    scratch.filter("p1", TC_H_EGRESS_FILTERS, 1, redirect, redirect=FIRST_IFB)
    sinks = [receiver(scratch, name, v6=v6) for name in ("p2", "p3") for v6 in (False, True)]
    start = time.monotonic()
    for destination in ("10.0.0.2", "fd00::2", "10.0.0.3", "fd00::3"):
        udp(scratch, "p1", destination, 10)
    sent = time.monotonic() - start
    counts = [0, 0, 0, 0]

    def arrived() -> bool:
        for index, sink in enumerate(sinks):
            counts[index] += received(sink)
        return counts == [20, 20, 10, 10]

    until(arrived)
    assert time.monotonic() - start - sent >= 0.02  # each copy had its delay
    rows = scratch.qdiscs("p1")
    assert rows[2 << 16].counters.packets == 40
    assert rows[3 << 16].counters.packets == 20
    assert scratch.qdiscs("p1", FIRST_IFB)[0x10000].counters.packets >= 40  # and what the ifb says itself


@pytest.mark.netem
def test_a_netem_that_waits_shows_its_backlog(scratch: Scratch) -> None:
    scratch.qdisc("p1", "netem", Netem(1000, 60_000_000_000))
    udp(scratch, "p1", "10.0.0.2", 3, b"x" * 100)

    def same() -> bool:  # the kernel may send something of its own between the two
        counters = scratch.qdiscs("p1")[0x10000].counters
        shown = scratch.json("p1", "tc -j -s qdisc show dev eth0")[0]
        assert counters.backlog_packets >= 3
        assert counters.backlog_bytes >= 3 * 142
        return (counters.backlog_packets, counters.backlog_bytes, counters.packets) == (
            shown["qlen"], shown["backlog"], shown["packets"],
        )  # fmt: skip

    until(same)
    short = Netem(2, 60_000_000_000)
    scratch.send("p1", qdisc_message("change", Qdisc("p1", "eth0", 0x10000, TC_H_ROOT, "netem", short), 100))
    udp(scratch, "p1", "10.0.0.2", 3, b"x" * 100)
    assert scratch.qdiscs("p1")[0x10000].counters.drops >= 3


# -------------------------------------------------------------------------------------- partitions


def marks_are_matched(scratch: Scratch) -> bool:
    """A kernel without CONFIG_CLS_U32_MARK takes the match and forgets it: everything would match."""
    dev = FIRST_PORT + 3
    probe = U32((U32Key(0, 0, 0),), action=Drop(), mark=(1, 0xFFFF))
    made = Filter(HUB, "", TC_H_EGRESS_FILTERS, 1, ETH_P_ALL, 1, probe)
    scratch.send(HUB, filter_message("create", made, dev))
    shown = decode_u32(scratch.filters(HUB, TC_H_EGRESS_FILTERS, dev)[0x80000001])
    scratch.send(HUB, filter_message("delete", made, dev))
    return shown == probe


@pytest.mark.kernel("gact", "skbedit")
def test_a_mark_from_one_port_of_the_bridge_is_dropped_at_another(scratch: Scratch) -> None:
    for number in (1, 2, 3):
        scratch.clsact(HUB, FIRST_PORT + number)
    if not marks_are_matched(scratch):
        pytest.skip("this kernel lacks CONFIG_CLS_U32_MARK")
    for number in (1, 2, 3):
        # The mark goes on to later filters, and past the last of them.
        scratch.filter(HUB, TC_H_INGRESS_FILTERS, 1, U32((), action=Mark(number)), FIRST_PORT + number)
    scratch.filter(HUB, TC_H_EGRESS_FILTERS, 1, U32((), action=Drop(), mark=(1, 0xFFFF)), FIRST_PORT + 3)
    sinks = {name: [receiver(scratch, name), receiver(scratch, name, v6=True)] for name in ("p1", "p2", "p3")}
    multicast = scratch.socket("p3", socket.AF_INET, socket.SOCK_DGRAM)
    multicast.bind((GROUP, 5353))
    multicast.setblocking(False)
    membership = socket.inet_aton(GROUP) + socket.inet_aton("10.0.0.3")
    multicast.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    for source, destination in (("p1", 3), ("p1", 2), ("p2", 3), ("p3", 1)):
        udp(scratch, source, f"10.0.0.{destination}", 4)
        udp(scratch, source, f"fd00::{destination}", 4)
    udp(scratch, "p1", GROUP, 4)
    until(lambda: [received(sink) for sink in sinks["p1"]] == [4, 4])
    assert [received(sink) for sink in sinks["p2"]] == [4, 4]
    assert [received(sink) for sink in sinks["p3"]] == [4, 4]  # those of p2
    assert received(multicast) == 0
