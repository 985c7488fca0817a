from __future__ import annotations

from array import array
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.model import DelayTable, FourState, GilbertElliott, Impairment, Link, Slot
from linkem_py.model.impairment import ShaperKind
from linkem_py.plan import translate
from linkem_py.plan.objects import (
    Cake,
    Fifo,
    FourStateLoss,
    FqCodel,
    GilbertElliottLoss,
    HtbClass,
    Netem,
    NetemSlot,
    Tbf,
)
from linkem_py.plan.translate import CERTAIN, FRAME, LEAST_LATENCY_NS, LEAST_LIMIT, MOST_LIMIT, SMALLEST
from tests import strategies as own

NOTHING = Impairment()


@pytest.mark.parametrize(("pct", "fraction"), [(0, 0), (100, 2**32 - 1), (50, 2**31), (1e-9, 0), (0.1, 4294967)])
def test_a_percentage_becomes_a_32_bit_fraction(pct: float, fraction: int) -> None:
    assert translate.fraction(pct) == fraction


@pytest.mark.parametrize(("ms", "ns"), [(0, 0), (0.000001, 1), (1.1, 1_100_000), (3_600_000, 3_600_000_000_000)])
def test_milliseconds_become_nanoseconds(ms: float, ns: int) -> None:
    assert translate.nanoseconds(ms) == ns


def test_a_link_that_does_nothing_has_a_netem_that_does_nothing() -> None:
    assert translate.netem(NOTHING) == Netem(LEAST_LIMIT)
    assert translate.htb_class(NOTHING) == translate.UNLIMITED_CLASS


@given(own.impairments().filter(lambda impairment: not impairment.is_clear))
def test_a_link_that_does_anything_waits_at_least_a_microsecond(impairment: Impairment) -> None:
    assert translate.netem(impairment).latency_ns >= LEAST_LATENCY_NS


@given(own.impairments(), st.booleans(), st.booleans())
def test_every_number_fits_into_what_the_kernel_has_for_it(
    impairment: Impairment, own_rate: bool, isolated: bool
) -> None:
    netem = translate.netem(impairment, own_rate=own_rate, isolated=isolated)
    for name in ("loss", "duplicate", "corrupt", "reorder", "delay"):
        if name != "delay":
            assert 0 <= getattr(netem, name) <= CERTAIN
        assert 0 <= getattr(netem, f"{name}_correlation") <= CERTAIN
    assert 1 <= netem.limit_packets <= MOST_LIMIT
    assert 0 <= netem.rate < 2**63
    if netem.slot is not None:
        assert 0 <= netem.slot.jitter_ns <= netem.slot.delay_ns
        assert 1 <= netem.slot.room_packets < 2**31
        assert 1 <= netem.slot.room_bytes < 2**31
    assert 0 <= netem.jitter_ns <= netem.latency_ns < 2**63
    assert netem.gap >= (1 if netem.reorder else 0)
    kind, queue = translate.queue(impairment)
    assert kind in ("bfifo", "pfifo", "fq_codel", "cake", "tbf")
    if isinstance(queue, FqCodel | Cake):
        assert 5000 <= queue.target_us < queue.interval_us < 2**32
    if not isinstance(queue, Cake):
        assert 1 <= queue.limit < 2**32
    shaper = translate.htb_class(impairment)
    assert 1 <= shaper.rate == shaper.ceil <= translate.UNLIMITED_RATE
    assert FRAME <= shaper.burst == shaper.cburst
    assert shaper.quantum == FRAME


def test_all_settings_reach_netem() -> None:
    impairment = Impairment(
        delay_ms=10,
        jitter_ms=2,
        delay_correlation_pct=25,
        distribution=DelayTable([-1, 1]),
        loss_pct=50,
        duplicate_pct=10,
        duplicate_correlation_pct=20,
        corrupt_pct=30,
        corrupt_correlation_pct=40,
        reorder_pct=50,
        reorder_correlation_pct=60,
        reorder_gap=7,
        ecn=True,
    )
    assert translate.netem(impairment) == Netem(
        limit_packets=LEAST_LIMIT,
        latency_ns=10_000_000,
        jitter_ns=2_000_000,
        delay_correlation=translate.fraction(25),
        table=array("h", [-1, 1]).tobytes(),
        loss=translate.fraction(50),
        duplicate=translate.fraction(10),
        duplicate_correlation=translate.fraction(20),
        corrupt=translate.fraction(30),
        corrupt_correlation=translate.fraction(40),
        reorder=translate.fraction(50),
        reorder_correlation=translate.fraction(60),
        gap=7,
        ecn=True,
    )


