"""Keeps a link full while its schedule runs, and notes what arrives."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from functools import partial

import attrs

from linkem_py.errors import RequestError
from linkem_py.model import Impairment
from linkem_py.model.schedule import Schedule, link_seed
from linkem_py.model.topology import LinkKey
from linkem_py.report import expect
from linkem_py.report.calibrate import on_thread
from linkem_py.report.goodput import ETHERNET, LARGEST, RECEIVE_BUFFER, Filled, Filling, fill
from linkem_py.report.stations import Stations
from linkem_py.report.verify.rates import Floats, Point, RateError, arrived_kbit, emptied, mean_kbit, scheduled_kbit
from linkem_py.runtime import Applied, Network

OVER_PEAK = 1.15  # what is sent over the highest rate that a schedule asks for
LEAD_S = 0.3  # of sending, before a schedule begins: its queue is full then
MOST_PAUSED = 0.01
MOST_LATE = 0.01  # error of the rates that comes from late changes alone


@attrs.frozen(eq=False)
class Followed:
    """A link during the first seconds of its schedule.

    Attributes
    ----------
    asked_kbit : by second, what passes of such frames
    made_kbit : the same by when the kernel had taken each change, which a busy machine makes late, and with
        what an outage lets through of a full queue (see `rates.emptied`)
    made : these changes: seconds since the schedule began, and the rate, 0 in an outage
    arrived_s : when frames of `frame` bytes arrived, in seconds since the schedule began
    limited : why the machine, not the link, may have been the limit
    paused : share of the time in which the machine did something else
    """

    asked_kbit: Floats
    made_kbit: Floats
    made: tuple[Point, ...]
    arrived_s: Floats
    frame: int
    limited: str
    paused: float

    @property
    def measured_kbit(self) -> Floats:
        """By second, what arrived."""
        return arrived_kbit(self.arrived_s, self.frame, bins=len(self.asked_kbit))


async def follow(
    network: Network, key: LinkKey, schedule: Schedule, *, bins: int, most_frames_per_s: float = math.inf
) -> Followed:
    """Start a schedule on a link that is kept full, for so many seconds; then end it.

    Sends steadily, somewhat more than the schedule's highest rate: what is waiting when a rate rises
    can leave at once, and nothing that is sent later matters. The schedule is that of a network
    with this seed. Raises `RequestError` for one without a highest rate.
    """
    under = network.impairment(key[0], key[1], segment=key[2])
    bounds = schedule.bounds("rate_kbit", under)
    if bounds is None or math.isinf(bounds[1]):
        raise RequestError("schedule", "must have a highest rate", schedule)
    filling = _filling(under, bounds[1], bins, most_frames_per_s)
    changes: list[Point] = []

    def note(applied: Applied) -> None:
        changes.extend(
            (applied.at, 0.0 if change.outage else change.after.rate_kbit)
            for change in applied.links
            if change.link == key and change.after is not None
        )

    unsubscribe = network.subscribe(note)
    try:
        filled, began_ns = await _filled(network, key, schedule, filling, LEAD_S + under.delay_ms / 1000)
    finally:
        unsubscribe()
    made = ((-math.inf, under.rate_kbit), *((at - began_ns / 1e9, rate) for at, rate in changes))
    asked = scheduled_kbit(schedule, under, seed=link_seed(network.seed, key), bins=bins)
    assert asked is not None  # or there would be no highest rate
    taken, kept = mean_kbit(made, bins=bins), mean_kbit(emptied(made, under, filling.frame), bins=bins)
    assert taken is not None
    assert kept is not None
    late = RateError.of(asked, taken).mean
    share = filling.frame / expect.charged_bytes(under, filling.frame)
    asked, kept = asked * share, kept * share
    paused = filled.paused_s / filled.sending_s if filled.sending_s else 0.0
    limited = ""
    if filled.offered_kbit * filling.passing < 1.02 * float(asked.max()):
        limited = "this machine cannot send more"
    elif paused > MOST_PAUSED:
        limited = f"this machine paused for {paused:.0%} of the time"
    elif late > MOST_LATE:
        limited = "this machine was late with the changes"
    return Followed(
        asked, kept, made, filled.arrived_s + (filled.first_ns - began_ns) / 1e9, filling.frame, limited, paused
    )


def _filling(under: Impairment, peak_kbit: float, bins: int, most_frames_per_s: float) -> Filling:
    frame = LARGEST if under.mtu is None else min(LARGEST, under.mtu + ETHERNET)
    passing = max(0.05, 1 - under.mean_loss_pct / 100)
    frames_per_s = min(most_frames_per_s, peak_kbit * 125 * OVER_PEAK / passing / frame)
    seconds = LEAD_S + under.delay_ms / 1000 + bins + 0.1
    return Filling(frame, seconds, frames_per_s, 0.5, peak_kbit, passing)


async def _filled(
    network: Network, key: LinkKey, schedule: Schedule, filling: Filling, lead_s: float
) -> tuple[Filled, int]:
    """The link filled, and when its schedule began, in ns since the epoch."""
    source, destination, segment = key
    stopped = threading.Event()
    with Stations(network, [key], receive_bytes=RECEIVE_BUFFER) as stations:
        work = partial(fill, stations, {key: filling}, [key], stopped)
        sending = asyncio.create_task(on_thread(work, stopped.set))
        try:
            await asyncio.sleep(lead_s)
            await network.set_schedule(source, destination, schedule, segment=segment)
            began_ns = time.time_ns()
            filled = (await sending)[key]
        finally:
            stopped.set()
            await asyncio.wait([sending])
    await network.set_schedule(source, destination, None, segment=segment)
    return filled, began_ns
