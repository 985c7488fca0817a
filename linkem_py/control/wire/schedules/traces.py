"""Traces as JSON: points, bins of one length, or the text that somebody recorded."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any, get_args

from linkem_py.control.wire.schedules.bounds import MOST_CHANGES, MOST_NAME, check_pace
from linkem_py.control.wire.schedules.changes import timed, timed_json
from linkem_py.control.wire.schedules.places import placed
from linkem_py.control.wire.shape import (
    as_flag,
    as_list,
    as_number,
    as_text,
    as_whole,
    check_names,
    member,
    refuse,
    unknown,
)
from linkem_py.errors import TopologyError
from linkem_py.model.schedule import ScheduledChange, Trace
from linkem_py.model.schedule.trace import BIN_MS, FRAME_BYTES, TraceFormat
from linkem_py.model.schedule.trace_text import packet_times

_COMMON = ("type", "duration_s", "repeat", "name")
_FORMS = {
    "points": (*_COMMON, "points"),
    "rates_kbit": (*_COMMON, "rates_kbit", "bin_ms"),
    "text": (*_COMMON, "text", "format", "bin_ms", "packet_bytes"),
}
_LINE = re.compile(r".*, (line \d+)", re.DOTALL)


def trace(data: dict[str, Any], path: str) -> Trace:
    """A trace from its JSON, in any of its three forms."""
    forms = [form for form in _FORMS if form in data]
    if len(forms) != 1:
        refuse(path, f"must have one of {', '.join(_FORMS)}", forms or None)
    check_names(data, _FORMS[forms[0]], f"{path}.")
    settings: dict[str, Any] = {}
    if "name" in data:
        settings["name"] = as_text(data["name"], f"{path}.name")
        if len(settings["name"]) > MOST_NAME:
            refuse(f"{path}.name", f"must have at most {MOST_NAME} characters", len(settings["name"]))
    if "repeat" in data:
        settings["repeat"] = as_flag(data["repeat"], f"{path}.repeat")
    if data.get("duration_s") is not None:
        settings["duration_s"] = as_number(data["duration_s"], f"{path}.duration_s")
    made = _MAKERS[forms[0]](data, path, settings)
    if made.repeat:
        check_pace(made.length_s, len(made.points), f"{path}.duration_s")
    return made


def trace_json(trace: Trace) -> dict[str, Any]:
    """The JSON of a trace: bins if it is made of them, otherwise points."""
    data: dict[str, Any] = {"type": "trace", "name": trace.name, "repeat": trace.repeat}
    if trace.duration_s is not None:
        data["duration_s"] = trace.duration_s
    return data | (_bins_json(trace) or {"points": timed_json(trace.points, rates=True)})


def _of_points(data: dict[str, Any], path: str, settings: dict[str, Any]) -> Trace:
    points = timed(data["points"], f"{path}.points", rates=True)
    with placed(path):
        return Trace(points, **settings)


def _of_rates(data: dict[str, Any], path: str, settings: dict[str, Any]) -> Trace:
    rates = as_list(data["rates_kbit"], f"{path}.rates_kbit")
    if not 0 < len(rates) <= MOST_CHANGES:
        refuse(f"{path}.rates_kbit", f"must be 1 to {MOST_CHANGES} bins", len(rates))
    bin_ms = _bin_ms(data, path)
    rows: list[dict[str, Any]] = []
    for number, rate in enumerate(rates):
        if number == 0 or not _same(rate, rates[number - 1]):
            place = f"{path}.rates_kbit[{number}]"
            if as_number(rate, place) < 0:
                refuse(place, "must not be below 0", rate)
            rows.append({"at_s": number * bin_ms / 1000, "rate_kbit": rate})
    points = timed(rows, f"{path}.rates_kbit", rates=True)
    with placed(path):
        return Trace(points, **{"duration_s": len(rates) * bin_ms / 1000, **settings})


def _of_text(data: dict[str, Any], path: str, settings: dict[str, Any]) -> Trace:
    form, text = as_text(member(data, "format", f"{path}."), f"{path}.format"), as_text(data["text"], f"{path}.text")
    if form not in get_args(TraceFormat):
        refuse(f"{path}.format", unknown(form, get_args(TraceFormat)), form)
    mahimahi = form == "mahimahi"
    for name in ("bin_ms", "packet_bytes"):
        if name in data and not mahimahi:
            refuse(f"{path}.{name}", "needs the format mahimahi", data[name])
    if mahimahi and "duration_s" in settings:
        refuse(f"{path}.duration_s", "must not be given: the trace lasts until its last packet", settings["duration_s"])
    try:
        if mahimahi:
            bin_ms = settings["bin_ms"] = _bin_ms(data, path)
            packet_bytes = data.get("packet_bytes", FRAME_BYTES)
            settings["packet_bytes"] = as_whole(packet_bytes, f"{path}.packet_bytes", 1)
            _check_length(packet_times(text, "trace")[-1], bin_ms, path)
        made = Trace.from_text(text, format=form, **settings)  # type: ignore[arg-type]  # checked above
    except TopologyError as error:
        _refuse_text(error, path)
    return made


def _refuse_text(error: TopologyError, path: str) -> None:
    line = _LINE.fullmatch(error.where)
    if line is None:
        with placed(path):
            raise error
    refuse(f"{path}.text", f"{line[1]}: {error.field} {error.rule}", error.value)


def _bin_ms(data: dict[str, Any], path: str) -> int:
    return as_whole(data.get("bin_ms", BIN_MS), f"{path}.bin_ms", 1)


def _check_length(last_ms: int, bin_ms: int, path: str) -> None:
    if last_ms / bin_ms > MOST_CHANGES:
        refuse(f"{path}.bin_ms", f"must be so long that at most {MOST_CHANGES} bins last {last_ms} ms", bin_ms)


def _bins_json(trace: Trace) -> dict[str, Any] | None:
    """Bins of the greatest length that fits all points; None if points are shorter, or say more."""
    if trace.duration_s is None:
        return None  # bins say how long they last
    rates = [_rate(point) for point in trace.points]
    starts = [round(point.at_s * 1000) for point in trace.points]
    bin_ms = math.gcd(*starts) or BIN_MS
    count = starts[-1] // bin_ms + 1
    if starts[0] or None in rates or count > 4 * len(rates):
        return None
    if any(point.at_s != start / 1000 for point, start in zip(trace.points, starts, strict=True)):
        return None
    if any(_same(one, other) for one, other in itertools.pairwise(rates)):
        return None  # a reader would take them for one
    bins: list[float | None] = []
    for rate, end in zip(rates, (*starts[1:], starts[-1] + bin_ms), strict=True):
        bins += [rate] * (end // bin_ms - len(bins))
    return {"bin_ms": bin_ms, "rates_kbit": bins}


def _rate(point: ScheduledChange) -> float | None:
    """The rate that is all that a point says, 0 for an outage; None if it says anything else."""
    if point.clear or point.fields.keys() != (set() if point.outage else {"rate_kbit"}):
        return None
    rate: float | None = 0 if point.outage else point.fields["rate_kbit"]
    return rate


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


_MAKERS = {"points": _of_points, "rates_kbit": _of_rates, "text": _of_text}
