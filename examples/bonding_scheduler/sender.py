"""The sending end: paces the stream, spreads it over the links, and decides anew with the reports."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter

from examples.bonding_scheduler.balance import Balance
from examples.bonding_scheduler.round_robin import pick
from examples.bonding_scheduler.wire import FRAME_BYTES, REPORT_BYTES, Datagram, Report

DECIDE_EVERY_S = 0.25
#: A link that had no datagram for so long gets the next, whatever its weight: without any it could not be judged.
PROBE_EVERY_S = 0.25
TICK_S = 0.005
#: What a stalled machine did not send in time is not sent late, all at once: that would fill the queues.
MOST_BEHIND_S = 0.02


class Sender:
    """Sends by one connected socket for each link. `balance` is what it believes now."""

    def __init__(self, balance: Balance) -> None:
        self.balance = balance
        self.sent: Counter[str] = Counter()  # datagrams by link
        self._sockets: dict[str, socket.socket] = {}
        self._standing: dict[str, float] = {}
        self._sent_at: dict[str, float] = {}

    def open(self, link: str, sock: socket.socket) -> None:
        """Take a connected socket, which is closed with this."""
        self._sockets[link] = sock
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._hear, link, sock)
        self._sent_at[link] = time.monotonic()

    def _hear(self, link: str, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # nothing there after all, or a report of ICMP's instead
            self.balance = self.balance.hear(link, Report.decode(sock.recv(REPORT_BYTES)), time.monotonic())

    async def run(self) -> None:
        """Send until cancelled."""
        decided = before = time.monotonic()
        owed_bytes = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            if now - decided >= DECIDE_EVERY_S:
                self.balance = self.balance.after(now - decided, now)
                decided = now
            byte_rate = self.balance.bitrate.kbit * 1000 / 8
            owed_bytes += byte_rate * (now - before)
            owed_bytes = min(owed_bytes, max(byte_rate * MOST_BEHIND_S, 2 * FRAME_BYTES))
            before = now
            while owed_bytes >= FRAME_BYTES:
                owed_bytes -= FRAME_BYTES
                self._send(self._next_link(now), now)

    def _next_link(self, now: float) -> str:
        idle = min(self._sent_at, key=self._sent_at.__getitem__)
        if now - self._sent_at[idle] > PROBE_EVERY_S:
            return idle
        link, self._standing = pick(self._standing, self.balance.weights)
        return link

    def _send(self, link: str, now: float) -> None:
        self._sent_at[link] = now
        self.sent[link] += 1
        datagram = Datagram(number=self.sent.total(), on_link=self.sent[link], sent_us=round(now * 1e6))
        with contextlib.suppress(OSError):  # no room, or the link is down: lost, as any may be
            self._sockets[link].send(datagram.encode())

    def close(self) -> None:
        for sock in self._sockets.values():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
