"""What a schedule yields: from a moment on, this holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import FIELDS, Impairment
from linkem_py.model.rules import plain
from linkem_py.model.schedule.fields import checked_value, resolved

LONGEST_S = 1e9

Fields: TypeAlias = Mapping[str, Any]
What: TypeAlias = Fields | Impairment


@attrs.frozen
class ScheduledChange:
    """From `at_s` on (seconds since the schedule began), these fields hold.

    Attributes
    ----------
    at_s : when
    fields : absolute values by field name; None takes a setting away. What is not named stays. Besides
        the fields of `Impairment`: ``loss.p_pct``, ``loss.r_pct``, ``loss.bad_loss_pct`` and
        ``loss.good_loss_pct``, of the Gilbert-Elliott model in force
    clear : no impairment first, then the fields: the whole is replaced
    outage : whether nothing passes from then on. Said with every change, whatever was before; the
        fields hold underneath
    """

    at_s: float
    fields: Fields = attrs.field(factory=dict)
    clear: bool = False
    outage: bool = False

    @classmethod
    def of(cls, at_s: float, what: What, *, outage: bool = False) -> ScheduledChange:
        """A change to an `Impairment` (replaces the whole) or of fields, checked one by one.

        Beside the fields, ``outage`` may be named; a mapping that does not name it has `outage`.
        Raises `TopologyError`.
        """
        at_s = plain(at_s)
        if isinstance(what, Impairment):
            return cls(at_s, what.set_fields(), clear=True)
        if not isinstance(what, Mapping):
            raise TopologyError("impairment", "must be an Impairment or a mapping of its fields", what)
        fields = dict(what)
        out = fields.pop("outage", outage)
        if not isinstance(out, bool):
            raise TopologyError("outage", "must be true or false", out)
        return cls(at_s, {name: checked_value(name, value) for name, value in fields.items()}, outage=out)

    def applied_to(self, impairment: Impairment) -> Impairment:
        """What holds after the change where `impairment` held before; raises `TopologyError` if it cannot be."""
        base = Impairment() if self.clear else impairment
        return base.evolve(**resolved(base, self.fields)) if self.fields else base

    def at(self, at_s: float) -> ScheduledChange:
        """The same change at another time."""
        return ScheduledChange(at_s, self.fields, self.clear, self.outage)


def names_of(changes: tuple[ScheduledChange, ...]) -> frozenset[str]:
    """The fields that these changes set: every field, if one of them replaces the whole."""
    if any(change.clear for change in changes):
        return frozenset(FIELDS)
    return frozenset(name for change in changes for name in change.fields)


def repeated(changes: tuple[ScheduledChange, ...], period_s: float | None) -> Iterator[ScheduledChange]:
    """The changes, and with a period again and again without end."""
    yield from changes
    round_ = 0
    while period_s is not None:
        round_ += 1
        for change in changes:
            yield change.at(round_ * period_s + change.at_s)


def in_order(pairs: Any, *, where: str, strictly: bool) -> tuple[ScheduledChange, ...]:
    """Pairs of a time and an `Impairment` or fields, or changes, as changes; an outage lasts until something ends it.

    Raises `TopologyError` naming the place: a time before its predecessor, a field that is none.
    """
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise TopologyError(f"{where}s", "must be pairs of seconds and an Impairment or fields", pairs)
    changes: list[ScheduledChange] = []
    for index, pair in enumerate(pairs):
        place = f"{where} {index}"
        last = changes[-1] if changes else ScheduledChange(-1.0)
        if isinstance(pair, ScheduledChange):
            change = pair
        elif isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2:
            try:
                change = ScheduledChange.of(pair[0], pair[1], outage=last.outage)
            except TopologyError as error:
                raise error.at(place) from None
        else:
            raise TopologyError(where, "must be a pair of seconds and an Impairment or fields", pair, where=place)
        check_next(change.at_s, last.at_s, where=place, strictly=strictly)
        changes.append(change)
    if not changes:
        raise TopologyError(f"{where}s", "must be at least one", pairs)
    return tuple(changes)


def check_next(at_s: Any, last_s: float, *, where: str, strictly: bool = True) -> None:
    """Raise `TopologyError` unless `at_s` is a time that can come after `last_s`."""
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s <= LONGEST_S:
        raise TopologyError("at_s", f"must be a number of seconds from 0 to {LONGEST_S:g}", at_s, where=where)
    if at_s < last_s or (strictly and at_s == last_s):
        rule = "must be after" if strictly else "must not be before"
        raise TopologyError("at_s", f"{rule} the one before it ({last_s:g})", at_s, where=where)
