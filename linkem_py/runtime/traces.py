"""Traces from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from linkem_py.errors import TopologyError
from linkem_py.model.schedule import Trace
from linkem_py.model.schedule.trace import TraceFormat

_BY_ENDING: dict[str, TraceFormat] = {".csv": "csv", ".json": "json"}


def read_trace(path: str | os.PathLike[str], *, format: TraceFormat | None = None, **settings: Any) -> Trace:  # noqa: A002 - the word that users know
    """A recorded link from a file, to be set as a link's schedule.

    Parameters
    ----------
    path : of the file; messages name it
    format : ``csv`` and ``json`` are time series, ``mahimahi`` lists the milliseconds at which a packet may pass,
        as Mahimahi's mm-link reads. By default as the file's name ends, `mahimahi` if that says nothing
        (``driving.up``)
    settings : ``repeat``; ``bin_ms`` and ``packet_bytes`` for mahimahi, ``duration_s`` for the others
        (`Trace.mahimahi`, `Trace.csv`, `Trace.json`)

    Raises `TopologyError` with the file and the line, also for a file that cannot be read.
    """
    file = Path(path)
    chosen: TraceFormat = format if format is not None else _BY_ENDING.get(file.suffix.lower(), "mahimahi")
    _check_settings(chosen, settings, str(path))
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise TopologyError("trace", f"cannot be read ({error.strerror})", str(path)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TopologyError("trace", "must be UTF-8", error.reason, where=f"{path}, line {line}") from None
    return Trace.from_text(text, format=chosen, name=str(path), **settings)


def _check_settings(chosen: TraceFormat, settings: dict[str, Any], where: str) -> None:
    known = ("repeat", "bin_ms", "packet_bytes") if chosen == "mahimahi" else ("repeat", "duration_s")
    for name, value in settings.items():
        if name not in known:
            raise TopologyError(
                name, f"is no setting of the format {chosen}; they are {', '.join(known)}", value, where=where
            )
