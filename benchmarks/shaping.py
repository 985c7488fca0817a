"""What the order of delay and rate, the shaper, the queue and the placement do to packets; see docs/shaping.md."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Row
from linkem_py import Impairment, Network, Topology
from linkem_py.report.datagrams import HEADERS, Reader, prepare

FRAME, RATE_KBIT = 1000, 4000.0
FRAME_MS = FRAME * 8 / RATE_KBIT
BUFFER = 64 << 20
_STAMP = struct.Struct("=Qq")  # number, time sent
ORDERS: dict[str, dict[str, Any]] = {
    "jitter alone, no rate": {},
    "htb": {"rate_kbit": RATE_KBIT},
    "tbf": {"rate_kbit": RATE_KBIT, "shaper": "tbf"},
    "cake": {"rate_kbit": RATE_KBIT, "shaper": "cake"},
    "netem": {"rate_kbit": RATE_KBIT, "shaper": "netem"},
}
QUEUES: dict[str, dict[str, Any]] = {
    "htb, fifo": {},
    "tbf, fifo": {"shaper": "tbf"},
    "netem": {"shaper": "netem"},
    "htb, fq_codel": {"queue": "fq_codel"},
    "htb, cake": {"queue": "cake", "queue_ms": None},
    "cake": {"shaper": "cake", "queue_ms": None},
}


class Arrived(NamedTuple):
    """Datagrams in the order of arrival: numbers, delays and times in milliseconds."""

    numbers: NDArray[np.int64]
    delays_ms: NDArray[np.float64]
    times_ms: NDArray[np.float64]


def shaping() -> Iterator[Row]:
    """All three, each on a network of its own for every row."""
    yield from paced()
    yield from bursts()
    yield from under_load()


def paced(count: int = 1500) -> Iterator[Row]:
    """A flow at nine tenths of the rate over a link with jitter: how it arrives."""
    for name, fields in ORDERS.items():
        section = f"{RATE_KBIT:,.0f} kbit/s, 50 ms, jitter 20 ms, paced at 90 %: {name}"
        impairment = Impairment(delay_ms=50, jitter_ms=20, **fields)
        arrived, _ = _run(impairment, count, every_s=FRAME_MS / 900)
        gaps_ms = np.diff(arrived.times_ms)
        late = arrived.numbers < np.maximum.accumulate(arrived.numbers)
        yield Row(section, "delay, median", float(np.median(arrived.delays_ms)), "ms")
        yield Row(section, "delay, 99th percentile", float(np.quantile(arrived.delays_ms, 0.99)), "ms")
        yield Row(section, "gap between arrivals, standard deviation", float(gaps_ms.std()), "ms")
        yield Row(section, "gaps below half a frame's time", 100 * float((gaps_ms < FRAME_MS / 2).mean()), "%")
        yield Row(section, "overtaken by a later packet", 100 * float(late.mean()), "%")
        yield Row(section, "lost", 100 * (1 - len(arrived.numbers) / count), "%")


def bursts(count: int = 150, queue_ms: float = 50, runs: int = 5) -> Iterator[Row]:
    """So many frames at once for the same queue: how many arrive, and how many the sender's socket was refused.

    A sender that is stopped meanwhile gives the queue time to empty: so the run in which fewest arrive counts.
    """
    section = (
        f"{RATE_KBIT:,.0f} kbit/s, 10 ms, a queue of {queue_ms:g} ms, {count} frames at once, fewest of {runs} runs"
    )
    for name, fields in QUEUES.items():
        for placement in ("sender", "hub"):
            impairment = Impairment(**{"rate_kbit": RATE_KBIT, "delay_ms": 10, "queue_ms": queue_ms, **fields})
            results = [_run(impairment, count, placement=placement) for _ in range(runs)]
            arrived, refused = min(results, key=lambda result: len(result[0].numbers))
            yield Row(section, f"{name}, at the {placement}: arrive", len(arrived.numbers), "frames")
            yield Row(section, f"{name}, at the {placement}: refused to the sender's socket", refused, "frames")


def under_load(seconds: float = 4.0) -> Iterator[Row]:
    """Small packets beside a TCP transfer: what they wait beyond the delay asked for."""
    section = f"{RATE_KBIT:,.0f} kbit/s, 10 ms, a queue of 200 ms: added to small packets beside a TCP transfer"
    for name, fields in QUEUES.items():
        for placement in ("sender", "hub"):
            shape = {"rate_kbit": RATE_KBIT, "delay_ms": 10, "queue_ms": 200, **fields}
            arrived, _ = _run(
                Impairment(**shape), round(seconds / 0.02), size=64, every_s=0.02, placement=placement, loaded=True
            )
            # The first quarter belongs to the transfer's start.
            added_ms = arrived.delays_ms[arrived.numbers > arrived.numbers.max() / 4] - 10
            yield Row(section, f"{name}, at the {placement}, median", float(np.median(added_ms)), "ms")


def _run(
    impairment: Impairment,
    count: int,
    *,
    size: int = FRAME,
    every_s: float = 0.0,
    placement: str = "sender",
    loaded: bool = False,
) -> tuple[Arrived, int]:
    """Send so many datagrams over such a link; what arrives, and how many the kernel refused at once."""

    async def run() -> tuple[Arrived, int]:
        topology = Topology("shaping", placement=placement)  # type: ignore[arg-type]
        topology.add_peer("a")
        topology.add_peer("b")
        topology.connect("a", "b", impairment, back=Impairment(delay_ms=1))
        async with Network(topology, seed=1) as net:
            with contextlib.ExitStack() as stack:
                if loaded:
                    stack.enter_context(_transfer(net))
                    await asyncio.sleep(0.5)
                return await asyncio.to_thread(_exchange, net, count, size, every_s)

    return asyncio.run(run())


def _exchange(net: Network, count: int, size: int, every_s: float) -> tuple[Arrived, int]:
    refused = 0
    with (
        net.peer("a").socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        net.peer("b").socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("", 0))
        prepare(receiver, receive_bytes=BUFFER, send_bytes=BUFFER)
        prepare(sender, receive_bytes=BUFFER, send_bytes=BUFFER)
        sender.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: the queue's refusal is an error
        sender.connect((net.peer("b").addresses["lan"][0], receiver.getsockname()[1]))
        pad = bytes(max(0, size - HEADERS - _STAMP.size))
        due = time.monotonic()
        for number in range(count):
            if every_s:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - every_s) + every_s
            try:
                sender.send(_STAMP.pack(number, time.time_ns()) + pad)
            except OSError:
                refused += 1
        return _received(receiver), refused


def _received(receiver: socket.socket) -> Arrived:
    reader, found = Reader(), []
    while select.select([receiver], [], [], 1.0)[0]:
        found += reader.drain(receiver)
    payloads = np.concatenate([part.payloads[:, : _STAMP.size] for part in found])
    stamps = np.ascontiguousarray(payloads).view("<i8")
    times = np.concatenate([part.times for part in found])
    return Arrived(stamps[:, 0], (times - stamps[:, 1]) / 1e6, (times - times[0]) / 1e6)


@contextlib.contextmanager
def _transfer(net: Network) -> Iterator[None]:
    """A TCP connection from a to b that sends as much as it can, in threads of its own."""
    listener = net.peer("b").socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("", 0))
    listener.listen(1)
    sender = net.peer("a").socket(socket.AF_INET, socket.SOCK_STREAM)
    sender.connect((net.peer("b").addresses["lan"][0], listener.getsockname()[1]))
    sink, _ = listener.accept()

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                sender.send(bytes(65536))

    def take() -> None:
        with contextlib.suppress(OSError):
            while sink.recv(65536):
                pass

    threads = [threading.Thread(target=work) for work in (send, take)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for end in (sender, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for end in (sender, sink, listener):
            end.close()
