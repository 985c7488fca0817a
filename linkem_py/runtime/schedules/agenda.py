"""What the schedules of many links ask for, and when. No clock and no kernel: whoever asks says what time it is."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator

import attrs

from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule import OrnsteinUhlenbeck, Schedule, ScheduledChange, link_seed
from linkem_py.model.topology import LinkKey
from linkem_py.runtime.changes import Change
from linkem_py.runtime.schedules.runs import GroupRun, Run, StreamRun

ALIGNED_TICK_MS = 1000.0  # with a tick up to this, a link that comes later waits for the others' next one


@attrs.frozen
class Tick:
    """What is due at a moment.

    Attributes
    ----------
    changes : by link, each link once: what it had missed is in its change
    runs : the runs that these come from
    due_s : when the first of them was due
    """

    changes: dict[LinkKey, Change]
    runs: list[Run]
    due_s: float


class Agenda:
    """The schedules of many links on one clock.

    What a link is asked for follows from the run's seed, its identity and its own time alone, not from
    what else is here nor from when `take` is called: a late call gets all that was missed, in order.

    Ornstein-Uhlenbeck schedules with one tick are stepped together. One that comes while others run
    starts with their next tick (if that is within a second), so that the kernel gets one batch.

    Times are seconds on a clock of the caller's.
    """

    def __init__(self, run_seed: int) -> None:
        self.run_seed = run_seed
        self._runs: dict[LinkKey, Run] = {}
        self._groups: dict[float, GroupRun] = {}  # the newest by tick
        self._heap: list[tuple[float, int, Run]] = []
        self._serial = itertools.count()

    def add(self, key: LinkKey, schedule: Schedule, under: Impairment, *, start_s: float) -> None:
        """Begin a schedule at `start_s` over a link whose impairment is `under`; replaces the link's earlier one."""
        self.remove(key)
        seed = link_seed(self.run_seed, key)
        if isinstance(schedule, OrnsteinUhlenbeck):
            group = self._group(schedule.tick_ms, start_s)
            group.add(key, schedule, seed)
            self._runs[key] = group
            return
        run = StreamRun(key, schedule, schedule.stream(seed, under), start_s)
        self._runs[key] = run
        self._push(run)

    def remove(self, key: LinkKey) -> None:
        """End a link's schedule; without one nothing happens."""
        run = self._runs.pop(key, None)
        if run is not None:
            run.remove(key)

    @property
    def next_s(self) -> float:
        """When something is due next; infinite if nothing will be."""
        while self._heap and self._heap[0][2].is_over:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now_s: float) -> Tick | None:
        """All that is due at `now_s` and has not been taken yet; None if there is nothing."""
        due_s = self.next_s
        if not due_s <= now_s:
            return None
        changes: dict[LinkKey, Change] = {}
        runs = []
        while self.next_s <= now_s:
            run = heapq.heappop(self._heap)[2]
            run.take(now_s, changes)
            runs.append(run)
            self._push(run)
        return Tick(changes, runs, due_s)

    def run_of(self, key: LinkKey) -> Run:
        """The run of a link's schedule; raises `KeyError`."""
        return self._runs[key]

    def last(self, key: LinkKey) -> ScheduledChange | None:
        """What a link was asked for last, at the time since its schedule began."""
        return self._runs[key].last(key)

    def __iter__(self) -> Iterator[LinkKey]:
        return iter(tuple(self._runs))

    def __contains__(self, key: object) -> bool:
        return key in self._runs

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<Agenda: {len(self)} schedules, next at {self.next_s:g} s>"

    def _group(self, tick_ms: float, start_s: float) -> GroupRun:
        group = self._groups.get(tick_ms)
        if group is not None and not group.is_over:
            wait_s = group.next_s - start_s
            if wait_s == 0 or (wait_s > 0 and tick_ms <= ALIGNED_TICK_MS):
                return group
        group = GroupRun(tick_ms, start_s)
        self._groups[tick_ms] = group
        self._push(group)
        return group

    def _push(self, run: Run) -> None:
        heapq.heappush(self._heap, (run.next_s, next(self._serial), run))
