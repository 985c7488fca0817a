"""What slots, cells, MTU and queues make of a link, by the kernel's formulas."""

import attrs
import numpy as np
import pytest

from linkem_py import DelayTable, Impairment, Slot
from linkem_py.report import expect, judge, pace
from linkem_py.report.goodput import LAST, Filled, Filling
from linkem_py.report.model import Verdict
from tests.report.samples import QUIET, delays_of, filled, sample_of


def left(impairment: Impairment, sent_ms: list[float], *, frame: int = 100) -> list[float]:
    sent = np.array(sent_ms)
    return [float(one) for one in sent + expect.simulate_ms(impairment, sent, frame=frame)]


def test_a_packet_that_finds_nothing_waiting_opens_a_slot_and_others_leave_with_it() -> None:
    slot = Impairment(delay_ms=5, slot=Slot(20))
    assert left(slot, [0, 3, 19.9, 20.1, 100]) == pytest.approx([25, 25, 25, 45.1, 125])


@pytest.mark.parametrize("slot", [Slot(20, packets=2), Slot(20, kb=0.2)])
def test_a_full_slot_opens_the_next(slot: Slot) -> None:
    assert left(Impairment(slot=slot), [0] * 5) == pytest.approx([20, 20, 40, 40, 60])


def test_slots_vary_as_they_are_asked_to() -> None:
    sent = np.arange(0.0, 400_000.0, 200.0)
    waits = expect.simulate_ms(Impairment(slot=Slot(30, 20)), sent)
    assert (waits.min(), waits.mean(), waits.max()) == pytest.approx((10, 30, 50), abs=1)
    peaks = expect.simulate_ms(Impairment(slot=Slot(30, 20, DelayTable([-8192, 8192]))), sent)
    assert set(np.round(peaks)) == {10, 50}


def test_the_longest_delay_has_the_slot_in_it() -> None:
    assert expect.longest_delay_ms(Impairment(delay_ms=10, jitter_ms=2, slot=Slot(20, 5))) == 37


def test_a_link_with_slots_does_as_asked() -> None:
    impairment = Impairment(delay_ms=10, slot=Slot(20))
    sample = sample_of(impairment, every_ms=7)
    found = judge.link_figures(impairment, sample, delays_of(sample), QUIET)
    figures = {figure.name: figure for figure in found}
    assert figures["delay"].asked == 10
    assert figures["delay"].expected == pytest.approx(10 + 13, abs=3)
    assert figures["delay"].verdict is Verdict.OK
    assert figures["jitter"].verdict is Verdict.OK
    assert figures["delay"].note == "with the wait for a slot"
    without = judge.link_figures(impairment.evolve(slot=None), sample, delays_of(sample), QUIET)
    assert without[0].verdict is Verdict.OUT
    echo = judge.round_trip(impairment, Impairment(), 50, np.full(50, 25.0), QUIET)
    assert echo.verdict is Verdict.FREE


@pytest.mark.parametrize(
    ("fields", "frame", "charged"),
    [
        ({}, 1000, 1000),
        ({"packet_overhead": 22}, 1000, 1022),
        ({"packet_overhead": -14}, 1000, 986),
        ({"cell_size": 48, "cell_overhead": 5}, 1000, 21 * 53),
        ({"cell_size": 48, "cell_overhead": 5, "packet_overhead": 8}, 1000, 21 * 53),
        ({"cell_size": 48, "cell_overhead": 5, "packet_overhead": 9}, 1000, 22 * 53),
        ({"cell_size": 100}, 1000, 1000),
    ],
)
def test_frames_count_with_their_overhead_and_in_whole_cells(fields: dict[str, int], frame: int, charged: int) -> None:
    impairment = Impairment(rate_kbit=2000, shaper="netem").evolve(**fields)
    assert expect.charged_bytes(impairment, frame) == charged
    assert expect.goodput_kbit(impairment, frame) == pytest.approx(2000 * frame / charged)


def test_slots_that_are_full_are_the_rate_where_that_is_less() -> None:
    few = Impairment(rate_kbit=2000, slot=Slot(10, packets=2))
    assert expect.goodput_kbit(few, 1000) == pytest.approx(1600)
    assert expect.goodput_kbit(few.evolve(slot=Slot(10, kb=1.5)), 1000) == pytest.approx(1600)
    assert expect.goodput_kbit(few.evolve(slot=Slot(10, packets=20)), 1000) == 2000
    assert expect.goodput_kbit(few.evolve(slot=Slot(10)), 1000) == 2000


