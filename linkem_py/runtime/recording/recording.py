"""A recording, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.access import Access
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule import Replay, ScheduledChange
from linkem_py.model.topology import LinkKey, Placement, Topology
from linkem_py.runtime.recording import values
from linkem_py.runtime.recording.recorder import COUNTERS, FORMAT
from linkem_py.runtime.recording.topologies import topology_of, with_ceiling


@attrs.frozen(kw_only=True)
class RecordedLink:
    """One link's part of a change: what held from then on.

    Attributes
    ----------
    change : the fields that differed; its `outage` says that nothing was let in, for whatever reason
    new, gone : the link came, or went
    down : it was down by hand (`Network.down`)
    scheduled_outage : a schedule had an outage, which goes on when the link is not down any more
    """

    key: LinkKey
    change: ScheduledChange
    new: bool = False
    gone: bool = False
    down: bool = False
    scheduled_outage: bool = False


@attrs.frozen(kw_only=True)
class RecordedChange:
    """A change that a network had made. The other attributes are those of `Applied`.

    Attributes
    ----------
    at_s : when the kernel had taken it, seconds since the beginning
    placement : of the queues of a peer that came; None: ``sender``
    access : the peer's access link from then on, of a peer that came, joined, or got another one
    """

    at_s: float
    what: str
    links: tuple[RecordedLink, ...] = ()
    revision: int = 0
    peer: str | None = None
    segment: str | None = None
    addresses: tuple[str, ...] = ()
    placement: Placement | None = None
    access: Access | None = None
    groups: tuple[tuple[str, ...], ...] = ()


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
    end_s : when it was closed, or else the last that is known of it, seconds since the beginning
    topology : the network as it began, to be built again: without its schedules, whose changes are among
        `changes`, but sized for the highest rate that those ask for
    notices : what a reader should know about the file
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
    end_s: float = 0.0
    topology: Topology = attrs.field(repr=False, eq=False)
    notices: tuple[str, ...] = ()

    def schedules(self, *, speed: float = 1.0) -> dict[LinkKey, Replay]:
        """What happened to each link that changed, as a schedule over its impairment at the beginning."""
        found: dict[LinkKey, list[ScheduledChange]] = {}
        for change in self.changes:
            for link in change.links:
                if not link.gone:
                    found.setdefault(link.key, []).append(link.change)
        return {key: Replay(changes, speed=speed) for key, changes in found.items()}


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a recording. A last line that is not whole is passed over, and `notices` say so: its writer was killed.

    Raises `TopologyError` with the line for what is no recording, or one of a later format; `OSError` if there
    is no such file.
    """
    name = os.path.basename(os.fspath(path))
    text = Path(path).read_bytes().decode("utf-8", "replace")
    notices: list[str] = []
    lines = _lines(text, name, notices)
    where, first = next(lines, (f"{name}, line 1", {}))
    try:
        header = _header(first)
    except TopologyError as error:
        raise _placed(error, where) from None
    changes: list[RecordedChange] = []
    stats: list[RecordedStats] = []
    is_whole = False
    last_s = 0.0
    for where, line in lines:
        try:
            if line.get("end") is True:
                is_whole = True
                last_s = max(last_s, _number(line, "at_s", default=0.0))
                continue
            # The wall clock may have been set back meanwhile; what happened later still comes later.
            at_s = _number(line, "at_s")
            last_s = max(last_s, at_s)
            if "stats" in line:
                stats.append(_stats(at_s, line))
            else:
                changes.append(_change(last_s, line))
        except TopologyError as error:
            raise error.at(where) from None
    if not is_whole and not notices:
        notices.append(f"{name} has no end: its network was killed, or still runs")
    _size(header["topology"], changes)
    return Recording(
        **header, changes=tuple(changes), stats=tuple(stats), is_whole=is_whole, end_s=last_s, notices=tuple(notices)
    )


