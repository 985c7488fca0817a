"""Fills links that have a rate with UDP, and notes what arrives.

The rate counts Ethernet frames without their check sequence: payload + 8 (UDP) + 20 (IPv4) + 14.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment
from linkem_py.model.topology import LinkKey
from linkem_py.plan.translate import burst_bytes
from linkem_py.report import datagrams, expect
from linkem_py.report.stations import Station, Stations

OVERLOAD = 1.25
LARGEST, SMALLEST = 1514, 120  # bytes of frames
ETHERNET = 14  # bytes of its header
FRAMES = 250  # to send at least, where the time allows
TICK_S = 0.001
PAUSE_S = 0.003  # between two rounds of the loop
MOST_AT_ONCE = 64
READ_EVERY_S = 0.5
MACHINE_SHARE = 0.3  # of what the machine could send at most, for links measured at the same time
RECEIVE_BUFFER = 192 << 20
SHORTEST_S, LONGEST_S = 0.5, 4.0
LAST = 0.8  # of what is sent: what comes then meets a queue that is full, if it ever is


@attrs.frozen(eq=False)
class Filled:
    """One link after it was filled.

    `sent_bytes` of frames in `sending_s` seconds; `arrived_s` are the times of arrival, ascending,
    of frames of `frame` bytes; `paused_s` is how long the machine did something else meanwhile;
    `last_waits_ms` are the delays of what was sent last, a fifth of all; `excess_ms` is how much more was
    sent than can have passed, as time at the link's goodput; `started_ns` is when sending began, and
    `first_ns` when the first frame arrived, in ns since the epoch.
    """

    frame: int
    sent_bytes: int
    sending_s: float
    paused_s: float
    arrived_s: NDArray[np.float64]
    last_waits_ms: NDArray[np.float64] = attrs.field(factory=lambda: np.zeros(0))
    excess_ms: float = 0.0
    started_ns: int = 0
    first_ns: int = 0

    @property
    def offered_kbit(self) -> float:
        """What was sent, in kbit/s."""
        return 0.008 * self.sent_bytes / self.sending_s if self.sending_s else 0.0


@attrs.frozen
class Filling:
    """How to fill one link: frames of that size, for so long, at so many per second.

    `passes_kbit` is what it lets pass of them, `passing` the share that is not lost on the way.
    """

    frame: int
    seconds: float
    frames_per_s: float
    tail_s: float
    passes_kbit: float
    passing: float

    @classmethod
    def of(cls, impairment: Impairment, *, rate_kbit: float) -> Filling:
        """For a link of that rate: smaller frames and more time where it is slow."""
        rate_bytes = rate_kbit * 125
        frame = int(min(LARGEST, max(SMALLEST, rate_bytes * 2.5 / FRAMES)))
        if impairment.mtu is not None:
            frame = min(frame, impairment.mtu + ETHERNET)  # larger ones would leave in fragments
        seconds = min(LONGEST_S, max(SHORTEST_S, (FRAMES * frame + burst_bytes(impairment)) / rate_bytes))
        waits_ms = expect.full_wait_ms(
            impairment.evolve(rate_kbit=rate_kbit), frame, own_rate=impairment.shaper == "netem"
        )
        if waits_ms is not None:  # the surplus is to fill the queue before the last fifth is sent
            seconds = max(seconds, min(LONGEST_S, 1.3 * waits_ms / 1000 / (LAST * (OVERLOAD - 1))))
        passing = max(0.05, 1 - impairment.mean_loss_pct / 100)
        queue_s = (impairment.queue_ms or 100.0) / 1000 + 10 * LARGEST / rate_bytes
        if impairment.queue_packets is not None:
            queue_s = impairment.queue_packets * frame / rate_bytes
        passes_kbit = expect.goodput_kbit(impairment.evolve(rate_kbit=rate_kbit), frame)
        queue_s *= rate_kbit / passes_kbit
        tail_s = min(5.0, queue_s + expect.longest_delay_ms(impairment) / 1000 + 0.1)
        return cls(frame, seconds, rate_bytes * OVERLOAD / passing / frame, tail_s, passes_kbit, passing)


def batches(fillings: Mapping[LinkKey, Filling], *, packet_us: float) -> list[list[LinkKey]]:
    """Links to be filled at the same time: those that together do not ask much of the machine.

    No two links of one batch end or begin at the same peer, so that they do not disturb each other.
    """
    most = MACHINE_SHARE * 1e6 / max(0.1, packet_us)
    found: list[tuple[list[LinkKey], float]] = []
    for key in sorted(fillings, key=lambda one: -fillings[one].frames_per_s):
        need = fillings[key].frames_per_s
        for index, (members, total) in enumerate(found):
            ends = {end for member in members for end in member[:2]}
            if total + need <= most and not ends & set(key[:2]):
                members.append(key)
                found[index] = (members, total + need)
                break
        else:
            found.append(([key], need))
    return [members for members, _ in found]


class _Stream:
    def __init__(self, key: LinkKey, filling: Filling, stations: Stations) -> None:
        self.filling = filling
        self.source: Station = stations[key[0], key[2]]
        self.goal: Station = stations[key[1], key[2]]
        self.train = datagrams.Train(
            self.goal.address, self.goal.port, size=filling.frame - datagrams.HEADERS, batch=MOST_AT_ONCE
        )
        self.sent = 0
        self.calls: list[tuple[int, int]] = []  # number of the first frame of a call, and its time in ns
        self.ended_at = 0.0

    def catch_up(self, elapsed_s: float) -> None:
        """Send what is due by now, at most one call's worth."""
        due = int(min(elapsed_s, self.filling.seconds) * self.filling.frames_per_s) + 1 - self.sent
        if due > 0:
            count = min(due, MOST_AT_ONCE)
            self.train.number(self.sent, count)
            self.calls.append((self.sent, time.clock_gettime_ns(time.CLOCK_REALTIME)))
            self.sent += self.train.send(self.source.sock.fileno(), count)


