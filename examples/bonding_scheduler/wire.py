"""What goes over the links: numbered datagrams one way, reports the other."""

from __future__ import annotations

import struct

import attrs

_DATAGRAM = struct.Struct("!IIQ")
_REPORT = struct.Struct("!IIQQI")
DATAGRAM_BYTES, REPORT_BYTES = 1000, _REPORT.size
#: What a datagram of that size is on the wire: UDP, IPv4 and Ethernet headers, as the links' rates count.
FRAME_BYTES = DATAGRAM_BYTES + 8 + 20 + 14


@attrs.frozen(kw_only=True)
class Datagram:
    """A piece of the stream: its number in the stream, its number on its link (both from 1), when it was sent."""

    number: int
    on_link: int
    sent_us: int

    def encode(self) -> bytes:
        return _DATAGRAM.pack(self.number, self.on_link, self.sent_us).ljust(DATAGRAM_BYTES, b"\0")

    @classmethod
    def decode(cls, data: bytes) -> Datagram:
        number, on_link, sent_us = _DATAGRAM.unpack_from(data)
        return cls(number=number, on_link=on_link, sent_us=sent_us)


@attrs.frozen(kw_only=True)
class Report:
    """What a receiver has seen of one link, as sums since the start, so that a lost report costs nothing.

    As the receiver reports of RTP (RFC 3550, 6.4.1): the highest number and the count tell the loss; the time
    stamp of the last datagram and how long it was held tell the round trip, by the sender's clock alone.
    """

    highest: int = 0
    received: int = 0
    received_bytes: int = 0
    echo_us: int = 0
    held_us: int = 0

    def encode(self) -> bytes:
        return _REPORT.pack(self.highest, self.received, self.received_bytes, self.echo_us, self.held_us)

    @classmethod
    def decode(cls, data: bytes) -> Report:
        highest, received, received_bytes, echo_us, held_us = _REPORT.unpack(data)
        return cls(highest=highest, received=received, received_bytes=received_bytes, echo_us=echo_us, held_us=held_us)


@attrs.frozen(kw_only=True)
class Tally:
    """The receiver's side of a link."""

    so_far: Report = attrs.field(factory=Report)
    last_at_s: float = 0.0

    def arrived(self, datagram: Datagram, *, frame_bytes: int, now: float) -> Tally:
        """The tally with one more datagram.

        The echo is that of the last to arrive, not of the highest number: that would prefer those that overtake.
        """
        old = self.so_far
        counted = Report(
            highest=max(datagram.on_link, old.highest),
            received=old.received + 1,
            received_bytes=old.received_bytes + frame_bytes,
            echo_us=datagram.sent_us,
        )
        return Tally(so_far=counted, last_at_s=now)

    def report(self, now: float) -> Report:
        held_us = min(round((now - self.last_at_s) * 1e6), 2**32 - 1)
        return attrs.evolve(self.so_far, held_us=held_us)
