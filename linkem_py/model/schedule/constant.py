"""A schedule that does not change."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule.change import ScheduledChange, What, names_of
from linkem_py.model.schedule.schedule import Schedule


@attrs.frozen
class Constant(Schedule):
    """One change, at the beginning. With no fields: none, the link's own impairment, to put something over.

    what : an `Impairment` (replaces the link's own) or fields (change what they name)
    """

    what: What = attrs.field(factory=dict)
    _change: ScheduledChange = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_change", ScheduledChange.of(0.0, self.what))

    @property
    def names(self) -> frozenset[str]:
        """The fields that it sets."""
        return names_of((self._change,))

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """The one change."""
        if self._change.fields or self._change.clear or self._change.outage:
            yield self._change

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """What it leads to."""
        yield self._change.applied_to(under)
