"""What all schedules can do, and one run of one of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule.change import ScheduledChange
from linkem_py.model.schedule.fields import number_of
from linkem_py.model.schedule.randomness import check_seed

UNIMPAIRED = Impairment()


class Stream:
    """One run of a schedule: its changes, in order of time, read once and forwards.

    Made by `Schedule.stream`. It looks one change ahead and holds nothing else.
    """

    __slots__ = ("_next", "_rest")

    def __init__(self, changes: Iterator[ScheduledChange]) -> None:
        self._rest = changes
        self._next = next(changes, None)

    @property
    def next_s(self) -> float:
        """When the next change is due, in seconds since the schedule began; infinite after the last."""
        return math.inf if self._next is None else self._next.at_s

    def until(self, end_s: float) -> list[ScheduledChange]:
        """The changes from where the stream stands up to `end_s`, that moment excluded. Finite: most never end."""
        found = []
        while self._next is not None and self._next.at_s < end_s:
            found.append(self._next)
            self._next = next(self._rest, None)
        return found

    def __repr__(self) -> str:
        return f"<Stream: next at {self.next_s:g} s>"


class Schedule(ABC):
    """How the impairment of a link's direction changes with time. A frozen value.

    A subclass gives `run` (the changes from a seed, in order of time, perhaps without end),
    `extremes` (what has to be valid for all of them to be) and `names` (what they set).
    """

    __slots__ = ()

    @abstractmethod
    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """The changes of a run, in order of time, over a link whose impairment is `under`."""

    @abstractmethod
    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """Impairments between which all lie that the schedule's changes lead to, over `under`.

        Making them checks them: raises `TopologyError` if one cannot be.
        """

    def throughout(self, under: Impairment) -> Iterator[Impairment]:
        """The extremes, and `under` itself if it holds until the first change."""
        if self.stream(0, under).next_s > 0:
            yield under
        yield from self.extremes(under)

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """The fields that the schedule may set."""

    def stream(self, seed: int = 0, under: Impairment = UNIMPAIRED) -> Stream:
        """One run: the same changes for the same seed (64 bits), whatever else runs.

        under : the impairment of the link by itself, which modifiers and interpolation start from
        """
        return Stream(self.run(check_seed(seed), under))

    def changes(
        self, start_s: float, end_s: float, seed: int = 0, under: Impairment = UNIMPAIRED
    ) -> list[ScheduledChange]:
        """The changes of a span, its end excluded, so that the changes of two spans make those of both.

        Costs as much as the changes from 0 on. Raises `TopologyError` unless 0 <= start <= end, finite.
        """
        _check_span(start_s, end_s)
        stream = self.stream(seed, under)
        stream.until(start_s)
        return stream.until(end_s)

    def in_force(self, at_s: float, seed: int = 0, under: Impairment = UNIMPAIRED) -> ScheduledChange:
        """All that holds at a moment, as one change that replaces everything."""
        _check_span(at_s, at_s)
        impairment, out = under, False
        for change in self.stream(seed, under).until(math.nextafter(at_s, math.inf)):
            impairment, out = change.applied_to(impairment), change.outage
        return ScheduledChange(at_s, impairment.set_fields(), clear=True, outage=out)

    def check(self, under: Impairment = UNIMPAIRED) -> None:
        """Raise `TopologyError` if the schedule could lead to an impairment that cannot be, over `under`."""
        for _ in self.extremes(under):
            pass

    def bounds(self, name: str, under: Impairment = UNIMPAIRED) -> tuple[float, float] | None:
        """The least and the greatest of a numeric field during the whole run; None if it never has a value.

        A rate that is ever unlimited has no greatest: infinite. Queues are sized by the rate's.
        """
        values = [number_of(impairment, name) for impairment in self.throughout(under)]
        present = [value for value in values if value is not None]
        if not present:
            return None
        unlimited = name == "rate_kbit" and None in values
        return min(present), math.inf if unlimited else max(present)


def _check_span(start_s: Any, end_s: Any) -> None:
    for name, value in (("start_s", start_s), ("end_s", end_s)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise TopologyError(name, "must be a finite number of seconds from 0 on", value)
    if end_s < start_s:
        raise TopologyError("end_s", f"must not be before start_s ({start_s:g})", end_s)


def check_schedule(value: Any, *, field: str = "schedule") -> Schedule:
    """`value` if it is a schedule; raises `TopologyError` otherwise."""
    if not isinstance(value, Schedule):
        raise TopologyError(field, "must be a Schedule", value)
    return value
