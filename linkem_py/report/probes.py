"""Sends probes over links and notes when each one left and arrived.

One thread sends all and receives all, so that there is one clock: CLOCK_REALTIME, read right before
a send; the kernel stamps arrivals with it in the receive path of the destination's interface. So a
delay includes the sender's own way through the kernel (tens of microseconds), but not how
late Python reads. Only the first packet of a train tells a delay: the others wait for it.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from linkem_py.model.topology import LinkKey
from linkem_py.report import datagrams
from linkem_py.report.pace import Probing
from linkem_py.report.stations import Station, Stations, echo_reply, echo_request

Ints = NDArray[np.int64]

_MS = 1_000_000
READ_EVERY_NS = 200 * _MS
OVERDUE_NS = 100_000_000  # how long reading may be put off
INTERRUPTED_NS = _MS  # a send that takes longer says nothing about when its packet left
PAUSE_NS = 2 * _MS  # waking so much too late means that the machine did something else
AFTERMATH_NS = _MS  # what waited for the end of a pause arrives within about so long
CLOCK_STEP_NS = _MS
SETTLE_NAP_NS = 5 * _MS
READING_NS = 3 * _MS  # what it takes to read everything that has arrived
_REALTIME = time.CLOCK_REALTIME


@attrs.frozen(eq=False)
class Sample:
    """What became of one link's probes.

    `sent` are the times of the trains, `took` how long each send lasted, `counts` how many of its
    packets the kernel took. Of each arrival: `numbers` (train times size plus place), `times`,
    and `damaged`. Times in nanoseconds since the epoch.
    """

    probing: Probing
    sent: Ints
    took: Ints
    counts: Ints
    numbers: Ints
    times: Ints
    damaged: NDArray[np.bool_]

    @property
    def packets(self) -> int:
        """Packets sent."""
        return int(self.counts.sum())


@attrs.frozen(eq=False)
class Probed:
    """All samples of one run.

    Attributes
    ----------
    samples : by link
    echoes : (number of the request, round-trip time in ms) by pair, and how many were sent
    pauses : (start, end) of the times in which the machine did something else, in ns
    overflowed : probes that a receiver's buffer had no room for
    clock_stepped : the clock was set meanwhile, no time can be trusted
    """

    samples: Mapping[LinkKey, Sample]
    echoes: Mapping[LinkKey, tuple[int, NDArray[np.float64]]]
    pauses: Sequence[tuple[int, int]]
    overflowed: int
    clock_stepped: bool


class _Path:
    """A link being probed."""

    def __init__(self, key: LinkKey, probing: Probing, source: Station, destination: Station) -> None:
        self.key = key
        self.probing = probing
        self.source, self.destination = source, destination
        self.fd = source.sock.fileno()
        self.train = datagrams.Train(destination.address, destination.port, size=probing.payload, batch=probing.train)
        self.sent: list[int] = []
        self.took: list[int] = []
        self.counts: list[int] = []
        self.left = probing.trains

    def send(self) -> None:
        size = self.probing.train
        self.train.number(len(self.sent) * size, size)
        before = time.clock_gettime_ns(_REALTIME)
        count = self.train.send(self.fd, size)
        after = time.clock_gettime_ns(_REALTIME)
        self.sent.append(before)
        self.took.append(after - before)
        self.counts.append(count)
        self.left -= 1


class _Echo:
    """A pair whose round trip is measured: the kernel of the other end replies by itself."""

    def __init__(self, key: LinkKey, identifier: int, requests: int, stations: Stations) -> None:
        self.key = key
        self.identifier = identifier
        self.sock = stations.echo(key[0])
        self.address = (stations[key[1], key[2]].address, 0)
        self.sent: list[int] = []
        self.left = requests

    def send(self) -> None:
        request = echo_request(self.identifier, len(self.sent))
        self.sent.append(time.clock_gettime_ns(_REALTIME))
        try:
            self.sock.sendto(request, self.address)
        except OSError:
            pass  # as good as lost: no buffer, or the way is blocked
        self.left -= 1


class Probes:
    """One run of probes over `seconds`, then a wait of `settle_s` for the last to arrive.

    `plans` says how many probes each link gets; `echoes` are pairs, each probed with so many
    requests. `run` blocks: call it on a thread; `stop` ends it early.
    """

    def __init__(
        self,
        stations: Stations,
        plans: Mapping[LinkKey, Probing],
        *,
        seconds: float,
        settle_s: float,
        echoes: Sequence[LinkKey] = (),
        requests: int = 0,
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        self._stations = stations
        self._seconds = seconds
        self._settle_s = settle_s
        self._progress = progress
        self._stopped = threading.Event()
        self._paths = [
            _Path(key, plan, stations[key[0], key[2]], stations[key[1], key[2]]) for key, plan in plans.items()
        ]
        self._echoes = [_Echo(key, 1 + index, requests, stations) for index, key in enumerate(echoes)]
        self._receivers = list({id(path.destination): path.destination for path in self._paths}.values())
        self._reader = datagrams.Reader(256, max((plan.payload for plan in plans.values()), default=24))
        self._arrived: dict[int, list[datagrams.Received]] = {id(station): [] for station in self._receivers}
        self._echo_reader = datagrams.Reader(64, 64)
        self._replies: dict[int, dict[int, int]] = {echo.identifier: {} for echo in self._echoes}
        self._pauses: list[tuple[int, int]] = []

    def stop(self) -> None:
        """End soon; `run` then returns what there is."""
        self._stopped.set()

    def run(self) -> Probed:
        """Probe."""
        for station in self._receivers:  # what arrived before is somebody else's
            self._reader.drain(station.sock)
        lost_before = sum(datagrams.dropped(station.sock) for station in self._receivers)
        offset = time.time_ns() - time.monotonic_ns()
        self._send_all()
        self._settle()
        moved = abs(time.time_ns() - time.monotonic_ns() - offset)
        lost = sum(datagrams.dropped(station.sock) for station in self._receivers) - lost_before
        return Probed(
            samples={path.key: self._sample(path) for path in self._paths},
            echoes={echo.key: self._round_trips(echo) for echo in self._echoes},
            pauses=self._pauses,
            overflowed=max(0, lost),
            clock_stepped=moved > CLOCK_STEP_NS,
        )

    def _send_all(self) -> None:
        start = time.monotonic_ns()
        length = int(self._seconds * 1e9)
        senders: list[_Path | _Echo] = [*self._paths, *self._echoes]
        # Each begins at its own moment, so that they do not all send at once.
        steps = [length // sender.left for sender in senders]
        due = [(start + step * index // len(senders), index) for index, step in enumerate(steps)]
        heapq.heapify(due)
        next_read = start + READ_EVERY_NS
        busy_since = start
        while due and not self._stopped.is_set():
            when, index = due[0]
            now = self._witness(busy_since)
            # Reading waits for a quiet moment, but not for ever: on a busy machine there is none,
            # and what a full socket refuses would count as lost.
            if now >= next_read + (0 if now < when else OVERDUE_NS):
                self._read()
                self._progress(min(0.99, (now - start) / length))
                next_read = now + READ_EVERY_NS
                busy_since = self._witness(now + READING_NS)
                continue
            if now < when:
                time.sleep((when - now) / 1e9)
                now = self._witness(when)
            senders[index].send()
            busy_since = now
            if senders[index].left:
                # Never a burst to catch up: who is late stays late, and sends fewer probes.
                late = max(0, now - when - steps[index])
                heapq.heapreplace(due, (when + steps[index] + late, index))
            else:
                heapq.heappop(due)
            if now >= start + length + length // 4:
                break  # a quarter longer: this machine is too slow for the plan

    def _witness(self, expected: int) -> int:
        """The time, and a note of a pause if that is much later than expected."""
        now = time.monotonic_ns()
        if now - expected > PAUSE_NS:
            end = time.clock_gettime_ns(_REALTIME)
            self._pauses.append((end - (now - expected), end + AFTERMATH_NS))
        return now

    def _settle(self) -> None:
        end = time.monotonic_ns() + int(self._settle_s * 1e9)
        while not self._stopped.is_set():
            now = time.monotonic_ns()
            if now >= end:
                break
            # Short naps, so that a pause of the machine is seen here as well.
            time.sleep(SETTLE_NAP_NS / 1e9)
            self._witness(now + SETTLE_NAP_NS)
        self._read()

    def _read(self) -> None:
        for station in self._receivers:
            self._arrived[id(station)] += self._reader.drain(station.sock)
        for sock in {echo.sock for echo in self._echoes}:
            for received in self._echo_reader.drain(sock):
                for payload, when in zip(received.payloads, received.times, strict=True):
                    reply = echo_reply(payload.tobytes())
                    if reply is not None and reply[0] in self._replies:
                        self._replies[reply[0]].setdefault(reply[1], int(when))

    def _sample(self, path: _Path) -> Sample:
        arrived = self._arrived[id(path.destination)]
        probing = path.probing
        numbers: list[Ints] = []
        times: list[Ints] = []
        damaged: list[NDArray[np.bool_]] = []
        for received in arrived:
            mine = (received.hosts == path.source.host) & (received.sizes == probing.payload)
            if not mine.any():
                continue
            found, broken = datagrams.numbers_of(received.payloads[mine, : probing.payload])
            known = found < np.uint64(len(path.sent) * probing.train)
            numbers.append(found[known].astype(np.int64))
            times.append(received.times[mine][known])
            damaged.append(broken[known])
        return Sample(
            probing,
            np.array(path.sent, np.int64),
            np.array(path.took, np.int64),
            np.array(path.counts, np.int64),
            np.concatenate(numbers) if numbers else np.zeros(0, np.int64),
            np.concatenate(times) if times else np.zeros(0, np.int64),
            np.concatenate(damaged) if damaged else np.zeros(0, bool),
        )

    def _round_trips(self, echo: _Echo) -> tuple[int, NDArray[np.float64]]:
        replies = self._replies[echo.identifier]
        found = [
            (replies[number] - sent) / _MS
            for number, sent in enumerate(echo.sent)
            if number in replies and not any(start <= replies[number] <= end for start, end in self._pauses)
        ]
        return len(echo.sent), np.array(found, np.float64)


def in_pauses(times: Ints, pauses: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which times lie in one of the pauses."""
    inside = np.zeros(len(times), bool)
    for start, end in pauses:
        inside |= (times >= start) & (times <= end)
    return inside
