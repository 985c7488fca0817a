"""What the sender knows of a link from the receiver's reports: round trip, its floor, loss, delivered rate."""

from __future__ import annotations

import math

import attrs

from examples.bonding_scheduler.wire import Report

#: The floor is the least round trip of so long: BBR's min_rtt filter (draft-ietf-ccwg-bbr, 10 s). Here this share of
#: them may lie below it, because links that reorder let some datagrams through without the delay of the others.
FLOOR_WINDOW_S, BELOW_FLOOR = 10.0, 0.1
#: The least of so many round trips is that of now: LEDBAT's CURRENT_FILTER (RFC 6817, 2.4.2). It takes jitter away.
CURRENT_SAMPLES = 5
#: Gains of the smoothed round trip and its variation (RFC 6298, 2.3), and the least time-out (2.4).
ALPHA, BETA, LEAST_TIMEOUT_S = 1 / 8, 1 / 4, 1.0
#: Loss and delivered rate remember the past with this time constant.
MEMORY_S = 1.0
#: Loss counts so many datagrams that arrived beside those seen: one lost of three is not yet 33 %.
PRIOR_DATAGRAMS = 20.0


@attrs.frozen(kw_only=True)
class LinkEstimate:
    """An estimate; `hear` makes the next. All times are of the clock that the caller uses for `now`.

    Loss and delivered rate are quotients of sums that fade as exp(-t / `MEMORY_S`), so that an interval counts by
    what was in it: a mean of the intervals' quotients would take a quiet one for as much as a busy one.
    """

    last: Report = attrs.field(factory=Report)
    heard_at: float | None = None  # the last report
    arrived_at: float | None = None  # the last that spoke of a datagram not known before
    srtt_s: float | None = None
    rttvar_s: float = 0.0
    round_trips: tuple[tuple[float, float], ...] = ()  # (when, seconds), within the floor's window
    expected: float = PRIOR_DATAGRAMS
    lost: float = 0.0
    arrived_bytes: float = 0.0
    observed_s: float = 0.0

    def hear(self, report: Report, now: float) -> LinkEstimate:
        """The estimate with one more report. One that was overtaken by a later says nothing new."""
        if self.heard_at is None:
            return attrs.evolve(self._timed(report, now), last=report, heard_at=now, arrived_at=now)
        if report.received < self.last.received or report.highest < self.last.highest:
            return self
        passed_s = max(now - self.heard_at, 0.0)
        fade = math.exp(-passed_s / MEMORY_S)
        expected = report.highest - self.last.highest
        received = report.received - self.last.received
        timed = self._timed(report, now) if received else self
        return attrs.evolve(
            timed,
            last=report,
            heard_at=now,
            arrived_at=now if received else self.arrived_at,
            expected=PRIOR_DATAGRAMS + fade * (self.expected - PRIOR_DATAGRAMS) + expected,
            lost=fade * self.lost + expected - received,  # below 0 where an overtaken one comes after its interval
            arrived_bytes=fade * self.arrived_bytes + report.received_bytes - self.last.received_bytes,
            observed_s=fade * self.observed_s + passed_s,
        )

    def _timed(self, report: Report, now: float) -> LinkEstimate:
        rtt_s = max(now - (report.echo_us + report.held_us) / 1e6, 0.0)
        if self.srtt_s is None:
            srtt_s, rttvar_s = rtt_s, rtt_s / 2
        else:
            rttvar_s = (1 - BETA) * self.rttvar_s + BETA * abs(self.srtt_s - rtt_s)
            srtt_s = (1 - ALPHA) * self.srtt_s + ALPHA * rtt_s
        kept = tuple((at, value) for at, value in self.round_trips if now - at <= FLOOR_WINDOW_S)
        return attrs.evolve(self, srtt_s=srtt_s, rttvar_s=rttvar_s, round_trips=(*kept, (now, rtt_s)))

    @property
    def floor_s(self) -> float:
        """The least round trip of late: what the link takes without a queue. 0 before the first report."""
        ordered = sorted(value for _, value in self.round_trips)
        return ordered[int(BELOW_FLOOR * len(ordered))] if ordered else 0.0

    @property
    def waiting_s(self) -> float:
        """How far the round trip is above its floor: what queues add."""
        return max(min((value for _, value in self.round_trips[-CURRENT_SAMPLES:]), default=0.0) - self.floor_s, 0.0)

    @property
    def loss(self) -> float:
        """The share of datagrams that are lost, from 0 to 1."""
        return min(max(self.lost / self.expected, 0.0), 1.0)

    @property
    def delivered_kbit(self) -> float:
        """What arrives at the other end, in kbit/s of frames."""
        return self.arrived_bytes * 8 / 1000 / self.observed_s if self.observed_s else 0.0

    @property
    def timeout_s(self) -> float:
        """RFC 6298's retransmission time-out: a link that says nothing for so long is gone."""
        return max((self.srtt_s or 0.0) + 4 * self.rttvar_s, LEAST_TIMEOUT_S)

    def silent(self, now: float) -> bool:
        """Whether no datagram is known to have arrived for longer than the time-out."""
        return self.arrived_at is not None and now - self.arrived_at > self.timeout_s
