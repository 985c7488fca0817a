"""Traces as people keep them: Mahimahi's packet times, and time series in CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import FIELDS, Impairment
from linkem_py.model.schedule.change import check_next
from linkem_py.model.schedule.fields import KNOWN, NUMERIC, WHOLE, checked_value, nearest

Point = tuple[float, dict[str, Any]]

TIME = "at_s"
_FLAGS = {"true": True, "false": False}
_BOOLEAN = tuple(name for name in FIELDS if isinstance(attrs.fields_dict(Impairment)[name].default, bool))


def place(name: str, line: int) -> str:
    """Where in a trace something is wrong."""
    return f"{name}, line {line}"


def is_outage(field: str, value: Any) -> bool:
    """Whether a value means that nothing passes: a rate of 0, which a link cannot have otherwise."""
    return field == "rate_kbit" and not isinstance(value, bool) and bool(value == 0)


# --- Mahimahi --------------------------------------------------------------------------------------


def packet_times(text: str | Iterable[str], name: str) -> list[int]:
    """The milliseconds of a trace that Mahimahi's mm-link reads: whole numbers that do not fall.

    Raises `TopologyError` with the line, also for a trace without packets or without length.
    """
    times: list[int] = []
    last = 0
    number = 0
    for number, line in enumerate(text.splitlines() if isinstance(text, str) else text, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        # Not int(): it takes underscores, signs and digits of other scripts.
        if not (stripped.isascii() and stripped.isdigit() and len(stripped) <= 12):
            rule = "must be a whole number of milliseconds"
            raise TopologyError("time", rule, stripped[:40], where=place(name, number))
        at_ms = int(stripped)
        if at_ms < last:
            rule = f"must not be before the one above ({last} ms)"
            raise TopologyError("time", rule, at_ms, where=place(name, number))
        times.append(at_ms)
        last = at_ms
    if not times:
        raise TopologyError("trace", "must have at least one packet", "", where=place(name, max(number, 1)))
    if not last:
        raise TopologyError("trace", "must last longer than 0 ms", last, where=place(name, number))
    return times


def binned(times: list[int], bin_ms: int, packet_bytes: int) -> Iterator[tuple[float, float]]:
    """Start (s) and rate (kbit/s) of bins of `bin_ms`; the last is 0.5 to 1.5 times as long (or all, if shorter)."""
    end_ms = times[-1]
    count = max(1, (2 * end_ms + bin_ms) // (2 * bin_ms))
    packets = [0] * count
    for at_ms in times:
        packets[min(at_ms // bin_ms, count - 1)] += 1
    for index, found in enumerate(packets):
        start_ms = index * bin_ms
        length_ms = bin_ms if index < count - 1 else end_ms - start_ms
        yield start_ms / 1000, found * packet_bytes * 8 / length_ms


# --- time series -----------------------------------------------------------------------------------


def csv_points(text: str, name: str) -> list[tuple[int, Point]]:
    """Rows of a CSV text with their lines: a header with ``at_s`` and field names, then numbers.

    An empty cell leaves its field as it was, ``none`` takes the setting away. Lines that begin with
    ``#`` and empty ones are passed over. Raises `TopologyError` with the line.
    """
    numbered = enumerate(text.removeprefix("\ufeff").splitlines(), 1)
    lines = [(number, line) for number, line in numbered if line.strip()[:1] not in ("", "#")]
    if not lines:
        raise TopologyError("trace", "must have a header and at least one row", "", where=place(name, 1))
    header = _header(_cells(*lines[0], name), place(name, lines[0][0]))
    found = []
    for number, line in lines[1:]:
        where, cells = place(name, number), _cells(number, line, name)
        if len(cells) != len(header):
            raise TopologyError("row", f"must have {len(header)} cells, as the header", len(cells), where=where)
        row = dict(zip(header, cells, strict=True))
        at_s = _number(TIME, row.pop(TIME), where)
        fields = {field: _value(field, cell, where) for field, cell in row.items() if cell}
        found.append((number, (at_s, fields)))
    return found


def _cells(number: int, line: str, name: str) -> list[str]:
    try:
        (cells,) = csv.reader([line], strict=True)
    except csv.Error as error:
        raise TopologyError(
            "row", f"must be comma-separated values ({error})", line, where=place(name, number)
        ) from None
    return [cell.strip() for cell in cells]


def _header(names: list[str], where: str) -> list[str]:
    if TIME not in names:
        raise TopologyError("header", f"must name a column {TIME}", ",".join(names), where=where)
    for index, field in enumerate(names):
        if field in names[:index]:
            raise TopologyError("header", "must not name a column twice", field, where=where)
        if field != TIME and field not in KNOWN:
            raise TopologyError("header", f"must name fields{nearest(field, KNOWN)}", field, where=where)
    return names


def _number(field: str, cell: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise TopologyError(field, "must be a number", cell, where=where) from None


def _value(field: str, cell: str, where: str) -> Any:
    if cell.lower() == "none":
        return None
    if field in _BOOLEAN:
        return _FLAGS.get(cell.lower(), cell)
    if field in NUMERIC:
        value = _number(field, cell, where)
        return int(value) if field in WHOLE and value.is_integer() else value
    return cell


def json_points(text: str, name: str) -> list[tuple[int, Point]]:
    """Objects of a JSON array with their lines: ``at_s`` and fields. Raises `TopologyError` with the line."""
    decoder, found = json.JSONDecoder(), []
    index = _skip(text, 0)
    if text[index : index + 1] != "[":
        raise _misplaced(text, index, name, "an array of objects")
    index = _skip(text, index + 1)
    while text[index : index + 1] != "]":
        line = _line(text, index)
        try:
            item, index = decoder.raw_decode(text, index)
        except (ValueError, RecursionError) as error:  # not JSON, a number of thousands of digits, nested too deeply
            where = place(name, getattr(error, "lineno", line))
            raise TopologyError("trace", "must be JSON", str(error), where=where) from None
        if not isinstance(item, dict) or TIME not in item:
            raise TopologyError("point", f"must be an object with {TIME}", item, where=place(name, line))
        found.append((line, (item.pop(TIME), item)))
        index = _skip(text, index)
        if text[index : index + 1] == ",":
            index = _skip(text, index + 1)
            if text[index : index + 1] == "]":
                raise _misplaced(text, index, name, "another object")
        elif text[index : index + 1] != "]":
            raise _misplaced(text, index, name, "',' or ']'")
    index = _skip(text, index + 1)
    if index < len(text):
        raise _misplaced(text, index, name, "the end")
    return found


def _skip(text: str, index: int) -> int:
    while index < len(text) and text[index] in " \t\r\n":
        index += 1
    return index


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def _misplaced(text: str, index: int, name: str, wanted: str) -> TopologyError:
    return TopologyError(
        "trace", f"must have {wanted} here", text[index : index + 20], where=place(name, _line(text, index))
    )


def checked(points: list[tuple[int, Point]], name: str) -> list[Point]:
    """The points, if times rise and every field can have its value; raises `TopologyError` with the line."""
    last_s = -1.0
    for line, (at_s, fields) in points:
        check_next(at_s, last_s, where=place(name, line))
        last_s = at_s
        for field, value in fields.items():
            try:
                checked_value(field, None if is_outage(field, value) else value)
            except TopologyError as error:
                raise error.at(place(name, line)) from None
    if not points:
        raise TopologyError("trace", "must have at least one point", "", where=place(name, 1))
    return [point for _, point in points]
