"""Numbered datagrams between two peers of a running network, sent and received by this one process.

Every datagram carries its number, the time at which it was sent and a checksum over all of it; the
kernel says when it was received. So what a link did to each of them is known, and a delay can be
held against a hard lower bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from linkem_py import Impairment, Network, Topology
from linkem_py.kernel.codec.decode import QdiscRow
from linkem_py.kernel.codec.netem import decode_netem
from linkem_py.plan import handles
from linkem_py.plan.objects import Netem
from linkem_py.plan.placement import Place, place
from linkem_py.plan.tree import Planner

SO_NO_CHECK, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 11, 33, 35
BUFFER = 128 << 20
HEADERS = {socket.AF_INET: 14 + 20 + 8, socket.AF_INET6: 14 + 40 + 8}  # Ethernet, IP, UDP
NANOSECONDS = 1_000_000_000
LATEST_S = 0.01

_HEAD = struct.Struct("<IIq")  # checksum of what follows, number, time sent
_TIME = struct.Struct("=qq")
_ROOM = socket.CMSG_SPACE(_TIME.size) + socket.CMSG_SPACE(4)


class Arrivals(NamedTuple):
    """What arrived, in the order of arrival, as parallel arrays; times in nanoseconds.

    `damaged` counts datagrams with a flipped bit, which are not in the arrays.
    """

    numbers: NDArray[np.int64]
    sent: NDArray[np.int64]
    received: NDArray[np.int64]
    tos: NDArray[np.int64]
    damaged: int

    @property
    def delays_ms(self) -> NDArray[np.float64]:
        """From just before sending to the kernel's receipt."""
        return (self.received - self.sent) / 1e6

    @property
    def median_ms(self) -> float:
        return float(np.median(self.delays_ms))

    @property
    def overtaken(self) -> int:
        """How many arrived after one with a higher number."""
        return int((self.numbers < np.maximum.accumulate(self.numbers)).sum()) if len(self.numbers) else 0

    @property
    def doubled(self) -> int:
        """Copies beyond the first."""
        return len(self.numbers) - len(np.unique(self.numbers))

    def lost(self, count: int) -> NDArray[np.bool_]:
        """For each of the `count` numbers from 0 whether no copy of it arrived."""
        missing = np.ones(count, bool)
        missing[self.numbers] = False
        return missing

    def copies(self, count: int) -> NDArray[np.int64]:
        """For each of the `count` numbers from 0 how many copies of it arrived."""
        return np.bincount(self.numbers, minlength=count)


