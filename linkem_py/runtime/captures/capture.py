"""A capture of what a peer's interfaces see, before and after their queues."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs

from linkem_py.errors import CapabilityError, RequestError
from linkem_py.kernel import packet_filter
from linkem_py.kernel.packet_ring import MOST_BYTES, Packet, PacketRing
from linkem_py.plan import addressing
from linkem_py.runtime.captures import expression, pcapng
from linkem_py.runtime.processes import to_the_end

if TYPE_CHECKING:
    from linkem_py.kernel.driver import KernelDriver
    from linkem_py.model.topology import Segment
    from linkem_py.runtime.network import Network

_LOG = logging.getLogger(__name__)
_LEAST_SNAPLEN = 14  # an Ethernet header
_LOOK_MS = 100
_MOST_LINKS = 100  # that an interface's comment names
_NEEDS = ("clsact", "ifb", "mirred", "u32")


@attrs.define(kw_only=True)
class CapturedInterface:
    """One interface of a capture, as the file has it.

    Attributes
    ----------
    name : such as ``eth0 before queues``
    segment : the peer's interface is on this one
    before : sees what is handed to the interface, else what leaves it and what arrives
    packets : captured so far
    """

    name: str
    segment: str
    before: bool
    packets: int = 0


class Capture:
    """Writes packets to a pcapng file: ``async with net.peer("eu").capture("eu.pcapng") as capture``.

    The file has two interfaces for each one that the peer has: ``eth0 before queues`` with what is handed to
    eth0, as it is sent, and ``eth0 after queues`` with what leaves the queues, and with what arrives. So a
    packet of this peer is there twice, first when it was sent, then when its link let it go, if it did.
    Times are the kernel's, in nanoseconds. Ends with the network, or with the peer, at the latest.

    Parameters
    ----------
    target : a file, replaced if it is there; or a file descriptor, which stays open
    segment : the peer's interface there; None: all that it has now
    snaplen : so many bytes of a packet are kept, 14 to 65535
    filter : which packets, in tcpdump's language (pcap-filter(7)), which needs tcpdump; None: all
    count : end after so many packets; None: never

    Attributes
    ----------
    packets : captured so far
    dropped : packets that came too fast; known when it has ended
    interfaces : see `CapturedInterface`
    error : why the file could not be written any more; the capture has ended then

    Raises `RequestError` when made; on entering `CapabilityError` if the kernel cannot copy packets before
    queues, `ToolMissingError`, OSError. Leaving raises `error`, if there is one.
    """

    def __init__(
        self,
        network: Network,
        peer: str,
        target: str | os.PathLike[str] | int,
        *,
        segment: str | None = None,
        snaplen: int = MOST_BYTES,
        filter: str | None = None,  # noqa: A002 - as everybody calls it
        count: int | None = None,
    ) -> None:
        topology = network.topology
        where = f"capture of {peer}"
        if segment is not None and not topology.is_on(peer, segment):
            raise RequestError("segment", "is not one that the peer is on", segment, where=where)
        if isinstance(snaplen, bool) or not isinstance(snaplen, int) or not _LEAST_SNAPLEN <= snaplen <= MOST_BYTES:
            raise RequestError(
                "snaplen", f"must be between {_LEAST_SNAPLEN} and {MOST_BYTES} bytes", snaplen, where=where
            )
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise RequestError("count", "must be a whole number of at least 1", count, where=where)
        self.peer = peer
        self.packets = self.dropped = 0
        self.interfaces: list[CapturedInterface] = []
        self.error: OSError | None = None
        self._network = network
        self._target = target
        self._segments: list[Segment] = [found for found in topology.segments_of(peer) if segment in (None, found.name)]
        if not self._segments:
            raise RequestError("peer", "is on no segment", peer)
        self._snaplen, self._filter, self._count = snaplen, filter, count
        self._kernel: KernelDriver | None = None
        self._copied: list[str] = []  # devices
        self._numbers: dict[int, int] = {}  # in the file, by the kernel's index
        self._ring: PacketRing | None = None
        self._started_ns = 0
        self._fd = -1
        self._bell = -1
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin. Leaves nothing behind if it fails or is cancelled."""
        if self._kernel is not None:
            raise RuntimeError("a Capture runs once")
        self._kernel = self._network.kernel
        try:
            self._need_copies()
            program = packet_filter.keep(self._snaplen)
            if self._filter is not None:
                program = await expression.program(self._filter, self._snaplen)
            await to_the_end(asyncio.ensure_future(self._open(self._kernel, program)))
        except BaseException:
            await self._take_down()
            raise

    async def stop(self) -> None:
        """End; the file is complete then. Twice is harmless. Raises `error`, if there is one."""
        if self._kernel is None:
            return
        self.end()
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._take_down())
        await to_the_end(self._stopping)
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        """Have it end, without waiting for that."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    async def wait(self) -> None:
        """Until it has ended: by `count`, with the network or the peer, or because of `error`."""
        await self._ended.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        except OSError:
            if error is None:
                raise

    def __repr__(self) -> str:
        state = "new" if self._kernel is None else "ended" if self._ended.is_set() else "running"
        return f"<Capture of {self.peer!r}, {state}: {self.packets:,} packets>"

    # --- beginning and end -----------------------------------------------------------------------

    def _need_copies(self) -> None:
        found = self._network.capabilities
        if missing := [name for name in _NEEDS if not getattr(found, name)]:
            raise CapabilityError(
                f"the kernel {found.release} lacks {', '.join(missing)}, which a capture before queues needs: "
                "run it inside a user-mode kernel (linkem guest -- COMMAND), or see linkem doctor"
            )

    async def _open(self, kernel: KernelDriver, program: Sequence[packet_filter.Instruction]) -> None:
        captures = self._network.captures
        for segment in self._segments:
            device = addressing.interface(segment)
            copies = await captures.copy(kernel, self.peer, device)
            self._copied.append(device)
            for name, before in ((copies, True), (device, False)):
                self._numbers[kernel.index(self.peer, name)] = len(self.interfaces)
                words = f"{device} {'before' if before else 'after'} queues"
                self.interfaces.append(CapturedInterface(name=words, segment=segment.name, before=before))
        self._fd = self._open_target()
        self._write([self._head()])
        self._started_ns = time.time_ns()
        self._ring = kernel.run_in(self.peer, lambda: PacketRing(tuple(self._numbers), program))
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._work, args=(self._ring, loop), name=f"linkem-capture-{self.peer}", daemon=True
        )
        captures.add(self)
        self._thread.start()

    def _open_target(self) -> int:
        if isinstance(self._target, int):
            return os.dup(self._target)
        try:
            return os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RequestError(
                "file",
                f"must be one to write to ({error.strerror})",
                os.fspath(self._target),
                where=f"capture of {self.peer}",
            ) from error

    async def _take_down(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join)
        self._ended.set()
        self._network.captures.discard(self)
        if self._ring is not None:
            self._ring.close()
        for fd in (self._fd, self._bell):
            if fd >= 0:
                os.close(fd)
        self._fd = self._bell = -1
        assert self._kernel is not None
        while self._copied:
            await self._network.captures.let_go(self._kernel, self.peer, self._copied.pop())

    # --- on the capture's own thread ----------------------------------------------------------------

    def _work(self, ring: PacketRing, loop: asyncio.AbstractEventLoop) -> None:
        try:
            if self._follow(ring):
                self._store(ring.end())
            ring.count()
            self.dropped = ring.dropped
            self._write(self._tail())
        except OSError as error:
            self.error = error
            _LOG.error("the capture of %s ends: %s", self.peer, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(self._ended.set)

    def _follow(self, ring: PacketRing) -> bool:
        """Store what comes until the end is asked for (True), or there is enough (False)."""
        poll = select.poll()
        poll.register(ring.fileno(), select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll(_LOOK_MS)}
            while packets := ring.read():
                if self._store(packets):
                    return False
            if self._bell in ready:
                return True

    def _store(self, packets: Iterable[Packet]) -> bool:
        """Write packets down; whether there are as many as were asked for."""
        blocks = []
        full = False
        for packet in packets:
            number = self._numbers[packet.ifindex]
            interface = self.interfaces[number]
            direction = pcapng.OUTBOUND if packet.outgoing else pcapng.INBOUND
            blocks.append(pcapng.packet(number, packet.time_ns, packet.length, packet.data, direction))
            interface.packets += 1
            self.packets += 1
            if full := self.packets == self._count:
                break
        self._write(blocks)
        return full

    def _write(self, blocks: Iterable[bytes]) -> None:
        data = memoryview(b"".join(blocks))
        while data:
            data = data[os.write(self._fd, data) :]

    # --- what the file says beside packets ----------------------------------------------------------

    def _head(self) -> bytes:
        net = self._network
        name = net.topology.name
        blocks = [
            pcapng.section(
                application="linkem_py",
                system=f"Linux {net.capabilities.release}",
                comment=f"network {name}, peer {self.peer}, seed {net.seed}, revision {net.revision}",
            )
        ]
        for interface in self.interfaces:
            about = "what is handed to the interface" if interface.before else "what leaves its queues, what arrives"
            blocks.append(
                pcapng.interface(
                    name=interface.name,
                    description=f"peer {self.peer}, segment {interface.segment}: {about}",
                    comment=self._comment(interface.segment),
                    snaplen=self._snaplen,
                    expression=self._filter or "",
                )
            )
        return b"".join(blocks)

    def _comment(self, segment: str) -> str:
        topology = self._network.topology
        lines = [f"network {topology.name}, peer {self.peer}, segment {segment}"]
        links = list(topology.outgoing(self.peer, segment))
        for link in links[:_MOST_LINKS]:
            fields = ", ".join(f"{name}={value}" for name, value in link.impairment.set_fields().items())
            lines.append(f"link {link.source}->{link.destination} when the capture began: {fields or 'unimpaired'}")
        if len(links) > _MOST_LINKS:
            lines.append(f"and {len(links) - _MOST_LINKS} more links")
        return "\n".join(lines)

    def _tail(self) -> list[bytes]:
        now_ns = time.time_ns()
        return [
            pcapng.statistics(
                number,
                start_ns=self._started_ns,
                end_ns=now_ns,
                received=interface.packets,
                # The kernel counts for all of them at once.
                dropped=None if number else self.dropped,
                comment="" if number else "dropped: on all interfaces of this capture together",
            )
            for number, interface in enumerate(self.interfaces)
        ]
