"""Schedules as JSON: what is written comes back, and what is wrong says where."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from linkem_py.control.wire import schema
from linkem_py.control.wire.limits import dump
from linkem_py.control.wire.schedules import TYPES, bounds, name_of, schedule_from_json, schedule_to_json
from linkem_py.control.wire.states import RunningSchedule
from linkem_py.errors import RequestError
from linkem_py.model import (
    OUTAGE,
    Bufferbloat,
    Constant,
    DelayTable,
    FourState,
    GilbertElliott,
    Handover,
    Impairment,
    Markov,
    Modifier,
    OrnsteinUhlenbeck,
    Overlay,
    Replay,
    Schedule,
    Slot,
    Steps,
    Sum,
    Trace,
)
from linkem_py.model.presets import SCHEDULES, preset
from linkem_py.model.schedule import ScheduledChange, bufferbloat, degradation_cycle, handover, outage
from tests.control.wire.strategies import json_values, mutated
from tests.model.schedule.test_schedule import schedules

VALIDATOR = Draft202012Validator(schema.payload_schema("schedule"))
TABLE = DelayTable([-3, 5, 8192], "mine")
RICH = Impairment(
    delay_ms=40, jitter_ms=5, distribution=TABLE, slot=Slot(10, packets=3), rate_kbit=500, loss=FourState(2, p31_pct=50)
)
MAHIMAHI = "\n".join(str(7 * number) for number in range(300))

WRITTEN: dict[str, Schedule] = {
    "nothing": Constant(),
    "fields": Constant({"delay_ms": 5, "loss": GilbertElliott(1, 20), "rate_kbit": None}),
    "no outage": Constant({"outage": False}),
    "outage": Constant(OUTAGE),
    "whole": Constant(RICH),
    "steps": Steps([(0, RICH), (1, {"outage": True}), (2, {"delay_ms": 3}), (3, Impairment()), (4.5, {"mtu": 900})]),
    "ramp": Steps([(0, {"delay_ms": 1}), (9, {"delay_ms": 8})], interpolate=True, tick_ms=50, period_s=10),
    "inside": Steps([(0, {"loss": GilbertElliott(1, 20)}), (5, {"loss.p_pct": 3, "loss.r_pct": 12.5})]),
    "ended": Steps([(0, {"outage": True}), (1, {"outage": False, "rate_kbit": 5})]),
    "cleared out": Steps([ScheduledChange(0.0, {"delay_ms": 5, "jitter_ms": 0.0}, clear=True, outage=True)]),
    "states": Markov(states=[{"delay_ms": 1}, {"delay_ms": 2}], matrix=[[0.5, 0.5], [1, 0]], mean_dwell_s=[1, 2.5]),
    "named": Markov(states={"up": {}, "gone": OUTAGE}, matrix=[[0, 1], [1, 0]], mean_dwell_s=3, initial="gone"),
    "process": OrnsteinUhlenbeck(mean_kbit=4000, tau_s=1.5, sd_kbit=600, floor_kbit=500),
    "losses": OrnsteinUhlenbeck(3, 2, field="loss.p_pct", tick_ms=500, ceiling=9),
    "mahimahi": Trace.mahimahi(MAHIMAHI, name="drive"),
    "rates": Trace([(0, {"rate_kbit": 800}), (0.5, {"rate_kbit": 0}), (1, {"rate_kbit": 90.5})], duration_s=2),
    "one rate": Trace([(0, {"rate_kbit": 800})], duration_s=2, repeat=False),
    "no duration": Trace([(0, {"rate_kbit": 800}), (1, {"rate_kbit": 900})]),
    "late": Trace([(0.5, {"rate_kbit": 800}), (1, {"rate_kbit": 900})], duration_s=2),
    "sparse": Trace([(0, {"rate_kbit": 800}), (0.001, {"rate_kbit": 1}), (9, {"rate_kbit": 2})], duration_s=10),
    "odd": Trace([(0, {"rate_kbit": 800}), (0.0015, {"rate_kbit": 900})], duration_s=2),
    "twice": Trace([(0, {"rate_kbit": 800}), (1, {"rate_kbit": 800}), (2, {"rate_kbit": 9})], duration_s=4),
    "more": Trace([(0, {"rate_kbit": 800, "delay_ms": 4}), (1, {"rate_kbit": 0}), (2, RICH)], duration_s=3),
    "rate during an outage": Trace([ScheduledChange(0.0, {"rate_kbit": 9}, outage=True), (1, {"rate_kbit": 5})]),
    "replay": Replay([(0, {"delay_ms": 5}), (0, {"outage": True}), (1, {})], speed=2.5),
    "handover": Overlay(Constant(), Handover(delay_ms=300), [(1, 2), (3, 4)], every_s=5),
    "bloat": bufferbloat(severity=2, at_s=3),
    "over": Overlay(OrnsteinUhlenbeck(1000), {"delay_ms": 90, "outage": True}, [(1, math.inf)]),
    "whole over": Overlay(Constant({"delay_ms": 1}), RICH, [(1, 2)]),
    "sum": Sum(OrnsteinUhlenbeck(1000), Steps([(0, {"delay_ms": 1}), (2, {"delay_ms": 9})]), Constant(OUTAGE)),
}


def on_the_wire(data: Any) -> Any:
    return json.loads(dump(data))


def conforms(data: Any) -> bool:
    change = {"src": "a", "dst": "b", "schedule": data}
    return bool(VALIDATOR.is_valid({"changes": [change]}))


# --------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("schedule", WRITTEN.values(), ids=WRITTEN.keys())
def test_what_is_written_is_read_as_the_same(schedule: Schedule) -> None:
    data = on_the_wire(schedule_to_json(schedule))
    assert schedule_from_json(data, "schedule") == schedule
    assert conforms(data)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_preset_is_written_whole_and_read_by_name(name: str) -> None:
    schedule = SCHEDULES[name].schedule
    assert schedule_from_json(on_the_wire(schedule_to_json(schedule))) == schedule
    for called in (name, name.replace("_", "-").upper()):
        assert schedule_from_json({"type": "preset", "name": called}) == schedule
    assert name_of(schedule).name == name


@given(schedules)
def test_any_schedule_comes_back(schedule: Schedule) -> None:
    data = on_the_wire(schedule_to_json(schedule))
    assert schedule_from_json(data) == schedule
    assert conforms(data)


def test_a_schedule_runs_as_it_did() -> None:
    schedule = SCHEDULES["race_4g"].schedule
    again = schedule_from_json(on_the_wire(schedule_to_json(schedule)))
    assert again.changes(0, 100, seed=7) == schedule.changes(0, 100, seed=7)


def test_bins_are_the_short_form_of_a_trace() -> None:
    data = schedule_to_json(WRITTEN["mahimahi"])
    assert data["bin_ms"] == 200
    assert data["duration_s"] == 2.093
    assert len(data["rates_kbit"]) == 10
    for name in ("no duration", "late", "sparse", "odd", "twice", "more", "rate during an outage"):
        assert "points" in schedule_to_json(WRITTEN[name]), name


@pytest.mark.parametrize(
    ("data", "schedule"),
    [
        ({"type": "constant"}, Constant()),
        ({"type": "constant", "what": {"clear": True}}, Constant(Impairment())),
        (
            {"type": "ornstein_uhlenbeck", "mean_kbit": 4000, "sd_kbit": 10, "floor_kbit": 5, "tau_s": None},
            OrnsteinUhlenbeck(4000, sd=10, floor=5),
        ),
        (
            {"type": "steps", "steps": [{"at_s": 0, "outage": True}, {"at_s": 1, "delay_ms": 1}]},
            Steps([(0, OUTAGE), (1, {"delay_ms": 1})]),
        ),
        (
            {"type": "markov", "states": [{"delay_ms": 1}], "matrix": [[1]], "mean_dwell_s": 1, "initial": "0"},
            Markov(states=[{"delay_ms": 1}], matrix=[[1]], mean_dwell_s=1),
        ),
        (
            {"type": "trace", "bin_ms": 500, "rates_kbit": [800, 800, 0, 5]},
            Trace([(0, {"rate_kbit": 800}), (1, {"rate_kbit": 0}), (1.5, {"rate_kbit": 5})], duration_s=2),
        ),
        (
            {"type": "trace", "points": [{"at_s": 0, "rate_kbit": 0}, {"at_s": 1, "rate_kbit": 7}], "repeat": False},
            Trace([(0, {"rate_kbit": 0}), (1, {"rate_kbit": 7})], repeat=False),
        ),
        ({"type": "trace", "format": "mahimahi", "text": MAHIMAHI}, Trace.mahimahi(MAHIMAHI)),
        (
            {"type": "trace", "format": "mahimahi", "text": MAHIMAHI, "bin_ms": 100, "packet_bytes": 1500},
            Trace.mahimahi(MAHIMAHI, bin_ms=100, packet_bytes=1500),
        ),
        (
            {"type": "trace", "format": "csv", "text": "at_s,delay_ms\n0,5\n1,6\n", "name": "x", "duration_s": 3},
            Trace.csv("at_s,delay_ms\n0,5\n1,6\n", duration_s=3, name="x"),
        ),
        ({"type": "trace", "format": "json", "text": '[{"at_s": 0, "mtu": 900}]'}, Trace([(0, {"mtu": 900})])),
        ({"type": "overlay", "effect": {"outage": True}, "spans": [[1, 2]]}, Overlay(Constant(), OUTAGE, [(1, 2)])),
        (
            {"type": "overlay", "base": None, "effect": {"modifier": "bufferbloat"}, "spans": [[1, None]]},
            Overlay(Constant(), Bufferbloat(), [(1, math.inf)]),
        ),
        ({"type": "handover"}, handover()),
        (
            {"type": "handover", "at_s": 3, "for_s": 2, "every_s": 20, "delay_ms": 90, "normal": {"type": "constant"}},
            handover(Constant(), at_s=3, for_s=2, every_s=20, modifier=Handover(delay_ms=90)),
        ),
        ({"type": "outage", "at_s": 3, "for_s": 2}, outage(at_s=3, for_s=2)),
        ({"type": "bufferbloat", "severity": 0.5}, bufferbloat(severity=0.5)),
        (
            {"type": "degradation_cycle", "good": {"delay_ms": 1}, "poor": {"delay_ms": 9}, "poor_at_s": 5},
            degradation_cycle({"delay_ms": 1}, {"delay_ms": 9}, poor_at_s=5),
        ),
        (
            {
                "type": "degradation_cycle",
                "good": {"delay_ms": 1},
                "poor": {"delay_ms": 9},
                "interpolate": True,
                "period_s": 100,
            },
            degradation_cycle({"delay_ms": 1}, {"delay_ms": 9}, interpolate=True, period_s=100),
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_what_may_be_left_out_has_its_default(data: dict[str, Any], schedule: Schedule) -> None:
    assert schedule_from_json(data) == schedule
    assert conforms(data)


def test_a_span_without_end_may_be_infinite_where_there_is_infinity() -> None:
    data = {"type": "overlay", "effect": {"outage": True}, "spans": [[1, math.inf]]}
    assert schedule_from_json(data) == Overlay(Constant(), OUTAGE, [(1, math.inf)])


def test_the_documents_examples_are_schedules() -> None:
    text = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text()
    examples = [found for found in re.findall(r"`([{][^`]*[}])`", text) if '"type"' in found and "[...]" not in found]
    assert len(examples) > 10
    for example in examples:
        schedule_from_json(json.loads(example))
        assert conforms(json.loads(example)), example
    assert all(name in text for name in [*TYPES, *SCHEDULES])


# ----------------------------------------------------------------------------------------- errors

STATE = {"type": "markov", "matrix": [[1]], "mean_dwell_s": 1}
TWO = {"a": {"delay_ms": 1}, "b": {"delay_ms": 2}}
OVER = {"type": "overlay", "effect": {"outage": True}}
POINT = [{"at_s": 0, "rate_kbit": 5}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "schedule must be an object: 5"),
        ({}, "schedule.type must be given"),
        ({"type": 5}, "schedule.type must be a string: 5"),
        ({"type": "markow"}, "schedule.type is unknown (did you mean markov?): 'markow'"),
        ({"type": "preset", "name": "busty"}, "schedule.name is unknown (did you mean bursty_markov?): 'busty'"),
        ({"type": "preset"}, "schedule.name must be given"),
        ({"type": "constant", "way": {}}, "schedule.way is unknown"),
        ({"type": "constant", "what": {"delay": 1}}, "schedule.what.delay is unknown (did you mean delay_ms?): 1"),
        ({"type": "constant", "what": {"delay_ms": -1}}, "schedule.what.delay_ms must be between 0 and 3.6e+06: -1"),
        ({"type": "constant", "what": {"outage": 1}}, "schedule.what.outage must be true or false: 1"),
        ({"type": "constant", "what": {"clear": 1}}, "schedule.what.clear must be true or false: 1"),
        (
            {"type": "constant", "what": {"clear": True, "outage": True}},
            "schedule.what.outage must not stand beside clear here: True",
        ),
        (
            {"type": "constant", "what": {"clear": True, "jitter_ms": 5}},
            "schedule.what.jitter_ms must not be above delay_ms (0): 5",
        ),
        ({"type": "constant", "what": {"loss": {}}}, "schedule.what.loss.model must be given"),
        ({"type": "constant", "what": {"loss.p_pct": None}}, "schedule.what.loss.p_pct must be a number"),
        ({"type": "steps"}, "schedule.steps must be given"),
        ({"type": "steps", "steps": []}, "schedule.steps must be at least one: '()'"),
        ({"type": "steps", "steps": [{"delay_ms": 1}]}, "schedule.steps[0].at_s must be given"),
        ({"type": "steps", "steps": [{"at_s": "1"}]}, "schedule.steps[0].at_s must be a number: '1'"),
        (
            {"type": "steps", "steps": [{"at_s": 1}, {"at_s": 1}]},
            "schedule.steps[1].at_s must be after the one before it (1): 1",
        ),
        ({"type": "steps", "steps": POINT, "interpolate": 1}, "schedule.interpolate must be true or false: 1"),
        ({"type": "steps", "steps": POINT, "tick_ms": 0}, "schedule.tick_ms must be between 1 and 3.6e+06: 0"),
        (
            {"type": "steps", "steps": POINT, "period_s": 1e-4},
            "schedule.period_s must be at least 0.001 s: a change every 1 ms: 0.0001",
        ),
        ({**STATE, "states": 5}, "schedule.states must be an object: 5"),
        ({**STATE, "states": {"good": {"delay_ms": -1}}}, "schedule.states.good.delay_ms must be between 0 and"),
        ({**STATE, "states": {"good": 1}}, "schedule.states.good must be an object: 1"),
        ({**STATE, "states": {}}, "schedule.states must be at least one"),
        (
            {**STATE, "states": {"a": {"delay_ms": 1}, "b": {"mtu": 900}}},
            "schedule.states.b must name the same fields as state a (delay_ms)",
        ),
        ({**STATE, "states": TWO}, "schedule.matrix must have a row for each of the 2 states: 1"),
        ({**STATE, "states": TWO, "matrix": [[1], [0, 1]]}, "schedule.matrix.a must have 2 probabilities in a row: 1"),
        ({**STATE, "states": TWO, "matrix": [[0.5, 0.5], [0, 0.5]]}, "schedule.matrix.b must sum to 1 in every row"),
        ({**STATE, "states": TWO, "matrix": [[True]]}, "schedule.matrix[0][0] must be a number: True"),
        ({**STATE, "states": TWO, "matrix": [1]}, "schedule.matrix[0] must be a list: 1"),
        (
            {**STATE, "states": {"a": {}}, "initial": "b"},
            "schedule.initial must be a state; the states are a: 'b'",
        ),
        ({**STATE, "states": {"a": {}}, "mean_dwell_s": 0}, "schedule.mean_dwell_s must be at least 0.001 s: 0"),
        ({**STATE, "states": {"a": {}}, "mean_dwell_s": [0]}, "schedule.mean_dwell_s[0] must be at least 0.001 s: 0"),
        ({"type": "ornstein_uhlenbeck"}, "schedule.mean must be given"),
        ({"type": "ornstein_uhlenbeck", "mean": "5"}, "schedule.mean must be a number: '5'"),
        ({"type": "ornstein_uhlenbeck", "mean": 5, "field": "delay"}, "schedule.field must be a field that is a"),
        ({"type": "ornstein_uhlenbeck", "mean": 5, "floor": 9}, "schedule.floor must not be above the mean (5): 9"),
        ({"type": "replay", "changes": POINT, "speed": 0}, "schedule.speed must be above 0: 0"),
        ({"type": "replay", "changes": [{"at_s": 2}, {"at_s": 1}]}, "schedule.changes[1].at_s must not be before the"),
        ({"type": "trace"}, "schedule must have one of points, rates_kbit, text"),
        ({"type": "trace", "points": POINT, "text": ""}, "schedule must have one of points, rates_kbit, text"),
        ({"type": "trace", "points": POINT, "bin_ms": 5}, "schedule.bin_ms is unknown"),
        ({"type": "trace", "points": POINT, "name": "x" * 201}, "schedule.name must have at most 200 characters: 201"),
        ({"type": "trace", "points": POINT, "duration_s": 0}, "schedule.duration_s must be above 0: 0"),
        ({"type": "trace", "points": POINT, "duration_s": 1e-5}, "schedule.duration_s must be at least 0.001 s"),
        ({"type": "trace", "points": [{"at_s": 0, "rate_kbit": True}]}, "schedule.points[0].rate_kbit must be a"),
        ({"type": "trace", "rates_kbit": []}, "schedule.rates_kbit must be 1 to 65536 bins: 0"),
        ({"type": "trace", "rates_kbit": [5, -1]}, "schedule.rates_kbit[1] must not be below 0: -1"),
        ({"type": "trace", "rates_kbit": [5], "bin_ms": 0}, "schedule.bin_ms must be at least 1: 0"),
        ({"type": "trace", "rates_kbit": [5, 6, 0.5]}, "schedule.rates_kbit[2].rate_kbit must be between 1 and 8e+09"),
        ({"type": "trace", "text": "5"}, "schedule.format must be given"),
        ({"type": "trace", "text": "5", "format": "pcap"}, "schedule.format is unknown"),
        ({"type": "trace", "text": "x", "format": "mahimahi"}, "schedule.text line 1: time must be a whole number of"),
        ({"type": "trace", "text": "at_s\nx", "format": "csv"}, "schedule.text line 2: at_s must be a number: 'x'"),
        ({"type": "trace", "text": "5", "format": "csv", "bin_ms": 5}, "schedule.bin_ms needs the format mahimahi: 5"),
        (
            {"type": "trace", "text": "5", "format": "mahimahi", "duration_s": 5},
            "schedule.duration_s must not be given: the trace lasts until its last packet: 5",
        ),
        (
            {"type": "trace", "text": "5", "format": "mahimahi", "packet_bytes": 70000},
            "schedule.packet_bytes must be a whole number from 1 to 65535: 70000",
        ),
        (
            {"type": "trace", "text": "999999999999", "format": "mahimahi"},
            "schedule.bin_ms must be so long that at most 65536 bins last 999999999999 ms: 200",
        ),
        ({**OVER, "spans": [[2, 1]]}, "schedule.spans[0].end must be after the begin (2): 1.0"),
        ({**OVER, "spans": [[1]]}, "schedule.spans[0] must be a pair of seconds: begin and end, which may be null"),
        ({**OVER, "spans": [["1", 2]]}, "schedule.spans[0][0] must be a number: '1'"),
        ({**OVER, "spans": [[1e300, None]]}, "schedule.spans[0][0] must be at most 1e+09 s: 1e+300"),
        ({**OVER, "spans": [[10**400, None]]}, "schedule.spans[0][0] must be at most 1e+09 s"),
        ({**OVER, "spans": [[0, 0.0001]], "every_s": 0.001}, "schedule.every_s must be at least 0.002 s"),
        ({**OVER, "base": {"type": "nothing"}, "spans": [[1, 2]]}, "schedule.base.type is unknown"),
        (
            {"type": "overlay", "effect": {"modifier": "hanover"}, "spans": [[1, 2]]},
            "schedule.effect.modifier is unknown (did you mean handover?): 'hanover'",
        ),
        (
            {"type": "overlay", "effect": {"modifier": "handover", "delay": 1}, "spans": [[1, 2]]},
            "schedule.effect.delay is unknown (did you mean delay_ms?): 1",
        ),
        (
            {"type": "overlay", "effect": {"modifier": "bufferbloat", "severity": -1}, "spans": [[1, 2]]},
            "schedule.effect.severity must be between 0 and 1000: -1",
        ),
        ({"type": "sum", "parts": []}, "schedule.parts must be 1 to 64: 0"),
        ({"type": "sum", "parts": [{"type": "constant"}, 5]}, "schedule.parts[1] must be an object: 5"),
        (
            {"type": "sum", "parts": [{"type": "constant", "what": {"mtu": 900}}] * 2},
            "schedule.schedules must set different fields; 0 sets mtu and 1 mtu: 'Constant'",
        ),
        ({"type": "outage", "at_s": 1}, "schedule.for_s must be given"),
        ({"type": "outage", "at_s": 1, "for_s": 0}, "schedule.spans[0].end must be after the begin (1): 1.0"),
        ({"type": "handover", "loss_factor": 0}, "schedule.loss_factor must be between 1 and 1e+06: 0"),
        ({"type": "handover", "normal": {}}, "schedule.normal.type must be given"),
        (
            {"type": "handover", "at_s": 0, "for_s": 0.0001, "every_s": 0.001},
            "schedule.every_s must be at least 0.002 s",
        ),
        ({"type": "bufferbloat", "delay_ms": 5}, "schedule.delay_ms is unknown"),
        ({"type": "degradation_cycle", "good": {}}, "schedule.poor must be given"),
        (
            {"type": "degradation_cycle", "good": {}, "poor": {}, "poor_at_s": 0.0001, "good_at_s": 0.0002,
             "period_s": 0.001},
            "schedule.period_s must be at least 0.003 s",
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_wrong_says_where(data: Any, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        schedule_from_json(data, "schedule")
    assert str(raised.value).startswith(message)


def test_errors_begin_with_the_place_that_was_given() -> None:
    with pytest.raises(RequestError, match=r"^changes\[3\]\.schedule\.type must be given"):
        schedule_from_json({}, "changes[3].schedule")


def test_long_names_are_cut_in_errors() -> None:
    with pytest.raises(RequestError) as raised:
        schedule_from_json({**STATE, "states": {"x" * 1000: {"mtu": 1}}})
    assert len(str(raised.value)) < 200


# ----------------------------------------------------------------------------------------- limits


def test_schedules_in_schedules_have_a_limit() -> None:
    def nested(levels: int) -> dict[str, Any]:
        inner: dict[str, Any] = {"type": "constant"}
        for _ in range(levels):
            inner = {**OVER, "base": inner, "spans": [[1, 2]]}
        return inner

    schedule_from_json(nested(bounds.MOST_NESTED - 1))
    with pytest.raises(RequestError, match="must not hold schedules in schedules deeper than 8"):
        schedule_from_json(nested(bounds.MOST_NESTED))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "steps", "steps": [{"at_s": 1}] * 70_000}, "schedule.steps must be at most 65536: 70000"),
        ({**OVER, "spans": [[1, 2]] * 70_000}, "schedule.spans must be at most 65536: 70000"),
        ({**STATE, "states": [{}] * 70_000}, "schedule.states must be at most 65536: 70000"),
        ({"type": "trace", "rates_kbit": [5] * 70_000}, "schedule.rates_kbit must be 1 to 65536 bins: 70000"),
        ({"type": "sum", "parts": [{"type": "constant"}] * 65}, "schedule.parts must be 1 to 64: 65"),
        (
            {"type": "sum", "parts": [{"type": "constant"}] * 20},
            "schedule must lead to at most 20000 different impairments: parts of a sum multiply: 1048576",
        ),
    ],
    ids=["steps", "spans", "states", "bins", "parts", "extremes"],
)
def test_lists_have_limits(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as raised:
        schedule_from_json(data)
    assert str(raised.value) == message


class Own(Schedule):
    """A schedule of somebody's own."""

    def run(self, seed: int, under: Impairment) -> Any:
        yield from ()

    def extremes(self, under: Impairment) -> Any:
        yield under

    @property
    def names(self) -> frozenset[str]:
        return frozenset()


