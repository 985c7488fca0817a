"""One link's cross traffic: packets handed to a sender when they are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from linkem_py.model.cross_stream import CrossStream
from linkem_py.model.cross_traffic import ETHERNET_BYTES, LEAST_PACKET_BYTES
from linkem_py.runtime.changes import CrossTrafficStats

LATE_S = 0.001  # a full frame's time at 12 Mbit/s
BEHIND_S = 0.1  # what is later is not made up for: it would be a burst that nobody asked for


class Sender(Protocol):
    """Takes packets to one destination."""

    def send(self, payload: memoryview) -> None:
        """Send a datagram, or raise `BlockingIOError` if there is no room, `OSError` if it cannot be."""

    def close(self) -> None:
        """Let go of it."""


class Flow:
    """A stream, and where its packets go. Only the pacing thread may call its methods, but for `stats`.

    Parameters
    ----------
    stream : says which packets
    sender : takes them; closed with the flow
    start_s : the stream's beginning on the pacer's clock
    """

    def __init__(self, stream: CrossStream, sender: Sender, start_s: float) -> None:
        self._stream = stream
        self._sender = sender
        self._start_s = start_s
        self._given_up_s = 0.0
        self._sent = self._bytes = self._late = self._dropped = self._refused = 0
        self._longest_late_s = 0.0
        self._payload = memoryview(bytes(max(stream.traffic.sizes)[0]))

    @property
    def next_s(self) -> float:
        """When something is due next, on the pacer's clock."""
        return self._start_s + self._stream.next_s

    def turn(self, now_s: float, clock: Callable[[], float]) -> None:
        """Send what is due at `now_s`; `clock` says how late each packet leaves."""
        behind_s = now_s - self.next_s
        if behind_s > BEHIND_S:
            self._start_s += behind_s
            self._given_up_s += behind_s
        for at_s, size in self._stream.until(now_s - self._start_s + 1e-9):
            self._send(size, clock() - self._start_s - at_s)

    def set_load(self, at_s: float, load_kbit: float, clock: Callable[[], float]) -> None:
        """Go on with another load from a time on, which may be past already."""
        self.turn(at_s, clock)
        self._stream.set_load(at_s - self._start_s, load_kbit)

    def set_sender(self, sender: Sender) -> None:
        """Go on with another sender, which is closed with the flow; the earlier one is closed now."""
        self._sender.close()
        self._sender = sender

    def close(self) -> None:
        """Send no more."""
        self._sender.close()

    def stats(self) -> CrossTrafficStats:
        """Its counters, from any thread."""
        return CrossTrafficStats(
            traffic=self._stream.traffic,
            load_kbit=self._stream.load_kbit,
            sent=self._sent,
            bytes=self._bytes,
            late=self._late,
            longest_late_s=self._longest_late_s,
            dropped=self._dropped,
            refused=self._refused,
            given_up_s=self._given_up_s,
        )

    def __repr__(self) -> str:
        return f"<Flow of {self._stream!r}: {self._sent} sent>"

    def _send(self, size: int, late_s: float) -> None:
        try:
            self._sender.send(self._payload[: size - LEAST_PACKET_BYTES])
        except BlockingIOError:
            self._dropped += 1
        except OSError:
            self._refused += 1
        else:
            self._sent += 1
            self._bytes += size + ETHERNET_BYTES
            if late_s > LATE_S:
                self._late += 1
                self._longest_late_s = max(self._longest_late_s, late_s)
