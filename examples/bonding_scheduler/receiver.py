"""The receiving end: counts what comes over each link, and reports over the link that it came by."""

from __future__ import annotations

import asyncio
import socket
import time

from examples.bonding_scheduler.wire import FRAME_BYTES, Datagram, Tally

REPORT_EVERY_S = 0.1


class Arrivals(asyncio.DatagramProtocol):
    """One link's end at the receiver."""

    def __init__(self, numbers: set[int]) -> None:
        self._numbers = numbers
        self._tally = Tally()
        self._sender: tuple[str, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        datagram = Datagram.decode(data)
        self._numbers.add(datagram.number)
        self._tally = self._tally.arrived(datagram, frame_bytes=FRAME_BYTES, now=time.monotonic())
        self._sender = addr

    def report(self) -> None:
        if self._sender is not None and self._transport is not None:
            self._transport.sendto(self._tally.report(time.monotonic()).encode(), self._sender)


class Receiver:
    """Receives on one socket for each link. `numbers` are those of the stream that came, by whichever link."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self._ends: list[Arrivals] = []
        self._transports: list[asyncio.DatagramTransport] = []

    async def open(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        transport, end = await loop.create_datagram_endpoint(lambda: Arrivals(self.numbers), sock=sock)
        self._transports.append(transport)
        self._ends.append(end)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            for end in self._ends:
                end.report()

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
