from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import OUTAGE, Constant, GilbertElliott, Impairment, Replay, Schedule, ScheduledChange, Steps

GOOD, POOR = Impairment(delay_ms=5, rate_kbit=1000), Impairment(delay_ms=105, jitter_ms=50, rate_kbit=200)


def states(schedule: Schedule, end_s: float, under: Impairment | None = None) -> list[tuple[float, Impairment]]:
    state = under or Impairment()
    found = []
    for change in schedule.changes(0, end_s, under=state):
        state = change.applied_to(state)
        found.append((change.at_s, state))
    return found


# --- constant -----------------------------------------------------------------------------------


def test_a_constant_changes_once() -> None:
    assert Constant({"rate_kbit": 5}).changes(0, 1e6) == [ScheduledChange(0, {"rate_kbit": 5})]
    assert Constant(GOOD).changes(0, 1)[0].applied_to(POOR) == GOOD
    assert Constant(OUTAGE).changes(0, 1) == [ScheduledChange(0, outage=True)]


def test_a_constant_of_nothing_leaves_the_link_alone() -> None:
    assert Constant().changes(0, 1e6) == []
    assert Constant().bounds("rate_kbit", GOOD) == (1000, 1000)
    assert Constant().names == frozenset()


# --- steps --------------------------------------------------------------------------------------


def test_each_step_holds_from_its_time_on() -> None:
    steps = Steps([(0, GOOD), (30, POOR), (90, {"delay_ms": 60})])
    last = POOR.evolve(delay_ms=60)
    assert states(steps, 1000) == [(0, GOOD), (30, POOR), (90, last)]
    assert [steps.in_force(at).fields["delay_ms"] for at in (0, 29.9, 30, 89.9, 90, 1e6)] == [5, 5, 105, 105, 60, 60]


def test_before_the_first_step_the_links_own_impairment_holds() -> None:
    steps = Steps([(10, POOR)])
    assert steps.in_force(9, under=GOOD).applied_to(Impairment()) == GOOD


def test_an_outage_lasts_until_it_is_ended_or_the_whole_is_replaced() -> None:
    steps = Steps([(0, GOOD), (1, OUTAGE), (2, {"rate_kbit": 5}), (3, {"outage": False}), (4, OUTAGE), (5, GOOD)])
    assert [change.outage for change in steps.changes(0, 10)] == [False, True, True, False, True, False]


def test_steps_with_a_period_begin_again() -> None:
    steps = Steps([(0, GOOD), (3, POOR)], period_s=10)
    assert [change.at_s for change in steps.changes(0, 24)] == [0, 3, 10, 13, 20, 23]


def test_numbers_go_linearly_from_step_to_step() -> None:
    steps = Steps([(1, GOOD), (2, POOR), (5, POOR)], interpolate=True, tick_ms=250)
    found = states(steps, 10)
    assert [at for at, _ in found] == [1, 1.25, 1.5, 1.75, 2, 5]
    assert [state.delay_ms for _, state in found] == [5, 30, 55, 80, 105, 105]
    assert [state.jitter_ms for _, state in found] == [0, 12.5, 25, 37.5, 50, 50]
    assert [state.rate_kbit for _, state in found] == [1000, 800, 600, 400, 200, 200]


def test_parameters_of_a_loss_model_are_interpolated() -> None:
    light, heavy = Impairment(loss=GilbertElliott(1, 40, 50)), Impairment(loss=GilbertElliott(3, 20, 50))
    found = states(Steps([(0, light), (1, heavy)], interpolate=True, tick_ms=500), 2)
    assert [state.loss for _, state in found] == [light.loss, GilbertElliott(2, 30, 50), heavy.loss]


def test_what_is_no_number_or_not_on_both_sides_jumps() -> None:
    first = Impairment(delay_ms=10, loss_pct=10, keep_order=True)
    second = Impairment(delay_ms=20, reorder_pct=50, loss=GilbertElliott(1, 40), rate_kbit=100, queue_packets=5)
    third = second.evolve(queue_packets=10, jitter_ms=20, distribution="normal")
    found = states(Steps([(0, first), (1, second), (2, third)], interpolate=True, tick_ms=500), 3)
    assert found[1] == (0.5, first.evolve(delay_ms=15))
    assert found[3] == (1.5, second.evolve(queue_packets=8, jitter_ms=10))


def test_jitter_stays_within_the_delay_between_steps() -> None:
    ends = [(0, {"delay_ms": 0.1, "jitter_ms": 0.1}), (0.7, {"delay_ms": 1.1, "jitter_ms": 1.1})]
    steps = Steps(ends, interpolate=True, tick_ms=1)
    assert len(states(steps, 1)) == 701
    falling = Steps([(0, {"delay_ms": 10}), (1, {"jitter_ms": 10}), (2, {"jitter_ms": 0})], interpolate=True)
    assert states(falling, 2)[6] == (1.2, Impairment(delay_ms=10, jitter_ms=8))


