from __future__ import annotations

import math
from typing import Any

import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import (
    OUTAGE,
    Bufferbloat,
    Constant,
    GilbertElliott,
    Handover,
    Impairment,
    OrnsteinUhlenbeck,
    Overlay,
    ScheduledChange,
    Steps,
    Sum,
)
from linkem_py.model.schedule import bufferbloat, degradation_cycle, handover, outage
from linkem_py.model.schedule.randomness import seed_from

WANDERING = OrnsteinUhlenbeck(1000, 1, 200, 100, 100)
LTE = Impairment(delay_ms=40, jitter_ms=15, loss_pct=0.3, reorder_pct=0.5, rate_kbit=5000)


# --- an outage ----------------------------------------------------------------------------------


def test_during_an_outage_what_is_underneath_goes_on() -> None:
    plain, out = WANDERING.changes(0, 5, 3), outage(WANDERING, at_s=1, for_s=2).changes(0, 5, 3)
    assert [change.fields for change in out] == [change.fields for change in plain]
    assert [change.outage for change in out] == [1 <= change.at_s < 3 for change in plain]


def test_an_outage_begins_and_ends_between_the_changes_underneath() -> None:
    out = outage(Steps([(0, {"rate_kbit": 5}), (2, {"rate_kbit": 6})]), at_s=1, for_s=3).changes(0, 10)
    assert out == [
        ScheduledChange(0, {"rate_kbit": 5}),
        ScheduledChange(1, outage=True),
        ScheduledChange(2, {"rate_kbit": 6}, outage=True),
        ScheduledChange(4),
    ]


def test_an_outage_underneath_outlasts_one_that_is_over_it() -> None:
    under = Steps([(0, {}), (2, OUTAGE), (6, {"outage": False})])
    out = outage(under, at_s=1, for_s=3).changes(0, 10)
    assert [(change.at_s, change.outage) for change in out] == [(0, False), (1, True), (2, True), (4, True), (6, False)]


def test_outages_can_come_again_and_again() -> None:
    out = outage(at_s=1, for_s=2, every_s=10).changes(0, 24)
    assert [(change.at_s, change.outage) for change in out] == [
        (1, True), (3, False), (11, True), (13, False), (21, True), (23, False),
    ]  # fmt: skip


def test_an_outage_changes_no_bounds() -> None:
    over = outage(WANDERING, at_s=1, for_s=2)
    assert over.bounds("rate_kbit") == WANDERING.bounds("rate_kbit")
    assert over.names == {"rate_kbit"}


# --- a modifier ---------------------------------------------------------------------------------


def test_a_handover_makes_a_link_slow_and_lossy_for_a_while() -> None:
    before, during, after = handover(LTE, at_s=60, for_s=5).changes(0, 1000)
    worse = Impairment(
        delay_ms=240,
        jitter_ms=45,
        loss=GilbertElliott.from_correlation(3, 80),
        reorder_pct=2.5,
        rate_kbit=5000,
    )
    assert (before.at_s, before.applied_to(Impairment())) == (0, LTE)
    assert (during.at_s, during.applied_to(LTE)) == (60, worse)
    assert (after.at_s, after.applied_to(worse)) == (65, LTE)


def test_a_handover_over_the_links_own_impairment_starts_from_it() -> None:
    during, after = handover(at_s=1, for_s=2).changes(0, 10, under=LTE)
    assert during.applied_to(LTE).delay_ms == 240
    assert after.applied_to(during.applied_to(LTE)) == LTE
    assert handover(at_s=1, for_s=2).bounds("delay_ms", LTE) == (40, 240)
    assert handover(at_s=1, for_s=2).names == Handover().names == {
        "delay_ms", "jitter_ms", "loss", "loss_pct", "loss_correlation_pct", "reorder_pct",
    }  # fmt: skip


def test_a_change_underneath_shows_through_a_modifier() -> None:
    under = Steps([(0, LTE), (2, {"delay_ms": 50}), (3, {"rate_kbit": 700})])
    over = handover(under, at_s=1, for_s=3)
    state = Impairment()
    found = []
    for change in over.changes(0, 10):
        state = change.applied_to(state)
        found.append((change.at_s, state.delay_ms, state.rate_kbit))
    assert found == [(0, 40, 5000), (1, 240, 5000), (2, 250, 5000), (3, 250, 700), (4, 50, 700)]
    assert over.changes(3, 4)[0].fields == {"rate_kbit": 700}
    assert over.in_force(10).applied_to(Impairment()) == state


