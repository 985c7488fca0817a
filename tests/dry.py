"""A running network without a kernel, for tests of what stands above it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from linkem_py import Network, Topology
from linkem_py.kernel.codec.decode import ClassRow, QdiscRow
from linkem_py.kernel.driver import KernelDriver
from linkem_py.kernel.fake import INJECTED, FakeDriver
from linkem_py.kernel.rollback import Failure
from linkem_py.model import Capabilities, LinkKey
from linkem_py.plan.operations import Operation


class DryDriver(FakeDriver):
    """`FakeDriver` with what else a network asks of its driver.

    Attributes
    ----------
    batches : what was handed over at once, in order; the first is the network being built
    refused : links of which every operation is refused
    gate : while it is not set, the kernel thread stands still before it carries anything out
    rows : what `qdiscs` returns by (peer, interface); without an entry the counters are zero
    """

    def __init__(self, capabilities: Capabilities, locate: Callable[[Operation], LinkKey | None]) -> None:
        self.batches: list[Sequence[Operation]] = []
        self.refused: set[LinkKey] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.rows: dict[tuple[str, str], list[QdiscRow]] = {}
        self.link_of = locate
        super().__init__(capabilities, locate=locate)
        self.batches.clear()

    def apply(self, operations: Sequence[Operation]) -> None:
        self.gate.wait()
        self.batches.append(operations)
        super().apply(operations)

    def qdiscs(self, name: str, device: str) -> list[QdiscRow]:
        return self.rows.get((name, device), [])

    def classes(self, name: str, device: str, parents: Sequence[int]) -> list[ClassRow]:
        return []

    def _one(self, operation: Operation) -> Failure | None:
        if self.refused and self.link_of(operation) in self.refused:
            return INJECTED
        return super()._one(operation)


class DrySocket:
    """Takes packets and remembers their sizes.

    Attributes
    ----------
    sizes : bytes of payload of each packet
    error : what sending raises instead
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.error: Exception | None = None
        self.closed = False

    def send(self, payload: memoryview) -> None:
        if self.error is not None:
            raise self.error
        self.sizes.append(len(payload))

    def close(self) -> None:
        self.closed = True


class DryFlowSockets:
    """Makes senders and sinks without a kernel.

    Attributes
    ----------
    senders : by (source, its address, the destination's), the newest
    sinks : by peer
    taken : peers in which the port is taken
    homeless : addresses that nothing can be sent from
    """

    def __init__(self) -> None:
        self.senders: dict[tuple[str, str, str], DrySocket] = {}
        self.sinks: dict[str, DrySocket] = {}
        self.taken: set[str] = set()
        self.homeless: set[str] = set()

    def sender(self, source: str, address: str, to: str) -> DrySocket:
        if address in self.homeless:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        made = self.senders[source, address, to] = DrySocket()
        return made

    def sink(self, peer: str) -> DrySocket:
        if peer in self.taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        made = self.sinks[peer] = DrySocket()
        return made


class DryNetwork(Network):
    """A `Network` over a `DryDriver`: everything but programs and sockets in peers, on any machine."""

    def __init__(self, topology: Topology, *, capabilities: Capabilities | None = None, **options: Any) -> None:
        super().__init__(topology, **options)
        self._dry_capabilities = capabilities if capabilities is not None else Capabilities()

    @property
    def dry(self) -> DryDriver:
        """The driver, for looking and for breaking."""
        return cast(DryDriver, self.kernel)

    _few_steps = 0  # all on the kernel thread, which the gate can hold up

    def _make_driver(self) -> KernelDriver:
        return cast(KernelDriver, DryDriver(self.capabilities, self._link_of))

    def _probe(self) -> Capabilities:
        return self._dry_capabilities

    @property
    def flow_sockets(self) -> DryFlowSockets:
        """What takes the packets of cross traffic."""
        if not hasattr(self, "_flow_sockets"):
            self._flow_sockets = DryFlowSockets()
        return self._flow_sockets

    def _evict(self, kernel: KernelDriver, name: str, steps: Sequence[Operation]) -> None:
        kernel.apply(steps)  # nothing lives in the peer
