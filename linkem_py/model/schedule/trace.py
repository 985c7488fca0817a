"""What was measured on a real link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.rules import Number, flag
from linkem_py.model.schedule import trace_text
from linkem_py.model.schedule.change import LONGEST_S, ScheduledChange, in_order, names_of, repeated
from linkem_py.model.schedule.fields import nearest
from linkem_py.model.schedule.schedule import Schedule

TraceFormat = Literal["mahimahi", "csv", "json"]

BIN_MS = 200
FRAME_BYTES = 1514  # a packet of 1,500 bytes as `rate_kbit` counts it


def _points(pairs: Any) -> tuple[ScheduledChange, ...]:
    """Changes from points; a rate of 0 is an outage, and any other rate ends it."""
    if isinstance(pairs, Iterable) and not isinstance(pairs, str):
        pairs = [_with_outage(pair) for pair in pairs]
    return in_order(pairs, where="point", strictly=True)


def _with_outage(pair: Any) -> Any:
    if isinstance(pair, ScheduledChange) or not (isinstance(pair, Sequence) and len(pair) == 2):
        return pair
    at_s, fields = pair
    if not isinstance(fields, Mapping) or fields.get("rate_kbit") is None:
        return pair
    out = trace_text.is_outage("rate_kbit", fields["rate_kbit"])
    kept = {name: value for name, value in fields.items() if not (out and name == "rate_kbit")}
    return at_s, kept | {"outage": out}


@attrs.frozen
class Trace(Schedule):
    """A recorded link: its rate over time, or any other fields.

    A rate of 0 is an outage, and ends when the trace says so; no floor raises it.

    Parameters
    ----------
    points : pairs of a time (seconds, rising) and fields. What a point does not name stays; what makes
        no sense without what it takes away goes, as in `Impairment.evolve`
    duration_s : how long the trace lasts; if not given, the last point lasts as long as the one before
        it (a single one a second)
    repeat : start over at the end; otherwise the last point holds for ever
    name : for messages and reports

    Raises `TopologyError` naming the point. The constructors from text name the line.
    """

    points: tuple[ScheduledChange, ...] = attrs.field(converter=_points, repr=False)
    duration_s: float | None = attrs.field(default=None, kw_only=True, validator=Number(above=0, most=LONGEST_S))
    repeat: bool = attrs.field(default=True, kw_only=True, validator=flag)
    name: str = attrs.field(default="trace", kw_only=True)

    def __attrs_post_init__(self) -> None:
        last_s = self.points[-1].at_s
        if self.duration_s is not None and self.duration_s <= last_s:
            raise TopologyError("duration_s", f"must be above the last point's time ({last_s:g})", self.duration_s)

    @property
    def length_s(self) -> float:
        """How long the trace lasts, in seconds: as given, or as long as it says by itself."""
        if self.duration_s is not None:
            return self.duration_s
        last_s = self.points[-1].at_s
        return last_s + (last_s - self.points[-2].at_s if len(self.points) > 1 else 1.0)

    @classmethod
    def mahimahi(
        cls,
        text: str | Iterable[str],
        *,
        bin_ms: int = BIN_MS,
        packet_bytes: int = FRAME_BYTES,
        repeat: bool = True,
        name: str = "trace",
    ) -> Trace:
        """A trace of packet times, such as Mahimahi's mm-link reads, as a rate over bins of `bin_ms`.

        Each line is a millisecond at which a packet of 1,500 bytes may pass. The rate counts it as
        `packet_bytes`: with the default, an Ethernet frame, so many packets pass as the trace says.
        It lasts until its last packet; a last bin of less than half a bin goes to the one before.
        Raises `TopologyError` with the line.
        """
        _check_whole("bin_ms", bin_ms, 3_600_000)
        _check_whole("packet_bytes", packet_bytes, 65_535)
        times = trace_text.packet_times(text, name)
        points: list[tuple[float, dict[str, Any]]] = []
        before = None
        for at_s, rate in trace_text.binned(times, bin_ms, packet_bytes):
            if rate != before:
                points.append((at_s, {"rate_kbit": _possible(rate)}))
            before = rate
        return cls(points, duration_s=times[-1] / 1000, repeat=repeat, name=name)

    @classmethod
    def csv(cls, text: str, *, duration_s: float | None = None, repeat: bool = True, name: str = "trace") -> Trace:
        """A time series in CSV: a header with ``at_s`` and names of fields, then a row for each point.

        An empty cell leaves its field as it was; ``none`` takes the setting away. Raises
        `TopologyError` with the line.
        """
        points = trace_text.checked(trace_text.csv_points(text, name), name)
        return cls(points, duration_s=duration_s, repeat=repeat, name=name)

    @classmethod
    def json(cls, text: str, *, duration_s: float | None = None, repeat: bool = True, name: str = "trace") -> Trace:
        """A time series in JSON: an array of objects with ``at_s`` and fields. Raises `TopologyError` with the line."""
        points = trace_text.checked(trace_text.json_points(text, name), name)
        return cls(points, duration_s=duration_s, repeat=repeat, name=name)

    @classmethod
    def from_text(cls, text: str, *, format: TraceFormat, name: str = "trace", **settings: Any) -> Trace:  # noqa: A002 - the word that users know
        """A trace from a text in that format; `settings` are those of the format's constructor."""
        if format not in get_args(TraceFormat):
            formats = get_args(TraceFormat)
            hint = nearest(str(format), formats)
            raise TopologyError("format", f"must be one of {', '.join(formats)}{hint}", format)
        makers: dict[str, Callable[..., Trace]] = {"mahimahi": cls.mahimahi, "csv": cls.csv, "json": cls.json}
        return makers[format](text, name=name, **settings)

    @property
    def names(self) -> frozenset[str]:
        """The fields that the trace sets."""
        return names_of(self.points)

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """The points, again and again unless told to stop; the seed does not matter."""
        return repeated(self.points, self.length_s if self.repeat else None)

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """The least and the greatest rate, if that is all there is; otherwise every point."""
        if self.names == {"rate_kbit"}:
            if not self.points[0].fields:  # an outage, and nothing has set a rate yet
                yield under
            rates = {point.fields["rate_kbit"] for point in self.points if point.fields}
            unlimited, known = rates & {None}, sorted(rates - {None})
            for rate in (*unlimited, *known[:1], *known[-1:]):
                yield ScheduledChange(0.0, {"rate_kbit": rate}).applied_to(under)
            return
        state, seen = under, set()
        for point in self.points * (2 if self.repeat else 1):
            state = point.applied_to(state)
            if state not in seen:
                seen.add(state)
                yield state


def _check_whole(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise TopologyError(name, f"must be a whole number from 1 to {most}", value)


def _possible(rate: float) -> float:
    """A rate that a link can have: where something passes, at least the least there is."""
    return max(rate, 1.0) if rate else 0.0
