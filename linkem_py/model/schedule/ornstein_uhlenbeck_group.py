"""Many wandering numbers stepped at once, each with the values that it has alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from linkem_py.errors import TopologyError
from linkem_py.model.schedule.fields import WHOLE
from linkem_py.model.schedule.ornstein_uhlenbeck import OrnsteinUhlenbeck
from linkem_py.model.schedule.randomness import BLOCK, Generator, generator

_Floats = np.ndarray[Any, np.dtype[np.float64]]


class OrnsteinUhlenbeckGroup:
    """Ornstein-Uhlenbeck processes that tick together, evaluated by numpy.

    A member has a slot, a number that stays its own until it is removed. Members may come and go
    between any two steps; each starts at its own beginning. What a member has at its n-th step is bit
    for bit what ``process.stream(seed)`` yields there, whoever else is in the group.

    Parameters
    ----------
    processes, seeds : the first members, in slots 0, 1, ...
    tick_ms : the tick that all members must have; that of the first process if not given

    Raises `TopologyError` for a member with another tick.
    """

    # Deviates lie in a ring of BLOCK rows with a column for each slot, and all slots read the same
    # row. Slot s refills its column when the group stands at row s % BLOCK: the same number of
    # slots at each step, so that none takes much longer than the others.

    def __init__(
        self, processes: Sequence[OrnsteinUhlenbeck] = (), seeds: Sequence[int] = (), *, tick_ms: float | None = None
    ) -> None:
        if len(processes) != len(seeds):
            raise TopologyError("seeds", f"must be one for each of the {len(processes)} processes", len(seeds))
        if tick_ms is None and not processes:
            raise TopologyError("tick_ms", "must be given for a group that starts empty", None)
        self.tick_ms: float = processes[0].tick_ms if tick_ms is None else tick_ms
        self._row = 0
        self._draws: list[Generator | None] = []
        self._free: list[int] = []
        self._give_room(max(BLOCK, len(processes)))
        for process, seed in zip(processes, seeds, strict=True):
            self.add(process, seed)

    def add(self, process: OrnsteinUhlenbeck, seed: int) -> int:
        """A new member, whose first value the next `step` gives. Returns its slot."""
        if process.tick_ms != self.tick_ms:
            raise TopologyError("tick_ms", f"must be the group's ({self.tick_ms:g})", process.tick_ms)
        draw = generator(seed)
        slot = self._free.pop() if self._free else self._new_slot()
        first = process.mean + process.sd * float(draw.standard_normal())
        self._numbers[:, slot] = (first, *process.coefficients, process.floor, process.ceiling)
        self._whole[slot] = process.field in WHOLE
        self._draws[slot] = draw
        until_refill = np.arange(self._row, self._row + (slot - self._row) % BLOCK) % BLOCK
        self._noise[until_refill, slot] = draw.standard_normal(until_refill.size)
        return slot

    def remove(self, slot: int) -> None:
        """Take a member out; its slot may be given to the next. Raises `TopologyError` if it is empty."""
        if not 0 <= slot < len(self._draws) or self._draws[slot] is None:
            raise TopologyError("slot", "must be that of a member", slot)
        self._draws[slot] = None
        self._numbers[:, slot] = 0.0
        self._whole[slot] = False
        self._free.append(slot)

    def step(self) -> _Floats:
        """The value of every slot at its next tick, in the unit of its field; 0 for an empty slot."""
        self._refill()
        count = len(self._draws)
        x, decay, pull, kick, floor, ceiling = self._numbers[:, :count]
        whole = self._whole[:count]
        values: _Floats = np.clip(x, floor, ceiling)
        if whole.any():
            np.rint(values, out=values, where=whole)
        # The order of operations is that of the single process: sums of floats depend on it.
        x *= decay
        x += pull
        x += kick * self._noise[self._row, :count]
        self._row = (self._row + 1) % BLOCK
        return values

    def __len__(self) -> int:
        return len(self._draws) - len(self._free)

    def __repr__(self) -> str:
        return f"<OrnsteinUhlenbeckGroup: {len(self)} processes every {self.tick_ms:g} ms>"

    def _refill(self) -> None:
        slots = [slot for slot in range(self._row, len(self._draws), BLOCK) if self._draws[slot] is not None]
        if slots:
            drawn = np.empty((len(slots), BLOCK))
            for place, slot in enumerate(slots):
                draw = self._draws[slot]
                assert draw is not None
                draw.standard_normal(out=drawn[place])
            rows = np.arange(self._row, self._row + BLOCK) % BLOCK
            self._noise[rows[:, None], slots] = drawn.T

    def _new_slot(self) -> int:
        slot = len(self._draws)
        if slot == self._whole.size:
            self._give_room(2 * slot)
        self._draws.append(None)
        return slot

    def _give_room(self, room: int) -> None:
        had = len(self._draws)
        numbers, noise, whole = np.zeros((6, room)), np.zeros((BLOCK, room)), np.zeros(room, dtype=bool)
        if had:
            numbers[:, :had], noise[:, :had], whole[:had] = self._numbers, self._noise, self._whole
        self._numbers: _Floats = numbers
        self._noise: _Floats = noise
        self._whole: np.ndarray[Any, np.dtype[np.bool_]] = whole
