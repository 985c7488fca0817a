"""Several schedules on one link at once."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule.change import ScheduledChange
from linkem_py.model.schedule.fields import clash
from linkem_py.model.schedule.randomness import seed_from
from linkem_py.model.schedule.schedule import Schedule, check_schedule


def _schedules(given: Any) -> tuple[Schedule, ...]:
    parts = tuple(given)
    if not parts:
        raise TopologyError("schedules", "must be at least one", parts)
    return tuple(check_schedule(part) for part in parts)


@attrs.frozen(init=False)
class Sum(Schedule):
    """Schedules side by side, each with fields of its own: a rate from here, losses from there.

    Nothing passes while any of them has an outage. Each part draws from a seed of its own.

    Raises `TopologyError` where two parts set one field, or two forms of the same thing. Give what is
    always there (an `Impairment`) to the link itself, and what comes over all of it to an `Overlay`.
    """

    parts: tuple[Schedule, ...] = attrs.field(converter=_schedules)

    def __init__(self, *parts: Schedule) -> None:
        self.__attrs_init__(parts)

    def __attrs_post_init__(self) -> None:
        for (one, first), (other, second) in itertools.combinations(enumerate(self.parts), 2):
            for field in sorted(first.names):
                for again in sorted(second.names):
                    if clash(field, again):
                        rule = f"must set different fields; {one} sets {field} and {other} {again}"
                        raise TopologyError("schedules", rule, type(second).__name__)

    @property
    def names(self) -> frozenset[str]:
        """The fields of all parts."""
        return frozenset().union(*(part.names for part in self.parts))

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """The changes of all parts, in order of time."""
        outages = [False] * len(self.parts)
        runs = (
            _numbered(index, part.run(seed_from(seed, "sum", index), under)) for index, part in enumerate(self.parts)
        )
        for _, index, change in heapq.merge(*runs, key=lambda item: item[0]):
            outages[index] = change.outage
            yield attrs.evolve(change, outage=any(outages))

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """Every extreme of one with every extreme of the others."""
        states = [under]
        for part in self.parts:
            states = [made for state in dict.fromkeys(states) for made in part.throughout(state)]
        yield from states


def _numbered(index: int, changes: Iterator[ScheduledChange]) -> Iterator[tuple[float, int, ScheduledChange]]:
    for change in changes:
        yield change.at_s, index, change