def test_reordering_without_a_gap_may_send_any_packet_at_once() -> None:
    # netem reorders only with a gap: 1 is every packet.
    assert translate.netem(Impairment(delay_ms=1, reorder_pct=5)).gap == 1
    assert translate.netem(Impairment(delay_ms=1)).gap == 0


# --- loss ---------------------------------------------------------------------------------------


def test_loss_of_each_packet_on_its_own_needs_no_model() -> None:
    netem = translate.netem(Impairment(loss_pct=5))
    assert (netem.loss, netem.loss_model) == (translate.fraction(5), None)


def test_correlated_loss_is_a_model_of_the_same_mean() -> None:
    netem = translate.netem(Impairment(loss_pct=5, loss_correlation_pct=20))
    assert (netem.loss, netem.loss_correlation) == (0, 0)
    assert netem.loss_model == GilbertElliottLoss(translate.fraction(4), translate.fraction(76), 0, 0)


def test_the_kernels_own_correlated_loss_is_there_for_those_who_ask() -> None:
    netem = translate.netem(Impairment(loss_pct=5, loss_correlation_pct=20, kernel_loss_correlation=True))
    expected = (translate.fraction(5), translate.fraction(20), None)
    assert (netem.loss, netem.loss_correlation, netem.loss_model) == expected


@pytest.mark.parametrize("correlation_pct", [1, 50, 100])
def test_a_certain_loss_is_certain_whatever_its_correlation(correlation_pct: float) -> None:
    model = translate.netem(Impairment(loss_pct=100, loss_correlation_pct=correlation_pct)).loss_model
    assert model == GilbertElliottLoss(0, 0, 0, CERTAIN)


def test_models_reach_the_kernel_in_its_own_terms() -> None:
    elliott = translate.loss_model(Impairment(loss=GilbertElliott(1, 10, 80, 2)))
    # h is what the bad state delivers.
    f = translate.fraction
    assert elliott == GilbertElliottLoss(f(1), f(10), CERTAIN - f(80), f(2))
    states = translate.loss_model(Impairment(loss=FourState(1, 10, 20, 30, 5)))
    assert states == FourStateLoss(p13=f(1), p31=f(10), p32=f(20), p14=f(5), p23=f(30))


# --- rate and queue -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"rate_kbit": 1000}, HtbClass(125_000, 125_000, FRAME, FRAME, FRAME)),
        ({"rate_kbit": 1e6}, HtbClass(125_000_000, 125_000_000, 125_000, 125_000, FRAME)),
        ({"rate_kbit": 1000, "burst_kb": 30}, HtbClass(125_000, 125_000, 30_000, 30_000, FRAME)),
        ({"rate_kbit": 1000, "burst_kb": 0.1}, HtbClass(125_000, 125_000, FRAME, FRAME, FRAME)),
        ({"rate_kbit": 1}, HtbClass(125, 125, FRAME, FRAME, FRAME)),
    ],
    ids=str,
)
def test_the_rate_is_that_of_the_class(fields: dict[str, Any], expected: HtbClass) -> None:
    assert translate.htb_class(Impairment(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"rate_kbit": 10_000}, ("bfifo", Fifo(125_000))),
        ({"rate_kbit": 100}, ("bfifo", Fifo(10 * FRAME))),
        ({"rate_kbit": 10_000, "queue_ms": 20}, ("bfifo", Fifo(25_000))),
        ({"rate_kbit": 100, "queue_ms": 1}, ("bfifo", Fifo(FRAME))),
        ({"rate_kbit": 8e9, "queue_ms": 600_000}, ("bfifo", Fifo(2**31 - 1))),
        ({"rate_kbit": 100, "queue_packets": 7}, ("pfifo", Fifo(7))),
        ({"rate_kbit": 10_000, "queue": "fq_codel"}, ("fq_codel", FqCodel(10240, 5000, 100_000, False))),
        ({"rate_kbit": 10_000, "queue": "fq_codel", "ecn": True}, ("fq_codel", FqCodel(ecn=True))),
        ({"rate_kbit": 10_000, "queue": "fq_codel", "queue_packets": 50}, ("fq_codel", FqCodel(50))),
        ({"rate_kbit": 12_112, "queue": "fq_codel", "queue_ms": 20}, ("fq_codel", FqCodel(20))),
        # 1514 bytes take 121.12 ms.
        ({"rate_kbit": 100, "queue": "cake"}, ("cake", Cake(181_680, 363_360))),
        ({"rate_kbit": 10_000, "queue": "cake"}, ("cake", Cake())),
        ({"rate_kbit": 10_000, "shaper": "cake"}, ("cake", Cake(rate=1_250_000))),
        ({"rate_kbit": 10_000, "shaper": "tbf", "burst_kb": 5, "queue_ms": 20}, ("tbf", Tbf(1_250_000, 5000, 25_000))),
        ({"rate_kbit": 10_000, "shaper": "netem", "queue_packets": 9}, ("bfifo", Fifo(2**31 - 1))),
        ({}, ("bfifo", Fifo(2**31 - 1))),
    ],
    ids=str,
)
def test_the_queue_is_as_long_as_asked_for(fields: dict[str, Any], expected: tuple[str, Any]) -> None:
    assert translate.queue(Impairment(**fields)) == expected