class OwnModifier(Modifier):
    def applied_to(self, impairment: Impairment) -> Impairment:
        return impairment

    @property
    def names(self) -> frozenset[str]:
        return frozenset()


def test_how_many_impairments_and_changes_a_schedule_holds() -> None:
    counts = {name: (bounds.extremes_count(made), bounds.changes_count(made)) for name, made in WRITTEN.items()}
    assert counts["nothing"] == (1, 1)
    assert counts["steps"] == (5, 5)
    assert counts["ramp"] == (4, 2)
    assert counts["states"] == (2, 2)
    assert counts["process"] == (4, 1)
    assert counts["rates"] == (3, 3)
    assert counts["more"] == (6, 3)
    assert counts["replay"] == (3, 3)
    assert counts["handover"] == (4, 3)
    assert counts["sum"] == (5 * 3 * 2, 4)
    assert (bounds.extremes_count(Own()), bounds.changes_count(Own())) == (1, 1)


def test_what_cannot_be_written_down_is_said() -> None:
    with pytest.raises(RequestError, match="schedule must be one of linkem's own, or it cannot be written down: 'Own'"):
        schedule_to_json(Own())
    with pytest.raises(RequestError, match="effect must be one of handover, bufferbloat, or it cannot be written"):
        schedule_to_json(Overlay(Constant(), OwnModifier(), [(1, 2)]))
    with pytest.raises(RequestError, match="delay_ms must be a finite number"):
        schedule_to_json(Steps([ScheduledChange(0.0, {"delay_ms": math.inf})]))


def test_a_schedule_has_a_short_name() -> None:
    assert name_of(SCHEDULES["handover"].schedule) == RunningSchedule(type="overlay", name="handover")
    assert name_of(WRITTEN["mahimahi"]) == RunningSchedule(type="trace", name="drive")
    assert name_of(Constant(preset("good").impairment)) == RunningSchedule(type="constant")
    assert name_of(Own()) == RunningSchedule(type="Own")


# ------------------------------------------------------------------------------------------- fuzz


valid = st.sampled_from(
    [schedule_to_json(schedule) for schedule in WRITTEN.values()] + [{"type": name} for name in TYPES]
)


@given(mutated(valid.map(on_the_wire)) | json_values | st.fixed_dictionaries({"type": st.sampled_from(list(TYPES))}))
def test_whatever_comes_is_a_schedule_or_refused(data: Any) -> None:
    try:
        schedule = schedule_from_json(data)
    except RequestError as error:
        problem = {"field": error.field, "rule": error.rule, "value": error.value}
    else:
        assert schedule_from_json(on_the_wire(schedule_to_json(schedule))) == schedule
        return
    assert dump(problem)
    assert problem["field"].startswith("schedule")
