"""Recorded links in files beside a scenario: which ones it names, and what was read in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import attrs

from linkem_py.control.wire.schedules import schedule_to_json
from linkem_py.control.wire.shape import as_flag, as_number, as_text, as_whole, check_names, refuse, unknown
from linkem_py.model.schedule import Trace
from linkem_py.model.schedule.trace import TraceFormat

_NAMES = ("type", "file", "format", "bin_ms", "packet_bytes", "duration_s", "repeat")


@attrs.frozen(kw_only=True)
class TraceFile:
    """A trace that is kept in a file.

    Attributes
    ----------
    place : the path of the object that names it
    file : its name, as written
    settings : of the trace: ``format`` and what else that format's constructor takes
    """

    place: str
    file: str
    settings: Mapping[str, Any]


def trace_files(data: Mapping[str, Any]) -> list[TraceFile]:
    """The files that the schedules of a scenario name, in their order. Raises `RequestError`."""
    return [_file(value, place) for value, place in _objects(dict(data), "")]


def with_traces(data: Mapping[str, Any], traces: Mapping[str, Trace]) -> dict[str, Any]:
    """The scenario with what was read, by the places of `trace_files`, instead of the files' names."""
    made: dict[str, Any] = _replaced(dict(data), "", traces)
    return made


def _objects(value: Any, place: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every object that names a trace's file, and where it is."""
    if _is_file(value):
        yield value, place
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _objects(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _objects(inner, f"{place}[{number}]")


def _replaced(value: Any, place: str, traces: Mapping[str, Trace]) -> Any:
    if _is_file(value):
        if place not in traces:
            refuse(f"{place}.file", "must have been read: only a file can name others", value["file"])
        return schedule_to_json(traces[place])
    if isinstance(value, dict):
        return {name: _replaced(inner, f"{place}.{name}" if place else name, traces) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, f"{place}[{number}]", traces) for number, inner in enumerate(value)]
    return value


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "trace" and "file" in value


def _file(data: dict[str, Any], place: str) -> TraceFile:
    check_names(data, _NAMES, f"{place}.")
    file = as_text(data["file"], f"{place}.file")
    if not file:
        refuse(f"{place}.file", "must have a name", file)
    settings: dict[str, Any] = {}
    if "format" in data:
        form = as_text(data["format"], f"{place}.format")
        if form not in get_args(TraceFormat):
            refuse(f"{place}.format", unknown(form, get_args(TraceFormat)), form)
        settings["format"] = form
    for name in ("bin_ms", "packet_bytes"):
        if name in data:
            settings[name] = as_whole(data[name], f"{place}.{name}", 1)
    if "duration_s" in data:
        settings["duration_s"] = as_number(data["duration_s"], f"{place}.duration_s")
    if "repeat" in data:
        settings["repeat"] = as_flag(data["repeat"], f"{place}.repeat")
    return TraceFile(place=place, file=file, settings=settings)
