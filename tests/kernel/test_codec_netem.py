"""netem's options: what is written is read back, and the linear table is a uniform delay."""

from __future__ import annotations

import itertools
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from linkem_py.kernel.codec import UNIFORM_TABLE, decode_netem, encode_netem, qdisc_message
from linkem_py.plan.objects import TC_H_ROOT, GilbertElliottLoss, Netem, NetemSlot, Qdisc
from tests.kernel.strategies import netems
from tests.kernel.wire import Parsed, parse

LATENCY64, JITTER64, DIST, LOSS, SLOT, SLOT_DIST, SEED = 10, 11, 2, 5, 12, 13, 14


def sent(options: Netem, *, change: bool = False, before: Netem | None = None) -> Parsed:
    made = Qdisc("a", "eth0", 0x10000, TC_H_ROOT, "netem", options)
    return parse(qdisc_message("change" if change else "create", made, 3, before))


@given(netems, st.booleans())
def test_what_is_encoded_is_decoded(options: Netem, change: bool) -> None:
    assert decode_netem(encode_netem(options, change=change)) == options


@given(netems, st.booleans())
def test_every_field_is_always_written(options: Netem, change: bool) -> None:
    """What a change omits, the kernel keeps."""
    found = sent(options, change=change).attributes
    always = {(2, kind) for kind in (0, 1, 3, 4, 6, 7, LATENCY64, JITTER64)}
    assert always <= found.keys()
    assert ((2, SLOT) in found) == (change or options.slot is not None)
    assert ((2, SEED) in found) == (options.seed is not None)
    assert any(path[:2] == (2, LOSS) for path in found) == (options.loss_model is not None)


@given(netems)
def test_pyroute2_reads_the_same(options: Netem) -> None:
    made = Qdisc("a", "eth0", 0x10000, TC_H_ROOT, "netem", options)
    message = tcmsg(qdisc_message("create", made, 3))
    message.decode()
    read = message.get_attr("TCA_OPTIONS")
    assert (read["limit"], read["loss"], read["duplicate"], read["gap"]) == (
        options.limit_packets, options.loss, options.duplicate, options.gap,
    )  # fmt: skip
    assert tuple(read.get_attr("TCA_NETEM_CORR").values()) == (
        options.delay_correlation, options.loss_correlation, options.duplicate_correlation,
    )  # fmt: skip
    assert tuple(read.get_attr("TCA_NETEM_REORDER").values()) == (options.reorder, options.reorder_correlation)
    assert tuple(read.get_attr("TCA_NETEM_CORRUPT").values()) == (options.corrupt, options.corrupt_correlation)
    assert tuple(read.get_attr("TCA_NETEM_RATE").values()) == (
        min(options.rate, 2**32 - 1), options.packet_overhead, options.cell_size, options.cell_overhead,
    )  # fmt: skip


def test_delays_beyond_32_bits_of_ticks_are_clamped_there_only() -> None:
    found = sent(Netem(1, 400_000_000_000, 300_000_000_000)).attributes
    latency, _, _, _, _, jitter = struct.unpack("=6I", found[2, 0])
    assert latency == jitter == 2**32 - 1
    assert found[2, LATENCY64] == struct.pack("=q", 400_000_000_000)


@pytest.mark.parametrize(("rate", "rate64"), [(2**32 - 1, False), (2**32, True)])
def test_a_rate_of_more_than_32_bits_takes_a_second_attribute(rate: int, rate64: bool) -> None:
    """The kernel takes the larger of the two, so the second must be absent when the rate goes down."""
    assert ((2, 8) in sent(Netem(1, rate=rate), change=True).attributes) == rate64


def test_reordering_without_a_gap_gets_one_as_tc_gives_it() -> None:
    assert decode_netem(encode_netem(Netem(1, reorder=5))).gap == 1
    assert decode_netem(encode_netem(Netem(1))).gap == 0


