"""How much a schedule from outside may ask of whoever runs it."""

from __future__ import annotations

from linkem_py.control.wire.shape import refuse
from linkem_py.model.schedule import (
    Constant,
    Markov,
    OrnsteinUhlenbeck,
    Overlay,
    Replay,
    Schedule,
    Steps,
    Sum,
    Trace,
)

MOST_NESTED = 8  # schedules in schedules
MOST_PARTS = 64
MOST_CHANGES = 65_536  # steps, points, bins, changes, states or spans
MOST_EXTREMES = 20_000  # impairments that are checked in advance: parts of a sum multiply theirs
LEAST_GAP_S = 0.001  # mean time between changes that go on without end: as the shortest tick
MOST_NAME = 200


def check_extremes(schedule: Schedule, path: str) -> None:
    """Raise `RequestError` if checking the schedule in advance would take too long."""
    count = extremes_count(schedule)
    if count > MOST_EXTREMES:
        refuse(path, f"must lead to at most {MOST_EXTREMES} different impairments: parts of a sum multiply", count)


def extremes_count(schedule: Schedule) -> int:
    """How many impairments its `extremes` may make at most."""
    match schedule:
        case Constant():
            return 1
        case OrnsteinUhlenbeck():
            return 4
        case Markov():
            return len(schedule.states)
        case Steps():
            return len(schedule.steps) * (1 if schedule.period_s is None else 2)
        case Replay():
            return len(schedule.recorded)
        case Trace():
            return 3 if schedule.names == {"rate_kbit"} else 2 * len(schedule.points)
        case Overlay():
            return 2 * (1 + extremes_count(schedule.base))
        case Sum():
            count = 1
            for part in schedule.parts:
                count *= 1 + extremes_count(part)
            return count
    return 1


def changes_count(schedule: Schedule) -> int:
    """How many changes are written down in it: what it takes of memory."""
    match schedule:
        case Steps():
            return len(schedule.steps)
        case Replay():
            return len(schedule.recorded)
        case Trace():
            return len(schedule.points)
        case Markov():
            return len(schedule.states) * (1 + len(schedule.states) // 8)
        case Overlay():
            return len(schedule.spans) + changes_count(schedule.base)
        case Sum():
            return sum(changes_count(part) for part in schedule.parts)
    return 1


def check_pace(every_s: float, changes: int, path: str) -> None:
    """Raise `RequestError` if so many changes, again and again so far apart, come too often."""
    least_s = changes * LEAST_GAP_S
    if every_s < least_s:
        refuse(path, f"must be at least {least_s:g} s: a change every {LEAST_GAP_S * 1000:g} ms", every_s)
