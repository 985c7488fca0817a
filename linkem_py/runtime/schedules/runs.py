"""Schedules on a clock: one link's, and many that tick together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from linkem_py.model.impairment import FIELDS
from linkem_py.model.schedule import OrnsteinUhlenbeck, OrnsteinUhlenbeckGroup, Schedule, ScheduledChange, Stream
from linkem_py.model.schedule.fields import WHOLE
from linkem_py.model.topology import LinkKey
from linkem_py.runtime.changes import Change, Scheduled

_NAMES = frozenset(FIELDS)


class Run(ABC):
    """One or more schedules that are due at the same times.

    Attributes
    ----------
    taken : changes of each link that were taken, the last of those that came due together
    skipped : changes of each link that were overtaken by a later one before anybody took them
    late : those of `taken` that were late (whoever takes them says so)
    """

    def __init__(self) -> None:
        self.taken = self.skipped = self.late = 0

    @property
    @abstractmethod
    def next_s(self) -> float:
        """When the next change is due; infinite after the last."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nobody wants its changes any more."""

    @abstractmethod
    def take(self, now_s: float, into: dict[LinkKey, Change]) -> None:
        """Put what has come due into a batch: for each link, all that it missed as one change."""

    @abstractmethod
    def remove(self, key: LinkKey) -> None:
        """End a link's part."""

    @abstractmethod
    def last(self, key: LinkKey) -> ScheduledChange | None:
        """What was taken last for a link."""

    @abstractmethod
    def counts(self, key: LinkKey) -> tuple[int, int, int]:
        """taken, late and skipped of a link."""


class StreamRun(Run):
    """One link's schedule."""

    def __init__(self, key: LinkKey, schedule: Schedule, stream: Stream, start_s: float) -> None:
        super().__init__()
        self.key = key
        self.schedule = schedule
        self._stream = stream
        self._start_s = start_s
        self._last: ScheduledChange | None = None
        self._removed = False

    @property
    def next_s(self) -> float:
        """When the next change is due."""
        return self._start_s + self._stream.next_s

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to come."""
        return self._removed or self._stream.next_s == math.inf

    def take(self, now_s: float, into: dict[LinkKey, Change]) -> None:
        """All changes that have come due, in order."""
        changes: list[ScheduledChange] = []
        while self.next_s <= now_s:
            changes += self._stream.until(math.nextafter(self._stream.next_s, math.inf))
        self._last = changes[-1]
        self.taken += 1
        # Changes of one moment belong together.
        self.skipped += len({change.at_s for change in changes}) - 1
        into[self.key] = Scheduled(tuple(changes))

    def remove(self, key: LinkKey) -> None:
        """End it."""
        self._removed = True

    def last(self, key: LinkKey) -> ScheduledChange | None:
        """What was taken last."""
        return self._last

    def counts(self, key: LinkKey) -> tuple[int, int, int]:
        """taken, late and skipped."""
        return self.taken, self.late, self.skipped


class _Member:
    """One link of a group: its slot, and where the group stood when it came."""

    __slots__ = ("before", "process", "slot", "tick")

    def __init__(self, process: OrnsteinUhlenbeck, slot: int, tick: int, before: tuple[int, int, int]) -> None:
        self.process = process
        self.slot = slot
        self.tick = tick
        self.before = before


class GroupRun(Run):
    """Ornstein-Uhlenbeck schedules with one tick, evaluated together. Ends when its last link has gone."""

    def __init__(self, tick_ms: float, start_s: float) -> None:
        super().__init__()
        self.tick_ms = tick_ms
        self._start_s = start_s
        self._tick = 0  # ticks taken
        self._group = OrnsteinUhlenbeckGroup(tick_ms=tick_ms)
        self._members: dict[LinkKey, _Member] = {}
        self._plain: list[tuple[LinkKey, int, str]] = []  # fields as they are
        self._other: list[LinkKey] = []  # whole numbers, and what is inside a loss model
        self._values: list[float] = []

    @property
    def next_s(self) -> float:
        """When the next tick is due: counted from the start, so that nothing adds up."""
        return self._start_s + self._tick * self.tick_ms / 1000

    @property
    def is_over(self) -> bool:
        """Whether it has no links."""
        return not self._members

    def add(self, key: LinkKey, process: OrnsteinUhlenbeck, seed: int) -> None:
        """Take a link in; its schedule begins with the next tick."""
        slot = self._group.add(process, seed)
        self._members[key] = _Member(process, slot, self._tick, (self.taken, self.late, self.skipped))
        if process.field in _NAMES and process.field not in WHOLE:
            self._plain.append((key, slot, process.field))
        else:
            self._other.append(key)

    def take(self, now_s: float, into: dict[LinkKey, Change]) -> None:
        """The newest value of every link."""
        ticks = 0
        while self.next_s <= now_s:
            values = self._group.step()
            self._tick += 1
            ticks += 1
        self._values = listed = values.tolist()
        self.taken += 1
        self.skipped += ticks - 1
        into.update({key: {field: listed[slot]} for key, slot, field in self._plain})
        into.update([(key, Scheduled((self._change(key),))) for key in self._other])

    def remove(self, key: LinkKey) -> None:
        """Let a link go."""
        self._group.remove(self._members.pop(key).slot)
        self._plain = [plain for plain in self._plain if plain[0] != key]
        self._other = [other for other in self._other if other != key]

    def last(self, key: LinkKey) -> ScheduledChange | None:
        """The value taken last for a link."""
        return self._change(key) if self._members[key].tick < self._tick else None

    def counts(self, key: LinkKey) -> tuple[int, int, int]:
        """taken, late and skipped since a link came."""
        taken, late, skipped = self._members[key].before
        return self.taken - taken, self.late - late, self.skipped - skipped

    def _change(self, key: LinkKey) -> ScheduledChange:
        member = self._members[key]
        value = self._values[member.slot]
        field = member.process.field
        at_s = (self._tick - 1 - member.tick) * self.tick_ms / 1000
        return ScheduledChange(at_s, {field: round(value) if field in WHOLE else value})
