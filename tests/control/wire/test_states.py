from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given

from linkem_py.control.wire.states import LinkCounters, LinkRate
from tests.control.wire import strategies

NOTHING = LinkCounters(
    link=("a", "b", "lan"),
    at=100.0,
    packets=0,
    bytes=0,
    drops=0,
    lost=0,
    queue_drops=0,
    overlimits=0,
    backlog_packets=0,
    backlog_bytes=0,
)


def counted(**counts: Any) -> LinkCounters:
    return attrs.evolve(NOTHING, **counts)


def test_a_rate_is_what_left_the_link_over_the_interval() -> None:
    before = counted(packets=10, bytes=1000, drops=1)
    now = counted(at=102.0, packets=30, bytes=26_000, drops=4)
    assert LinkRate.between(before, now) == LinkRate(
        counters=now, interval_s=2.0, interval_packets=20, interval_drops=3, rate_kbit=100.0
    )


def test_the_first_reading_has_no_rate() -> None:
    assert LinkRate.between(None, counted(packets=5)) == LinkRate(counters=counted(packets=5))


@pytest.mark.parametrize("at", [100.0, 99.0], ids=["stands still", "goes back"])
def test_a_clock_that_does_not_advance_gives_no_rate(at: float) -> None:
    rate = LinkRate.between(NOTHING, counted(at=at, packets=5, bytes=500))
    assert (rate.interval_s, rate.rate_kbit, rate.interval_packets) == (0.0, 0.0, 5)


def test_a_link_that_was_made_anew_counts_from_zero() -> None:
    rate = LinkRate.between(counted(packets=50, bytes=9000, drops=2), counted(at=101.0, packets=3, bytes=1250, drops=2))
    assert (rate.interval_packets, rate.interval_drops, rate.rate_kbit) == (3, 2, 10.0)


@given(strategies.counters, strategies.counters)
def test_no_rate_is_negative(before: LinkCounters, now: LinkCounters) -> None:
    rate = LinkRate.between(before, now)
    assert min(rate.interval_s, rate.interval_packets, rate.interval_drops, rate.rate_kbit) >= 0
