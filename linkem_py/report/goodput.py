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
FRAMES = 250  # to send at least, where the time allows
TICK_S = 0.001
PAUSE_S = 0.003  # between two rounds of the loop
MOST_AT_ONCE = 64
MACHINE_SHARE = 0.3  # of what the machine could send at most, for links measured at the same time
RECEIVE_BUFFER = 192 << 20
SHORTEST_S, LONGEST_S = 0.5, 4.0


@attrs.frozen(eq=False)
class Filled:
    """One link after it was filled.

    `sent_bytes` of frames in `sending_s` seconds; `arrived_s` are the times of arrival, ascending,
    of frames of `frame` bytes; `paused_s` is how long the machine did something else meanwhile.
    """

    frame: int
    sent_bytes: int
    sending_s: float
    paused_s: float
    arrived_s: NDArray[np.float64]

    @property
    def offered_kbit(self) -> float:
        """What was sent, in kbit/s."""
        return 0.008 * self.sent_bytes / self.sending_s if self.sending_s else 0.0


@attrs.frozen
class Filling:
    """How to fill one link: frames of that size, for so long, at so many per second."""

    frame: int
    seconds: float
    frames_per_s: float
    tail_s: float

    @classmethod
    def of(cls, impairment: Impairment, *, rate_kbit: float) -> Filling:
        """For a link of that rate: smaller frames and more time where it is slow."""
        rate_bytes = rate_kbit * 125
        frame = int(min(LARGEST, max(SMALLEST, rate_bytes * 2.5 / FRAMES)))
        seconds = min(LONGEST_S, max(SHORTEST_S, (FRAMES * frame + burst_bytes(impairment)) / rate_bytes))
        passing = max(0.05, 1 - impairment.mean_loss_pct / 100)
        queue_s = (impairment.queue_ms or 100.0) / 1000 + 10 * LARGEST / rate_bytes
        if impairment.queue_packets is not None:
            queue_s = impairment.queue_packets * frame / rate_bytes
        tail_s = min(5.0, queue_s + expect.longest_delay_ms(impairment) / 1000 + 0.1)
        return cls(frame, seconds, rate_bytes * OVERLOAD / passing / frame, tail_s)


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
        self.ended_at = 0.0

    def catch_up(self, elapsed_s: float) -> None:
        """Send what is due by now, at most one call's worth."""
        due = int(min(elapsed_s, self.filling.seconds) * self.filling.frames_per_s) + 1 - self.sent
        if due > 0:
            self.sent += self.train.send(self.source.sock.fileno(), min(due, MOST_AT_ONCE))


def fill(
    stations: Stations, fillings: Mapping[LinkKey, Filling], keys: Sequence[LinkKey], stopped: threading.Event
) -> dict[LinkKey, Filled]:
    """Fill these links at the same time. Blocks: call it on a thread."""
    streams = {key: _Stream(key, fillings[key], stations) for key in keys}
    reader = datagrams.Reader(512, 24)
    goals = {id(stream.goal): stream.goal for stream in streams.values()}
    for goal in goals.values():
        reader.drain(goal.sock)
    start = time.monotonic()
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
    end = time.monotonic() + max(stream.filling.tail_s for stream in streams.values())
    while (left := end - time.monotonic()) > 0 and not stopped.is_set():
        time.sleep(min(0.1, left))
    arrived = {where: reader.drain(goal.sock) for where, goal in goals.items()}
    return {key: _filled(stream, arrived[id(stream.goal)], start, paused) for key, stream in streams.items()}


def _behind(stream: _Stream, elapsed_s: float) -> bool:
    return (elapsed_s * stream.filling.frames_per_s) - stream.sent > MOST_AT_ONCE


def _filled(stream: _Stream, arrived: list[datagrams.Received], start: float, paused_s: float) -> Filled:
    payload = stream.filling.frame - datagrams.HEADERS
    times = [
        received.times[(received.hosts == stream.source.host) & (received.sizes == payload)] for received in arrived
    ]
    joined = np.sort(np.concatenate(times)) if times else np.zeros(0, np.int64)
    relative = (joined - joined[0]) / 1e9 if len(joined) else np.zeros(0)
    sending = (stream.ended_at or time.monotonic()) - start
    return Filled(stream.filling.frame, stream.sent * stream.filling.frame, sending, paused_s, relative)
