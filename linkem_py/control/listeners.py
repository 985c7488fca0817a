"""Who listens to what happens in a network: a bounded queue of events for each of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

import attrs

from linkem_py.control.wire.events import Changed, Event, Missed

MOST_EVENTS = 1_000
MOST_LINKS = 20_000  # a change of many links is one event, but not a small one


class Listener(AsyncIterator[Event]):
    """Events for one reader, in order. What a slow reader has no room for is counted in a `Missed` in its place.

    Once something was dropped, events are taken again when half of the queue has been read, so that
    a reader who is always late gets a few stretches of events, not every second one.
    """

    def __init__(self, *, most_events: int = MOST_EVENTS, most_links: int = MOST_LINKS) -> None:
        self._most_events, self._most_links = most_events, most_links
        self._events: deque[Event] = deque()
        self._links = 0
        self._dropping = False
        self._closed = False
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        """Add an event, or count it as missed."""
        if self._closed:
            return
        share = 2 if self._dropping else 1
        full = self._events and (
            len(self._events) >= self._most_events // share or self._links + _links(event) > self._most_links // share
        )
        if full:
            self._drop(event)
        else:
            self._dropping = False
            self._append(event)

    def close(self) -> None:
        """No more events: the iterator ends after those that wait."""
        self._closed = True
        self._news.set()

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        self._links -= _links(event)
        return event

    def __repr__(self) -> str:
        return f"<Listener: {len(self._events)} events of {self._links} links wait>"

    def _append(self, event: Event) -> None:
        self._events.append(event)
        self._links += _links(event)
        self._news.set()

    def _drop(self, event: Event) -> None:
        count = event.count if isinstance(event, Missed) else 1
        last = self._events[-1]
        if self._dropping and isinstance(last, Missed):
            self._events[-1] = attrs.evolve(last, count=last.count + count)
        else:
            self._dropping = True
            self._append(Missed(at=time.time(), count=count))


class Listeners:
    """All listeners of a network. False while there is none."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed = False

    def put(self, event: Event) -> None:
        """Tell everybody."""
        for listener in self._listeners:
            listener.put(event)

    def close(self) -> None:
        """End every iterator, also those of whoever comes later."""
        self._closed = True
        for listener in self._listeners:
            listener.close()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncIterator[Event]]:
        """Events from entering on."""
        listener = Listener()
        if self._closed:
            listener.close()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def __len__(self) -> int:
        return len(self._listeners)


def _links(event: Event) -> int:
    return len(event.links) + len(event.removed) if isinstance(event, Changed) else 0
