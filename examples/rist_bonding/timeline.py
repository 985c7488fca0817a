"""What a run collected, and what follows from it. Pure.

Times are seconds since the stream began; counters are those of the whole run until then.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import attrs

from examples.rist_bonding import ts

EVERY_S = 0.5  # between two samples


@attrs.frozen(kw_only=True)
class Sent:
    """The camera: packets of the stream so far; by link what RIST sent, sent again, and its round trip."""

    at: float
    packets: int
    originals: tuple[int, ...]
    retransmitted: tuple[int, ...]
    round_trip_ms: tuple[float | None, ...]


@attrs.frozen(kw_only=True)
class Received:
    """The studio: RIST's counters, and packets that arrived by each link (without retransmissions)."""

    at: float
    recovered: int
    lost: int
    duplicates: int
    requests: int
    arrived: tuple[int, ...]


@attrs.frozen(kw_only=True)
class Carried:
    """The links from camera to studio: frames and bytes sent, frames lost, by link."""

    at: float
    frames: tuple[int, ...]
    octets: tuple[int, ...]
    dropped: tuple[int, ...]


@attrs.frozen
class Delivery:
    """A packet that the application in the studio got."""

    number: int
    sent_at: float
    at: float


@attrs.frozen(kw_only=True)
class Cut:
    """A link that was down for a while."""

    link: str
    at: float
    until: float


@attrs.frozen(kw_only=True)
class Outcome:
    """What a cut did to the application.

    Attributes
    ----------
    pause_ms : the longest time without a packet that began while the link was down
    usual_pause_ms : the same before the cut, over as long a time at most
    sent : packets sent while the link was down
    lost : packets sent while the link was down that never arrived
    whole_after_s : from the cut to the last of them; 0 if none is missing
    """

    pause_ms: float
    usual_pause_ms: float
    sent: int
    lost: int
    whole_after_s: float


@attrs.frozen(kw_only=True)
class Timeline:
    """Everything that one run collected."""

    links: tuple[str, ...]
    rate_kbit: float
    buffer_ms: int
    sent: Sequence[Sent]
    received: Sequence[Received]
    carried: Sequence[Carried]
    deliveries: Sequence[Delivery]
    cuts: Sequence[Cut] = ()

    @property
    def packets(self) -> int:
        """How many the camera sent."""
        return self.sent[-1].packets

    @property
    def joined(self) -> float:
        """When the receiver had filled its buffer for the first time."""
        return self.buffer_ms / 1000

    @property
    def missing(self) -> list[int]:
        """Numbers that the application never got; of what was sent when the receiver had joined."""
        seen = {delivery.number for delivery in self.deliveries}
        numbers = (number for number in range(self.packets) if self.sent_at(number) >= self.joined)
        return [number for number in numbers if number not in seen]

    def sent_at(self, number: int) -> float:
        """When a packet was due, by the stream's rate."""
        return ts.due(number, self.rate_kbit)

    @property
    def late_ms(self) -> float:
        """By how much this machine was late, at most: with sending a packet, or with letting the studio run."""
        sending = (delivery.sent_at - self.sent_at(delivery.number) for delivery in self.deliveries)
        running = (after.at - before.at - EVERY_S for before, after in pairwise(self.received))
        return 1000 * max(0.0, max(sending, default=0.0), max(running, default=0.0))

    def delays_ms(self) -> list[float]:
        """From camera to application; of what was sent when the receiver had joined: before, all wait."""
        return [
            1000 * (delivery.at - delivery.sent_at) for delivery in self.deliveries if delivery.sent_at >= self.joined
        ]

    def outcome(self, cut: Cut) -> Outcome:
        """What a cut did."""
        lost = [number for number in self.missing if cut.at <= self.sent_at(number) < cut.until]
        return Outcome(
            pause_ms=self._longest_pause_ms(cut.at, cut.until),
            usual_pause_ms=self._longest_pause_ms(max(2 * self.joined, 2 * cut.at - cut.until), cut.at),
            sent=sum(cut.at <= self.sent_at(number) < cut.until for number in range(self.packets)),
            lost=len(lost),
            whole_after_s=max((self.sent_at(number) - cut.at for number in lost), default=0.0),
        )

    def _longest_pause_ms(self, since: float, until: float) -> float:
        times = [delivery.at for delivery in self.deliveries if since <= delivery.at]
        return max((1000 * (after - before) for before, after in pairwise(times) if before < until), default=0.0)

    def throughput_kbit(self) -> Iterator[tuple[float, tuple[float, ...]]]:
        """What the links carried between two samples, each with the time of the second."""
        for before, after in pairwise(self.carried):
            seconds = after.at - before.at
            yield after.at, tuple(0.008 * (b - a) / seconds for a, b in zip(before.octets, after.octets, strict=True))

    def round_trip_ms(self, link: int) -> float | None:
        """The median that RIST saw."""
        times = [time for sample in self.sent if (time := sample.round_trip_ms[link]) is not None]
        return statistics.median(times) if times else None

    def summary(self) -> dict[str, Any]:
        """The figures at the end, for programs: units in the names."""
        last, arrived, carried = self.sent[-1], self.received[-1], self.carried[-1]
        seconds, delays = carried.at - self.carried[0].at, self.delays_ms()
        return {
            "packets": self.packets,
            "missing": len(self.missing),
            "recovered": arrived.recovered,
            "duplicates": arrived.duplicates,
            "requests": arrived.requests,
            "given_up": arrived.lost,
            "delay_ms": {"median": statistics.median(delays), "max": max(delays)} if delays else None,
            "machine_late_ms": self.late_ms,
            "links": {
                name: {
                    "throughput_kbit": 0.008 * (carried.octets[index] - self.carried[0].octets[index]) / seconds,
                    "frames_lost": carried.dropped[index],
                    "sent": last.originals[index],
                    "arrived": arrived.arrived[index],
                    "retransmitted": last.retransmitted[index],
                    "round_trip_ms": self.round_trip_ms(index),
                }
                for index, name in enumerate(self.links)
            },
            "cuts": [attrs.asdict(cut) | attrs.asdict(self.outcome(cut)) for cut in self.cuts],
        }
