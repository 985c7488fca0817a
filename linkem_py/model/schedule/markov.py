"""A chain of states that a link goes through at random."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule.change import LONGEST_S, ScheduledChange, names_of
from linkem_py.model.schedule.fields import nearest
from linkem_py.model.schedule.randomness import generator
from linkem_py.model.schedule.schedule import Schedule

ROUNDING = 1e-9  # how far from 1 the sum of a row may be


def _states(given: Any) -> tuple[tuple[str, ScheduledChange], ...]:
    """States with names (their number, if they have none)."""
    if isinstance(given, Mapping):
        named = [(str(name), what) for name, what in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        named = [(str(index), what) for index, what in enumerate(given)]
    else:
        raise TopologyError(
            "states", "must be a list of Impairments or of fields, or a mapping of names to them", given
        )
    if not named:
        raise TopologyError("states", "must be at least one", given)
    found = []
    for name, what in named:
        try:
            found.append((name, ScheduledChange.of(0.0, what)))
        except TopologyError as error:
            raise error.at(f"state {name}") from None
    return tuple(found)


def _matrix(given: Any) -> tuple[tuple[float, ...], ...]:
    try:
        return tuple(tuple(float(share) for share in row) for row in given)
    except (TypeError, ValueError):
        raise TopologyError("matrix", "must be rows of numbers", given) from None


@attrs.frozen(kw_only=True)
class Markov(Schedule):
    """States at random; each lasts an exponential time, then a row of the matrix says what is next.

    The chain stays in a state for ``mean_dwell_s / (1 - p)`` on average, where p is the matrix's share
    of staying; times in it are exponential. With one dwell for all states, their shares of time are
    the matrix's stationary distribution; otherwise that distribution weighted with the dwells.

    Parameters
    ----------
    states : Impairments, or mappings that all name the same fields (so that no state depends on how it
        was reached); a list, or a mapping of names to them. ``{"outage": True}`` may be a state's
    matrix : a row for each state: probabilities of the next, which sum to 1
    initial : number or name of the state at the beginning
    mean_dwell_s : mean time until the matrix is asked, above 0: one number, or one for each state

    Raises `TopologyError` naming the state or the row.
    """

    states: tuple[tuple[str, ScheduledChange], ...] = attrs.field(converter=_states)
    matrix: tuple[tuple[float, ...], ...] = attrs.field(converter=_matrix)
    initial: int | str = attrs.field(default=0)
    mean_dwell_s: float | Sequence[float]

    def __attrs_post_init__(self) -> None:
        _check_alike(self.states)
        _check_matrix(self.matrix, [name for name, _ in self.states])
        object.__setattr__(self, "initial", _place(self.initial, [name for name, _ in self.states]))
        object.__setattr__(self, "mean_dwell_s", _dwells(self.mean_dwell_s, len(self.states)))

    @property
    def names(self) -> frozenset[str]:
        """The fields that the states set."""
        return names_of(tuple(change for _, change in self.states))

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of time spent in each state in the long run, from this initial state.

        For a chain in which every state can be reached from every other.
        """
        count = len(self.states)
        balance = np.vstack([np.array(self.matrix).T - np.eye(count), np.ones(count)])
        stationary = np.linalg.lstsq(balance, np.append(np.zeros(count), 1.0), rcond=None)[0]
        weighted = stationary * np.array(self.mean_dwell_s)
        return tuple((weighted / weighted.sum()).tolist())

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """The states; a chain that cannot leave one ends there."""
        assert isinstance(self.initial, int)
        dwells: Any = self.mean_dwell_s
        draw, state, at_s = generator(seed), self.initial, 0.0
        # Staying is not drawn: a geometric number of exponential times is one exponential time.
        leaving = [
            list(itertools.accumulate(0.0 if index == row else share for index, share in enumerate(shares)))
            for row, shares in enumerate(self.matrix)
        ]
        while True:
            yield self.states[state][1].at(at_s)
            onward = leaving[state]
            if not onward[-1]:
                return
            at_s += dwells[state] / onward[-1] * draw.standard_exponential()
            state = bisect_right(onward, draw.random() * onward[-1])

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """Every state."""
        for name, change in self.states:
            try:
                yield change.applied_to(under)
            except TopologyError as error:
                raise error.at(f"state {name}") from None


def _check_alike(states: tuple[tuple[str, ScheduledChange], ...]) -> None:
    first_name, first = states[0]
    for name, change in states[1:]:
        if change.clear != first.clear or (not first.clear and change.fields.keys() != first.fields.keys()):
            rule = f"must name the same fields as state {first_name} ({', '.join(first.fields)}), or all be Impairments"
            raise TopologyError("states", rule, list(change.fields), where=f"state {name}")


def _check_matrix(matrix: tuple[tuple[float, ...], ...], names: list[str]) -> None:
    if len(matrix) != len(names):
        raise TopologyError("matrix", f"must have a row for each of the {len(names)} states", len(matrix))
    for name, row in zip(names, matrix, strict=True):
        where = f"row of state {name}"
        if len(row) != len(names):
            raise TopologyError("matrix", f"must have {len(names)} probabilities in a row", len(row), where=where)
        for share in row:
            if not 0 <= share <= 1:
                raise TopologyError("matrix", "must be probabilities between 0 and 1", share, where=where)
        if abs(math.fsum(row) - 1) > ROUNDING:
            raise TopologyError("matrix", "must sum to 1 in every row", math.fsum(row), where=where)


def _place(initial: Any, names: list[str]) -> int:
    if isinstance(initial, str):
        if initial in names:
            return names.index(initial)
        hint = nearest(initial, names)
        raise TopologyError("initial", f"must be a state{hint}; the states are {', '.join(names)}", initial)
    if isinstance(initial, bool) or not isinstance(initial, int) or not 0 <= initial < len(names):
        raise TopologyError(
            "initial", f"must be the name of a state, or its number from 0 to {len(names) - 1}", initial
        )
    return initial


def _dwells(given: Any, count: int) -> tuple[float, ...]:
    dwells = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,) * count
    if len(dwells) != count:
        raise TopologyError("mean_dwell_s", f"must be one number, or one for each of the {count} states", given)
    for dwell in dwells:
        if isinstance(dwell, bool) or not isinstance(dwell, int | float) or not 0 < dwell <= LONGEST_S:
            raise TopologyError("mean_dwell_s", f"must be above 0 and at most {LONGEST_S:g} s", dwell)
    return tuple(float(dwell) for dwell in dwells)
