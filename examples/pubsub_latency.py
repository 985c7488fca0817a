"""How late do subscribers hear of what was published?

A publisher, a broker that passes everything on to everybody, and subscribers behind links of
several kinds, each a peer of its own. All run in this process, so that one clock times a message
from publish to receive. The broker keeps a queue for each subscriber and drops what does not fit,
so that a slow one delays nobody else.

    linkem guest -- python examples/pubsub_latency.py          (or as root, without a guest)
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from linkem_py import GilbertElliott, Impairment, LinkemError, Network, Topology

PUBLISHER = Impairment(delay_ms=10, jitter_ms=2, keep_order=True)
SUBSCRIBERS = {
    "fibre": Impairment(delay_ms=5, rate_kbit=100_000),
    "wifi": Impairment(delay_ms=5, jitter_ms=2, keep_order=True, loss_pct=1, rate_kbit=20_000),
    "lte": Impairment(delay_ms=40, jitter_ms=15, keep_order=True, loss_pct=0.3, rate_kbit=25_000),
    "train": Impairment(
        delay_ms=70, jitter_ms=10, keep_order=True, loss=GilbertElliott(0.6, 33, 50, 0.05), rate_kbit=650
    ),
    "satellite": Impairment(delay_ms=300, jitter_ms=20, keep_order=True, loss_pct=0.5, rate_kbit=5_000),
}
PUBLISH_PORT, SUBSCRIBE_PORT = 9000, 9001
MESSAGE = struct.Struct("!Qd184x")  # number, time of publishing; 200 bytes
WAITING = 1000  # messages that the broker keeps for one subscriber


class Broker:
    """Takes messages on one port and gives each to all who are connected to the other."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()

    async def publish(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await reader.readexactly(MESSAGE.size)
                for queue in self._queues:
                    if not queue.full():
                        queue.put_nowait(message)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    async def subscribe(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._queues.add(queue)
        try:
            while True:
                writer.write(await queue.get())
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the subscriber has gone, or all of this ends
        finally:
            self._queues.discard(queue)
            writer.close()


async def receive(network: Network, name: str, count: int, ready: asyncio.Event) -> list[float]:
    """Milliseconds from publish to receive, until the last message."""
    reader, writer = await network.peer(name).open_connection("broker", SUBSCRIBE_PORT)
    ready.set()
    times = []
    try:
        number = -1
        while number < count - 1:
            number, published = MESSAGE.unpack(await reader.readexactly(MESSAGE.size))
            times.append(1000 * (time.perf_counter() - published))
    finally:
        writer.close()
    return times


async def publish(network: Network, count: int, rate: float) -> None:
    """So many messages, `rate` a second."""
    _, writer = await network.peer("publisher").open_connection("broker", PUBLISH_PORT)
    started = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        writer.write(MESSAGE.pack(number, time.perf_counter()))
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def measure(*, count: int, rate: float) -> dict[str, list[float]]:
    """Latencies of each subscriber in ms."""
    topology = Topology("publish and subscribe", unlinked="blocked")
    for name in ("broker", "publisher", *SUBSCRIBERS):
        topology.add_peer(name)
    topology.connect("publisher", "broker", PUBLISHER)
    for name, impairment in SUBSCRIBERS.items():
        topology.connect("broker", name, impairment)
    async with Network(topology) as network:
        broker = Broker()
        await network.peer("broker").start_server(broker.publish, port=PUBLISH_PORT)
        await network.peer("broker").start_server(broker.subscribe, port=SUBSCRIBE_PORT)
        ready = {name: asyncio.Event() for name in SUBSCRIBERS}
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(receive(network, name, count, ready[name])) for name in SUBSCRIBERS}
            for event in ready.values():
                await event.wait()
            await asyncio.sleep(1)  # connected here is not yet accepted at the broker
            await publish(network, count, rate)
        return {name: task.result() for name, task in tasks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="messages (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=50, help="messages a second (default: %(default)s)")
    options = parser.parse_args()
    try:
        latencies = asyncio.run(measure(count=options.count, rate=options.rate))
    except LinkemError as error:
        sys.exit(str(error))
    table = Table(title="from publish to receive, ms", title_justify="left")
    for heading in ("subscriber", "links ask for", "50 %", "90 %", "99 %", "most", "received"):
        table.add_column(heading, justify="left" if heading == "subscriber" else "right")
    for name, times in latencies.items():
        asked = f"{PUBLISHER.delay_ms + SUBSCRIBERS[name].delay_ms:g}"
        table.add_row(name, asked, *(f"{v:.1f}" for v in np.percentile(times, (50, 90, 99, 100))), str(len(times)))
    Console().print(table)


if __name__ == "__main__":
    main()
