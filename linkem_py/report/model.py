"""What was measured, as values."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from linkem_py.model import Capabilities, Impairment
from linkem_py.model.topology import LinkKey, link_name


class Verdict(enum.StrEnum):
    """What a figure says about its link. ``not asked``: measured, with nothing to hold it against."""

    OK = "ok"
    OUT = "out of tolerance"
    FEW = "too few samples"
    NONE = "not measured"
    FREE = "not asked"


@attrs.frozen(kw_only=True)
class Figure:
    """One thing measured on one link.

    Attributes
    ----------
    name : ``delay``, ``jitter``, ``loss``, ``duplicates``, ``corruption``, ``reordering``,
        ``round trip``, ``goodput`` or ``full queue``
    unit : ``ms``, ``%`` or ``kbit/s``; of all values below
    asked : what the topology says; None where it says nothing
    expected : what it comes to here, where that is not the same (the note says why)
    measured : None if nothing was
    low, high : 95 % confidence interval of `measured`
    tolerance : how far from the reference is accepted whatever the sample
    samples : how many observations; `effective_samples` what they are worth if they come in bursts
    verdict, note : the conclusion, and what one should know about it
    """

    name: str
    unit: str
    asked: float | None = None
    expected: float | None = None
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float = 0.0
    samples: int = 0
    effective_samples: float | None = None
    verdict: Verdict = Verdict.NONE
    note: str = ""

    @property
    def reference(self) -> float | None:
        """What `measured` is compared with: `expected`, or else `asked`."""
        return self.asked if self.expected is None else self.expected

    @property
    def error(self) -> float | None:
        """`measured` minus the reference."""
        if self.measured is None or self.reference is None:
            return None
        return self.measured - self.reference


@attrs.frozen(kw_only=True)
class DelayDistribution:
    """One-way delays of one link in milliseconds: percentiles, and a histogram for a plot.

    The histogram has equal bins from `start_ms` on, `width_ms` each; what is outside is in the
    first and the last.
    """

    least_ms: float
    most_ms: float
    percentiles_ms: dict[str, float]
    start_ms: float
    width_ms: float
    counts: tuple[int, ...]


@attrs.frozen(kw_only=True)
class LinkReport:
    """One direction of a link: what was asked, what was measured, what the kernel counted.

    `stats` are the link's counters over the measurement (`LinkStats` after minus before), other
    traffic included. A link that varies has a report for each of its phases, `phase` saying which and
    when (``poor, 30 to 90 s``), and the counters in the first.
    """

    source: str
    destination: str
    segment: str
    impairment: Impairment
    phase: str = ""
    sent: int = 0
    received: int = 0
    figures: tuple[Figure, ...] = ()
    delays: DelayDistribution | None = None
    stats: dict[str, int] = attrs.field(factory=dict)

    @property
    def key(self) -> LinkKey:
        """(source, destination, segment)."""
        return (self.source, self.destination, self.segment)

    @property
    def name(self) -> str:
        """``a->b``, with the segment where it is not the default one, and the phase."""
        return ": ".join(part for part in (link_name(self.key).removeprefix("link "), self.phase) if part)

    def figure(self, name: str) -> Figure:
        """The figure of that name; one that is not measured if there is none."""
        return next((figure for figure in self.figures if figure.name == name), Figure(name=name, unit=""))


@attrs.frozen(kw_only=True)
class Machine:
    """What the machine itself does to packets, measured before the links, at the same pace.

    Attributes
    ----------
    floor_ms : median delay of a path without any impairment (veth, bridge, veth)
    floor_p99_ms : its 99th percentile
    excess_ms : mean of what a link of 5 ms takes beyond 5 ms: the floor and late timers
    excess_spread_ms : its standard deviation
    excess_p99_ms : its 99th percentile
    call_us, packet_us : processor time of a call that sends, and of each packet on its way
    allowance_ms : tolerance of delays that follows: 2 `excess_ms` + `excess_spread_ms`, at least 0.1 ms
    pauses, paused_ms : how often, and how long in all, the machine did not run while probing;
        delays of packets that arrived meanwhile are not used
    """

    floor_ms: float
    floor_p99_ms: float
    excess_ms: float
    excess_spread_ms: float
    excess_p99_ms: float
    call_us: float
    packet_us: float
    allowance_ms: float
    pauses: int = 0
    paused_ms: float = 0.0


@attrs.frozen(kw_only=True)
class Report:
    """A network measured. `as_json` has all of it."""

    topology: str
    release: str
    capabilities: Capabilities
    seed: int
    notes: tuple[str, ...]
    started_at: float
    duration_s: float
    machine: Machine
    links: tuple[LinkReport, ...]

    def link(self, source: str, destination: str, segment: str = "lan") -> LinkReport:
        """The report on one link; of one that varies, on its first phase. Raises KeyError."""
        for link in self.links:
            if link.key == (source, destination, segment):
                return link
        raise KeyError((source, destination, segment))

    def count(self, verdict: Verdict) -> int:
        """How many figures have that verdict."""
        return sum(figure.verdict is verdict for link in self.links for figure in link.figures)

    @property
    def ok(self) -> bool:
        """Whether no figure is out of tolerance."""
        return not self.count(Verdict.OUT)

    def as_json(self) -> dict[str, Any]:
        """The report in what JSON knows."""
        return {
            **attrs.asdict(self, recurse=False, filter=lambda field, _: field.name not in _NESTED),
            "notes": list(self.notes),
            "ok": self.ok,
            "capabilities": attrs.asdict(self.capabilities),
            "machine": attrs.asdict(self.machine),
            "links": [_link(link) for link in self.links],
        }


_NESTED = ("notes", "capabilities", "machine", "links")


def _link(link: LinkReport) -> dict[str, Any]:
    delays = None if link.delays is None else {**attrs.asdict(link.delays), "counts": list(link.delays.counts)}
    return {
        "source": link.source,
        "destination": link.destination,
        "segment": link.segment,
        "phase": link.phase,
        "impairment": {name: _plain(value) for name, value in link.impairment.set_fields().items()},
        "sent": link.sent,
        "received": link.received,
        "figures": [{**attrs.asdict(figure), "verdict": str(figure.verdict)} for figure in link.figures],
        "delays": delays,
        "stats": dict(link.stats),
    }


def _plain(value: Any) -> object:
    if not attrs.has(type(value)):
        return value
    fields = attrs.asdict(value)
    # A table of 4,096 entries says nothing to a reader.
    return {"model": type(value).__name__, **{k: v for k, v in fields.items() if k != "values"}}
