from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.errors import TopologyError
from linkem_py.model import Impairment, Trace

RECORDED = Path(__file__).parents[4] / "shared" / "traces"
FRAME_KBIT = 1514 * 8 / 1000


def rates(trace: Trace, end_s: float | None = None) -> list[tuple[float, Any]]:
    """Times and rates; 0 during an outage."""
    changes = trace.changes(0, trace.length_s if end_s is None else end_s)
    return [(change.at_s, 0 if change.outage else change.fields["rate_kbit"]) for change in changes]


def packets(trace: Trace) -> float:
    """How many packets of 1,500 bytes the rates of one round let pass."""
    found = [*rates(trace), (trace.length_s, 0)]
    return float(sum(rate * (end - start) for (start, rate), (end, _) in itertools.pairwise(found)) / FRAME_KBIT)


# --- Mahimahi -----------------------------------------------------------------------------------


def test_packets_of_a_bin_become_a_rate() -> None:
    trace = Trace.mahimahi("0\n50\n99\n100\n250\n299\n300\n", bin_ms=100)
    assert rates(trace) == [(0, pytest.approx(30 * FRAME_KBIT)), (0.1, 10 * FRAME_KBIT), (0.2, 30 * FRAME_KBIT)]
    assert trace.length_s == 0.3


def test_a_packet_may_count_as_many_bytes_as_one_wants() -> None:
    assert rates(Trace.mahimahi(["0", "100"], bin_ms=100, packet_bytes=1500)) == [(0, 240)]


def test_a_bin_without_packets_is_an_outage_that_ends_on_time() -> None:
    trace = Trace.mahimahi("10\n310\n400\n", bin_ms=100, name="gap")
    first, gap, end = trace.changes(0, 0.4)
    assert (gap.at_s, gap.outage, gap.fields) == (0.1, True, {})
    assert (end.at_s, end.outage) == (0.3, False)
    assert end.fields["rate_kbit"] == pytest.approx(20 * FRAME_KBIT)
    assert not first.outage


def test_a_trace_starts_over_at_its_end_or_stops() -> None:
    text = "0\n150\n160\n200"
    assert [at for at, _ in rates(Trace.mahimahi(text, bin_ms=100), 0.6)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [at for at, _ in rates(Trace.mahimahi(text, bin_ms=100, repeat=False), 0.6)] == [0, 0.1]


def test_bins_that_are_alike_are_one_change() -> None:
    assert len(rates(Trace.mahimahi([str(ms) for ms in range(0, 1001, 10)], bin_ms=100))) == 2


def test_a_short_rest_goes_to_the_last_bin() -> None:
    assert rates(Trace.mahimahi("0\n100\n149", bin_ms=100)) == [(0, pytest.approx(3000 / 149 * FRAME_KBIT))]
    assert [at for at, _ in rates(Trace.mahimahi("0\n100\n140\n150", bin_ms=100))] == [0, 0.1]


def test_a_rate_of_hardly_anything_is_the_least_that_a_link_can_have() -> None:
    assert rates(Trace.mahimahi(["3600000"], bin_ms=3_600_000)) == [(0, 1)]


def test_comments_and_empty_lines_are_passed_over() -> None:
    assert packets(Trace.mahimahi("# a comment\n\n5\r\n 7 \n")) == pytest.approx(2)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=80), st.integers(1, 2000))