@given(own.impairments())
def test_netem_holds_all_that_is_in_flight_and_all_that_waits(impairment: Impairment) -> None:
    limit = translate.netem_limit(impairment, own_rate=False)
    longest_s = (impairment.delay_ms + 4 * impairment.jitter_ms) / 1000
    in_flight = (impairment.rate_kbit or 0) * 125 * longest_s / SMALLEST
    if impairment.slot is None or not impairment.slot.is_limited:
        assert limit >= min(MOST_LIMIT, int(in_flight) + (impairment.queue_packets or 0))
        assert limit >= LEAST_LIMIT


def test_slots_reach_netem_in_its_units() -> None:
    assert translate.netem(Impairment(slot=Slot(10))).slot == NetemSlot(10_000_000)
    slot = Slot(10, 2, DelayTable([-1, 1]), packets=3, kb=0.5)
    assert translate.netem(Impairment(slot=slot)).slot == NetemSlot(
        10_000_000, 2_000_000, 3, 500, DelayTable([-1, 1]).packed()
    )
    assert translate.netem(Impairment(slot=Slot(10, kb=0.0001))).slot == NetemSlot(10_000_000, room_bytes=1)


def test_what_waits_for_a_slot_is_in_flight() -> None:
    slotted = Impairment(rate_kbit=10_000, delay_ms=10, slot=Slot(20, 5))
    plain = Impairment(rate_kbit=10_000, delay_ms=50)
    assert translate.in_flight_packets(slotted, 1_250_000) == translate.in_flight_packets(plain, 1_250_000)


@pytest.mark.parametrize(
    ("impairment", "packets"),
    [
        (Impairment(slot=Slot(10, packets=3)), (1 + 10) * 3 + 10),
        (Impairment(slot=Slot(10, packets=3), delay_ms=40), (5 + 10) * 3 + 10),
        (Impairment(slot=Slot(200, kb=6.4)), (1 + 1) * 100 + 10),
        (Impairment(slot=Slot(10, packets=3), rate_kbit=512, queue_packets=7), (1 + 10) * 3 + 10 + 7),
        (Impairment(slot=Slot(0.001, packets=2**31 - 1)), MOST_LIMIT),
    ],
)
def test_slots_that_can_be_full_bound_what_waits_for_them(impairment: Impairment, packets: int) -> None:
    assert translate.netem_limit(impairment, own_rate=False) == packets