class Flow:
    """Datagrams of `frame` bytes (Ethernet, without check sequence) from one peer to another."""

    def __init__(
        self,
        net: Network,
        source: str = "a",
        sink: str = "b",
        *,
        frame: int = 64,
        family: socket.AddressFamily = socket.AF_INET,
        local: bool = False,
        checksum: bool = True,
    ) -> None:
        self.net, self.source, self.sink = net, source, sink
        self.pad = bytes(max(0, frame - HEADERS[family] - _HEAD.size))
        self.next = 0
        self.receiver = net.peer(sink).socket(family, socket.SOCK_DGRAM)
        self.sender = net.peer(source).socket(family, socket.SOCK_DGRAM)
        level, receive_tos = (socket.IPPROTO_IP, socket.IP_RECVTOS)
        self._tos = (level, socket.IP_TOS)
        if family == socket.AF_INET6:
            level, receive_tos = socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS
            self._tos = (level, socket.IPV6_TCLASS)
        self.receiver.setsockopt(level, receive_tos, 1)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        if not checksum:
            self.sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        self.receiver.setblocking(False)
        self.sender.setblocking(False)
        self.receiver.bind(("", 0))
        address = net.peer(sink).addresses["lan"][family == socket.AF_INET6]
        target: tuple[Any, ...] = (address, self.receiver.getsockname()[1])
        if local:
            target = (link_local(net, sink), target[1], 0, net.kernel.index(source, "eth0"))
        self.sender.connect(target)

    def mark(self, tos: int) -> None:
        """Set the traffic class of what is sent from now on."""
        self.sender.setsockopt(*self._tos, tos)

    def send(self, count: int, *, every_s: float = 0.0, wait: bool = False) -> int:
        """Send so many, one every so often (at once by default); how many a full socket refused.

        With `wait` it waits for room instead, as a sender over a link that does nothing must: what is
        on that link is still the socket's.
        """
        refused = 0
        due = time.monotonic()
        for number in range(self.next, self.next + count):
            if every_s:
                early = due - time.monotonic()
                if early > 0:
                    time.sleep(early)
                # Whoever was kept waiting for long does not make up for it: that would be a burst.
                due = every_s + (due if early > -LATEST_S else time.monotonic())
            while not self._sent(number):
                if not wait:
                    refused += 1
                    break
                select.select([], [self.sender], [])
        self.next += count
        return refused

    def _sent(self, number: int) -> bool:
        rest = _HEAD.pack(0, number, time.time_ns())[4:] + self.pad
        try:
            self.sender.send(zlib.crc32(rest).to_bytes(4, "little") + rest)
        except BlockingIOError:
            return False
        except OSError as error:
            # The queue has refused it: lost on the link, not here.
            if error.errno != errno.ENOBUFS:
                raise
        return True

    def receive(self, *, quiet_s: float = 0.1) -> Arrivals:
        """All that arrives, up to when nothing waits in the sender's queues and for so long nothing has come."""
        rows: list[tuple[int, int, int, int]] = []
        damaged = 0
        while True:
            empty = not backlog(self.net, self.source)
            if not select.select([self.receiver], [], [], quiet_s if empty else 0.02)[0]:
                if empty:
                    break
                continue
            damaged += self._drain(rows)
        columns = np.array(rows, np.int64).reshape(-1, 4).T
        return Arrivals(columns[0], columns[1], columns[2], columns[3], damaged)

    def _drain(self, rows: list[tuple[int, int, int, int]]) -> int:
        damaged = 0
        receive = self.receiver.recvmsg
        while True:
            try:
                data, control, _, _ = receive(2048, _ROOM)
            except BlockingIOError:
                return damaged
            checksum, number, sent = _HEAD.unpack_from(data)
            if zlib.crc32(data[4:]) != checksum:
                damaged += 1
                continue
            received = tos = 0
            for level, kind, value in control:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIME.unpack(value)
                    received = seconds * NANOSECONDS + nanoseconds
                else:
                    tos = value[0]
            rows.append((number, sent, received, tos))

    def exchange(self, count: int, *, every_s: float = 0.0) -> Arrivals:
        """Send so many, numbered from 0, and receive what becomes of them."""
        self.next = 0
        self.send(count, every_s=every_s, wait=True)
        return self.receive()

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.asynccontextmanager
async def pair(impairment: Impairment | None = None, **settings: Any) -> AsyncIterator[Network]:
    """A network of a, b and c; a->b as given, all other links clear."""
    topology = Topology("pair", **settings)
    for name in ("a", "b", "c"):
        topology.add_peer(name)
    topology.add_link("a", "b", impairment)
    topology.add_link("b", "a")
    async with Network(topology, seed=1) as net:
        yield net


@contextlib.asynccontextmanager
async def flowing(
    impairment: Impairment | None = None, *, settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Network, Flow]]:
    """That network, and a flow from a to b."""
    async with pair(impairment, **(settings or {})) as net:
        with Flow(net, **options) as flow:
            yield net, flow


async def stream(flow: Flow, turns: int, change: Callable[[int], Awaitable[None]], *, every_s: float = 0.001) -> int:
    """Send steadily in one thread while so many changes are made, one after another; how many were sent."""
    done = False
    refused = 0

    async def send() -> None:
        nonlocal refused
        while not done:
            refused += await asyncio.to_thread(flow.send, 10, every_s=every_s)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        for turn in range(turns):
            await change(turn)
            await asyncio.sleep(0.003)
        done = True
    assert refused == 0
    return flow.next


def tree(net: Network, name: str) -> Place:
    """Where the queues of a peer's interface are."""
    return place(net.topology.peer(name), net.topology.segments["lan"])


def backlog(net: Network, name: str) -> int:
    """Packets that wait in any queue of a peer's interface."""
    return sum(row.counters.backlog_packets for row in net.kernel.qdiscs(*tree(net, name)))


def link_local(net: Network, name: str) -> str:
    """The link-local address of a peer, as its kernel has it."""
    from linkem_py.plan.addressing import link_local as address

    topology = net.topology
    return str(address(topology.segments["lan"], topology.peer(name)))


