"""Which links of a network have cross traffic, and how much."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from linkem_py.errors import OperationError
from linkem_py.model.cross_stream import CrossStream, cross_seed
from linkem_py.model.cross_traffic import CrossTraffic
from linkem_py.model.topology import LinkKey, Topology, link_name
from linkem_py.plan import addressing
from linkem_py.runtime.changes import Applied, CrossTrafficStats, full_key
from linkem_py.runtime.cross_traffic.flow import Flow, Sender
from linkem_py.runtime.cross_traffic.pacer import Pacer
from linkem_py.runtime.cross_traffic.sockets import PORT, Sink, SocketMaker

_LOG = logging.getLogger(__name__)


class Target(Protocol):
    """What the engine needs of a network."""

    topology: Topology

    @property
    def flow_sockets(self) -> SocketMaker:
        """What makes sockets in peers."""

    def subscribe(self, listener: Callable[[Applied], None]) -> Callable[[], None]:
        """Have every change told."""


class CrossTrafficEngine(Mapping[LinkKey, CrossTrafficStats]):
    """Sends cross traffic on all links that have some; a mapping of links to how it gets on.

    A share of a rate follows the rate of the link from the moment the kernel has taken a change of it.

    Parameters
    ----------
    network : whose links
    run_seed : where the seed of each link's stream comes from
    pacer : when packets leave
    """

    def __init__(self, network: Target, run_seed: int, *, pacer: Pacer | None = None) -> None:
        self._network: Target = weakref.proxy(network)
        self._run_seed = run_seed
        self._pacer = Pacer() if pacer is None else pacer
        self._traffic: dict[LinkKey, CrossTraffic] = {}
        self._flows: dict[LinkKey, Flow] = {}
        self._errors: dict[LinkKey, str] = {}
        self._shares: set[LinkKey] = set()  # whose load follows the link's rate
        self._sinks: dict[str, Sink] = {}
        self._unsubscribe: Callable[[], None] | None = None

    def follow(self, traffic: Mapping[LinkKey, CrossTraffic]) -> None:
        """Send these from now on: those that are new begin, those that are gone end, the others go on."""
        for key in [key for key in self._traffic if key not in traffic]:
            self._drop(key)
        for key, wanted in traffic.items():
            if self._traffic.get(key) is wanted:
                continue
            try:
                self.restart(key, wanted)
            except OperationError as error:
                self._fail(key, wanted, error)
        # Sinks stay for what is still on its way: without one it would be answered by ICMP.
        for peer in [peer for peer in self._sinks if peer not in self._network.topology.peers]:
            self._sinks.pop(peer).close()

    def restart(self, key: LinkKey, traffic: CrossTraffic | None) -> None:
        """Begin a link's cross traffic in place of its earlier one; None ends that.

        Raises `OperationError` if its sockets cannot be made; then the earlier one goes on.
        """
        flow = None if traffic is None else self._flow(key, traffic)
        self._drop(key)
        if traffic is not None and flow is not None:
            self._traffic[key], self._flows[key] = traffic, flow
            if traffic.load_pct is not None:
                self._shares.add(key)
                self._unsubscribe = self._unsubscribe or self._network.subscribe(self._changed)
            self._pacer.add(flow)

    def readdressed(self, peer: str, segment: str) -> None:
        """Send from and to a peer's present addresses on a segment; streams and counters go on."""
        for key in [key for key in self._flows if key[2] == segment and peer in key[:2]]:
            try:
                self._pacer.set_sender(self._flows[key], self._sender(key))
            except OperationError as error:
                traffic = self._traffic[key]
                self._drop(key)
                self._fail(key, traffic, error)

    def close(self) -> None:
        """End all of it, and wait for that. Twice is harmless."""
        self.abandon()
        self._pacer.join()

    def abandon(self) -> None:
        """As `close`, without waiting."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._pacer.close()
        for sink in self._sinks.values():
            sink.close()
        self._sinks.clear()

    def __getitem__(self, key: tuple[str, ...]) -> CrossTrafficStats:
        whole = full_key(key)
        traffic = self._traffic[whole]
        flow = self._flows.get(whole)
        return flow.stats() if flow is not None else CrossTrafficStats(traffic=traffic, error=self._errors[whole])

    def __iter__(self) -> Iterator[LinkKey]:
        return iter(tuple(self._traffic))

    def __len__(self) -> int:
        return len(self._traffic)

    def __repr__(self) -> str:
        return f"<CrossTrafficEngine: {len(self)} links>"

    def _flow(self, key: LinkKey, traffic: CrossTraffic) -> Flow:
        destination = key[1]
        sender = self._sender(key)
        if destination not in self._sinks:
            try:
                self._sinks[destination] = self._network.flow_sockets.sink(destination)
            except OSError as error:
                sender.close()
                raise _failure(key, f"receive on UDP port {PORT} of {destination}", error) from error
        load_kbit = traffic.load_at(self._network.topology.links[key].impairment.rate_kbit)
        stream = CrossStream(traffic, cross_seed(self._run_seed, key), load_kbit)
        return Flow(stream, sender, self._pacer.clock())

    def _sender(self, key: LinkKey) -> Sender:
        source, destination, segment = key
        topology = self._network.topology
        where = topology.segments[segment]
        address, to = (addressing.addresses(where, topology.peers[name])[0] for name in (source, destination))
        try:
            return self._network.flow_sockets.sender(source, address, to)
        except OSError as error:
            raise _failure(key, f"send to UDP port {PORT}", error) from error

    def _fail(self, key: LinkKey, traffic: CrossTraffic, error: OperationError) -> None:
        self._traffic[key], self._errors[key] = traffic, str(error)
        _LOG.error("%s", error)

    def _drop(self, key: LinkKey) -> None:
        self._traffic.pop(key, None)
        self._errors.pop(key, None)
        self._shares.discard(key)
        flow = self._flows.pop(key, None)
        if flow is not None:
            self._pacer.remove(flow)

    def _changed(self, applied: Applied) -> None:
        for change in applied.links:
            if change.link in self._shares and change.after is not None:
                load_kbit = self._traffic[change.link].load_at(change.after.rate_kbit)
                self._pacer.set_load(self._flows[change.link], load_kbit)


def _failure(key: LinkKey, what: str, error: OSError) -> OperationError:
    return OperationError(
        f"{link_name(key)}: cross traffic cannot {what}: {os.strerror(error.errno or 0)}",
        operation=what, namespace=key[0], errno=error.errno or 0, link=key,
    )  # fmt: skip
