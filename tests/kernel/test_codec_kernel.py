"""What the kernel makes of our qdiscs and classes: read back by our decoders, and by tc."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest

from linkem_py.kernel.codec import (
    class_dump_message,
    class_message,
    class_rows,
    decode_cake,
    decode_fifo,
    decode_fq_codel,
    decode_htb,
    decode_htb_class,
    decode_netem,
    decode_prio,
    decode_tbf,
    qdisc_message,
)
from linkem_py.plan.objects import (
    TC_H_ROOT,
    Cake,
    Class,
    Fifo,
    FourStateLoss,
    FqCodel,
    GilbertElliottLoss,
    Htb,
    HtbClass,
    Netem,
    NetemSlot,
    Prio,
    Qdisc,
    Tbf,
)
from tests.conftest import capabilities
from tests.kernel.scratch import ETH0, Scratch

ALL = 0xFFFFFFFF
ROOT_TABLE = 0x80000000


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        made.lan(1)
        yield made


def root(options: Netem) -> Qdisc:
    return Qdisc("p1", "eth0", 0x10000, TC_H_ROOT, "netem", options)


def as_kernel_shows(options: Netem, shown: Netem) -> Netem:
    """The kernel does not report a delay table, and a seed only if it takes one."""
    seed = options.seed if capabilities().seed and options.seed is not None else shown.seed
    slot = None if options.slot is None else options.slot._replace(table=b"")
    return options._replace(table=b"", slot=slot, seed=seed)


# ------------------------------------------------------------------------------------------ netem

PLAIN = Netem(limit_packets=1000, latency_ns=20_000_000, seed=7)
EVERYTHING = Netem(
    limit_packets=12345,
    latency_ns=400_000_000_123,
    jitter_ns=1_234_567,
    delay_correlation=1,
    table=struct.pack("=4h", -8192, -100, 100, 8192),
    loss=0x10000000,
    loss_correlation=2,
    duplicate=0x20000000,
    duplicate_correlation=3,
    corrupt=0x30000000,
    corrupt_correlation=4,
    reorder=0x40000000,
    reorder_correlation=5,
    gap=7,
    ecn=True,
    rate=2**33 + 1,
    packet_overhead=-14,
    cell_size=48,
    cell_overhead=5,
    seed=2**64 - 2,
)
STATES = [
    PLAIN,
    EVERYTHING,
    PLAIN._replace(loss_model=GilbertElliottLoss(1, 2, 3, 4)),
    PLAIN._replace(loss_model=FourStateLoss(1, 2, 3, 4, 5)),
    PLAIN._replace(loss=5, jitter_ns=1000),
    PLAIN._replace(rate=2**32 - 1),
    PLAIN._replace(rate=2**32),
    PLAIN._replace(latency_ns=1, limit_packets=1),
    PLAIN._replace(reorder=ALL, gap=1),
    PLAIN._replace(slot=NetemSlot(5_000_000)),
    PLAIN._replace(slot=NetemSlot(5_000_000, 1_000_000, 5, 6000)),
    PLAIN._replace(slot=NetemSlot(5_000_000, 1_000_000, 5, table=struct.pack("=2h", -8192, 8192))),
]


@pytest.mark.kernel("netem")
def test_netem_can_change_from_any_state_to_any_other(scratch: Scratch) -> None:
    scratch.send("p1", qdisc_message("create", root(PLAIN), ETH0))
    for before in STATES:
        for after in STATES:
            for options in (before, after):
                scratch.send("p1", qdisc_message("change", root(options), ETH0))
                shown = decode_netem(scratch.qdiscs("p1")[0x10000].options)
                assert shown == as_kernel_shows(options, shown)


@pytest.mark.kernel("netem")
@pytest.mark.parametrize("options", STATES)
def test_netem_is_created_as_it_is_changed(scratch: Scratch, options: Netem) -> None:
    scratch.send("p1", qdisc_message("create", root(options), ETH0))
    shown = decode_netem(scratch.qdiscs("p1")[0x10000].options)
    assert shown == as_kernel_shows(options, shown)


@pytest.mark.kernel("netem")
def test_a_change_takes_away_the_slots_that_somebody_else_set(scratch: Scratch) -> None:
    scratch.send("p1", qdisc_message("create", root(PLAIN), ETH0))
    scratch.run("p1", "tc qdisc change dev eth0 root handle 1: netem limit 9 delay 1ms slot 20ms")
    assert "slot" in scratch.run("p1", "tc qdisc show dev eth0")
    scratch.send("p1", qdisc_message("change", root(PLAIN), ETH0))
    assert "slot" not in scratch.run("p1", "tc qdisc show dev eth0")


@pytest.mark.kernel("netem")
@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (NetemSlot(15_000_000, 5_000_000, 5, 4000), "slot 10ms 20ms packets 5 bytes 4000"),
        (NetemSlot(15_000_000), "slot 15ms 15ms"),
        (NetemSlot(9_000_000, 2_000_000, table=struct.pack("=2h", -1, 1)), "slot distribution 9ms 2ms"),
    ],
)
def test_tc_shows_the_slots_that_were_meant(scratch: Scratch, slot: NetemSlot, text: str) -> None:
    scratch.send("p1", qdisc_message("create", root(PLAIN._replace(slot=slot)), ETH0))
    assert f" {text}" in scratch.run("p1", "tc qdisc show dev eth0")


@pytest.mark.kernel("netem")
def test_tc_shows_the_netem_that_was_meant(scratch: Scratch) -> None:
    options = Netem(
        limit_packets=5000,
        latency_ns=20_000_000,
        jitter_ns=5_000_000,
        delay_correlation=ALL // 4,
        duplicate=round(ALL * 0.02),
        corrupt=round(ALL * 0.01),
        reorder=ALL // 2,
        reorder_correlation=ALL // 10,
        gap=3,
        ecn=True,
        rate=1_250_000,
        packet_overhead=20,
        cell_size=100,
        cell_overhead=5,
        loss_model=GilbertElliottLoss(round(ALL * 0.01), round(ALL * 0.1), round(ALL * 0.3), 0),
    )
    scratch.send("p1", qdisc_message("create", root(options), ETH0))
    shown = scratch.run("p1", "tc -d qdisc show dev eth0").split("seed")[0].split()
    assert " ".join(shown) == (
        "qdisc netem 1: root refcnt 2 limit 5000 delay 20ms 5ms 25% loss gemodel p 1% r 10% 1-h 70% 1-k 0% "
        "duplicate 2% reorder 50% 10% corrupt 1% rate 10Mbit packetoverhead 20 cellsize 100 celloverhead 5 "
        "ecn gap 3"
    )


# ------------------------------------------------------------------------------ htb, prio, fifo


@pytest.mark.kernel("htb", "bfifo")
@pytest.mark.parametrize(
    "options",
    [
        HtbClass(rate=1_000_000, ceil=2_000_000, burst=15_000, cburst=20_000, quantum=1514, prio=3),
        HtbClass(rate=1, ceil=1, burst=1, cburst=1, quantum=1),
        HtbClass(rate=2**32 - 1, ceil=2**32, burst=100_000, cburst=100_000, quantum=60_000),
        HtbClass(rate=2**35, ceil=2**40, burst=1_000_000, cburst=1_000_000, quantum=200_000, prio=7),
    ],
)
def test_an_htb_class_is_created_and_changed_exactly(scratch: Scratch, options: HtbClass) -> None:
    scratch.qdisc("p1", "htb", Htb(default=0x20, r2q=7))
    assert decode_htb(scratch.qdiscs("p1")[0x10000].options) == Htb(default=0x20, r2q=7)
    other = HtbClass(rate=999, ceil=999, burst=9, cburst=9, quantum=9, prio=1)
    for classid, steps in ((0x10001, ("create",)), (0x10002, ("create", "change"))):
        for verb, meant in zip(steps, (options,) if len(steps) == 1 else (other, options), strict=True):
            made = Class("p1", "eth0", classid, 0x10000, "htb", meant)
            scratch.send("p1", class_message(verb, made, ETH0))  # type: ignore[arg-type]
        rows = class_rows(scratch.spaces["p1"].netlink.dump(class_dump_message(ETH0)))
        shown = next(decode_htb_class(row.options) for row in rows if row.classid == classid)
        assert shown._replace(burst=0, cburst=0) == options._replace(burst=0, cburst=0)
        assert options.burst <= shown.burst <= options.burst + options.rate * 64 // 10**9
        assert options.cburst <= shown.cburst <= options.cburst + options.ceil * 64 // 10**9


@pytest.mark.kernel("htb", "bfifo")
def test_tc_shows_the_htb_class_and_queue_that_were_meant(scratch: Scratch) -> None:
    scratch.qdisc("p1", "htb", Htb())
    scratch.htb_class("p1", 0x10002, HtbClass(1_000_000, 2_000_000, 15_000, 20_000, 1514, 3))
    scratch.qdisc("p1", "bfifo", Fifo(64_000), 0x20000, 0x10002)
    scratch.send("p1", qdisc_message("change", Qdisc("p1", "eth0", 0x20000, 0x10002, "bfifo", Fifo(65_000)), ETH0))
    assert decode_fifo(scratch.qdiscs("p1")[0x20000].options) == Fifo(65_000)
    assert scratch.run("p1", "tc -d class show dev eth0").strip() == (
        "class htb 1:2 root leaf 2: prio 3 quantum 1514 rate 8Mbit ceil 16Mbit linklayer ethernet "
        "burst 15000b/1 mpu 0b cburst 20000b/1 mpu 0b level 0"
    )
    assert "qdisc bfifo 2: parent 1:2 limit 65000b" in scratch.run("p1", "tc qdisc show dev eth0")


@pytest.mark.kernel("fq_codel")
def test_tc_shows_the_fq_codel_that_was_meant(scratch: Scratch) -> None:
    scratch.qdisc("p1", "fq_codel", FqCodel(500))
    changed = FqCodel(600, 8192, 204_800, ecn=True)
    scratch.send("p1", qdisc_message("change", Qdisc("p1", "eth0", 0x10000, TC_H_ROOT, "fq_codel", changed), ETH0))
    assert decode_fq_codel(scratch.qdiscs("p1")[0x10000].options) == changed
    shown = scratch.run("p1", "tc qdisc show dev eth0")
    assert " limit 600p flows 1024 " in shown
    assert " ecn" in shown


@pytest.mark.kernel("tbf")
@pytest.mark.parametrize("options", [Tbf(1_000_000, 2000, 60_000), Tbf(2**33, 2_000_000, 2**31 - 1)])
def test_the_kernel_has_the_tbf_that_was_meant(scratch: Scratch, options: Tbf) -> None:
    scratch.qdisc("p1", "tbf", Tbf(5_000_000, 9000, 70_000))
    scratch.send("p1", qdisc_message("change", Qdisc("p1", "eth0", 0x10000, TC_H_ROOT, "tbf", options), ETH0))
    shown = decode_tbf(scratch.qdiscs("p1")[0x10000].options)
    assert (shown.rate, shown.limit) == (options.rate, options.limit)
    assert abs(shown.burst - options.burst) <= 1 + options.rate * 64 // 10**9


@pytest.mark.kernel("cake")
def test_tc_shows_the_cake_that_was_meant(scratch: Scratch) -> None:
    scratch.qdisc("p1", "cake", Cake())
    assert decode_cake(scratch.qdiscs("p1")[0x10000].options) == Cake()
    assert " bandwidth unlimited besteffort " in scratch.run("p1", "tc qdisc show dev eth0")
    changed = Cake(9000, 150_000, 1_000_000)
    scratch.send("p1", qdisc_message("change", Qdisc("p1", "eth0", 0x10000, TC_H_ROOT, "cake", changed), ETH0))
    assert decode_cake(scratch.qdiscs("p1")[0x10000].options) == changed
    assert " bandwidth 8Mbit besteffort " in scratch.run("p1", "tc qdisc show dev eth0")


@pytest.mark.kernel("prio")
def test_all_bands_of_a_prio_start_at_the_first(scratch: Scratch) -> None:
    scratch.qdisc("p1", "prio", Prio(16))
    assert decode_prio(scratch.qdiscs("p1")[0x10000].options) == Prio(16)
    shown = scratch.run("p1", "tc qdisc show dev eth0")
    assert shown.strip().endswith("bands 16 priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0")


@pytest.mark.kernel("htb", "netem")
def test_create_wants_nothing_there_and_change_wants_something(scratch: Scratch) -> None:
    class_ = Class("p1", "eth0", 0x10001, 0x10000, "htb", HtbClass(1, 1, 1, 1, 1))
    qdisc = Qdisc("p1", "eth0", 0x20000, 0x10001, "netem", PLAIN)
    scratch.qdisc("p1", "htb", Htb())
    assert scratch.refused("p1", class_message("change", class_, ETH0)) == errno.ENOENT
    scratch.send("p1", class_message("create", class_, ETH0))
    assert scratch.refused("p1", class_message("create", class_, ETH0)) == errno.EEXIST
    assert scratch.refused("p1", qdisc_message("change", qdisc, ETH0))
    scratch.send("p1", qdisc_message("create", qdisc, ETH0))
    assert scratch.refused("p1", qdisc_message("create", qdisc, ETH0)) == errno.EEXIST
    scratch.send("p1", qdisc_message("delete", qdisc, ETH0), class_message("delete", class_, ETH0))
    assert scratch.refused("p1", class_message("delete", class_, ETH0)) == errno.ENOENT
