"""Access links: what links get of a line that they share, and what a change of it costs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from benchmarks.measure import Row
from linkem_py import Impairment, Network, Topology

ACCESS_KBIT = 4_000.0
LINK = Impairment(rate_kbit=2 * ACCESS_KBIT, delay_ms=5)
FRAME = 1442
NEAR = 0.03
STRETCHES = 40
_HEADERS = 14 + 20 + 8
_SENT = struct.Struct("<d")
_TIME = struct.Struct("=qq")
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35

Pair = tuple[str, str]


class Carried(NamedTuple):
    """What arrived of a pair: when, in seconds, and the median of how long it took."""

    times: list[float]
    took_ms: float


def three(links: Sequence[Pair], impairment: Impairment = LINK, **access: Mapping[str, Any]) -> Topology:
    """Peers a, b and c with links of twice the access link's rate, and access links by peer."""
    topology = Topology("access")
    for name in "abc":
        topology.add_peer(name, **access.get(name, {}))
    for source, destination in links:
        topology.add_link(source, destination, impairment)
    return topology


def carry(net: Network, pairs: Sequence[Pair], *, kbit: float, seconds: float) -> list[Carried]:
    """Send so much on each pair at once; what arrives meanwhile, without the first fifth of the time."""
    with contextlib.ExitStack() as stack:
        senders, receivers = [], []
        for source, destination in pairs:
            receiver = stack.enter_context(net.peer(destination).socket(socket.AF_INET, socket.SOCK_DGRAM))
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
            receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            receiver.setblocking(False)
            receiver.bind((net.peer(destination).address, 0))
            sender = stack.enter_context(net.peer(source).socket(socket.AF_INET, socket.SOCK_DGRAM))
            sender.setblocking(False)
            sender.connect(receiver.getsockname())
            senders.append(sender)
            receivers.append(receiver)
        began = time.time()
        _send(senders, FRAME * 8 / (kbit * 1000), seconds)
        ended = time.time()
        return [_received(receiver, began + seconds / 5, ended) for receiver in receivers]


def _send(senders: Sequence[socket.socket], every_s: float, seconds: float) -> None:
    payload = bytes(FRAME - _HEADERS - _SENT.size)
    for number in range(round(seconds / every_s)):
        # Not busy: with one CPU the kernel's own timers would wait for this loop.
        time.sleep(every_s if number else 0)
        for sender in senders:
            with contextlib.suppress(OSError):  # the queue is full, as it is meant to be
                sender.send(_SENT.pack(time.time()) + payload)


def _received(receiver: socket.socket, since: float, until: float) -> Carried:
    """By the kernel's own times of receipt."""
    times: list[float] = []
    took: list[float] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            data, control, _, _ = receiver.recvmsg(2048, socket.CMSG_SPACE(_TIME.size))
            whole, nanoseconds = _TIME.unpack(control[0][2])
            now = whole + nanoseconds / 1e9
            if since <= now <= until:
                times.append(now)
                took.append((now - _SENT.unpack_from(data)[0]) * 1000)
    return Carried(times, statistics.median(took))


def together_kbit(carried: Sequence[Carried]) -> float:
    """The rate of all of them: median over stretches of time, some of which a late machine spoils."""
    times = sorted(time for one in carried for time in one.times)
    size = len(times) // STRETCHES
    ends = times[::size]
    return statistics.median(size * FRAME * 8 / (last - first) / 1000 for first, last in pairwise(ends))


async def _measured(topology: Topology, pairs: Sequence[Pair], seconds: float) -> list[Carried]:
    async with Network(topology, seed=1) as net:
        return carry(net, pairs, kbit=1.5 * ACCESS_KBIT, seconds=seconds)


async def _changed(topology: Topology, changes: int) -> tuple[float, int]:
    """Median time in ms of a change of an uplink in place, and the messages that it takes."""
    async with Network(topology, seed=1) as net:
        sent = net.kernel.messages_sent
        took = [(await net.set_access("a", uplink_kbit=1000.0 + number)).duration_s * 1000 for number in range(changes)]
        return statistics.median(took), (net.kernel.messages_sent - sent) // changes


def access(seconds: float = 3.0, changes: int = 50) -> Iterator[Row]:
    """Two links that share an access link of half the rate of each, up, and down at either place.

    Beside a single link of that rate, since a late machine costs both alike.
    """
    up, out, into = {"uplink_kbit": ACCESS_KBIT}, (("a", "b"), ("a", "c")), (("a", "c"), ("b", "c"))
    rates = f"{ACCESS_KBIT:,.0f} kbit/s, links of {LINK.rate_kbit:,.0f} kbit/s, each offered {1.5 * ACCESS_KBIT:,.0f}"
    plain = three(out[:1], LINK.evolve(rate_kbit=ACCESS_KBIT))
    alone = together_kbit(asyncio.run(_measured(plain, out[:1], seconds)))
    yield Row("no access link", f"a link of {ACCESS_KBIT:,.0f} kbit/s", alone, "kbit/s")
    section = f"an uplink of {rates}"
    yield from _rows(section, asyncio.run(_measured(three(out, a=up), out, seconds)), alone)
    yield from _rows(section, asyncio.run(_measured(three(out, a=up), out[:1], seconds)), alone)
    section = f"an uplink of {ACCESS_KBIT:,.0f} kbit/s, links without a rate"
    plain = three(out, Impairment(delay_ms=5), a=up)
    yield from _rows(section, asyncio.run(_measured(plain, out, seconds)), alone)
    for place in ("hub", "peer"):
        down = {"downlink_kbit": ACCESS_KBIT, "downlink_at": place}
        section = f"a downlink at the {place} of {rates}"
        yield from _rows(section, asyncio.run(_measured(three(into, c=down), into, seconds)), alone)
    took_ms, messages = asyncio.run(_changed(three(out, a=up), changes))
    section = "a change of an uplink's rate in place, two links with rates"
    yield Row(section, "from request to the kernel's answer", took_ms, "ms")
    yield Row(section, "netlink messages", messages, "", "1", messages == 1)


def _rows(section: str, carried: Sequence[Carried], alone: float) -> Iterator[Row]:
    together = together_kbit(carried)
    who = "both together" if len(carried) > 1 else "one of them, the other idle"
    met = (1 - NEAR) * alone <= together <= (1 + NEAR) * ACCESS_KBIT
    yield Row(section, who, together, "kbit/s", f"as the link, to {100 * NEAR:g} %", met)
    if len(carried) > 1:
        yield Row(section, "share of the first", len(carried[0].times) / sum(len(one.times) for one in carried), "")
    yield Row(section, "from sent to received, median", statistics.mean(one.took_ms for one in carried), "ms")
