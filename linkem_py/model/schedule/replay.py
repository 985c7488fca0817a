"""What was recorded, again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from linkem_py.model.impairment import Impairment
from linkem_py.model.rules import Number
from linkem_py.model.schedule.change import ScheduledChange, in_order, names_of
from linkem_py.model.schedule.fields import needed
from linkem_py.model.schedule.schedule import Schedule


def _recorded(pairs: Any) -> tuple[ScheduledChange, ...]:
    return in_order(pairs, where="change", strictly=False)


@attrs.frozen
class Replay(Schedule):
    """The changes of a recording of one link.

    Parameters
    ----------
    recorded : pairs of a time (seconds since the recording began, not falling) and an `Impairment` or
        fields, as in `Steps`; or `ScheduledChange`
    speed : 2 is twice as fast

    Raises `TopologyError` naming the change.
    """

    recorded: tuple[ScheduledChange, ...] = attrs.field(converter=_recorded)
    speed: float = attrs.field(default=1.0, kw_only=True, validator=needed(Number(above=0, most=1e6)))

    @property
    def names(self) -> frozenset[str]:
        """The fields that were changed."""
        return names_of(self.recorded)

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """What was recorded; the seed does not matter."""
        for change in self.recorded:
            yield change.at(change.at_s / self.speed)

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """Every state that was recorded, once each."""
        state, seen = under, set()
        for change in self.recorded:
            state = change.applied_to(state)
            if state not in seen:
                seen.add(state)
                yield state