def multicast_from(net: Network, source: str, *, family: socket.AddressFamily = socket.AF_INET) -> set[str]:
    """The peers that get what this one sends to a multicast group."""
    port = 5000
    with contextlib.ExitStack() as stack:
        listeners = {}
        for name in net.topology.peers:
            listener = stack.enter_context(net.peer(name).socket(family, socket.SOCK_DGRAM))
            listener.bind(("", port))
            index = net.kernel.index(name, "eth0")
            if family == socket.AF_INET:
                member = socket.inet_aton("239.1.2.3") + socket.inet_aton("0.0.0.0") + struct.pack("=i", index)
                listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            else:
                member = socket.inet_pton(family, "ff02::1234") + struct.pack("=i", index)
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
            listener.setblocking(False)
            listeners[name] = listener
        sender = stack.enter_context(net.peer(source).socket(family, socket.SOCK_DGRAM))
        index = net.kernel.index(source, "eth0")
        target: tuple[Any, ...] = ("ff02::1234", port, 0, index)
        if family == socket.AF_INET:
            where = socket.inet_aton("0.0.0.0") * 2 + struct.pack("=i", index)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, where)
            target = ("239.1.2.3", port)
        for _ in range(3):
            # EPERM: a filter has dropped it.
            with contextlib.suppress(PermissionError):
                sender.sendto(b"hello", target)
        time.sleep(0.05)
        found = set()
        for name, listener in listeners.items():
            with contextlib.suppress(BlockingIOError):
                listener.recv(100)
                found.add(name)
    return found - {source}


def netem_row(net: Network, source: str = "a", destination: str = "b") -> QdiscRow:
    """The netem of a link as the kernel shows it."""
    topology = net.topology
    prio = topology.classifier == "prio"
    number = topology.link(source, destination).slot + 1 if prio else topology.peer(destination).number
    rows = net.kernel.qdiscs(*tree(net, source))
    return next(row for row in rows if row.handle == handles.netem(number))


def kernel_netem(net: Network, source: str = "a", destination: str = "b") -> Netem:
    """The parameters of a link's netem, read from the kernel (which does not show tables)."""
    return decode_netem(netem_row(net, source, destination).options)


def planned_netem(net: Network, source: str = "a", destination: str = "b") -> Netem:
    """What the plan wants it to be, without the table."""
    planner = Planner(net.topology, net.capabilities, net.seed)
    return planner.netem(net.topology.link(source, destination))._replace(table=b"")


# --- statistics ------------------------------------------------------------------------------------

SIGMAS = 5.0  # one test in two million fails by chance


def binomial(count: int, share: float, *, inflation: float = 1.0) -> tuple[float, float]:
    """Least and greatest number of successes that chance explains, of so many with that probability.

    `inflation`: how much more than independent events they vary (see `chain_inflation`).
    """
    spread = SIGMAS * (inflation * count * share * (1 - share)) ** 0.5
    return count * share - spread, count * share + spread


def chain_inflation(steps: Sequence[Sequence[float]], lost: Sequence[float]) -> tuple[float, float]:
    """Mean loss of a Markov chain, and the variance of its mean over that of independent losses.

    By the fundamental matrix Z = (I - P + 1 pi)^-1 (Kemeny & Snell, Finite Markov Chains, 4.6).
    """
    matrix, share = np.array(steps), np.array(lost)
    size = len(share)
    equations = np.vstack([matrix.T - np.eye(size), np.ones(size)])
    stationary = np.linalg.lstsq(equations, np.eye(size + 1)[size], rcond=None)[0]
    mean = float(stationary @ share)
    fundamental = np.linalg.inv(np.eye(size) - matrix + np.outer(np.ones(size), stationary))
    # Autocovariances of all lags from 1 on: (pi f) (P + P^2 + ... - 1 pi each) f = (pi f) (Z - I) f.
    covariances = float((stationary * share) @ (fundamental - np.eye(size)) @ share)
    return mean, 1 + 2 * covariances / (mean * (1 - mean))


def kernel_events(share: float, correlation: float, count: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds of mean and lag-1 correlation of events that netem draws from correlated numbers.

    The kernel's formula (get_crandom): x' = (1 - c) u + c x, and the event is x' <= share. Simulated,
    since the mean of such events is not `share` unless that is a half.
    """
    random = np.random.default_rng(1)
    state = random.random(100)
    events = np.empty((count, 100), np.float32)
    for number in range(count):
        state = (1 - correlation) * random.random(100) + correlation * state
        events[number] = state <= share
    means = events.mean(axis=0)
    events -= means
    lags = (events[:-1] * events[1:]).mean(axis=0) / events.var(axis=0)
    bounds = [(float(v.mean() - SIGMAS * v.std()), float(v.mean() + SIGMAS * v.std())) for v in (means, lags)]
    return bounds[0], bounds[1]


def runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return np.asarray(edges[1::2] - edges[::2])


def lag_one(values: NDArray[Any] | Sequence[float]) -> float:
    """Lag-1 autocorrelation."""
    data = np.asarray(values, float)
    return float(np.corrcoef(data[:-1], data[1:])[0, 1])


def within(value: float, bounds: tuple[float, float]) -> bool:
    """Whether a value lies within bounds."""
    return bounds[0] <= value <= bounds[1]
