"""What links go through, as schedules: handover, outage, bufferbloat, a degradation cycle."""

from __future__ import annotations

import math

from linkem_py.model.schedule.change import What
from linkem_py.model.schedule.constant import Constant
from linkem_py.model.schedule.modifier import Bufferbloat, Handover
from linkem_py.model.schedule.overlay import OUTAGE, Overlay
from linkem_py.model.schedule.schedule import Schedule
from linkem_py.model.schedule.steps import Steps


def _underneath(normal: Schedule | What | None) -> Schedule:
    if isinstance(normal, Schedule):
        return normal
    return Constant() if normal is None else Constant(normal)


def handover(
    normal: Schedule | What | None = None,
    *,
    at_s: float = 60.0,
    for_s: float = 5.0,
    every_s: float | None = None,
    modifier: Handover | None = None,
) -> Overlay:
    """A handover over `normal` (a schedule, an impairment, or None: the link's own).

    Once at `at_s`, or with `every_s` again and again. `modifier` says what it does; `Handover()` by
    default. Raises `TopologyError`.
    """
    return Overlay(_underneath(normal), modifier or Handover(), [(at_s, at_s + for_s)], every_s=every_s)


def outage(
    normal: Schedule | What | None = None, *, at_s: float, for_s: float, every_s: float | None = None
) -> Overlay:
    """An outage over `normal`: nothing passes for `for_s`, then at once what would have without it."""
    return Overlay(_underneath(normal), OUTAGE, [(at_s, at_s + for_s)], every_s=every_s)


def bufferbloat(
    normal: Schedule | What | None = None,
    *,
    severity: float = 1.0,
    at_s: float = 0.0,
    for_s: float = math.inf,
    every_s: float | None = None,
) -> Overlay:
    """A queue that holds (1 + 5 severity) times the usual, over `normal`; for ever if not told otherwise."""
    return Overlay(_underneath(normal), Bufferbloat(severity), [(at_s, at_s + for_s)], every_s=every_s)


def degradation_cycle(
    good: What,
    poor: What,
    *,
    poor_at_s: float = 30.0,
    good_at_s: float = 90.0,
    interpolate: bool = False,
    period_s: float | None = None,
) -> Steps:
    """Good, then poor, then good again; with `period_s` again and again."""
    steps = [(0.0, good), (poor_at_s, poor), (good_at_s, good)]
    return Steps(steps, interpolate=interpolate, period_s=period_s)
