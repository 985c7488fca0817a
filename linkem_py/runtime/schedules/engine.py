"""One task that carries out the schedules of all links of a network."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from linkem_py.errors import LinkemError
from linkem_py.model.schedule import Schedule
from linkem_py.model.topology import LinkKey, Topology, link_name
from linkem_py.runtime.changes import Applied, Batch, full_key
from linkem_py.runtime.schedules.agenda import Agenda, Tick
from linkem_py.runtime.schedules.state import Pace, ScheduleState

LATE_S = 0.010
_LOG = logging.getLogger(__name__)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Hold the garbage collector for a tick, if it is on.

    A tick of thousands of links makes ten objects for each, all of which live until the next. Left alone
    the collector sorts each of them into its oldest generation within the tick, and has to go through
    the whole process every few ticks: half of what a tick costs.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Target(Protocol):
    """What the engine needs of a network."""

    topology: Topology

    async def update_links(self, changes: Batch, *, what: str = ...) -> Applied:
        """Make a batch: all of it, or nothing."""

    async def update_batches(self, batches: Sequence[Batch], *, what: str = ...) -> list[Applied | LinkemError]:
        """Make batches, each all or nothing."""


class ScheduleEngine(Mapping[LinkKey, ScheduleState]):
    """Carries out schedules, all links of a tick in one batch; a mapping of links to their state.

    Times are counted from when a schedule began, so nothing drifts. A tick that comes late makes the
    newest state of each link at once. While a schedule goes on, anybody may change the link: what the
    schedule's next change names is overridden by it, and the rest stays.

    Parameters
    ----------
    network : whose links
    run_seed : where the seed of each link's schedule comes from
    clock : seconds that do not jump
    """

    def __init__(self, network: Target, run_seed: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.agenda = Agenda(run_seed)
        self.pace = Pace()
        self._network: Target = weakref.proxy(network)  # so that nothing of the engine keeps a forgotten one alive
        self._clock = clock
        self._schedules: dict[LinkKey, Schedule] = {}
        self._errors: dict[LinkKey, LinkemError] = {}
        self.busy = asyncio.Lock()  # held while a tick is made: whoever ends schedules waits for it
        self._changed = asyncio.Event()
        self._started = False
        self._task: asyncio.Task[None] | None = None

    # --- what it carries out -------------------------------------------------------------------

    def follow(self, schedules: Mapping[LinkKey, Schedule]) -> None:
        """Carry out these from now on: those that are new begin, those that are gone end, the others go on."""
        for key in [key for key in self._schedules if key not in schedules]:
            self._drop(key)
        now_s = self._clock()
        for key, schedule in schedules.items():
            if self._schedules.get(key) is not schedule:
                self._begin(key, schedule, now_s)
        self._wake()

    def restart(self, key: LinkKey, schedule: Schedule | None) -> None:
        """Begin a link's schedule, also one that it has already; None ends it."""
        self._drop(key)
        if schedule is not None:
            self._begin(key, schedule, self._clock())
        self._wake()

    def _begin(self, key: LinkKey, schedule: Schedule, now_s: float) -> None:
        under = self._network.topology.links[key].impairment
        self.agenda.add(key, schedule, under, start_s=now_s)
        self._schedules[key] = schedule
        self._errors.pop(key, None)

    def _drop(self, key: LinkKey) -> None:
        self.agenda.remove(key)
        self._schedules.pop(key, None)
        self._errors.pop(key, None)

    # --- carrying out --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to carry out, now or with the first schedule."""
        self._started = True
        self._wake()

    async def stop(self) -> None:
        """Carry out no more; a tick that the kernel has got is finished. Twice is harmless."""
        self._started = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def abandon(self) -> None:
        """As `stop`, for a network that nobody has closed, whose loop may be gone."""
        self._started = False
        task, self._task = self._task, None
        if task is not None:
            with suppress(RuntimeError):
                task.cancel()

    async def turn(self) -> Tick | None:
        """Make what is due, if anything is. Returns what that was."""
        async with self.busy:
            return await self._turn()

    async def _turn(self) -> Tick | None:
        tick = self.agenda.take(self._clock())
        if tick is None:
            return None
        late = self._clock() - tick.due_s > LATE_S
        if late:
            self.pace.late += 1
            for run in tick.runs:
                run.late += 1
        with _collection_paused():
            await self._make(tick)
        self.pace.ticks += 1
        self.pace.longest_s = max(self.pace.longest_s, self._clock() - tick.due_s)
        return tick

    def _wake(self) -> None:
        if self._started and self._task is None and len(self.agenda):
            self._task = asyncio.get_running_loop().create_task(self._run(), name="linkem-schedules")
        self._changed.set()

    async def _run(self) -> None:
        while True:
            try:
                await self.turn()
            except Exception:
                # Emulation goes on; the next tick says everything that this one would have said.
                _LOG.exception("a tick of the schedules failed")
            self._changed.clear()
            await self._wait()

    async def _wait(self) -> None:
        """Until something is due, or there is another schedule."""
        wait_s = self.agenda.next_s - self._clock()
        try:
            async with asyncio.timeout(None if wait_s == math.inf else max(0.0, wait_s)):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _make(self, tick: Tick) -> None:
        try:
            await self._network.update_links(tick.changes, what="schedule")
            return
        except LinkemError:
            pass  # whose fault it was comes out one by one
        keys = [key for key in tick.changes if key in self._network.topology.links]
        if not keys:
            return
        outcomes = await self._network.update_batches([{key: tick.changes[key]} for key in keys], what="schedule")
        for key, outcome in zip(keys, outcomes, strict=True):
            if isinstance(outcome, LinkemError) and key in self.agenda:
                self.agenda.remove(key)
                self._errors[key] = outcome
                _LOG.error("the schedule of %s ends: %s", link_name(key), outcome)

    # --- looking -------------------------------------------------------------------------------

    def __getitem__(self, key: tuple[str, ...]) -> ScheduleState:
        whole = full_key(key)
        schedule = self._schedules[whole]
        if whole in self._errors:
            return ScheduleState(schedule=schedule, is_over=True, error=self._errors[whole])
        run = self.agenda.run_of(whole)
        changes, late, skipped = run.counts(whole)
        return ScheduleState(
            schedule=schedule, changes=changes, late=late, skipped=skipped, last=run.last(whole), is_over=run.is_over
        )

    def __iter__(self) -> Iterator[LinkKey]:
        return iter(tuple(self._schedules))

    def __len__(self) -> int:
        return len(self._schedules)

    def __repr__(self) -> str:
        return f"<ScheduleEngine: {len(self)} schedules, {self.pace.ticks} ticks, {self.pace.late} late>"
