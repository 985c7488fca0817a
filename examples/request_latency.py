"""How long does a request take between data centres?

Every peer of the four-region topology serves requests and sends some to every other peer, all in
this one process; the table has the percentiles of each pair beside the round trip that the links
ask for. What lies above it is loss: TCP waits 200 ms or more before it sends something again.

    linkem guest -- python examples/request_latency.py          (or as root, without a guest)
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from itertools import permutations
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from linkem_py import LinkemError, Network

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # topologies/ lies beside examples/
from topologies import regions

PORT = 9000
Pair = tuple[str, str]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of four bytes and a length with as many bytes as it asks for."""
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            writer.write(bytes(size))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass  # the client is done, or all of this is
    finally:
        writer.close()


async def ask(network: Network, pair: Pair, *, requests: int, size: int) -> list[float]:
    """Milliseconds of so many requests, one after the other, over one connection."""
    source, destination = pair
    reader, writer = await network.peer(source).open_connection(destination, PORT)
    times = []
    try:
        for _ in range(requests):
            started = time.perf_counter()
            writer.write(size.to_bytes(4, "big"))
            await reader.readexactly(size)
            times.append(1000 * (time.perf_counter() - started))
    finally:
        writer.close()
        await writer.wait_closed()
    return times


async def measure(*, requests: int, size: int) -> dict[Pair, list[float]]:
    """Times by (client, server); all pairs at once."""
    topology = regions.topology(rates=False)
    async with Network(topology) as network:
        for peer in network.peers.values():
            await peer.start_server(serve, port=PORT)
        pairs = list(permutations(topology.peers, 2))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(network, pair, requests=requests, size=size)) for pair in pairs]
        return {pair: task.result() for pair, task in zip(pairs, tasks, strict=True)}


def table_of(times: dict[Pair, list[float]]) -> Table:
    """Percentiles beside the round trip asked for, slowest pair last."""
    topology = regions.topology()
    table = Table(title="request and reply, ms", title_justify="left")
    for heading in ("client", "server", "links ask for", "50 %", "90 %", "99 %", "most", "requests"):
        table.add_column(heading, justify="left" if heading in ("client", "server") else "right")
    for (source, destination), values in sorted(times.items(), key=lambda item: float(np.median(item[1]))):
        there, back = topology.link(source, destination).impairment, topology.link(destination, source).impairment
        asked = f"{there.delay_ms + back.delay_ms:.0f} ± {there.jitter_ms + back.jitter_ms:.0f}"
        levels = [f"{value:.1f}" for value in np.percentile(values, (50, 90, 99, 100))]
        table.add_row(source, destination, asked, *levels, str(len(values)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50, help="requests of each pair (default: %(default)s)")
    parser.add_argument("--size", type=int, default=1000, help="bytes of a reply (default: %(default)s)")
    options = parser.parse_args()
    try:
        times = asyncio.run(measure(requests=options.requests, size=options.size))
    except LinkemError as error:
        sys.exit(str(error))
    Console().print(table_of(times))


if __name__ == "__main__":
    main()
