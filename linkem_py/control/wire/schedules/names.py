"""What a schedule is called, in short: for states, which are told with every tick."""

from __future__ import annotations

from linkem_py.control.wire.states import RunningSchedule
from linkem_py.model.presets import SCHEDULES
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

TYPE_NAMES: dict[type[Schedule], str] = {
    Constant: "constant",
    Steps: "steps",
    Markov: "markov",
    OrnsteinUhlenbeck: "ornstein_uhlenbeck",
    Trace: "trace",
    Replay: "replay",
    Overlay: "overlay",
    Sum: "sum",
}


def name_of(schedule: Schedule) -> RunningSchedule:
    """Its type, and the name of the preset that it is; of a trace its own."""
    kind = TYPE_NAMES.get(type(schedule), type(schedule).__name__)
    for preset in SCHEDULES.values():
        if type(preset.schedule) is type(schedule) and preset.schedule == schedule:
            return RunningSchedule(type=kind, name=preset.name)
    return RunningSchedule(type=kind, name=schedule.name if isinstance(schedule, Trace) else "")
