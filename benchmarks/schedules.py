"""Schedules: what it costs to carry many of them out, beside the kernel's own part."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Iterator
from typing import NamedTuple
from unittest import mock

import networkx as nx

from benchmarks.measure import Row
from linkem_py import GilbertElliott, Impairment, Network, Topology
from linkem_py.kernel.netlink import NetlinkSocket
from linkem_py.model import OrnsteinUhlenbeck

TICK_MS = 100.0
LINK = Impairment(delay_ms=20, rate_kbit=20_000, loss=GilbertElliott(p_pct=1, r_pct=30))
SCHEDULE = OrnsteinUhlenbeck(20_000, tau_s=1, tick_ms=TICK_MS)


class Cost(NamedTuple):
    """Of one run: shares of a core, and how its times were kept."""

    ours: float
    kernel: float
    ticks: int
    due: int
    late: int
    longest_ms: float


def wandering(peers: int, links: int) -> Topology:
    """A full mesh, of which so many links have a rate that wanders."""
    topology = Topology.from_graph("mesh", nx.complete_graph(peers), LINK)
    for source, destination, _ in list(topology.links)[:links]:
        topology.set_schedule(source, destination, SCHEDULE)
    return topology


@contextlib.contextmanager
def kernel_time() -> Iterator[list[float]]:
    """What batches take in the kernel, in seconds: it works through one before the call that hands it over returns.

    Not what the process is charged as system time: a user-mode kernel has only a coarse notion of that.
    """
    spent: list[float] = []
    send = NetlinkSocket._send

    def timed(self: NetlinkSocket, buffer: bytearray) -> None:
        began = time.thread_time()
        send(self, buffer)
        spent.append(time.thread_time() - began)

    with mock.patch.object(NetlinkSocket, "_send", timed):
        yield spent


async def _run(topology: Topology, seconds: float) -> Cost:
    async with Network(topology, seed=1) as net:
        await asyncio.sleep(3 * TICK_MS / 1000)  # the first tick of a link costs more than all others
        gc.collect()
        net.schedules.pace.longest_s = 0.0
        before, late = net.schedules.pace.ticks, net.schedules.pace.late
        with kernel_time() as kernel:
            used, began = time.process_time(), time.perf_counter()
            await asyncio.sleep(seconds)
            used, elapsed = time.process_time() - used, time.perf_counter() - began
        pace = net.schedules.pace
        return Cost(
            ours=(used - sum(kernel)) / elapsed,
            kernel=sum(kernel) / elapsed,
            ticks=pace.ticks - before,
            due=int(elapsed * 1000 / TICK_MS),
            late=pace.late - late,
            longest_ms=pace.longest_s * 1000,
        )


def schedules(few: int = 1000, many: int = 10_000, seconds: float = 8.0) -> Iterator[Row]:
    """Ornstein-Uhlenbeck rates at 10 Hz: the share of a core, and whether ticks come in time."""
    for links, peers in ((few, 33), (many, 101)):
        cost = asyncio.run(_run(wandering(peers, links), seconds))
        section = f"{links:,} links whose rate wanders at {1000 / TICK_MS:.0f} Hz"
        aim, met = ("below 0.1", cost.ours < 0.1) if links == few else ("", None)
        yield Row(section, "of one core, beside the kernel's own time", cost.ours, "cores", aim, met)
        yield Row(section, "of one core, in the kernel", cost.kernel, "cores")
        yield Row(section, "ticks made, of those due", cost.ticks / max(1, cost.due), "share")
        yield Row(section, "ticks that began late", cost.late / max(1, cost.ticks), "share")
        yield Row(section, "longest from due to made", cost.longest_ms, "ms")