def test_a_loss_model_that_changes_underneath_shows_as_another_model() -> None:
    under = Impairment(loss=GilbertElliott(1, 20))
    over = Overlay(OrnsteinUhlenbeck(2, field="loss.p_pct"), {"delay_ms": 9}, [(0.1, 5)])
    assert over.names == {"delay_ms", "loss"}
    changes = over.changes(0, 1, under=under)
    assert [set(change.fields) for change in changes[:3]] == [{"loss.p_pct"}, {"delay_ms"}, {"loss"}]


def test_fields_and_impairments_can_lie_over_a_schedule() -> None:
    over = Overlay(WANDERING, {"delay_ms": 300}, [(0.5, 1)])
    assert over.changes(0.5, 0.55)[0].fields.keys() == {"delay_ms", "rate_kbit"}
    assert over.names == {"delay_ms", "rate_kbit"}
    whole = Overlay(WANDERING, Impairment(delay_ms=300), [(0, math.inf)])
    assert {repr(whole.in_force(at).fields) for at in (0, 1, 5)} == {"{'delay_ms': 300}"}


def test_spans_that_touch_are_one() -> None:
    over = Overlay(Constant(), OUTAGE, [(0, 5), (5, 10)])
    assert [(change.at_s, change.outage) for change in over.changes(0, 20)] == [(0, True), (5, True), (10, False)]


def test_overlays_lie_over_overlays() -> None:
    over = outage(handover(bufferbloat(LTE, severity=1, at_s=0, for_s=2), at_s=1, for_s=4), at_s=3, for_s=1)
    found = [(at, over.in_force(at)) for at in (0, 1, 2, 3, 4, 5)]
    assert [change.fields.get("queue_ms") for _, change in found] == [600, 600, None, None, None, None]
    assert [change.fields["delay_ms"] for _, change in found] == [40, 240, 240, 240, 240, 40]
    assert [change.outage for _, change in found] == [False, False, False, True, False, False]


def test_what_cannot_lie_over_the_link_is_refused_before() -> None:
    over = bufferbloat(severity=1)
    over.check(LTE)
    with pytest.raises(TopologyError, match="bufferbloat needs rate_kbit: without a rate nothing waits: 1"):
        over.check(Impairment())
    with pytest.raises(TopologyError, match="bufferbloat needs rate_kbit"):
        bufferbloat(Steps([(5, LTE)]), at_s=1).check(Impairment())
    bufferbloat(Steps([(0, LTE)])).check(Impairment())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Overlay(LTE, OUTAGE, [(0, 1)]),  # type: ignore[arg-type]
            f"base must be a Schedule: {LTE!r}",
        ),
        (lambda: Overlay(Constant(), 5, [(0, 1)]), "impairment must be an Impairment or a mapping of its fields: 5"),
        (lambda: Overlay(Constant(), OUTAGE, []), "spans must be at least one: []"),
        (lambda: Overlay(Constant(), OUTAGE, 5), "spans must be pairs of seconds: begin and end: 5"),
        (lambda: Overlay(Constant(), OUTAGE, [5]), "span 0: span must be a pair of seconds: begin and end: 5"),
        (lambda: Overlay(Constant(), OUTAGE, [(5, 5)]), "span 0: end must be after the begin (5): 5.0"),
        (lambda: Overlay(Constant(), OUTAGE, [(-1, 5)]), "span 0: begin must be a number of seconds from 0 on: -1"),
        (
            lambda: Overlay(Constant(), OUTAGE, [(0, math.nan)]),
            "span 0: end must be a number of seconds from 0 on: nan",
        ),
        (
            lambda: Overlay(Constant(), OUTAGE, [(0, 5), (4, 6)]),
            "span 1: begin must not be before the end of the span before (5): 4.0",
        ),
        (
            lambda: outage(at_s=0, for_s=5, every_s=4),
            "every_s must not be below the end of the last span (5): 4",
        ),
    ],
)
def test_an_overlay_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value) == message


# --- modifiers by themselves --------------------------------------------------------------------


def test_a_handover_never_makes_a_link_better_or_impossible() -> None:
    bad = Impairment(delay_ms=50, jitter_ms=50, loss_pct=40, reorder_pct=30)
    worse = Handover().applied_to(bad)
    assert worse.mean_loss_pct == pytest.approx(40)
    assert (worse.jitter_ms, worse.reorder_pct) == (150, 100)
    assert Handover(delay_ms=0).applied_to(bad).jitter_ms == 50
    assert Handover().applied_to(Impairment()) == Impairment(delay_ms=200)
    assert Handover().applied_to(Impairment(loss=GilbertElliott(1, 99))).loss == GilbertElliott.from_correlation(10, 80)


