"""A recording, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule import Replay, ScheduledChange
from linkem_py.model.topology import LinkKey
from linkem_py.runtime.recording import values
from linkem_py.runtime.recording.recorder import COUNTERS, FORMAT


@attrs.frozen(kw_only=True)
class RecordedLink:
    """One link's part of a change: what held from then on. `gone`: the link went; `new`: it came."""

    key: LinkKey
    change: ScheduledChange
    new: bool = False
    gone: bool = False


@attrs.frozen(kw_only=True)
class RecordedChange:
    """A change: when the kernel had taken it (seconds since the beginning), what in words, of which links."""

    at_s: float
    what: str
    links: tuple[RecordedLink, ...] = ()


@attrs.frozen(kw_only=True)
class RecordedStats:
    """Counters of links since they were made, by their names in `LinkStats`."""

    at_s: float
    links: Mapping[LinkKey, Mapping[str, int]]


@attrs.frozen(kw_only=True)
class Recording:
    """What was written down of a network.

    Attributes
    ----------
    name, seed, kernel : of the run
    began_at : seconds since the epoch
    peers : that were there at the beginning
    impairments : of the links that were there at the beginning
    changes, stats : in the order in which they happened
    is_whole : whether the network was closed, not killed
    """

    name: str
    seed: int
    kernel: str
    began_at: float
    peers: tuple[str, ...] = ()
    impairments: Mapping[LinkKey, Impairment] = attrs.field(repr=False)
    changes: tuple[RecordedChange, ...] = attrs.field(default=(), repr=False)
    stats: tuple[RecordedStats, ...] = attrs.field(default=(), repr=False)
    is_whole: bool = False

    def schedules(self, *, speed: float = 1.0) -> dict[LinkKey, Replay]:
        """What happened to each link that changed, as a schedule over its impairment at the beginning."""
        found: dict[LinkKey, list[ScheduledChange]] = {}
        for change in self.changes:
            for link in change.links:
                if not link.gone:
                    found.setdefault(link.key, []).append(link.change)
        return {key: Replay(changes, speed=speed) for key, changes in found.items()}


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a recording. A last line that is not whole is passed over: its writer was killed.

    Raises `TopologyError` with the line for what is no recording; `OSError` if there is no such file.
    """
    name = os.path.basename(os.fspath(path))
    text = Path(path).read_bytes().decode("utf-8", "replace")
    lines = _lines(text, name)
    where, first = next(lines, (f"{name}, line 1", {}))
    try:
        header = _header(first)
    except TopologyError as error:
        raise error.at(where) from None
    changes: list[RecordedChange] = []
    stats: list[RecordedStats] = []
    is_whole = False
    last_s = 0.0
    for where, line in lines:
        try:
            if line.get("end") is True:
                is_whole = True
                continue
            at_s = _number(line, "at_s")
            if "stats" in line:
                stats.append(_stats(at_s, line))
            else:
                # The wall clock may have been set back meanwhile; what happened later still comes later.
                last_s = max(last_s, at_s)
                changes.append(_change(last_s, line))
        except TopologyError as error:
            raise error.at(where) from None
    return Recording(**header, changes=tuple(changes), stats=tuple(stats), is_whole=is_whole)


def _lines(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines as objects, each with its place."""
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number > 1 and number == text.count("\n") + 1:  # no line end: it was being written
                return
            raise TopologyError(
                "recording", f"must be a JSON object a line ({error})", line[:40], where=where
            ) from None
        if not isinstance(data, dict):
            raise TopologyError("recording", "must be a JSON object a line", line[:40], where=where)
        yield where, data


def _header(line: dict[str, Any]) -> dict[str, Any]:
    if line.get("linkem_recording") != FORMAT:
        rule = f"must begin with a header of format {FORMAT}"
        raise TopologyError("linkem_recording", rule, line.get("linkem_recording"))
    topology = line.get("topology")
    if not isinstance(topology, dict):
        raise TopologyError("topology", "must be an object", topology)
    impairments = {}
    for link in _list(topology, "links"):
        key = values.key(link)
        impairments[key] = Impairment.from_mapping(values.fields(link.get("set")))
    return {
        "name": str(topology.get("name", "")),
        "seed": int(_number(line, "seed")),
        "kernel": str(line.get("kernel", "")),
        "began_at": _number(line, "began_at"),
        "peers": tuple(map(str, _list(topology, "peers"))),
        "impairments": impairments,
    }


def _change(at_s: float, line: dict[str, Any]) -> RecordedChange:
    links = tuple(_link(at_s, link) for link in _list(line, "links"))
    return RecordedChange(at_s=at_s, what=str(line.get("what", "")), links=links)


def _link(at_s: float, data: Any) -> RecordedLink:
    key = values.key(data)
    if data.get("gone") is True:
        return RecordedLink(key=key, change=ScheduledChange(at_s, clear=True), gone=True)
    change = ScheduledChange.of(at_s, values.fields(data.get("set")), outage=data.get("outage") is True)
    new = data.get("new") is True
    return RecordedLink(key=key, change=attrs.evolve(change, clear=new), new=new)


def _stats(at_s: float, line: dict[str, Any]) -> RecordedStats:
    return RecordedStats(
        at_s=at_s,
        links={values.key(row): {name: int(_number(row, name)) for name in COUNTERS} for row in _list(line, "stats")},
    )


def _number(data: dict[str, Any], name: str) -> float:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**64:
        raise TopologyError(name, "must be a number from 0 on", value)
    return value


def _list(data: dict[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, list):
        raise TopologyError(name, "must be a list", value)
    return value
