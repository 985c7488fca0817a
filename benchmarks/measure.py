"""Helpers of the benchmarks: medians, waiting for the kernel, sending."""

from __future__ import annotations

import gc
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from linkem_py.kernel.codec.link import veth_message
from linkem_py.kernel.namespaces import NamespaceThread
from linkem_py.plan.objects import Veth


@attrs.frozen
class Row:
    """One line of the result: `value` in `unit`, `aim` in words, `met` None if there is none."""

    section: str
    what: str
    value: float
    unit: str
    aim: str = ""
    met: bool | None = None


def median_of(times: int, action: Callable[[], float]) -> float:
    """Median of what an action returns when done so often."""
    values = []
    for _ in range(times):
        gc.collect()
        values.append(action())
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def wait_until_freed() -> None:
    """Wait until the kernel has freed every namespace that was let go of before.

    The kernel frees namespaces on one queue, in order. So a pair is put between a namespace that
    is then let go of and one that stays: when this end is gone, so is all that went before.
    """
    thread = NamespaceThread()
    stays, goes = thread.create("stays", ()), thread.create("goes", ())
    pair = Veth("", "canary0", "02:00:00:00:00:01", "", "canary1", "02:00:00:00:00:02", master="")
    stays.netlink.transact([veth_message(pair, peer_ns_fd=goes.fd)])
    goes.close()
    while "canary0" in stays.netlink.link_indexes():
        time.sleep(0.0005)
    stays.close()
    thread.close()


def send_many(sock: socket.socket, address: Any, count: int) -> float:
    """Send so many small datagrams; returns packets per second."""
    payload = bytes(64)
    began = time.perf_counter()
    for _ in range(count):
        sock.sendto(payload, address)
    return count / (time.perf_counter() - began)


def available_kb() -> int:
    """Memory that the machine has left, in KiB."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
