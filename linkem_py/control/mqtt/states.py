"""What the retained topics of a network should hold, as it changes."""

from __future__ import annotations

import asyncio
from functools import partial

import attrs

from linkem_py.control.mqtt.retained import Retained
from linkem_py.control.wire import json
from linkem_py.control.wire.events import Changed, Event, Missed
from linkem_py.control.wire.states import Description, LinkState
from linkem_py.control.wire.topics import Topics


class States:
    """``status``, ``topology`` and ``link/...`` of one network, kept up to date by its events."""

    def __init__(self, topics: Topics, description: Description) -> None:
        self.revision = description.revision
        self._topics = topics
        self._retained = Retained()
        self._on_their_way = 0
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._described = -1
        self._description = description
        self._retained.put(topics.status, lambda: b"online")
        self.describe(description, everything=True)

    def __repr__(self) -> str:
        return f"<States of {self._topics.network!r} at revision {self.revision}: {self._retained!r}>"

    def note(self, event: Event) -> bool:
        """Take an event in. True if `describe` is needed: links or peers came or went, or events were missed."""
        if isinstance(event, Missed):
            return True
        if not isinstance(event, Changed) or event.revision <= self._described:
            return False
        self.revision = event.revision
        for state in event.links:
            self._put(state)
        for key in event.removed:
            self._retained.remove(self._topics.link(key))
        if event.groups != self._description.groups:
            self._put_topology(attrs.evolve(self._description, groups=event.groups))
        self._look()
        return event.peer is not None or bool(event.removed) or event.what in ("connect", "add_link")

    def describe(self, description: Description, *, everything: bool) -> None:
        """Take a description in: the topology, and with `everything` every link's state."""
        self._put_topology(description)
        if everything:
            # Events that were on their way meanwhile say nothing new.
            self._described = self.revision = description.revision
            links = {self._topics.link(state.link) for state in description.links}
            self._retained.keep_only({self._topics.status, self._topics.topology, *links})
            for state in description.links:
                self._put(state)
        self._look()

    def clear_foreign(self, topic: str) -> None:
        """Something is retained there; it is to be cleared, unless it is ours."""
        if topic not in self._retained:
            self._retained.remove(topic)
            self._look()

    def put_offline(self) -> None:
        """The network has ended, its last states stay."""
        self._retained.put(self._topics.status, lambda: b"offline")
        self._look()

    def remove_all(self) -> None:
        """Every topic is to be cleared."""
        self._retained.remove_all()
        self._look()

    def restore(self) -> None:
        """The broker may have forgotten everything, or published our last will."""
        self._retained.restore()
        self._look()

    def take(self, most: int) -> list[tuple[str, bytes]]:
        """Topics and payloads to publish next; then call `told` or `put_back`."""
        taken = self._retained.take(most)
        self._on_their_way += len(taken)
        self._look()
        return taken

    def told(self, messages: list[tuple[str, bytes]]) -> None:
        """The broker has these."""
        self._on_their_way -= len(messages)
        self._look()

    def put_back(self, messages: list[tuple[str, bytes]]) -> None:
        """The broker may not have these."""
        self._retained.put_back([topic for topic, _ in messages])
        self.told(messages)

    async def something_to_tell(self) -> None:
        """Wait until `take` has something."""
        await self._news.wait()

    async def all_told(self) -> None:
        """Wait until the broker has everything."""
        await self._told.wait()

    def _put_topology(self, description: Description) -> None:
        self._description = description
        self._retained.put(self._topics.topology, lambda: json.dump(json.topology_json(description)))

    def _put(self, state: LinkState) -> None:
        self._retained.put(self._topics.link(state.link), partial(_encoded, state))

    def _look(self) -> None:
        _set(self._news, self._retained.dirty > 0)
        _set(self._told, self._retained.dirty == 0 and self._on_their_way == 0)


def _encoded(state: LinkState) -> bytes:
    return json.dump(json.link_state_json(state))


def _set(event: asyncio.Event, is_so: bool) -> None:
    if is_so:
        event.set()
    else:
        event.clear()
