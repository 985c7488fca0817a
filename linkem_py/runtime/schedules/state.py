"""How schedules are getting on."""

from __future__ import annotations

import attrs

from linkem_py.errors import LinkemError
from linkem_py.model.schedule import Schedule, ScheduledChange


@attrs.frozen(kw_only=True)
class ScheduleState:
    """How one link's schedule is getting on.

    Attributes
    ----------
    schedule : what it is
    changes : how many it has made; those of one moment count as one
    late : how many of them were begun more than `LATE_S` after they were due
    skipped : how many were not made, because the next was due already
    last : the last one that came due, at its time since the schedule began; None before the first
    is_over : whether there is nothing more to come
    error : why it was ended before its time: what the network or the kernel said; None if it was not
    """

    schedule: Schedule
    changes: int = 0
    late: int = 0
    skipped: int = 0
    last: ScheduledChange | None = None
    is_over: bool = False
    error: LinkemError | None = None


@attrs.define(kw_only=True)
class Pace:
    """How all schedules of a network keep their times.

    Attributes
    ----------
    ticks : batches given to the kernel
    late : those begun more than `LATE_S` after they were due
    longest_s : the longest from due to made, in seconds
    """

    ticks: int = 0
    late: int = 0
    longest_s: float = 0.0