def test_as_many_packets_pass_as_the_trace_says(times: list[int], bin_ms: int) -> None:
    times = [*sorted(times), 5001]
    trace = Trace.mahimahi(map(str, times), bin_ms=bin_ms)
    assert packets(trace) == pytest.approx(len(times))


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded traces are not here")
@pytest.mark.parametrize("name", ["ATT-LTE-driving-2016.up", "Verizon-LTE-short.down"])
def test_a_recorded_trace_keeps_its_packets_second_by_second(name: str) -> None:
    text = (RECORDED / name).read_text()
    trace = Trace.mahimahi(text, bin_ms=200, name=name)
    times = [int(line) for line in text.split()]
    assert packets(trace) == pytest.approx(len(times))
    found = [*rates(trace), (trace.length_s, 0)]
    for second in range(5):
        passed = sum(
            rate * max(0, min(end, second + 1) - max(start, second))
            for (start, rate), (end, _) in itertools.pairwise(found)
        )
        assert passed / FRAME_KBIT == pytest.approx(sum(second * 1000 <= at < (second + 1) * 1000 for at in times))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lte.up, line 1: trace must have at least one packet: ''"),
        ("# nothing\n\n", "lte.up, line 2: trace must have at least one packet: ''"),
        ("0\n0\n", "lte.up, line 2: trace must last longer than 0 ms: 0"),
        ("1\n2\nx\n", "lte.up, line 3: time must be a whole number of milliseconds: 'x'"),
        ("1\n-2\n", "lte.up, line 2: time must be a whole number of milliseconds: '-2'"),
        ("1.5\n", "lte.up, line 1: time must be a whole number of milliseconds: '1.5'"),
        ("1\n٣\n", "lte.up, line 2: time must be a whole number of milliseconds: '٣'"),
        ("1\n\n5\n4\n", "lte.up, line 4: time must not be before the one above (5 ms): 4"),
    ],
)
def test_a_malformed_trace_is_refused_with_the_line(text: str, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Trace.mahimahi(text, name="lte.up")
    assert str(caught.value) == message


@pytest.mark.parametrize("settings", [{"bin_ms": 0}, {"bin_ms": 1.5}, {"packet_bytes": True}])
def test_a_bin_or_packet_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(TopologyError, match=f"{name} must be a whole number from 1 to"):
        Trace.mahimahi("1", **settings)


# --- time series --------------------------------------------------------------------------------

CSV = """\ufeff# from a drive
at_s, rate_kbit, delay_ms, keep_order, queue_packets, distribution

0,    1000,      20,       true,       50,            uniform
1,    0,         ,         ,           ,
2.5,  none,      30,       false,      ,
"""
JSON = """[
  {"at_s": 0, "rate_kbit": 1000, "delay_ms": 20, "keep_order": true, "queue_packets": 50, "distribution": "uniform"},
  {"at_s": 1, "rate_kbit": 0},
  {"at_s": 2.5, "rate_kbit": null, "delay_ms": 30, "keep_order": false}
]
"""


@pytest.mark.parametrize("trace", [Trace.csv(CSV), Trace.json(JSON)])
def test_a_time_series_can_have_any_fields(trace: Trace) -> None:
    first = {"rate_kbit": 1000, "delay_ms": 20, "keep_order": True, "queue_packets": 50, "distribution": "uniform"}
    assert [(change.at_s, change.fields, change.outage) for change in trace.changes(0, 4)] == [
        (0, first, False),
        (1, {}, True),
        (2.5, {"rate_kbit": None, "delay_ms": 30, "keep_order": False}, True),
    ]
    assert trace.length_s == 4
    assert trace.names == first.keys()
    assert trace.bounds("delay_ms") == (20, 30)
    assert trace.bounds("rate_kbit") == (1000, float("inf"))


def test_a_time_series_ends_where_it_is_told_to() -> None:
    assert Trace.csv("at_s,rate_kbit\n0,5\n1,6\n", duration_s=10).length_s == 10
    assert Trace.json('[{"at_s": 3, "rate_kbit": 5}]').length_s == 4
    assert Trace.csv("at_s,rate_kbit\n0,5\n1,6\n", repeat=False).changes(1.5, 100) == []


def test_no_floor_raises_a_trace() -> None:
    trace = Trace([(0, {"rate_kbit": 5000}), (1, {"rate_kbit": 0}), (2, {"rate_kbit": 1}), (3, {"rate_kbit": 70})])
    assert trace.bounds("rate_kbit") == (1, 5000)
    assert [change.outage for change in trace.changes(0, 8)] == [False, True, False, False] * 2


def test_the_bounds_of_a_rate_know_when_there_is_none() -> None:
    assert Trace([(0, {"rate_kbit": None}), (1, {"rate_kbit": 5})]).bounds("rate_kbit") == (5, float("inf"))
    assert Trace([(0, {"rate_kbit": None})]).bounds("rate_kbit") is None
    early = Trace([(0, {"rate_kbit": 0}), (1, {"rate_kbit": 5})])
    assert early.bounds("rate_kbit", Impairment(rate_kbit=7)) == (5, 7)
    assert Trace([(0, {"rate_kbit": 0})]).bounds("rate_kbit", Impairment(rate_kbit=7)) == (7, 7)


def test_a_trace_that_stops_is_checked_once() -> None:
    points = [(0, {"delay_ms": 20}), (1, {"delay_ms": 100, "jitter_ms": 50})]
    Trace(points, repeat=False).check()
    with pytest.raises(TopologyError, match="jitter_ms must not be above delay_ms"):
        Trace(points).check()
    assert len(list(Trace([*points[:1], (1, {"delay_ms": 20})]).extremes(Impairment()))) == 1


def test_points_of_any_kind_are_taken() -> None:
    changes = Trace([(0, {"rate_kbit": 5}), (1, Impairment(delay_ms=5))]).points
    assert Trace(changes).points == changes


def test_the_format_is_named() -> None:
    assert Trace.from_text("5\n10", format="mahimahi", bin_ms=5).length_s == 0.01
    assert Trace.from_text(CSV, format="csv", name="a").name == "a"
    assert Trace.from_text(JSON, format="json", repeat=False).repeat is False
    with pytest.raises(TopologyError, match=r"format must be one of mahimahi, csv, json \(did you mean json\?\)"):
        Trace.from_text("", format="jsn")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t, line 1: trace must have a header and at least one row: ''"),
        ("\n# x\n\nat_s,rate_kbit\n", "t, line 1: trace must have at least one point: ''"),
        ("\nrate_kbit\n5", "t, line 2: header must name a column at_s: 'rate_kbit'"),
        ("at_s,rate\n0,5", "t, line 1: header must name fields (did you mean rate_kbit?): 'rate'"),
        ("at_s,delay_ms,delay_ms\n", "t, line 1: header must not name a column twice: 'delay_ms'"),
        ("at_s,rate_kbit\n0,5\n#\n1,x", "t, line 4: rate_kbit must be a number: 'x'"),
        ("at_s,rate_kbit\n0,5\nx,5", "t, line 3: at_s must be a number: 'x'"),
        ("at_s,rate_kbit\n0,5\n1", "t, line 3: row must have 2 cells, as the header: 1"),
        ("at_s,rate_kbit\n1,5\n0,5", "t, line 3: at_s must be after the one before it (1): 0.0"),
        ("at_s,rate_kbit\nnan,5", "t, line 2: at_s must be a number of seconds from 0 to 1e+09: nan"),
        ("at_s,rate_kbit\n0,0.5", "t, line 2: rate_kbit must be between 1 and 8e+09: 0.5"),
        ("at_s,keep_order\n0,yes", "t, line 2: keep_order must be true or false: 'yes'"),
        ("at_s,queue_packets\n0,1.5", "t, line 2: queue_packets must be a whole number: 1.5"),
        (
            'at_s,rate_kbit\n0,"5',
            "t, line 2: row must be comma-separated values (unexpected end of data): '0,\"5'",
        ),
    ],
)
def test_a_malformed_table_is_refused_with_the_line(text: str, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Trace.csv(text, name="t")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t, line 1: trace must have an array of objects here: ''"),
        ('\n{"at_s": 0}', "t, line 2: trace must have an array of objects here: '{\"at_s\": 0}'"),
        ("[]", "t, line 1: trace must have at least one point: ''"),
        ('[\n{"at_s": 0},\n5]', "t, line 3: point must be an object with at_s: 5"),
        ('[{"rate_kbit": 5}]', "t, line 1: point must be an object with at_s: {'rate_kbit': 5}"),
        ('[\n{"at_s": 0}\n{"at_s": 1}]', "t, line 3: trace must have ',' or ']' here: '{\"at_s\": 1}]'"),
        ('[{"at_s": 0},\n]', "t, line 2: trace must have another object here: ']'"),
        ('[{"at_s": 0}]\n x', "t, line 2: trace must have the end here: 'x'"),
        ('[{"at_s": 0},\n{"at_s": 0}]', "t, line 2: at_s must be after the one before it (0): 0"),
        ('[\n{"at_s": "0"}]', "t, line 2: at_s must be a number of seconds from 0 to 1e+09: '0'"),
        ('[{"at_s": 0,\n "rate_kbit": false}]', "t, line 1: rate_kbit must be a number: False"),
    ],
)
def test_a_malformed_array_is_refused_with_the_line(text: str, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Trace.json(text, name="t")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text", ['[\n{"at_s": 0,\n}]', '[\n\n{"at_s": ' + "[" * 100_000, '[\n\n{"at_s": ' + "1" * 5000 + "}]"]
)
def test_what_is_not_json_is_refused_with_the_line(text: str) -> None:
    with pytest.raises(TopologyError, match="t, line 3: trace must be JSON: "):
        Trace.json(text, name="t")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Trace([]), "points must be at least one: []"),
        (lambda: Trace("0"), "points must be pairs of seconds and an Impairment or fields: '0'"),
        (lambda: Trace([5]), "point 0: point must be a pair of seconds and an Impairment or fields: 5"),
        (lambda: Trace([(0, {"rate_kbit": 5}), (0, {})]), "point 1: at_s must be after the one before it (0): 0"),
        (lambda: Trace([(3, {})], duration_s=3), "duration_s must be above the last point's time (3): 3"),
    ],
)
def test_points_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value) == message
