"""A bonded stream between the two peers of a running network, watched for a while."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs

from examples.bonding_scheduler.balance import Balance
from examples.bonding_scheduler.bitrate import Bitrate
from examples.bonding_scheduler.receiver import Receiver
from examples.bonding_scheduler.sender import Sender
from examples.bonding_scheduler.wire import FRAME_BYTES
from linkem_py import Network


@attrs.frozen(kw_only=True)
class LinkSample:
    """One link at one time; what was sent is that since the sample before."""

    weight: float
    sent_kbit: float
    loss_pct: float
    rtt_ms: float
    floor_ms: float
    strain: str


@attrs.frozen(kw_only=True)
class Sample:
    at_s: float
    bitrate_kbit: float
    links: dict[str, LinkSample]


@attrs.frozen(kw_only=True)
class Summary:
    """Of the whole stream: what was sent, and what arrived by whichever link, without what came twice."""

    sent: int
    arrived: int
    samples: list[Sample]


class Session:
    """A stream that runs; `watch` looks at it every so often."""

    def __init__(self, sender: Sender, receiver: Receiver) -> None:
        self.sender, self.receiver = sender, receiver
        self._began = self._sampled = time.monotonic()
        self._counted: Counter[str] = Counter()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def sample(self) -> Sample:
        now, balance, sent = time.monotonic(), self.sender.balance, Counter(self.sender.sent)
        per_datagram = FRAME_BYTES * 8 / 1000 / max(now - self._sampled, 1e-6)
        links = {
            name: LinkSample(
                weight=weight,
                sent_kbit=(sent[name] - self._counted[name]) * per_datagram,
                loss_pct=100 * balance.estimates[name].loss,
                rtt_ms=1000 * (balance.estimates[name].srtt_s or 0.0),
                floor_ms=1000 * balance.estimates[name].floor_s,
                strain=balance.strains[name].value,
            )
            for name, weight in balance.weights.items()
        }
        self._sampled, self._counted = now, sent
        return Sample(at_s=now - self._began, bitrate_kbit=balance.bitrate.kbit, links=links)

    async def watch(self, seconds: float, every_s: float, show: Callable[[Sample], None] = lambda _: None) -> Summary:
        """A sample every so often, each shown as it comes."""
        samples = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(every_s, left))
            samples.append(self.sample())
            show(samples[-1])
        return Summary(sent=self.sender.sent.total(), arrived=len(self.receiver.numbers), samples=samples)


@asynccontextmanager
async def streaming(network: Network, bitrate: Bitrate, *, budget_s: float) -> AsyncIterator[Session]:
    """A stream from the first peer to the second, over every segment on which a link leads there."""
    source, destination = network.topology.peers
    segments = [link[2] for link in network.topology.links if link[:2] == (source, destination)]
    sender = Sender(Balance.begin(segments, bitrate, budget_s=budget_s, now=time.monotonic()))
    receiver = Receiver()
    try:
        for segment in segments:
            there = network.peer(destination).socket(socket.AF_INET, socket.SOCK_DGRAM, segment=segment)
            receiver.open(there)
            here = network.peer(source).socket(socket.AF_INET, socket.SOCK_DGRAM, segment=segment)
            here.connect(there.getsockname())
            sender.open(segment, here)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(sender.run()), group.create_task(receiver.run())]
            try:
                yield Session(sender, receiver)
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        sender.close()
        receiver.close()
