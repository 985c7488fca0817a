"""Schedules and modifiers by name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.presets.links import preset
from linkem_py.model.presets.lookup import find
from linkem_py.model.schedule import (
    Bufferbloat,
    Handover,
    Markov,
    Modifier,
    OrnsteinUhlenbeck,
    Schedule,
    Steps,
    degradation_cycle,
    handover,
)


@attrs.frozen(kw_only=True)
class NamedSchedule:
    """A schedule ready to use.

    Attributes
    ----------
    name, about : as it is asked for, and what happens
    schedule : what happens
    impairment : the link's own, which it is meant to go over; unimpaired if it sets everything itself
    """

    name: str
    about: str
    schedule: Schedule
    impairment: Impairment = attrs.field(factory=Impairment)


def _of(*names: str) -> dict[str, Impairment]:
    return {name: preset(name).impairment for name in names}


_BURSTY = [[0.9, 0.1], [0.3, 0.7]]
_RACE_4G = [[0.7, 0.25, 0.05], [0.3, 0.5, 0.2], [0.1, 0.4, 0.5]]
_RACE_5G = [[0.8, 0.18, 0.02], [0.4, 0.5, 0.1], [0.2, 0.5, 0.3]]

_ALL = (
    NamedSchedule(
        name="degradation_cycle",
        about="good, poor from 30 s, good from 90 s",
        schedule=degradation_cycle(preset("good").impairment, preset("poor").impairment),
    ),
    NamedSchedule(
        name="handover",
        about="a handover from 60 to 65 s over whatever the link is",
        schedule=handover(at_s=60, for_s=5),
        impairment=preset("lte_uplink").impairment,
    ),
    NamedSchedule(
        name="bursty_markov",
        about="good and poor at random, asked every 10 s on average",
        schedule=Markov(states=_of("good", "poor"), matrix=_BURSTY, mean_dwell_s=10),
    ),
    NamedSchedule(
        name="race_4g",
        about="4G from a moving car: strong, moderate and weak at random, asked every 8 s on average",
        schedule=Markov(
            states=_of("race_4g_strong", "race_4g_moderate", "race_4g_weak"), matrix=_RACE_4G, mean_dwell_s=8
        ),
    ),
    NamedSchedule(
        name="race_5g",
        about="5G from a moving car: strong, moderate and weak at random, asked every 12 s on average",
        schedule=Markov(
            states=_of("race_5g_strong", "race_5g_moderate", "race_5g_weak"), matrix=_RACE_5G, mean_dwell_s=12
        ),
    ),
    NamedSchedule(
        name="wandering_rate",
        about="a rate around 1000 kbit/s that remembers a second, a value every 200 ms",
        schedule=OrnsteinUhlenbeck(mean_kbit=1000, tau_s=1, sd_kbit=200),
    ),
    NamedSchedule(
        name="cellular",
        about="a rate around 4000 kbit/s that remembers 1.5 s, over losses in bursts",
        schedule=OrnsteinUhlenbeck(mean_kbit=4000, tau_s=1.5, sd_kbit=600),
        impairment=preset("cellular").impairment,
    ),
    NamedSchedule(
        name="nr_to_lte_uplink",
        about="5G, a spike from 60 to 65 s, then LTE; from the device",
        schedule=Steps(
            [
                (0, preset("nr_uplink").impairment),
                (60, preset("race_handover_spike").impairment),
                (65, preset("lte_uplink").impairment),
            ]
        ),
    ),
    NamedSchedule(
        name="nr_to_lte_downlink",
        about="5G, a spike from 60 to 65 s, then LTE; to the device",
        schedule=Steps(
            [
                (0, preset("nr_downlink").impairment),
                (60, preset("race_handover_spike").impairment),
                (65, preset("lte_downlink").impairment),
            ]
        ),
    ),
    NamedSchedule(
        name="nr_mmwave_mobility",
        about="5G millimetre waves, blocked for 3 s every 23 s on average",
        schedule=Markov(states=_of("nr_mmwave", "nr_mmwave_blocked"), matrix=[[0, 1], [1, 0]], mean_dwell_s=(20, 3)),
    ),
)

SCHEDULES = MappingProxyType({entry.name: entry for entry in _ALL})

#: What happens to a link in both directions, uplink first: those that differ, and every schedule with itself.
SCHEDULE_PAIRS = MappingProxyType(
    {
        "nr_to_lte": (SCHEDULES["nr_to_lte_uplink"], SCHEDULES["nr_to_lte_downlink"]),
        **{name: (entry, entry) for name, entry in SCHEDULES.items()},
    }
)

MODIFIERS: MappingProxyType[str, Callable[..., Modifier]] = MappingProxyType(
    {"handover": Handover, "bufferbloat": Bufferbloat}
)
_SETTINGS: dict[Callable[..., Modifier], tuple[str, ...]] = {
    Handover: tuple(attrs.fields_dict(Handover)),
    Bufferbloat: tuple(attrs.fields_dict(Bufferbloat)),
}


def schedule(name: Any) -> NamedSchedule:
    """The schedule of that name; ``-`` equals ``_``. Raises `TopologyError` with the nearest name."""
    return find("schedule", name, SCHEDULES)


def schedule_pair(name: Any) -> tuple[NamedSchedule, NamedSchedule]:
    """What happens from the device and to it: of ``nr_to_lte``, or of a schedule (twice itself).

    Raises `TopologyError` with the nearest name.
    """
    return find("schedule", name, SCHEDULE_PAIRS)


def modifier(name: Any, **settings: Any) -> Modifier:
    """The modifier of that name, such as ``modifier("bufferbloat", severity=2)``.

    Raises `TopologyError` with the nearest name, or naming a setting that it does not have.
    """
    make = find("modifier", name, MODIFIERS)
    known = _SETTINGS[make]
    for setting in sorted(settings.keys() - set(known)):
        raise TopologyError(setting, f"is not a setting of {name}; they are {', '.join(known)}", settings[setting])
    return make(**settings)
