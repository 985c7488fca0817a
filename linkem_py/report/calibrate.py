"""What the machine itself does to packets: measured on a network of its own, next to the one in question."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from linkem_py.model import Impairment, Topology
from linkem_py.report import datagrams
from linkem_py.report.model import Machine
from linkem_py.report.pace import Probing
from linkem_py.report.probes import INTERRUPTED_NS, Probed, Probes, Sample, in_pauses
from linkem_py.report.stations import Stations
from linkem_py.runtime import Network

T = TypeVar("T")

DELAY_MS = 5.0
LEAST_ALLOWANCE_MS = 0.1
SECONDS = 1.0
_PLAIN, _DELAYED = ("b", "a", "lan"), ("a", "b", "lan")
_FLOOD = 150  # calls
_SETTLE_S = 0.1


async def calibrate() -> Machine:
    """Measure the floor, the lateness of timers, and what packets cost, in about 1.5 seconds."""
    topology = Topology("calibration", ipv6=None)
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", Impairment(delay_ms=DELAY_MS))
    async with Network(topology) as network:
        with Stations(network, [_PLAIN, _DELAYED]) as stations:
            # Timestamps begin a moment after the first socket asks for them.
            await asyncio.sleep(0.1)
            call_us, packet_us = await on_thread(lambda: _cost(stations), lambda: None)
            plans = {key: Probing(trains=300, train=4, payload=24) for key in (_PLAIN, _DELAYED)}
            probes = Probes(stations, plans, seconds=SECONDS, settle_s=_SETTLE_S)
            probed = await on_thread(probes.run, probes.stop)
    plain, delayed = (delays_ms(probed.samples[key], probed) for key in (_PLAIN, _DELAYED))
    if not len(plain) or not len(delayed):
        plain = delayed = np.array([DELAY_MS])
    excess = delayed - DELAY_MS
    mean, spread = float(excess.mean()), float(excess.std())
    return Machine(
        floor_ms=float(np.median(plain)),
        floor_p99_ms=float(np.percentile(plain, 99)),
        excess_ms=mean,
        excess_spread_ms=spread,
        excess_p99_ms=float(np.percentile(excess, 99)),
        call_us=call_us,
        packet_us=packet_us,
        allowance_ms=allowance_ms(mean, spread),
    )


def allowance_ms(excess_ms: float, spread_ms: float) -> float:
    """Tolerance of delays: twice the mean lateness on the quiet path, since timers of many links are
    later than that of one, and its deviation; at least 0.1 ms.
    """
    return max(LEAST_ALLOWANCE_MS, 2 * excess_ms + spread_ms)


def delays_ms(sample: Sample, probed: Probed) -> NDArray[np.float64]:
    """One-way delays of the first packet of each train, in the order sent.

    Left out: packets whose send was interrupted, and those that arrived while the machine paused.
    Copies of a packet count each, because each was delayed on its own.
    """
    train = sample.probing.train
    first = sample.numbers % train == 0
    numbers, times = sample.numbers[first] // train, sample.times[first]
    usable = (sample.took[numbers] <= INTERRUPTED_NS) & ~in_pauses(times, probed.pauses)
    numbers, times = numbers[usable], times[usable]
    order = np.argsort(numbers, kind="stable")
    return np.asarray((times[order] - sample.sent[numbers[order]]) / 1e6)


def _cost(stations: Stations) -> tuple[float, float]:
    # On the way without impairment the receiving side's work is done within the sender's call.
    # The median: what else the machine does now and then is not the cost of a packet.
    station, goal = stations["b", "lan"], stations["a", "lan"]
    spent = {}
    for size in (1, 8):
        train = datagrams.Train(goal.address, goal.port, size=24, batch=size)
        times = []
        for _ in range(_FLOOD):
            before = time.monotonic_ns()
            train.number(0, size)
            train.send(station.sock.fileno(), size)
            times.append(time.monotonic_ns() - before)
        spent[size] = statistics.median(times) / 1000
        datagrams.Reader(256).drain(goal.sock)
    packet_us = max(0.5, (spent[8] - spent[1]) / 7)
    # Clocks, bookkeeping and reading come on top of the call; the queues on top of the packet.
    return max(1.0, spent[1] - packet_us) * 2, packet_us * 2


async def on_thread(function: Callable[[], T], stop: Callable[[], None]) -> T:
    """What a function returns on a thread; if the caller is cancelled, `stop` is called and the end awaited."""
    task = asyncio.create_task(asyncio.to_thread(function))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([task])
        raise
