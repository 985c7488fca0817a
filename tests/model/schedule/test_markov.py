"""A chain is checked against what its matrix says, within four standard deviations of each estimator."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import Impairment, Markov
from linkem_py.model.presets import schedule

SIGMAS = 4
BURSTY = [[0.9, 0.1], [0.3, 0.7]]
RATES = [{"rate_kbit": 1000}, {"rate_kbit": 100}, {"rate_kbit": 10}]


def sojourns(chain: Markov, end_s: float, seed: int = 5) -> list[tuple[int, float]]:
    """States in order, by place, and how long each lasted; the last, cut short, left out."""
    places = {repr(change.fields): place for place, (_, change) in enumerate(chain.states)}
    changes = chain.changes(0, end_s, seed)
    return [(places[repr(first.fields)], second.at_s - first.at_s) for first, second in itertools.pairwise(changes)]


# --- statistics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dwell", [10.0, (10.0, 2.0)])
def test_times_in_a_state_are_exponential_and_as_long_as_the_matrix_says(dwell: Any) -> None:
    chain = Markov(states=RATES[:2], matrix=BURSTY, mean_dwell_s=dwell)
    dwells = dwell if isinstance(dwell, tuple) else (dwell, dwell)
    found = sojourns(chain, 500_000)
    for place, staying in ((0, 0.9), (1, 0.7)):
        times = np.array([length for state, length in found if state == place])
        mean, count = dwells[place] / (1 - staying), len(times)
        assert count > 3000
        assert abs(times.mean() - mean) < SIGMAS * mean / math.sqrt(count)
        # Of an exponential: variance mean^2, fourth central moment 9 mean^4.
        assert abs(times.var() - mean**2) < SIGMAS * mean**2 * math.sqrt(8 / count)
        # Without memory: the length of one says nothing about that of the next.
        assert abs(np.corrcoef(times[:-1], times[1:])[0, 1]) < SIGMAS / math.sqrt(count)


@pytest.mark.parametrize("dwell", [10.0, (10.0, 2.0)])
def test_the_share_of_time_is_the_stationary_distribution(dwell: Any) -> None:
    chain = Markov(states=RATES[:2], matrix=BURSTY, mean_dwell_s=dwell)
    found = sojourns(chain, 500_000)
    good, bad = (sum(length for state, length in found if state == place) for place in (0, 1))
    first, second = (dwell if isinstance(dwell, tuple) else (dwell, dwell))[:2]
    a, b = first / 0.1, second / 0.3
    assert chain.shares == pytest.approx((a / (a + b), b / (a + b)))
    # Time spent in one of two alternating exponential states: variance 2 a^2 b^2 / (a + b)^3 a second.
    error = math.sqrt(2 * a**2 * b**2 / (a + b) ** 3 / (good + bad))
    assert abs(bad / (good + bad) - b / (a + b)) < SIGMAS * error


def test_bursty_is_poor_a_quarter_of_the_time() -> None:
    chain = schedule("bursty_markov").schedule
    assert isinstance(chain, Markov)
    assert chain.shares == pytest.approx((0.75, 0.25))


@pytest.mark.parametrize("name", ["race_4g", "race_5g"])
def test_what_follows_a_state_is_drawn_from_its_row(name: str) -> None:
    chain = schedule(name).schedule
    assert isinstance(chain, Markov)
    order = [state for state, _ in sojourns(chain, 400_000)]
    for place, row in enumerate(chain.matrix):
        following = [after for before, after in itertools.pairwise(order) if before == place]
        for other in {0, 1, 2} - {place}:
            share = row[other] / (1 - row[place])
            error = math.sqrt(share * (1 - share) / len(following))
            assert abs(following.count(other) / len(following) - share) < SIGMAS * error


# --- what it yields -----------------------------------------------------------------------------


def test_it_begins_in_its_initial_state() -> None:
    for initial in (1, "poor"):
        chain = Markov(
            states={"good": Impairment(delay_ms=5), "poor": Impairment(delay_ms=100)},
            matrix=BURSTY,
            initial=initial,
            mean_dwell_s=10,
        )
        first = chain.changes(0, 1e-9)
        assert [(change.at_s, change.fields, change.clear) for change in first] == [(0, {"delay_ms": 100}, True)]


def test_a_chain_that_cannot_leave_a_state_ends_there() -> None:
    chain = Markov(states=RATES, matrix=[[0, 1, 0], [0, 0, 1], [0, 0, 1]], mean_dwell_s=1)
    stream = chain.stream(3)
    assert [change.fields["rate_kbit"] for change in stream.until(1e9)] == [1000, 100, 10]
    assert stream.next_s == math.inf


def test_a_state_can_be_an_outage() -> None:
    chain = Markov(states={"up": {}, "down": {"outage": True}}, matrix=[[0, 1], [1, 0]], mean_dwell_s=(20, 2))
    assert [change.outage for change in chain.changes(0, 200)][:4] == [False, True, False, True]
    assert chain.names == frozenset()


def test_its_bounds_are_those_of_its_states() -> None:
    chain = Markov(states=RATES, matrix=np.eye(3), mean_dwell_s=1)
    assert chain.bounds("rate_kbit") == (10, 1000)
    assert chain.names == {"rate_kbit"}


# --- what is refused ----------------------------------------------------------------------------


def chain(**changes: Any) -> Markov:
    settings: dict[str, Any] = {"states": RATES[:2], "matrix": BURSTY, "mean_dwell_s": 10}
    return Markov(**settings | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matrix": [[0.9, 0.1], [0.3, 0.6]]}, "row of state 1: matrix must sum to 1 in every row: 0.8999999999999999"),
        ({"matrix": [[0.9, 0.1]]}, "matrix must have a row for each of the 2 states: 1"),
        ({"matrix": [[0.9, 0.1], [1]]}, "row of state 1: matrix must have 2 probabilities in a row: 1"),
        (
            {"matrix": [[1.1, -0.1], [0, 1]]},
            "row of state 0: matrix must be probabilities between 0 and 1: 1.1",
        ),
        ({"matrix": 5}, "matrix must be rows of numbers: 5"),
        ({"mean_dwell_s": -1}, "mean_dwell_s must be above 0 and at most 1e+09 s: -1"),
        ({"mean_dwell_s": (5, 0)}, "mean_dwell_s must be above 0 and at most 1e+09 s: 0"),
        ({"mean_dwell_s": "long"}, "mean_dwell_s must be above 0 and at most 1e+09 s: 'long'"),
        ({"mean_dwell_s": (5,)}, "mean_dwell_s must be one number, or one for each of the 2 states: (5,)"),
        ({"initial": 2}, "initial must be the name of a state, or its number from 0 to 1: 2"),
        (
            {"states": {"good": RATES[0], "poor": RATES[1]}, "initial": "pour"},
            "initial must be a state (did you mean poor?); the states are good, poor: 'pour'",
        ),
        ({"states": []}, "states must be at least one: []"),
        (
            {"states": "good"},
            "states must be a list of Impairments or of fields, or a mapping of names to them: 'good'",
        ),
        (
            {"states": [RATES[0], {"delay_ms": 5}]},
            "state 1: states must name the same fields as state 0 (rate_kbit), or all be Impairments: ['delay_ms']",
        ),
        (
            {"states": [RATES[0], Impairment(rate_kbit=5)]},
            "state 1: states must name the same fields as state 0 (rate_kbit), or all be Impairments: ['rate_kbit']",
        ),
        ({"states": [RATES[0], {"rate_kbit": -5}]}, "state 1: rate_kbit must be between 1 and 8e+09: -5"),
    ],
)
def test_a_chain_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        chain(**changes)
    assert str(caught.value) == message


def test_a_state_that_the_link_cannot_have_is_refused_by_its_name() -> None:
    jittery = chain(states={"calm": {"jitter_ms": 1}, "wild": {"jitter_ms": 50}})
    jittery.check(Impairment(delay_ms=100))
    with pytest.raises(TopologyError, match=r"state wild: jitter_ms must not be above delay_ms \(20\): 50"):
        jittery.check(Impairment(delay_ms=20))