@pytest.mark.parametrize(
    ("under", "expected"),
    [
        (Impairment(rate_kbit=5000), {"queue_ms": 1100}),
        (Impairment(rate_kbit=100), {"queue_ms": pytest.approx(11 * 10 * 1514 * 8 / 100)}),
        (Impairment(rate_kbit=100, queue_ms=50), {"queue_ms": 550}),
        (Impairment(rate_kbit=100, queue_ms=500_000), {"queue_ms": 600_000}),
        (Impairment(rate_kbit=100, queue_packets=7), {"queue_packets": 77}),
    ],
)
def test_bufferbloat_makes_the_queue_longer(under: Impairment, expected: dict[str, Any]) -> None:
    bloated = Bufferbloat(2).applied_to(under)
    assert {name: getattr(bloated, name) for name in expected} == expected
    assert Bufferbloat(0).applied_to(under).queue_packets == under.queue_packets


def test_bufferbloat_changes_the_queue_only() -> None:
    assert bufferbloat(at_s=0).names == {"queue_ms", "queue_packets"}


def test_a_modifier_needs_its_numbers() -> None:
    with pytest.raises(TopologyError, match="severity must be between 0 and 1000: -1"):
        Bufferbloat(-1)
    with pytest.raises(TopologyError, match="loss_factor must be a number: None"):
        Handover(loss_factor=None)  # type: ignore[arg-type]


def test_a_degradation_cycle_is_good_then_poor_then_good() -> None:
    good, poor = Impairment(delay_ms=5), Impairment(delay_ms=100)
    cycle = degradation_cycle(good, poor, period_s=120)
    delays = [(at, cycle.in_force(at).fields["delay_ms"]) for at in (0, 29, 30, 89, 90, 149, 150)]
    assert delays == [(0, 5), (29, 5), (30, 100), (89, 100), (90, 5), (149, 5), (150, 100)]


# --- several at once ----------------------------------------------------------------------------


def test_a_sum_has_the_changes_of_all_its_parts_in_order() -> None:
    steps = Steps([(0.25, {"delay_ms": 5}), (0.5, {"delay_ms": 9}), (2.05, OUTAGE)])
    both = Sum(WANDERING, steps)
    found = both.changes(0, 3, 4)
    assert [change.at_s for change in found] == sorted(change.at_s for change in found)
    rates = [change for change in found if "rate_kbit" in change.fields]
    alone = WANDERING.changes(0, 3, seed_from(4, "sum", 0))
    assert [change.fields for change in rates] == [change.fields for change in alone]
    assert both.in_force(1).fields.keys() == {"delay_ms", "rate_kbit"}
    assert [change.outage for change in found] == [change.at_s >= 2.05 for change in found]
    assert both.bounds("delay_ms", Impairment(delay_ms=1)) == (1, 9)
    assert both.names == {"delay_ms", "rate_kbit"}


def test_parts_of_a_sum_draw_from_seeds_of_their_own() -> None:
    both = Sum(WANDERING, OrnsteinUhlenbeck(1000, 1, 200, 100, 100, field="queue_ms"))
    changes = both.changes(0, 9)
    rates = [change.fields["rate_kbit"] for change in changes if "rate_kbit" in change.fields]
    queues = [change.fields["queue_ms"] for change in changes if "queue_ms" in change.fields]
    assert len(rates) == len(queues) == 90
    assert rates != queues


def test_parameters_of_one_loss_model_can_come_from_two_schedules() -> None:
    chain = Impairment(loss=GilbertElliott(1, 20))
    both = Sum(Constant({"loss.p_pct": 2}), Constant({"loss.r_pct": 30}))
    both.check(chain)
    assert both.in_force(0, under=chain).fields["loss"] == GilbertElliott(2, 30)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), "schedules must be at least one: ()"),
        ((LTE,), f"schedule must be a Schedule: {LTE!r}"),
        (
            (WANDERING, WANDERING),
            "schedules must set different fields; 0 sets rate_kbit and 1 rate_kbit: 'OrnsteinUhlenbeck'",
        ),
        (
            (Constant({"loss_pct": 5}), Constant({"loss": None})),
            "schedules must set different fields; 0 sets loss_pct and 1 loss: 'Constant'",
        ),
    ],
)
def test_a_sum_that_makes_no_sense_is_refused(parts: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Sum(*parts)
    assert str(caught.value) == message
