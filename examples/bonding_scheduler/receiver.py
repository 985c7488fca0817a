"""The receiving end: counts what comes over each link, and reports over the link that it came by."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from examples.bonding_scheduler.wire import DATAGRAM_BYTES, FRAME_BYTES, Datagram, Tally

REPORT_EVERY_S = 0.1
#: What waits while the machine does other things; without the privilege for it, what the kernel grants.
BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it
#: So many datagrams are read at once before others get their turn.
_MOST_AT_ONCE = 64


class Arrivals:
    """One link's end at the receiver."""

    def __init__(self, sock: socket.socket, numbers: set[int]) -> None:
        self._sock, self._numbers = sock, numbers
        self._tally = Tally()
        self._sender: tuple[str, int] | None = None

    def read(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                data, self._sender = self._sock.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                return
            datagram = Datagram.decode(data)
            self._numbers.add(datagram.number)
            self._tally = self._tally.arrived(datagram, frame_bytes=FRAME_BYTES, now=time.monotonic())

    def report(self) -> None:
        if self._sender is not None:
            with contextlib.suppress(OSError):  # a link that is down: the report is lost, as any may be
                self._sock.sendto(self._tally.report(time.monotonic()).encode(), self._sender)


class Receiver:
    """Receives on one socket for each link. `numbers` are those of the stream that came, by whichever link."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self._ends: list[Arrivals] = []
        self._sockets: list[socket.socket] = []

    def open(self, sock: socket.socket) -> None:
        """Take a bound socket, which is closed with this."""
        self._sockets.append(sock)
        sock.setblocking(False)
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        self._ends.append(Arrivals(sock, self.numbers))
        asyncio.get_running_loop().add_reader(sock, self._ends[-1].read)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            for end in self._ends:
                end.report()

    def close(self) -> None:
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
