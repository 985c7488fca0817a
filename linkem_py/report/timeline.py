"""What a recording says of each link over time. Pure, from a `Recording`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.errors import RequestError
from linkem_py.model import Impairment, LinkKey
from linkem_py.runtime.recording import RecordedChange, RecordedLink, Recording

Values = NDArray[np.float64]

OUTAGE, PARTITION, CARRIER, ABSENT = "outage", "partition", "carrier down", "no link"


@attrs.frozen
class Span:
    """Nothing passed from `start_s` to `end_s`, and this is why."""

    kind: str
    start_s: float
    end_s: float


@attrs.frozen(eq=False)
class Steps:
    """`values[i]` held from `edges_s[i]` to `edges_s[i + 1]`; NaN: there was none."""

    edges_s: Values
    values: Values

    def within(self, start_s: float, end_s: float) -> Steps:
        """The part between two moments."""
        keep = (self.edges_s[1:] > start_s) & (self.edges_s[:-1] < end_s)
        if not keep.any():
            return Steps(np.array([start_s, end_s]), np.array([np.nan]))
        first, last = np.flatnonzero(keep)[[0, -1]]
        return Steps(np.clip(self.edges_s[first : last + 2], start_s, end_s), self.values[first : last + 1])

    @property
    def has_any(self) -> bool:
        """Whether there is any value other than 0."""
        return bool(np.any(np.nan_to_num(self.values)))


@attrs.frozen(kw_only=True, eq=False)
class Timeline:
    """One link.

    Attributes
    ----------
    rate_kbit, delay_ms, jitter_ms, loss_pct : in force
    goodput_kbit : what left the link, between two counts
    lost_pct : the share of packets that the loss setting took, likewise
    backlog_s, backlog_bytes : when counted, and what was in the link then
    spans : when nothing passed
    """

    key: LinkKey
    start_s: float
    end_s: float
    rate_kbit: Steps
    delay_ms: Steps
    jitter_ms: Steps
    loss_pct: Steps
    goodput_kbit: Steps
    lost_pct: Steps
    backlog_s: Values
    backlog_bytes: Values
    spans: tuple[Span, ...] = ()


def links_of(recording: Recording) -> list[LinkKey]:
    """Every link that was there at some time, in the order in which they came."""
    found = dict.fromkeys(recording.impairments)
    for change in recording.changes:
        found.update((link.key, None) for link in change.links)
    return list(found)


def timeline(
    recording: Recording, key: LinkKey, *, start_s: float | None = None, end_s: float | None = None
) -> Timeline:
    """What happened to a link, and what it did, from `start_s` to `end_s` (all of it by default).

    Raises `RequestError` for a link or a span that the recording does not have.
    """
    if key not in links_of(recording):
        raise RequestError("link", "is not in the recording", "->".join(key[:2]), where=f"segment {key[2]}")
    start, end = window(recording, start_s, end_s)
    whole_s = max(recording.end_s, end)
    states = list(_states(recording, key))
    edges = np.array([at_s for at_s, _ in states] + [whole_s])

    def held(value: Callable[[Impairment], float | None]) -> Steps:
        values = [math.nan if one is None else _number(value(one)) for _, one in states]
        return Steps(edges, np.array(values, dtype=float)).within(start, end)

    goodput, lost, backlog_s, backlog = _counted(recording, key)
    seen = (backlog_s >= start) & (backlog_s <= end)
    return Timeline(
        key=key,
        start_s=start,
        end_s=end,
        rate_kbit=held(lambda one: one.rate_kbit),
        delay_ms=held(lambda one: one.delay_ms),
        jitter_ms=held(lambda one: one.jitter_ms),
        loss_pct=held(lambda one: one.mean_loss_pct),
        goodput_kbit=goodput.within(start, end),
        lost_pct=lost.within(start, end),
        backlog_s=backlog_s[seen],
        backlog_bytes=backlog[seen],
        spans=tuple(_clipped(_spans(recording, key, whole_s), start, end)),
    )


def window(recording: Recording, start_s: float | None, end_s: float | None) -> tuple[float, float]:
    """From when to when. Raises `RequestError` unless it is a span within the recording."""
    start = 0.0 if start_s is None else start_s
    end = max(recording.end_s, 1e-3) if end_s is None else end_s
    if not 0 <= start < end:
        raise RequestError("from", f"must be before the end ({end:g} s)", start)
    if start >= max(recording.end_s, 1e-3):
        raise RequestError("from", f"must be within the recording ({recording.end_s:g} s)", start)
    return start, end


# --- in force ------------------------------------------------------------------------------------


def _states(recording: Recording, key: LinkKey) -> Iterator[tuple[float, Impairment | None]]:
    """From when on which impairment held; None while there is no link."""
    state = recording.impairments.get(key)
    yield 0.0, state
    for change, link in _changes_of(recording.changes, key):
        state = None if link.gone else link.change.applied_to(state if state is not None else Impairment())
        yield change.at_s, state


def _changes_of(changes: Iterable[RecordedChange], key: LinkKey) -> Iterator[tuple[RecordedChange, RecordedLink]]:
    for change in changes:
        for link in change.links:
            if link.key == key:
                yield change, link


def _number(value: float | None) -> float:
    return math.nan if value is None else value


# --- when nothing passes -------------------------------------------------------------------------


def _spans(recording: Recording, key: LinkKey, end_s: float) -> Iterator[Span]:
    yield from _while(
        OUTAGE, ((change.at_s, link.change.outage) for change, link in _changes_of(recording.changes, key)), end_s
    )
    yield from _while(PARTITION, ((change.at_s, _parted(change.groups, key)) for change in recording.changes), end_s)
    yield from _while(CARRIER, _carrier(recording.changes, key), end_s)
    there = [(0.0, key not in recording.impairments)]
    there += [(change.at_s, link.gone) for change, link in _changes_of(recording.changes, key)]
    yield from _while(ABSENT, there, end_s)


def _parted(groups: Sequence[Sequence[str]], key: LinkKey) -> bool:
    found = [{index for index, group in enumerate(groups) if name in group} for name in key[:2]]
    return bool(found[0] and found[1] and found[0] != found[1])


def _carrier(changes: Iterable[RecordedChange], key: LinkKey) -> Iterator[tuple[float, bool]]:
    dropped: set[str] = set()
    for change in changes:
        if change.what.startswith("carrier ") and change.peer in key[:2] and change.segment == key[2]:
            (dropped.discard if change.what == "carrier up" else dropped.add)(change.peer)
            yield change.at_s, bool(dropped)


def _while(kind: str, switches: Iterable[tuple[float, bool]], end_s: float) -> Iterator[Span]:
    since: float | None = None
    for at_s, on in switches:
        if on and since is None:
            since = at_s
        elif not on and since is not None:
            yield Span(kind, since, at_s)
            since = None
    if since is not None:
        yield Span(kind, since, end_s)


def _clipped(spans: Iterable[Span], start_s: float, end_s: float) -> Iterator[Span]:
    for span in spans:
        if span.end_s > start_s and span.start_s < end_s:
            yield Span(span.kind, max(span.start_s, start_s), min(span.end_s, end_s))


# --- counted -------------------------------------------------------------------------------------


def _counted(recording: Recording, key: LinkKey) -> tuple[Steps, Steps, Values, Values]:
    """Goodput, share lost; when the backlog was counted, and what it was."""
    before = dict.fromkeys(("bytes", "packets", "drops", "lost"), 0) if key in recording.impairments else None
    edges, goodput, lost = [0.0], [], []
    at, backlog = [], []
    times = np.array([0.0, *(stats.at_s for stats in recording.stats)])
    # Counters that were read late say too much of a short time, and so do those after a clock was set back.
    least_s = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.0
    for stats in recording.stats:
        if stats.at_s - edges[-1] <= max(0.0, least_s):
            continue
        row = stats.links.get(key)
        span_s = stats.at_s - edges[-1]
        edges.append(stats.at_s)
        rate = share = math.nan
        if row is not None:
            at.append(stats.at_s)
            backlog.append(row["backlog_bytes"])
            if before is not None and row["bytes"] >= before["bytes"]:  # or else the link was made anew
                grown = {name: row[name] - before[name] for name in before}
                rate = grown["bytes"] * 8 / 1000 / span_s
                offered = grown["packets"] + grown["drops"]
                share = 100 * max(0, grown["lost"]) / offered if offered > 0 else math.nan
        goodput.append(rate)
        lost.append(share)
        before = None if row is None else {name: row[name] for name in ("bytes", "packets", "drops", "lost")}
    bounds = np.array(edges)
    return (
        Steps(bounds, np.array(goodput, dtype=float)),
        Steps(bounds, np.array(lost, dtype=float)),
        np.array(at, dtype=float),
        np.array(backlog, dtype=float),
    )