def _lines(text: str, name: str, notices: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines as objects, each with its place."""
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number > 1 and number == text.count("\n") + 1:  # no line end: it was being written
                notices.append(f"{where}: is cut off and passed over: its writer was killed, or still writes")
                return
            raise TopologyError(
                "recording", f"must be a JSON object a line ({error})", line[:40], where=where
            ) from None
        if not isinstance(data, dict):
            raise TopologyError("recording", "must be a JSON object a line", line[:40], where=where)
        yield where, data


def _header(line: dict[str, Any]) -> dict[str, Any]:
    version = line.get("linkem_recording")
    if isinstance(version, int) and version > FORMAT:
        raise TopologyError("linkem_recording", f"must be {FORMAT}: this version reads no later format", version)
    if isinstance(version, bool) or version != FORMAT:
        raise TopologyError("linkem_recording", f"must begin with a header of format {FORMAT}", version)
    topology = topology_of(line.get("topology"))
    return {
        "name": topology.name,
        "seed": int(_number(line, "seed")),
        "kernel": str(line.get("kernel", "")),
        "began_at": _number(line, "began_at"),
        "peers": tuple(topology.peers),
        "impairments": {key: link.impairment for key, link in topology.links.items()},
        "topology": topology,
    }


def _placed(error: TopologyError, where: str) -> TopologyError:
    place = f"{where}: {error.where}" if error.where else where
    return TopologyError(error.field, error.rule, error.value, where=place)


def _size(topology: Topology, changes: Sequence[RecordedChange]) -> None:
    """Have links that a schedule changed be sized for the highest rate in it, as they were."""
    highest: dict[LinkKey, float] = {}
    for change in changes:
        if change.what == "schedule":
            for link in change.links:
                rate_kbit = link.change.fields.get("rate_kbit")
                if rate_kbit is not None:
                    highest[link.key] = max(rate_kbit, highest.get(link.key, 0.0))
    for key, rate_kbit in highest.items():
        if key in topology.links:
            with_ceiling(topology, key, max(rate_kbit, topology.links[key].impairment.rate_kbit or 0.0))


def _change(at_s: float, line: dict[str, Any]) -> RecordedChange:
    what = str(line.get("what", ""))
    return RecordedChange(
        at_s=at_s,
        what=what,
        links=tuple(_link(at_s, link, what) for link in values.items(line, "links")),
        revision=int(_number(line, "revision", default=0)),
        peer=_name(line, "peer"),
        segment=_name(line, "segment"),
        addresses=_addresses(line),
        placement=_placement(line),
        access=values.access(line["access"]) if "access" in line else None,
        groups=tuple(_group(group) for group in values.items(line, "groups", default=())),
    )


def _link(at_s: float, data: Any, what: str) -> RecordedLink:
    key = values.key(data)
    if data.get("gone") is True:
        return RecordedLink(key=key, change=ScheduledChange(at_s, clear=True), gone=True)
    outage, down = data.get("outage") is True, data.get("down") is True or what == "down"
    change = ScheduledChange.of(at_s, values.fields(data.get("set")), outage=outage)
    new = data.get("new") is True
    return RecordedLink(
        key=key,
        change=attrs.evolve(change, clear=new),
        new=new,
        down=down,
        scheduled_outage=data.get("scheduled_outage") is True if down else outage,
    )


def _stats(at_s: float, line: dict[str, Any]) -> RecordedStats:
    return RecordedStats(
        at_s=at_s,
        links={
            values.key(row): {name: int(_number(row, name)) for name in COUNTERS} for row in values.items(line, "stats")
        },
    )


def _group(data: Any) -> tuple[str, ...]:
    if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
        raise TopologyError("groups", "must be lists of peers", data)
    return tuple(data)


def _addresses(data: dict[str, Any]) -> tuple[str, ...]:
    found = values.items(data, "addresses", default=())
    if len(found) > 2 or not all(isinstance(address, str) for address in found):
        raise TopologyError("addresses", "must be an IPv4 address and at most an IPv6 address", list(found))
    return tuple(found)


def _placement(data: dict[str, Any]) -> Placement | None:
    value: Placement | None = data.get("placement")
    if value is not None and value not in get_args(Placement):
        raise TopologyError("placement", f"must be one of {', '.join(get_args(Placement))}", value)
    return value


def _name(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise TopologyError(name, "must be a name", value)
    return value


def _number(data: dict[str, Any], name: str, *, default: float | None = None) -> float:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**64:
        raise TopologyError(name, "must be a number from 0 on", value)
    return value