def fill(
    stations: Stations, fillings: Mapping[LinkKey, Filling], keys: Sequence[LinkKey], stopped: threading.Event
) -> dict[LinkKey, Filled]:
    """Fill these links at the same time. Blocks: call it on a thread."""
    streams = {key: _Stream(key, fillings[key], stations) for key in keys}
    reader = datagrams.Reader(512, 24)
    goals = {id(stream.goal): stream.goal for stream in streams.values()}
    for goal in goals.values():
        reader.drain(goal.sock)
    arrived: dict[int, list[datagrams.Received]] = {where: [] for where in goals}
    longest = max(stream.filling.seconds for stream in streams.values())
    start = time.monotonic()
    next_read = start + READ_EVERY_S
    expected, paused = start, 0.0
    running = list(streams.values())
    while running and not stopped.is_set():
        tick = time.monotonic()
        if tick - expected > PAUSE_S:
            paused += tick - expected
        for stream in running:
            stream.catch_up(tick - start)
        now = time.monotonic()
        for stream in running:
            if now - start >= stream.filling.seconds:
                stream.ended_at = now
        running = [stream for stream in running if not stream.ended_at]
        expected = now
        if now - tick < TICK_S and not any(_behind(stream, now - start) for stream in running):
            time.sleep(TICK_S)
            expected += TICK_S
        if longest > LONGEST_S and now >= next_read:  # more than buffers hold
            _read(reader, goals, arrived)
            next_read = now + READ_EVERY_S
    end = time.monotonic() + max(stream.filling.tail_s for stream in streams.values())
    while (left := end - time.monotonic()) > 0 and not stopped.is_set():
        time.sleep(min(0.1, left))
    _read(reader, goals, arrived)
    return {key: _filled(stream, arrived[id(stream.goal)], start, paused) for key, stream in streams.items()}


def _read(
    reader: datagrams.Reader, goals: Mapping[int, Station], arrived: Mapping[int, list[datagrams.Received]]
) -> None:
    for where, goal in goals.items():
        arrived[where].extend(reader.drain(goal.sock))


def _behind(stream: _Stream, elapsed_s: float) -> bool:
    return (elapsed_s * stream.filling.frames_per_s) - stream.sent > MOST_AT_ONCE


def _filled(stream: _Stream, arrived: list[datagrams.Received], start: float, paused_s: float) -> Filled:
    filling = stream.filling
    payload = filling.frame - datagrams.HEADERS
    times, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for received in arrived:
        mine = (received.hosts == stream.source.host) & (received.sizes == payload)
        times.append(received.times[mine])
        numbers.append(datagrams.numbers_of(received.payloads[mine])[0].astype(np.int64))
    joined, which = np.concatenate(times), np.concatenate(numbers)
    calls = np.array(stream.calls, np.int64).reshape(-1, 2)
    last = (which >= LAST * stream.sent) & (which < stream.sent)
    sent_ns = calls[np.searchsorted(calls[:, 0], which[last], "right") - 1, 1]
    waits = (joined[last] - sent_ns) / 1e6
    joined = np.sort(joined)
    sending = (stream.ended_at or time.monotonic()) - start
    sent_bytes = stream.sent * filling.frame
    return Filled(
        frame=filling.frame,
        sent_bytes=sent_bytes,
        sending_s=sending,
        paused_s=paused_s,
        arrived_s=(joined - joined[0]) / 1e9 if len(joined) else np.zeros(0),
        last_waits_ms=waits,
        excess_ms=1000 * (sent_bytes * filling.passing * LAST / (filling.passes_kbit * 125) - sending * LAST),
        started_ns=int(calls[0, 1]) if len(calls) else 0,
        first_ns=int(joined[0]) if len(joined) else 0,
    )
