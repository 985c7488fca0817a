"""The packets of cross traffic, one after the other. No clock: whoever asks says until when."""

from __future__ import annotations

import bisect
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

from linkem_py.model.cross_traffic import ETHERNET_BYTES, CrossTraffic
from linkem_py.model.schedule.randomness import exponentials, seed_from, uniforms

if TYPE_CHECKING:
    from linkem_py.model.topology import LinkKey  # topologies have cross traffic


class Packet(NamedTuple):
    """When a packet is due, in seconds since the stream began, and its size with IP's header."""

    at_s: float
    packet_bytes: int


class CrossStream:
    """The packets that cross traffic consists of, from one seed.

    Packets stand one behind the other in a flow of bits, which runs at the load while it is on: so what
    is drawn for a packet does not depend on the load, nor on when the load changes. However a time is
    cut into spans, `until` gives the same packets at the same times.

    Parameters
    ----------
    traffic : what to send
    seed : where gaps, sizes and times on and off come from, each on its own
    load_kbit : the load at the beginning, `CrossTraffic.load_at`
    """

    def __init__(self, traffic: CrossTraffic, seed: int, load_kbit: float) -> None:
        self.traffic = traffic
        self._exponentials = exponentials(seed_from(seed, "gaps"))
        self._uniforms = uniforms(seed_from(seed, "sizes"))
        self._times = exponentials(seed_from(seed, "times"))
        self._sizes = [size for size, _ in traffic.sizes]
        self._cumulated = list(itertools.accumulate(weight for _, weight in traffic.sizes))
        self._mean_bits = 8 * traffic.mean_frame_bytes
        self._bits_per_s = load_kbit * 1000
        self._from_s = self._from_bits = 0.0  # a time since which load and state are the same, and the bits by then
        self._until_s = 0.0
        self._bytes = self._draw_size()
        # A stream is met at any moment of its life: no two of them begin with a packet at once.
        first = next(self._uniforms) if traffic.arrivals == "paced" else next(self._exponentials)
        self._next_bits = first * self._mean_bits
        self._on, self._turn_s = True, math.inf
        if traffic.on_ms is not None:
            self._on = next(self._uniforms) < traffic.mean_share
            self._turn_s = self._draw_time()

    @property
    def is_on(self) -> bool:
        """Whether it sends, not in a time off."""
        return self._on

    @property
    def load_kbit(self) -> float:
        """The load while it is on."""
        return self._bits_per_s / 1000

    @property
    def next_s(self) -> float:
        """When there is something to do next: a packet, or a time on or off that ends. Infinite without a load."""
        return min(self._packet_s, self._turn_s)

    def until(self, end_s: float) -> list[Packet]:
        """The packets due before `end_s` that were not given yet."""
        packets: list[Packet] = []
        self._until_s = max(self._until_s, end_s)
        while True:
            at_s = self._packet_s
            if at_s >= self._turn_s:
                if self._turn_s >= end_s:
                    return packets
                self._mark(self._turn_s)
                self._on = not self._on
                self._turn_s += self._draw_time()
            elif at_s >= end_s:
                return packets
            else:
                packets.append(Packet(at_s, self._bytes))
                self._go_on()

    def set_load(self, at_s: float, load_kbit: float) -> None:
        """Go on with another load from `at_s`, or from where packets have been taken up to, if that is later."""
        self.until(at_s)
        self._mark(self._until_s)
        self._bits_per_s = load_kbit * 1000

    def __repr__(self) -> str:
        state = "on" if self._on else "off"
        return f"<CrossStream: {self.load_kbit:g} kbit/s, {state}, next at {self.next_s:g} s>"

    @property
    def _packet_s(self) -> float:
        if not self._on or not self._bits_per_s:
            return math.inf
        return self._from_s + (self._next_bits - self._from_bits) / self._bits_per_s

    def _mark(self, at_s: float) -> None:
        """Count from `at_s`, because from then on bits come at another speed."""
        if self._on:
            bits = self._from_bits + self._bits_per_s * (at_s - self._from_s)
            self._from_bits = min(bits, self._next_bits)  # rounding must not pass the next packet
        self._from_s = at_s

    def _go_on(self) -> None:
        paced = self.traffic.arrivals == "paced"
        own_bits = 8 * (ETHERNET_BYTES + self._bytes)
        self._next_bits += own_bits if paced else next(self._exponentials) * self._mean_bits
        self._bytes = self._draw_size()

    def _draw_size(self) -> int:
        if len(self._sizes) == 1:
            return self._sizes[0]
        return self._sizes[bisect.bisect(self._cumulated, next(self._uniforms) * self._cumulated[-1])]

    def _draw_time(self) -> float:
        mean_ms = self.traffic.on_ms if self._on else self.traffic.off_ms
        assert mean_ms is not None
        return next(self._times) * mean_ms / 1000


def cross_seed(run_seed: int, link: LinkKey) -> int:
    """The seed of a link's cross traffic, from the run's seed and the link's identity."""
    return seed_from(run_seed, "cross traffic", *link)
