"""Durations as people write them."""

from __future__ import annotations

import re

from linkem_py.errors import TopologyError

_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|min|m|h|d)?\s*", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str | float, *, field: str = "duration") -> float:
    """Seconds from ``90``, ``90s``, ``500ms``, ``1.5m``, ``1h`` or ``2d``; a number is seconds.

    Raises `TopologyError` for anything else, and for 0.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(text) if 0 < text < 1e9 else 0.0
    else:
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        seconds = float(match[1]) * _SECONDS[(match[2] or "s").lower()] if match else 0.0
    if not 0 < seconds < 1e9:
        raise TopologyError(field, "must be a time above 0 such as 90, 90s, 500ms or 1h", text)
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest way to write so many seconds: ``90 s``, ``1.5 ms``."""
    if seconds >= 3600 and seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    if 0 < seconds < 1:
        return f"{seconds * 1000:g} ms"
    return f"{seconds:g} s"