def test_interpolation_goes_on_from_the_last_step_to_the_first_of_the_next_period() -> None:
    steps = Steps([(0, {"rate_kbit": 100}), (1, {"rate_kbit": 300})], interpolate=True, tick_ms=500, period_s=2)
    assert [change.fields["rate_kbit"] for change in steps.changes(0, 4)] == [100, 200, 300, 200] * 2


def test_the_bounds_are_those_of_the_steps() -> None:
    assert Steps([(0, GOOD), (5, POOR)], interpolate=True).bounds("rate_kbit") == (200, 1000)
    assert Steps([(0, GOOD), (5, {"rate_kbit": None})]).bounds("rate_kbit") == (1000, float("inf"))
    assert Steps([(0, {"delay_ms": 5})]).bounds("rate_kbit") is None
    assert Steps([(0, GOOD), (5, {"delay_ms": 9})], period_s=9).bounds("delay_ms") == (5, 9)


def test_a_second_round_is_checked_too() -> None:
    # Jitter stays from the first round and meets the shorter delay of the first step again.
    steps = Steps([(0, {"delay_ms": 20}), (1, {"delay_ms": 100, "jitter_ms": 50})], period_s=2)
    with pytest.raises(TopologyError, match=r"jitter_ms must not be above delay_ms \(20\): 50"):
        steps.check()


def test_names_are_those_of_all_steps() -> None:
    assert Steps([(0, {"delay_ms": 5}), (1, {"rate_kbit": 5})]).names == {"delay_ms", "rate_kbit"}
    assert "reorder_pct" in Steps([(0, {"delay_ms": 5}), (1, GOOD)]).names


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Steps([]), "steps must be at least one: []"),
        (lambda: Steps(5), "steps must be pairs of seconds and an Impairment or fields: 5"),
        (lambda: Steps("ab"), "steps must be pairs of seconds and an Impairment or fields: 'ab'"),
        (lambda: Steps([(5, GOOD), (5, {})]), "step 1: at_s must be after the one before it (5): 5"),
        (lambda: Steps([(5, {}), (3, {})]), "step 1: at_s must be after the one before it (5): 3"),
        (lambda: Steps([(-1, {})]), "step 0: at_s must be a number of seconds from 0 to 1e+09: -1"),
        (lambda: Steps([("1", {})]), "step 0: at_s must be a number of seconds from 0 to 1e+09: '1'"),
        (lambda: Steps([(1,)]), "step 0: step must be a pair of seconds and an Impairment or fields: (1,)"),
        (lambda: Steps([(1, {"delay_ms": -1})]), "step 0: delay_ms must be between 0 and 3.6e+06: -1"),
        (lambda: Steps([(5, {})], period_s=5), "period_s must be above the time of the last step (5): 5"),
        (
            lambda: Steps([(5, {})], tick_ms=None),  # type: ignore[arg-type]
            "tick_ms must be a number: None",
        ),
        (
            lambda: Steps([(5, {})], interpolate=1),  # type: ignore[arg-type]
            "interpolate must be true or false: 1",
        ),
        (lambda: Replay([(5, {}), (3, {})]), "change 1: at_s must not be before the one before it (5): 3"),
        (lambda: Replay([(5, {})], speed=0), "speed must be above 0: 0"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value) == message


# --- replay -------------------------------------------------------------------------------------


def test_a_recording_is_repeated_change_by_change() -> None:
    recorded = Steps([(1, GOOD), (3, OUTAGE), (4, {"outage": False, "rate_kbit": 7})]).changes(0, 10)
    assert Replay(recorded).changes(0, 10) == recorded
    assert Replay(recorded).bounds("rate_kbit", GOOD) == (7, 1000)
    assert Replay(recorded).bounds("rate_kbit") == (7, float("inf"))  # until the first change


def test_two_changes_may_have_been_recorded_at_one_time() -> None:
    replay = Replay([(1, {"rate_kbit": 5}), (1, {"delay_ms": 5}), (2, {"rate_kbit": 5})])
    assert [change.at_s for change in replay.changes(0, 10)] == [1, 1, 2]
    assert replay.names == {"rate_kbit", "delay_ms"}
    assert list(replay.extremes(Impairment())) == [Impairment(rate_kbit=5), Impairment(rate_kbit=5, delay_ms=5)]


def test_a_recording_can_be_played_at_any_speed() -> None:
    replay = Replay([(np.float64(1), {"rate_kbit": 5}), (4, {"rate_kbit": 6})], speed=2)
    assert [change.at_s for change in replay.changes(0, 10)] == [0.5, 2]
