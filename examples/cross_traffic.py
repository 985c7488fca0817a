"""What a busy link does to small datagrams: their delay at several loads, beside what queueing theory says.

    linkem guest -- python examples/cross_traffic.py --loads 0 50 80 120

The load is real packets in the same queue, so the delay is that of waiting behind them. Theory is the mean in the
long run: the closer to 100 %, the longer that takes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from linkem_py import CrossTraffic, Impairment, Network, NetworkPeer, Topology

RATE_KBIT = 2000
LINK = Impairment(delay_ms=10, rate_kbit=RATE_KBIT, queue_ms=300)
FRAME_MS = 1514 * 8 / RATE_KBIT
PORT = 5000


class Result(NamedTuple):
    """One load: mean delay of the datagrams, and the share of all packets that found the queue full."""

    load_pct: float
    delay_ms: float
    dropped_pct: float
    theory_ms: float


def topology() -> Topology:
    """Two peers, and the link between them."""
    made = Topology("busy")
    made.add_peer("home")
    made.add_peer("server")
    made.connect("home", "server", LINK)
    return made


def theory_ms(load_pct: float) -> float:
    """The mean delay with full frames that come at random (M/D/1); a full queue from 100 % on."""
    load = load_pct / 100
    assert LINK.queue_ms is not None
    waiting = load / (2 * (1 - load)) * FRAME_MS if load < 1 else LINK.queue_ms
    return LINK.delay_ms + min(waiting, LINK.queue_ms)


async def probe(home: NetworkPeer, server: NetworkPeer, count: int, every_s: float) -> float:
    """Mean delay of small datagrams in milliseconds; they are lost only where not even they fit."""
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    with (
        server.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        home.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("", PORT))
        receiver.setblocking(False)

        async def receive() -> None:
            while True:
                data = await loop.sock_recv(receiver, 100)
                delays.append((time.monotonic() - float(data)) * 1000)

        receiving = asyncio.create_task(receive())
        for _ in range(count):
            sender.sendto(repr(time.monotonic()).encode(), (server.address, PORT))
            await asyncio.sleep(every_s)
        await asyncio.sleep(0.5)
        receiving.cancel()
        await asyncio.wait([receiving])
    return sum(delays) / len(delays) if delays else math.nan


async def measure(loads: Sequence[float], count: int = 200, every_s: float = 0.02) -> list[Result]:
    """One result for each load."""
    results = []
    async with Network(topology(), seed=1) as net:
        for load_pct in loads:
            await net.set_cross_traffic("home", "server", CrossTraffic(load_pct=load_pct) if load_pct else None)
            await asyncio.sleep(2 if load_pct > 100 else 0.5)
            before = (await net.stats())["home", "server"]
            delay_ms = await probe(net.peer("home"), net.peer("server"), count, every_s)
            after = (await net.stats())["home", "server"]
            dropped, passed = after.queue_drops - before.queue_drops, after.packets - before.packets
            results.append(Result(load_pct, delay_ms, 100 * dropped / (dropped + passed), theory_ms(load_pct)))
    return results


def table_of(results: Sequence[Result]) -> Table:
    """The results, one load a line."""
    table = Table("load", "delay", "theory", "queue full", title=f"{RATE_KBIT / 1000:g} Mbit/s, 10 ms, queue of 300 ms")
    for result in results:
        table.add_row(
            f"{result.load_pct:g} %",
            f"{result.delay_ms:.1f} ms",
            f"{result.theory_ms:.1f} ms",
            f"{result.dropped_pct:.1f} %",
        )
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=float, nargs="+", default=[0, 50, 80, 120], metavar="PCT", help="percent")
    parser.add_argument("--count", type=int, default=400, help="datagrams for each load (400)")
    arguments = parser.parse_args()
    Console().print(table_of(asyncio.run(measure(arguments.loads, arguments.count))))


if __name__ == "__main__":
    main()
