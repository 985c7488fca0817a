# Numbers to start from, by name.
#
#   lookup     how a name finds its entry: '-' equals '_', aliases, the nearest name in the error
#   links      Preset: one direction of a link; pairs of an uplink and a downlink
#   schedules  NamedSchedule: how a link goes on in time; modifiers
#
# Whole scenarios made of these are in linkem_py/model/scenario.py.
"""Presets: links, pairs, schedules and modifiers by name."""

from linkem_py.model.presets.links import ALIASES, PAIRS, PRESETS, Preset, pair, preset
from linkem_py.model.presets.schedules import (
    MODIFIERS,
    SCHEDULE_PAIRS,
    SCHEDULES,
    NamedSchedule,
    modifier,
    schedule,
    schedule_pair,
)

__all__ = [
    "ALIASES",
    "MODIFIERS",
    "PAIRS",
    "PRESETS",
    "SCHEDULES",
    "SCHEDULE_PAIRS",
    "NamedSchedule",
    "Preset",
    "modifier",
    "pair",
    "preset",
    "schedule",
    "schedule_pair",
]
