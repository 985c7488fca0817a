"""What holds for every schedule, and for every way to put them together."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkem_py.errors import TopologyError
from linkem_py.model import (
    OUTAGE,
    Bufferbloat,
    Constant,
    GilbertElliott,
    Handover,
    Impairment,
    Markov,
    OrnsteinUhlenbeck,
    Overlay,
    Replay,
    Schedule,
    Steps,
    Sum,
    Trace,
)
from linkem_py.model.schedule import link_seed
from linkem_py.model.schedule.fields import NUMERIC, number_of

UNDER = Impairment(delay_ms=100, jitter_ms=5, loss=GilbertElliott(1, 20), rate_kbit=3000)
seeds = st.integers(0, 2**64 - 1)
# Whole milliseconds, so that changes of different schedules often meet.
moments = st.integers(0, 20_000).map(lambda ms: ms / 1000)
rates = st.integers(1, 10_000).map(lambda rate: {"rate_kbit": rate})
whats = st.one_of(
    rates,
    st.just(OUTAGE),
    st.just({"outage": False}),
    st.just({"rate_kbit": None}),
    st.just(UNDER),
    st.just(Impairment(loss_pct=3, rate_kbit=50)),
    st.just({"delay_ms": 60, "loss": GilbertElliott(3, 10)}),
)
times = st.lists(moments, min_size=1, max_size=6, unique=True).map(sorted)


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    pairs = [(at, draw(whats)) for at in draw(times)]
    period = draw(st.none() | st.integers(1, 5))
    return Steps(
        pairs,
        interpolate=draw(st.booleans()),
        tick_ms=draw(st.sampled_from([50, 200, 333.3])),
        period_s=None if period is None else pairs[-1][0] + period,
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    points = [(at, {"rate_kbit": draw(st.sampled_from([0, 5, 700.5, 10_000]))}) for at in draw(times)]
    return Trace(points, repeat=draw(st.booleans()))


@st.composite
def processes(draw: st.DrawFn) -> OrnsteinUhlenbeck:
    field, mean = draw(st.sampled_from([("rate_kbit", 1000), ("loss.p_pct", 3), ("queue_ms", 50)]))
    floor = mean * draw(st.floats(0.1, 1))
    sd, tick_ms = mean * draw(st.floats(0, 2)), draw(st.sampled_from([100, 200, 250]))
    return OrnsteinUhlenbeck(mean, draw(st.floats(0.01, 100)), sd, floor, tick_ms, field=field)


@st.composite
def chains(draw: st.DrawFn) -> Markov:
    count = draw(st.integers(1, 4))
    weights = st.lists(st.integers(0, 5), min_size=count, max_size=count).filter(any)
    rows = [draw(weights) for _ in range(count)]
    return Markov(
        states=[draw(rates) for _ in range(count)],
        matrix=[[weight / sum(row) for weight in row] for row in rows],
        initial=draw(st.integers(0, count - 1)),
        mean_dwell_s=draw(st.floats(0.05, 20)),
    )


simple = st.one_of(
    st.builds(Constant, whats),
    steps(),
    traces(),
    processes(),
    chains(),
    st.builds(Replay, times.flatmap(lambda found: st.tuples(*(st.tuples(st.just(at), rates) for at in found)))),
)


@st.composite
def overlays(draw: st.DrawFn, base: st.SearchStrategy[Schedule]) -> Overlay:
    edges = draw(st.lists(moments, min_size=2, max_size=6, unique=True).map(sorted))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    effect = draw(st.sampled_from([OUTAGE, Handover(), {"delay_ms": 300}, Impairment(delay_ms=5)]))
    return Overlay(draw(base), effect, spans, every_s=draw(st.none() | st.just(spans[-1][1] + 0.5)))


@st.composite
def sums(draw: st.DrawFn, base: st.SearchStrategy[Schedule]) -> Sum:
    delays = Steps([(1, {"delay_ms": 20}), (3, {"delay_ms": 200})], interpolate=True)
    first = draw(base.filter(lambda part: not {"delay_ms", "jitter_ms"} & part.names))
    return Sum(first, delays)


schedules: st.SearchStrategy[Schedule] = st.one_of(
    simple, overlays(simple), sums(simple), overlays(overlays(simple)), overlays(sums(simple))
)


# --- properties ---------------------------------------------------------------------------------


@given(schedules, seeds)
def test_changes_are_in_order_of_time_and_within_the_span(schedule: Schedule, seed: int) -> None:
    found = [change.at_s for change in schedule.changes(2, 15, seed, UNDER)]
    assert found == sorted(found)
    assert all(2 <= at < 15 for at in found)


@given(schedules, seeds, st.data())
def test_splitting_a_span_gives_the_same_changes(schedule: Schedule, seed: int, data: st.DataObject) -> None:
    whole = schedule.changes(0, 20, seed, UNDER)
    # Cut anywhere, and also exactly where something happens.
    own = [st.sampled_from([change.at_s for change in whole])] if whole else []
    cuts = sorted(data.draw(st.lists(st.one_of(st.floats(0, 20), *own), max_size=4)))
    stream = schedule.stream(seed, UNDER)
    assert [change for cut in [*cuts, 20] for change in stream.until(cut)] == whole
    edges = [0, *cuts, 20]
    parts = [schedule.changes(start, end, seed, UNDER) for start, end in itertools.pairwise(edges)]
    assert [change for part in parts for change in part] == whole


@given(schedules, seeds)
def test_one_seed_gives_the_same_changes_whatever_else_runs(schedule: Schedule, seed: int) -> None:
    first, other, second = (schedule.stream(which, UNDER) for which in (seed, (seed + 1) % 2**64, seed))
    for at in range(0, 20, 5):
        other.until(at + 3)
        assert first.until(at) == second.until(at)


@settings(max_examples=200)
@given(schedules, seeds)
def test_every_change_can_be_applied_and_stays_within_the_bounds(schedule: Schedule, seed: int) -> None:
    try:
        schedule.check(UNDER)
    except TopologyError:
        return  # said before anything was touched
    bounds = {name: schedule.bounds(name, UNDER) for name in NUMERIC}
    state = UNDER
    for change in schedule.changes(0, 20, seed, UNDER):
        state = change.applied_to(state)
        for name in NUMERIC:
            value, bound = number_of(state, name), bounds[name]
            if value is not None:
                assert bound is not None
                assert bound[0] - 1e-9 * abs(bound[0]) <= value <= bound[1] + 1e-9 * abs(bound[1])
    assert schedule.in_force(math.nextafter(20, 0), seed, UNDER).applied_to(Impairment()) == state


@given(processes(), seeds)
def test_a_process_stays_at_or_above_its_floor(process: OrnsteinUhlenbeck, seed: int) -> None:
    found = [change.fields[process.field] for change in process.changes(0, 60, seed)]
    assert len(found) == math.ceil(60_000 / process.tick_ms)
    assert all(process.floor <= value <= process.ceiling for value in found)


@given(simple | sums(simple), seeds)
def test_only_fields_are_set_that_are_named(schedule: Schedule, seed: int) -> None:
    set_fields = {name for change in schedule.changes(0, 10, seed, UNDER) for name in change.fields}
    assert set_fields <= schedule.names


# --- one run ------------------------------------------------------------------------------------


def test_a_stream_says_when_it_is_due() -> None:
    stream = Steps([(1, {"rate_kbit": 5}), (3, {"rate_kbit": 6})]).stream()
    assert stream.next_s == 1
    assert repr(stream) == "<Stream: next at 1 s>"
    assert stream.until(1) == []
    assert [change.at_s for change in stream.until(3)] == [1]
    assert [change.at_s for change in stream.until(1e9)] == [3]
    assert stream.next_s == math.inf


def test_seeds_give_different_runs() -> None:
    process = OrnsteinUhlenbeck(1000)
    assert process.changes(0, 1, 1) != process.changes(0, 1, 2)


def test_the_seed_of_a_link_follows_from_the_run_and_its_identity() -> None:
    links = [("a", "b", "lan"), ("b", "a", "lan"), ("a", "b", "lte"), ("ab", "", "lan")]
    found = [link_seed(run, link) for run in (7, 8) for link in links]
    assert len(set(found)) == 8
    assert found[0] == link_seed(7, ("a", "b", "lan")) < 2**64


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, None])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(TopologyError, match="seed must be a whole number of 64 bits"):
        Constant({"rate_kbit": 5}).stream(seed)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((-1, 5), "start_s must be a finite number of seconds from 0 on: -1"),
        ((0, math.inf), "end_s must be a finite number of seconds from 0 on: inf"),
        (("0", 1), "start_s must be a finite number of seconds from 0 on: '0'"),
        ((True, 1), "start_s must be a finite number of seconds from 0 on: True"),
        ((5, 4), r"end_s must not be before start_s \(5\): 4"),
    ],
)
def test_a_span_that_is_none_is_refused(span: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        Constant().changes(*span)


def test_a_queue_that_is_set_without_a_rate_is_refused_before() -> None:
    with pytest.raises(TopologyError, match="bufferbloat needs rate_kbit"):
        Overlay(Steps([(0, {"rate_kbit": 5}), (1, {"rate_kbit": None})]), Bufferbloat(1), [(0, 5)]).check(UNDER)


# --- from one release to the next ---------------------------------------------------------------


def test_a_seed_means_what_it_meant() -> None:
    """Whoever reports a run by its seed wants it to be the same run later, also with another numpy."""
    process = OrnsteinUhlenbeck(1000, 1, 200, 100)
    found = [change.fields["rate_kbit"] for change in process.changes(0, 0.8, 7)]
    assert found == pytest.approx([650.0611119577461, 779.472345975895, 889.9887812753075, 944.1353119205012])
    states = [{"rate_kbit": 1000}, {"rate_kbit": 100}]
    chain = Markov(states=states, matrix=[[0.9, 0.1], [0.3, 0.7]], mean_dwell_s=10)
    times_s = [change.at_s for change in chain.changes(0, 170, 7)]
    assert times_s == pytest.approx([0, 132.9302359216747, 159.8339172071028, 164.36392205602027])
    assert link_seed(7, ("a", "b", "lan")) == 542199175877497409
