"""What is written down: at these times, this."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.rules import Number, flag
from linkem_py.model.schedule.change import LONGEST_S, ScheduledChange, in_order, names_of, repeated
from linkem_py.model.schedule.fields import NUMERIC, WHOLE, needed, number_of, resolved
from linkem_py.model.schedule.schedule import Schedule


def _steps(pairs: Any) -> tuple[ScheduledChange, ...]:
    return in_order(pairs, where="step", strictly=True)


@attrs.frozen
class Steps(Schedule):
    """Changes at given times.

    Parameters
    ----------
    steps : pairs of a time (seconds, rising) and an `Impairment` (replaces the whole) or fields (what
        is not named stays). ``{"outage": True}`` begins an outage; ``{"outage": False}`` or an
        `Impairment` ends it. Before the first step the link's own impairment holds
    interpolate : numbers go linearly from one step to the next, all others jump at the step.
        A setting that one of two steps does not have jumps too
    tick_ms : how often, when interpolated
    period_s : begin again after so long; None: the last step holds for ever

    Raises `TopologyError` naming the step.
    """

    steps: tuple[ScheduledChange, ...] = attrs.field(converter=_steps)
    interpolate: bool = attrs.field(default=False, kw_only=True, validator=flag)
    tick_ms: float = attrs.field(default=200.0, kw_only=True, validator=needed(Number(least=1, most=3_600_000)))
    period_s: float | None = attrs.field(default=None, kw_only=True, validator=Number(above=0, most=LONGEST_S))

    def __attrs_post_init__(self) -> None:
        last_s = self.steps[-1].at_s
        if self.period_s is not None and self.period_s <= last_s:
            raise TopologyError("period_s", f"must be above the time of the last step ({last_s:g})", self.period_s)

    @property
    def names(self) -> frozenset[str]:
        """The fields that the steps set."""
        return names_of(self.steps)

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """The steps, again and again if they have a period; with what lies between, if interpolated."""
        timed = repeated(self.steps, self.period_s)
        if not self.interpolate:
            yield from timed
            return
        state = under
        for change, following in _with_following(timed):
            yield change
            state = change.applied_to(state)
            if following is not None:
                yield from self._between(change, following, state)

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """Every step; in a second round too, which starts from where the first one ended."""
        state = under
        for change in self.steps if self.period_s is None else self.steps * 2:
            state = change.applied_to(state)
            yield state

    def _between(
        self, change: ScheduledChange, following: ScheduledChange, state: Impairment
    ) -> Iterator[ScheduledChange]:
        ramps = _ramps(state, following.applied_to(state))
        length_s = following.at_s - change.at_s
        for tick in itertools.count(1) if ramps else ():
            after_s = tick * self.tick_ms / 1000
            if not after_s < length_s:
                return
            fields = _fields(state, ramps, after_s / length_s)
            yield ScheduledChange(min(change.at_s + after_s, following.at_s), fields, outage=change.outage)


def _with_following(
    changes: Iterator[ScheduledChange],
) -> Iterator[tuple[ScheduledChange, ScheduledChange | None]]:
    first = next(changes)
    for second in changes:
        yield first, second
        first = second
    yield first, None


def _ramps(before: Impairment, after: Impairment) -> list[tuple[str, float, float]]:
    """The numbers that differ and that every value between is allowed for."""
    jumping = set()
    if (before.loss is None) != (after.loss is None):
        jumping |= {"loss_pct", "loss_correlation_pct"}
    if before.keep_order or after.keep_order:
        jumping.add("reorder_pct")
    found = []
    for name in NUMERIC:
        start, end = number_of(before, name), number_of(after, name)
        if start is not None and end is not None and start != end and name not in jumping:
            found.append((name, start, end))
    return found


def _fields(before: Impairment, ramps: list[tuple[str, float, float]], share: float) -> dict[str, Any]:
    fields: dict[str, Any] = {name: start + (end - start) * share for name, start, end in ramps}
    for name in WHOLE:
        if name in fields:
            fields[name] = round(fields[name])
    if "jitter_ms" in fields:
        # Equal at both ends, they may differ by a rounding in between.
        fields["jitter_ms"] = min(fields["jitter_ms"], fields.get("delay_ms", before.delay_ms))
    return resolved(before, fields)
