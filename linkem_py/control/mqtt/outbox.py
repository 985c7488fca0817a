"""What waits to be published, bounded however long the broker is away."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import attrs


@attrs.frozen(kw_only=True, eq=False)
class Outgoing:
    """A message on its way out.

    Attributes
    ----------
    topic, payload, qos, retain : as published
    correlation : MQTT 5 correlation data, for a message to a response topic
    mark : only there to be acknowledged; worthless on another connection
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    correlation: bytes | None = None
    mark: bool = False


class Outbox:
    """Messages in the order in which they go out; the oldest make room when it is full.

    A message of QoS 1 stays until the broker has acknowledged it: after a lost connection it goes out
    again, in front of what waits.

    Parameters
    ----------
    most_messages, most_bytes : bounds of what waits and of what is not acknowledged, together
    """

    def __init__(self, *, most_messages: int = 20_000, most_bytes: int = 16 << 20) -> None:
        self.most_messages = most_messages
        self.most_bytes = most_bytes
        self.bytes = 0
        self.dropped = 0
        self._waiting: deque[Outgoing] = deque()
        self._in_flight: dict[int, Outgoing] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight)

    def __repr__(self) -> str:
        return f"<Outbox: {len(self._waiting)} wait, {len(self._in_flight)} in flight, {self.dropped} dropped>"

    @property
    def in_flight(self) -> int:
        """How many were sent and not acknowledged."""
        return len(self._in_flight)

    def put(self, message: Outgoing) -> None:
        """Add one; the oldest that waits goes if that is too much."""
        self._waiting.append(message)
        self.bytes += len(message.payload)
        self._bound()

    def take(self, window: int) -> Iterator[Outgoing]:
        """The next ones to send, as long as fewer than `window` are in flight; tell `sent` of each at once."""
        while self._waiting and len(self._in_flight) < window:
            yield self._waiting.popleft()

    def sent(self, message: Outgoing, number: int) -> None:
        """It was handed to the connection under this number, and waits for its acknowledgement."""
        self._in_flight[number] = message

    def acknowledged(self, number: int) -> Outgoing | None:
        """The message that the broker has taken; None for a number that is not of ours."""
        message = self._in_flight.pop(number, None)
        if message is not None:
            self.bytes -= len(message.payload)
        return message

    def disconnected(self) -> None:
        """What was not acknowledged goes out again, first, in its old order; marks are gone."""
        again = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting = deque(message for message in again if not message.mark)
        self.bytes = sum(len(message.payload) for message in self._waiting)

    def take_dropped(self) -> int:
        """How many had to make room since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    def _bound(self) -> None:
        while self._waiting and (len(self) > self.most_messages or self.bytes > self.most_bytes):
            self.bytes -= len(self._waiting.popleft().payload)
            self.dropped += 1
