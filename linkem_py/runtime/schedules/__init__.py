# What carries schedules out.
#
#   runs      one link's schedule on a clock, and many that tick together
#   agenda    Agenda: what is due, and when the next is; no clock of its own
#   engine    ScheduleEngine: one task that waits for what is due and makes it, a batch a tick
#   state     ScheduleState: how a link's schedule is getting on
#
# A tick is one update of the network, so it goes through the same checks, the same batch and the same
# journal as anybody's. If it is refused, it is made again link by link, and only the culprit's schedule ends.
"""Schedules of a running network."""

from linkem_py.runtime.schedules.agenda import Agenda, Tick
from linkem_py.runtime.schedules.engine import LATE_S, ScheduleEngine
from linkem_py.runtime.schedules.state import Pace, ScheduleState

__all__ = ["LATE_S", "Agenda", "Pace", "ScheduleEngine", "ScheduleState", "Tick"]
