"""Schedules from files: JSON, TOML, or a recorded trace."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from linkem_py.cli.errors import UsageError
from linkem_py.control.wire.schedules import schedule_from_json, schedule_to_json
from linkem_py.errors import RequestError, TopologyError


def read(name: str) -> dict[str, Any]:
    """The JSON of the schedule in a file, or on standard input (``-``).

    A schedule in JSON or TOML; or a trace, CSV with a header or a packet's millisecond on each line. Raises
    OSError, `UsageError` for what is none of them, `TopologyError` for a schedule that is wrong.
    """
    text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    value = parsed(text, name)
    try:
        # Checked here, where the file's name is known; and short: what was recorded packet by packet becomes bins.
        return schedule_to_json(schedule_from_json(value))
    except TopologyError as error:
        raise RequestError(error.field, error.rule, error.value, where=_shown(name)) from None


def parsed(text: str, name: str) -> Any:
    """What a file of that name holds: its ending says what it is, else its beginning."""
    kind = Path(name).suffix.lower()
    first = text.lstrip("\ufeff \t\r\n")[:1]
    try:
        if kind == ".json" or (kind not in (".toml", ".csv") and first == "{"):
            return json.loads(text)
        if kind == ".csv":
            return {"type": "trace", "format": "csv", "text": text, "name": _stem(name)}
        if kind != ".toml" and first.isdigit():
            return {"type": "trace", "format": "mahimahi", "text": text, "name": _stem(name)}
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        form = "JSON" if kind == ".json" or first == "{" else "TOML"
        raise UsageError(f"{_shown(name)} is not {form}: {error}") from None


def _stem(name: str) -> str:
    return "trace" if name == "-" else Path(name).stem


def _shown(name: str) -> str:
    return "standard input" if name == "-" else name
