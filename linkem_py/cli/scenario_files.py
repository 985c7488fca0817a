"""Scenarios and recorded links from files. Every error names the file, and the place in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linkem_py.cli.errors import LoadError
from linkem_py.control.wire.scenarios import (
    ScenarioFormat,
    ScenarioSyntaxError,
    TraceFile,
    parse_scenario,
    scenario_from_json,
    trace_files,
)
from linkem_py.errors import TopologyError

if TYPE_CHECKING:
    from linkem_py.model import Trace
    from linkem_py.model.scenario import Scenario

FORMATS: dict[str, ScenarioFormat] = {".toml": "toml", ".json": "json"}
_MOST_BYTES = 64 << 20


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file whose name ends in .toml or .json. Raises `LoadError` with the place."""
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise LoadError(f"{path}: a scenario's file must end in {' or '.join(FORMATS)}")
    text = _text(path)
    try:
        data = parse_scenario(text, form)
        files = trace_files(data)
        traces = {one.place: _trace(path, one) for one in files}
        return scenario_from_json(data, name=path.stem, traces=traces)
    except ScenarioSyntaxError as error:
        raise LoadError(f"{path}:{error}") from error
    except TopologyError as error:
        raise LoadError(f"{path}: {error}") from error


def read_schedule_file(path: Path) -> Trace:
    """A recorded link in a file. Raises `LoadError` with the line."""
    from linkem_py.runtime.traces import read_trace

    try:
        return read_trace(path)
    except TopologyError as error:
        raise LoadError(str(error)) from error


def _text(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise LoadError(f"{path}: must have at most {_MOST_BYTES >> 20} MiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LoadError(f"{path}:{line}: is not UTF-8") from error


def _trace(scenario: Path, wanted: TraceFile) -> Trace:
    """Found beside the scenario that names it."""
    from linkem_py.runtime.traces import read_trace

    try:
        return read_trace(scenario.parent / wanted.file, **wanted.settings)
    except TopologyError as error:
        raise LoadError(f"{scenario}: {wanted.place}: {error}") from error
