"""Something put over a schedule for a while."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.rules import Number
from linkem_py.model.schedule.change import LONGEST_S, ScheduledChange, names_of
from linkem_py.model.schedule.fields import LOSS_FIELDS, difference
from linkem_py.model.schedule.modifier import Modifier
from linkem_py.model.schedule.schedule import Schedule, Stream, check_schedule

OUTAGE: Mapping[str, Any] = MappingProxyType({"outage": True})  # nothing passes

Span = tuple[float, float]


def _effect(given: Any) -> Modifier | ScheduledChange:
    return given if isinstance(given, Modifier) else ScheduledChange.of(0.0, given)


def _spans(given: Any) -> tuple[Span, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TopologyError("spans", "must be pairs of seconds: begin and end", given)
    spans, last_s = [], 0.0
    for index, span in enumerate(given):
        where = f"span {index}"
        if isinstance(span, str) or not isinstance(span, Sequence) or len(span) != 2:
            raise TopologyError("span", "must be a pair of seconds: begin and end", span, where=where)
        for name, value in zip(("begin", "end"), span, strict=True):
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise TopologyError(name, "must be a number of seconds from 0 on", value, where=where)
        begin_s, end_s = float(span[0]), float(span[1])
        if not begin_s < end_s:
            raise TopologyError("end", f"must be after the begin ({begin_s:g})", end_s, where=where)
        if begin_s < last_s:
            raise TopologyError(
                "begin", f"must not be before the end of the span before ({last_s:g})", begin_s, where=where
            )
        spans.append((begin_s, end_s))
        last_s = end_s
    if not spans:
        raise TopologyError("spans", "must be at least one", given)
    return tuple(spans)


@attrs.frozen
class Overlay(Schedule):
    """A schedule with something over it during spans of time.

    The schedule underneath goes on as it would alone, with the same seed; what is over it applies to
    whatever it has reached, and its end leads to where it is by then.

    Parameters
    ----------
    base : the schedule underneath; ``Constant()`` for the link's own impairment
    effect : a `Modifier`, fields, an `Impairment`, or `OUTAGE`
    spans : pairs of begin and end in seconds, in order; an end may be infinite
    every_s : the spans again and again, so many seconds apart; None: once

    Raises `TopologyError` naming the span.
    """

    base: Schedule = attrs.field(validator=lambda _self, _attribute, value: check_schedule(value, field="base"))
    effect: Modifier | ScheduledChange = attrs.field(converter=_effect)
    spans: tuple[Span, ...] = attrs.field(converter=_spans)
    every_s: float | None = attrs.field(default=None, kw_only=True, validator=Number(above=0, most=LONGEST_S))

    def __attrs_post_init__(self) -> None:
        end_s = self.spans[-1][1]
        if self.every_s is not None and self.every_s < end_s:
            raise TopologyError("every_s", f"must not be below the end of the last span ({end_s:g})", self.every_s)

    @property
    def names(self) -> frozenset[str]:
        """The fields of both."""
        if self._only_outage:
            return self.base.names
        over = self.effect.names if isinstance(self.effect, Modifier) else names_of((self.effect,))
        # A parameter of the loss model that changes under an effect shows as another model.
        return frozenset("loss" if name in LOSS_FIELDS else name for name in self.base.names | over)

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """What is underneath, changed during the spans."""
        base, edges = Stream(self.base.run(seed, under)), self._edges()
        state, out, over, edge_s = under, False, False, next(edges)
        while (at_s := min(base.next_s, edge_s)) < math.inf:
            due = base.until(math.nextafter(at_s, math.inf))
            shown, is_edge = self._shown(state, over), edge_s == at_s
            for change in due:
                state, out = (state if self._only_outage else change.applied_to(state)), change.outage
            while edge_s == at_s:
                over, edge_s = not over, next(edges, math.inf)
            if self._only_outage or not (over or is_edge):
                for change in due or [ScheduledChange(at_s, outage=out)]:
                    yield attrs.evolve(change, outage=change.outage or (over and self._cuts))
            else:
                fields = difference(shown, self._shown(state, over))
                yield ScheduledChange(at_s, fields, outage=out or (over and self._cuts))

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """What is underneath, and what becomes of it."""
        for state in self.base.throughout(under):
            yield state
            if not self._only_outage:
                yield self.effect.applied_to(state)

    @property
    def _cuts(self) -> bool:
        return isinstance(self.effect, ScheduledChange) and self.effect.outage

    @property
    def _only_outage(self) -> bool:
        # Then what is underneath passes through as it is, and nobody has to follow it.
        return isinstance(self.effect, ScheduledChange) and not (self.effect.fields or self.effect.clear)

    def _shown(self, state: Impairment, over: bool) -> Impairment:
        return self.effect.applied_to(state) if over and not self._only_outage else state

    def _edges(self) -> Iterator[float]:
        for round_ in itertools.count() if self.every_s is not None else (0,):
            for begin_s, end_s in self.spans:
                offset_s = round_ * (self.every_s or 0.0)
                yield offset_s + begin_s
                yield offset_s + end_s