def test_with_a_rate_of_its_own_netems_limit_is_the_queue() -> None:
    waiting = Impairment(rate_kbit=1000, queue_packets=9)
    assert translate.netem(waiting, own_rate=True).limit_packets == 9
    assert translate.netem(waiting, own_rate=True).rate == 125_000
    assert translate.netem(waiting).rate == 0
    flying = Impairment(rate_kbit=1000, delay_ms=100, queue_ms=1000)
    assert translate.netem_limit(flying, own_rate=True) == -(-12_500 // SMALLEST) + -(-125_000 // FRAME)
    assert translate.netem_limit(NOTHING, own_rate=True) == LEAST_LIMIT


@pytest.mark.parametrize(("fields", "rate"), [
    ({"jitter_ms": 1, "keep_order": True}, 2**32 - 1),
    ({"jitter_ms": 1, "keep_order": False}, 0),
    ({"keep_order": True}, 2**32 - 1),
])  # fmt: skip
def test_a_rate_beyond_any_other_keeps_jittered_packets_in_order(fields: dict[str, float], rate: int) -> None:
    assert translate.netem(Impairment(delay_ms=5, **fields)).rate == rate  # type: ignore[arg-type]


def test_a_rate_of_its_own_keeps_the_order_too() -> None:
    impairment = Impairment(delay_ms=5, jitter_ms=1, keep_order=True, rate_kbit=8)
    assert translate.netem(impairment, own_rate=True).rate == 1000


# --- duplication and seeds ----------------------------------------------------------------------


def test_isolated_duplication_happens_elsewhere() -> None:
    impairment = Impairment(duplicate_pct=5, duplicate_correlation_pct=10, loss_pct=3)
    there = translate.netem(impairment, isolated=True)
    assert (there.duplicate, there.duplicate_correlation, there.loss) == (0, 0, translate.fraction(3))
    elsewhere = translate.duplicator(impairment)
    assert elsewhere == Netem(
        LEAST_LIMIT, duplicate=translate.fraction(5), duplicate_correlation=translate.fraction(10)
    )


LINK = Link("a", "b", "lan", NOTHING, 0)


def test_a_seed_follows_from_the_run_the_link_and_the_revision() -> None:
    others = [
        translate.link_seed(2, LINK),
        translate.link_seed(1, attrs.evolve(LINK, source="b", destination="a")),
        translate.link_seed(1, attrs.evolve(LINK, segment="lte")),
        translate.link_seed(1, attrs.evolve(LINK, revision=1)),
        translate.link_seed(1, LINK, role="duplicator"),
    ]
    assert translate.link_seed(1, LINK) == translate.link_seed(1, attrs.evolve(LINK, slot=3))
    assert len({translate.link_seed(1, LINK), *others}) == 6
    assert all(0 <= seed < 2**64 for seed in others)


def test_a_links_own_seed_is_used_until_its_first_change() -> None:
    own_seed = attrs.evolve(LINK, impairment=Impairment(seed=5))
    assert translate.link_seed(1, own_seed) == 5
    changed = attrs.evolve(own_seed, revision=1)
    assert translate.link_seed(1, changed) == translate.link_seed(2, changed) != 5


def test_the_two_netems_of_a_link_draw_different_numbers() -> None:
    for link in (LINK, attrs.evolve(LINK, impairment=Impairment(seed=5))):
        assert translate.link_seed(1, link) != translate.link_seed(1, link, role="duplicator")


def test_netem_has_room_for_the_ceiling_of_a_schedule() -> None:
    low, high = Impairment(delay_ms=300, rate_kbit=1000), Impairment(delay_ms=300, rate_kbit=2e6)
    wanted = translate.netem_limit(high, own_rate=False)
    assert wanted > LEAST_LIMIT
    for impairment in (low, high, Impairment(delay_ms=300)):
        assert translate.netem_limit(impairment, own_rate=False, ceiling_kbit=2e6) == wanted
        assert translate.netem(impairment, ceiling_kbit=2e6).limit_packets == wanted
    assert translate.netem_limit(high, own_rate=False, ceiling_kbit=1000) == wanted
    # With a rate of its own netem's limit is the queue, and a tick is a netem message anyway.
    assert translate.netem_limit(low, own_rate=True, ceiling_kbit=2e6) == translate.netem_limit(low, own_rate=True)
    assert translate.netem_limit(NOTHING, own_rate=True, ceiling_kbit=2e6) == LEAST_LIMIT


@pytest.mark.parametrize(
    ("mtu", "four", "metrics"),
    [(1300, True, (1300, 1460)), (68, True, (68, 1460)), (1300, False, (1300, 1440)), (68, False, (1280, 1440))],
)
def test_a_route_advertises_the_segments_of_the_interface(mtu: int, four: bool, metrics: tuple[int, int]) -> None:
    assert translate.route_metrics(mtu, four=four) == metrics


def test_netem_marks_only_what_it_would_lose() -> None:
    marking = Impairment(rate_kbit=1000, queue="fq_codel", ecn=True)
    assert not translate.netem(marking).ecn
    assert translate.netem(marking.evolve(loss_pct=1)).ecn


def test_netem_has_room_for_what_a_queue_holds() -> None:
    slot = Slot(10, packets=3)
    for fields, packets in (({}, 10240), ({"queue_packets": 50}, 50), ({"queue_ms": 64}, 1000)):
        impairment = Impairment(rate_kbit=8000, queue="fq_codel", slot=slot, **fields)  # type: ignore[arg-type]
        assert translate.netem_limit(impairment, own_rate=False) == (1 + 10) * 3 + 10 + packets


@pytest.mark.parametrize("shaper", ["tbf", "netem", "cake"])
def test_another_shaper_leaves_the_class_unlimited(shaper: ShaperKind) -> None:
    assert translate.htb_class(Impairment(rate_kbit=5, shaper=shaper)) == translate.UNLIMITED_CLASS


def test_netem_as_the_shaper_counts_packets_and_cells() -> None:
    shaped = Impairment(
        rate_kbit=8000, shaper="netem", queue_packets=9, packet_overhead=-14, cell_size=48, cell_overhead=5
    )
    netem = translate.netem(shaped)
    assert (netem.rate, netem.packet_overhead, netem.cell_size, netem.cell_overhead) == (1_000_000, -14, 48, 5)
    assert netem.limit_packets == 9


def test_netem_has_room_for_what_cake_holds() -> None:
    shaped = Impairment(rate_kbit=8000, shaper="cake", slot=Slot(10, packets=3))
    assert translate.netem_limit(shaped, own_rate=False) == (1 + 10) * 3 + 10 + 10240
