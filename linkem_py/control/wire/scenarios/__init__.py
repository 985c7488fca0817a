# Scenarios as JSON or TOML: what a file says, as a `Scenario`.
#
#   text      from a text to the object in it; where its syntax is wrong
#   traces    recorded links in files beside it: which ones, and what was read in their place
#   links     one link: presets, fields on top of them, schedules
#   reading   scenario_from_json
#   schema    scenario_schema
"""Scenarios from JSON and TOML."""

from linkem_py.control.wire.scenarios.reading import scenario_from_json
from linkem_py.control.wire.scenarios.schema import scenario_schema
from linkem_py.control.wire.scenarios.text import ScenarioFormat, ScenarioSyntaxError, parse_scenario
from linkem_py.control.wire.scenarios.traces import TraceFile, trace_files

__all__ = [
    "ScenarioFormat",
    "ScenarioSyntaxError",
    "TraceFile",
    "parse_scenario",
    "scenario_from_json",
    "scenario_schema",
    "trace_files",
]
