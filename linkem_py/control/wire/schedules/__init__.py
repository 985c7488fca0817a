# Schedules as JSON: a tagged object for each kind, the same on every surface.
#
#   places    where in an object something is wrong, also when the model found it
#   bounds    how much a schedule from outside may ask of whoever runs it
#   changes   what holds from a moment on: fields of an impairment, ``clear``, ``outage``, ``at_s``
#   traces    points, bins, and the texts that people keep traces as
#   kinds     the schedules themselves, by their type
#   names     what a schedule is called, in short
#   schema    JSON Schema of all of it
#   reading   schedule_from_json
#   writing   schedule_to_json
"""Schedules as JSON, both ways."""

from linkem_py.control.wire.schedules.kinds import TYPES
from linkem_py.control.wire.schedules.names import name_of
from linkem_py.control.wire.schedules.reading import schedule_from_json
from linkem_py.control.wire.schedules.writing import schedule_to_json

__all__ = ["TYPES", "name_of", "schedule_from_json", "schedule_to_json"]