def test_a_changed_seed_changes_nothing_else() -> None:
    options = Netem(1000, 5, loss_model=GilbertElliottLoss(1, 2, 3, 4), seed=1)
    one, other = encode_netem(options), encode_netem(options._replace(seed=2**64 - 1))
    assert one[:-8] == other[:-8]
    assert other[-8:] == b"\xff" * 8


# ------------------------------------------------------------------------------------------ slots

TABLED = NetemSlot(9, 2, table=b"\1\0\2\0")


def test_a_change_to_uniform_slots_replaces_their_table() -> None:
    """The kernel keeps a table once it has one, and then takes the second form of the time."""
    changed = sent(Netem(1, slot=NetemSlot(9, 2)), change=True).attributes
    assert changed[2, SLOT_DIST] == UNIFORM_TABLE
    assert struct.unpack("=qqiiqq", changed[2, SLOT]) == (7, 11, 0, 0, 9, 2)
    assert (2, SLOT_DIST) not in sent(Netem(1, slot=NetemSlot(9, 2))).attributes


@pytest.mark.parametrize("slot", [TABLED, NetemSlot(9, 2)])
def test_a_table_of_slots_that_the_kernel_has_is_not_sent_again(slot: NetemSlot) -> None:
    after = Netem(1, slot=slot._replace(delay_ns=8))
    for before, again in (
        (Netem(1), True),
        (Netem(1, slot=slot), False),
        (Netem(1, slot=NetemSlot(1, 1, table=b"xxxx")), True),
    ):
        assert ((2, SLOT_DIST) in sent(after, change=True, before=before).attributes) == again


# ------------------------------------------------------------------------------- the uniform table


def test_a_change_to_uniform_jitter_replaces_the_table() -> None:
    assert sent(Netem(1, 10, 5), change=True).attributes[2, DIST] == UNIFORM_TABLE
    assert (2, DIST) not in sent(Netem(1, 10, 5)).attributes  # a new netem has no table
    assert (2, DIST) not in sent(Netem(1, 10), change=True).attributes  # without jitter none is used


def tabledist(sigma: int, entry: int) -> int:
    """The kernel's own arithmetic (sch_netem.c), with C's division towards zero."""
    x = (sigma % 8192) * entry
    x += 4096 if x >= 0 else -4096
    return int(x / 8192) + (sigma // 8192) * entry


@pytest.mark.parametrize("table", [b"", b"\1\0\2\0"])
def test_a_table_that_the_kernel_has_is_not_sent_again(table: bytes) -> None:
    before = Netem(1000, latency_ns=5_000_000, jitter_ns=1_000_000, table=table)
    after = before._replace(latency_ns=7_000_000)
    assert (2, DIST) in sent(after, change=True).attributes
    assert (2, DIST) not in sent(after, change=True, before=before).attributes
    # Without jitter nobody says which table was left behind.
    assert (2, DIST) in sent(after, change=True, before=before._replace(jitter_ns=0)).attributes
    assert (2, DIST) in sent(after, change=True, before=before._replace(table=b"\5\0\6\0")).attributes


@pytest.mark.parametrize("sigma", [1, 1000, 8191, 8192, 5_000_000, 2**31 - 1])
def test_the_linear_table_has_the_mean_and_spread_of_the_uniform_delay(sigma: int) -> None:
    entries = struct.unpack(f"={len(UNIFORM_TABLE) // 2}h", UNIFORM_TABLE)
    assert 2**32 % len(entries) == 0  # each entry is as probable as any other
    delays = [tabledist(sigma, entry) for entry in entries]
    assert sum(delays) == 0
    assert -sigma <= min(delays)
    assert max(delays) <= sigma
    # The kernel's own: an integer out of [-sigma, sigma). Both round to a nanosecond.
    variance = Fraction(sum(delay**2 for delay in delays), len(delays))
    uniform = Fraction(4 * sigma**2 - 1, 12)
    rounding = sigma  # half a nanosecond of a delay of at most sigma, squared: 2 * sigma / 2
    assert abs(variance - uniform) <= uniform / 1024**2 + rounding
    steps = {b - a for a, b in itertools.pairwise(delays)}
    assert max(steps) <= 2 * sigma / 1024 + 1
