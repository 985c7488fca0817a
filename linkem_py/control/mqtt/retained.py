"""What the retained topics should hold, and which of them the broker has yet to be told."""

from __future__ import annotations

from collections.abc import Callable

Encode = Callable[[], bytes]


class Retained:
    """Values by topic, the latest wins: however often a topic changes, it waits once.

    A value is a function that encodes it, called when its turn has come: what is overwritten before
    costs nothing.
    """

    def __init__(self) -> None:
        self._held: dict[str, Encode] = {}
        self._dirty: dict[str, None] = {}  # in the order in which they wait

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, topic: str) -> bool:
        return topic in self._held

    def __repr__(self) -> str:
        return f"<Retained: {len(self._held)} topics, {len(self._dirty)} to be published>"

    @property
    def dirty(self) -> int:
        """How many topics the broker has yet to be told."""
        return len(self._dirty)

    def put(self, topic: str, encode: Encode) -> None:
        """The topic is to hold this."""
        self._held[topic] = encode
        self._dirty[topic] = None

    def remove(self, topic: str) -> None:
        """The topic is to hold nothing."""
        self._held.pop(topic, None)
        self._dirty[topic] = None

    def keep_only(self, topics: set[str]) -> None:
        """Remove all others."""
        for topic in [topic for topic in self._held if topic not in topics]:
            self.remove(topic)

    def remove_all(self) -> None:
        """Every topic is to hold nothing."""
        for topic in list(self._held):
            self.remove(topic)

    def restore(self) -> None:
        """The broker may have forgotten everything."""
        self._dirty.update(dict.fromkeys(self._held))

    def take(self, most: int) -> list[tuple[str, bytes]]:
        """Topics with their payloads, those first that wait longest; an empty payload clears.

        They count as told; give them to `put_back` if they did not arrive.
        """
        topics = [topic for topic, _ in zip(self._dirty, range(most), strict=False)]
        for topic in topics:
            del self._dirty[topic]
        return [(topic, self._held[topic]() if topic in self._held else b"") for topic in topics]

    def put_back(self, topics: list[str]) -> None:
        """These did not arrive."""
        self._dirty.update(dict.fromkeys(topics))
