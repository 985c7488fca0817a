"""What does a TCP receiver's window do to throughput?

A path of 40 ms there and back and 10 Mbit/s holds 50 kB. A receiver whose buffer is smaller makes
the sender wait for acknowledgements: it gets window / round trip, however fast the path is. The
sweep sets SO_RCVBUF, reads from the sender what window that became, and compares.

    linkem guest -- python examples/tcp_window.py          (or as root, without a guest)
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import struct
import sys
import time
from collections.abc import Sequence

import attrs
from rich.console import Console
from rich.table import Table

from linkem_py import Impairment, LinkemError, Network, Topology

DELAY_MS, RATE_KBIT = 20.0, 10_000.0
ROUND_TRIP_S = 2 * DELAY_MS / 1000
PAYLOAD_SHARE = 1448 / 1514  # a full segment's data in its Ethernet frame
BUFFERS = (4096, 8192, 16384, 32768, 65536, 131072, 262144)
TCP_INFO_WINDOW = 228  # offset of tcpi_snd_wnd in struct tcp_info, Linux 5.4
PORT = 9000


@attrs.frozen
class Result:
    """One step: SO_RCVBUF, the largest window that it made, and what came through in kbit/s."""

    buffer: int
    window: int
    measured_kbit: float

    @property
    def theory_kbit(self) -> float:
        """The path's rate or window / round trip, whichever is less."""
        return min(RATE_KBIT * PAYLOAD_SHARE, self.window * 0.008 / ROUND_TRIP_S)


async def transfer(network: Network, buffer: int, seconds: float) -> Result:
    """Send for so long to a receiver with such a buffer; the first third is warming up."""
    loop = asyncio.get_running_loop()
    sender, receiver = network.peer("sender"), network.peer("receiver")
    with receiver.socket() as listening, sender.socket() as sending:
        # Before listen(): the window's scale is settled when the connection is made.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((receiver.address, PORT))
        listening.listen()
        for sock in (listening, sending):
            sock.setblocking(False)
        await loop.sock_connect(sending, (receiver.address, PORT))
        accepted, _ = await loop.sock_accept(listening)
        with accepted:
            pump = asyncio.create_task(loop.sock_sendall(sending, bytes(64 << 20)))
            try:
                received, window = 0, 0
                started = time.perf_counter()
                counted_from = started + seconds / 3
                while (now := time.perf_counter()) < started + seconds:
                    size = len(await loop.sock_recv(accepted, 1 << 16))
                    received += size if now >= counted_from else 0
                    window = max(window, window_of(sending))
                measured = 0.008 * received / (time.perf_counter() - counted_from)
            finally:
                pump.cancel()
                await asyncio.wait([pump])
    return Result(buffer, window, measured)


def window_of(sock: socket.socket) -> int:
    """The window that the other end offers now, in bytes."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", info, TCP_INFO_WINDOW)[0]) if len(info) >= TCP_INFO_WINDOW + 4 else 0


async def sweep(buffers: Sequence[int] = BUFFERS, *, seconds: float) -> list[Result]:
    """A transfer for each size of buffer."""
    topology = Topology("tcp window")
    topology.add_peer("sender")
    topology.add_peer("receiver")
    topology.connect("sender", "receiver", Impairment(delay_ms=DELAY_MS, rate_kbit=RATE_KBIT))
    async with Network(topology) as network:
        return [await transfer(network, buffer, seconds) for buffer in buffers]


def table_of(results: Sequence[Result]) -> Table:
    """Theory beside measurement."""
    table = Table(title=f"{RATE_KBIT / 1000:g} Mbit/s, {1000 * ROUND_TRIP_S:g} ms there and back", title_justify="left")
    for heading in ("SO_RCVBUF, bytes", "largest window, bytes", "theory, Mbit/s", "measured, Mbit/s", "limited by"):
        table.add_column(heading, justify="left" if heading == "limited by" else "right")
    for result in results:
        limit = "path" if result.theory_kbit >= RATE_KBIT * PAYLOAD_SHARE else "window"
        measured, theory = f"{result.measured_kbit / 1000:.2f}", f"{result.theory_kbit / 1000:.2f}"
        table.add_row(f"{result.buffer:,}", f"{result.window:,}", theory, measured, limit)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each transfer (default: %(default)s)")
    options = parser.parse_args()
    try:
        results = asyncio.run(sweep(seconds=options.seconds))
    except LinkemError as error:
        sys.exit(str(error))
    Console().print(table_of(results))


if __name__ == "__main__":
    main()