def test_the_goodput_of_cells_is_held_against_what_they_leave() -> None:
    impairment = Impairment(rate_kbit=10_000, shaper="netem", cell_size=48, cell_overhead=5)
    passes = 10_000 * 1000 / (21 * 53)
    figure = judge.goodput(impairment, filled(passes, offered_kbit=12_500), skip_bytes=3000)
    assert (figure.asked, figure.verdict) == (10_000, Verdict.OK)
    assert figure.expected == pytest.approx(passes)
    assert figure.note == "each frame of 1000 bytes counts 1113 for the rate"
    plain = judge.goodput(Impairment(rate_kbit=10_000), filled(passes, offered_kbit=12_500), skip_bytes=3000)
    assert plain.verdict is Verdict.OUT


def test_frames_that_fill_a_link_fit_into_its_mtu() -> None:
    assert Filling.of(Impairment(mtu=1000, rate_kbit=50_000), rate_kbit=50_000).frame == 1014
    assert Filling.of(Impairment(mtu=68, rate_kbit=50_000), rate_kbit=50_000).frame == 82
    assert Filling.of(Impairment(rate_kbit=50_000), rate_kbit=50_000).frame == 1514


def test_a_link_is_filled_for_long_enough_to_fill_its_queue() -> None:
    def surplus_s(impairment: Impairment) -> float:
        assert impairment.rate_kbit is not None
        filling = Filling.of(impairment, rate_kbit=impairment.rate_kbit)
        return LAST * filling.seconds * (filling.frames_per_s * filling.frame * 0.008 / filling.passes_kbit - 1)

    assert surplus_s(Impairment(rate_kbit=50_000)) > 0.1
    assert surplus_s(Impairment(rate_kbit=50_000, queue_ms=400)) > 0.4
    assert surplus_s(Impairment(rate_kbit=50_000, queue_ms=400, queue="fq_codel")) == pytest.approx(0.1)


def test_probes_leave_room_in_slots_and_cells() -> None:
    assert pace.within_rate(Impairment(slot=Slot(10, packets=5)), 10) == pytest.approx(5000 * pace.RATE_SHARE)
    assert pace.train_of(Impairment(slot=Slot(10, packets=5)), 1e6) == 1
    assert pace.train_of(Impairment(slot=Slot(10)), 1e6) == pace.MOST_TRAIN
    cells = Impairment(rate_kbit=1000, shaper="netem", cell_size=1000)
    assert pace.within_rate(cells, 1) == pytest.approx(125 * pace.RATE_SHARE)


@pytest.mark.parametrize(
    ("fields", "wait_ms"),
    [
        ({"queue_ms": 50}, 49.6),  # whole frames: 6,250 bytes are six
        ({"queue_packets": 20}, 20 * 8),
        ({"queue": "fq_codel"}, None),
        ({"shaper": "cake"}, None),
    ],
)
def test_a_full_queue_makes_wait_as_long_as_it_is(fields: dict[str, object], wait_ms: float | None) -> None:
    impairment = Impairment(rate_kbit=1000).evolve(**fields)
    found = expect.full_wait_ms(impairment, 1000, own_rate=False)
    assert found == (None if wait_ms is None else pytest.approx(wait_ms, abs=2))


def waited(wait_ms: float, excess_ms: float) -> Filled:
    return Filled(
        frame=1000, sent_bytes=10**6, sending_s=1, paused_s=0, arrived_s=np.arange(0.0, 1.0, 0.01),
        last_waits_ms=np.full(50, 20 + wait_ms), excess_ms=excess_ms,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wait_ms", "excess_ms", "verdict"),
    [(100, 300, Verdict.OK), (300, 300, Verdict.OUT), (5, 300, Verdict.OUT), (60, 60, Verdict.NONE)],
)
def test_the_wait_in_a_full_queue_is_held_against_its_length(
    wait_ms: float, excess_ms: float, verdict: Verdict
) -> None:
    impairment = Impairment(delay_ms=20, rate_kbit=4000, queue_ms=100)
    figure = judge.full_wait(impairment, waited(wait_ms, excess_ms), QUIET)
    assert (figure.verdict, figure.measured) == (verdict, wait_ms)
    paused = attrs.evolve(waited(wait_ms, excess_ms), paused_s=0.2)
    assert judge.full_wait(impairment, paused, QUIET).verdict is not Verdict.OUT
    managed = judge.full_wait(impairment.evolve(queue_ms=None, queue="cake"), waited(wait_ms, excess_ms), QUIET)
    assert managed.verdict is Verdict.FREE
    none = judge.full_wait(impairment, Filled(1000, 0, 1, 0, np.zeros(0)), QUIET)
    assert none.verdict is Verdict.NONE
