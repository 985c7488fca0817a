"""What was done to a network, and whoever wants to be told."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, overload

from linkem_py.model.topology import LinkKey
from linkem_py.runtime.changes import Applied

Listener: TypeAlias = Callable[[Applied], None]

_LOG = logging.getLogger(__name__)


class Journal(Sequence[Applied]):
    """The last changes of a network, oldest first: as many as keep it below a size.

    The last change is always there, however large.

    Attributes
    ----------
    most : links and steps in the kernel to keep, which are what takes memory
    revision : counts all changes, also those that are gone
    """

    def __init__(self, *, most: int = 10_000) -> None:
        self.most = most
        self.revision = 0
        self._entries: deque[Applied] = deque()
        self._size = 0
        self._stamps: dict[LinkKey, tuple[int, float]] = {}
        self._listeners: dict[object, Listener] = {}

    def append(self, applied: Applied) -> None:
        """Add the newest change, and tell it; the oldest go."""
        self.revision = applied.revision
        self._entries.append(applied)
        self._size += _size(applied)
        while self._size > self.most and len(self._entries) > 1:
            self._size -= _size(self._entries.popleft())
        self._note_links(applied)
        for listener in tuple(self._listeners.values()):
            try:
                listener(applied)
            except Exception:
                _LOG.exception("a listener failed at revision %d", applied.revision)

    def stamp_of(self, key: LinkKey) -> tuple[int, float] | None:
        """Revision and time of a link's last change; None if it was never changed."""
        return self._stamps.get(key)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have every change told as soon as it is added, in order. Returns what ends that."""
        token = object()
        self._listeners[token] = listener

        def unsubscribe() -> None:
            self._listeners.pop(token, None)

        return unsubscribe

    @overload
    def __getitem__(self, index: int) -> Applied: ...

    @overload
    def __getitem__(self, index: slice) -> list[Applied]: ...

    def __getitem__(self, index: int | slice) -> Applied | list[Applied]:
        return list(self._entries)[index] if isinstance(index, slice) else self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Applied]:
        return iter(tuple(self._entries))

    def __repr__(self) -> str:
        return f"<Journal: the last {len(self)} of {self.revision} changes>"

    def _note_links(self, applied: Applied) -> None:
        stamp = (applied.revision, applied.at)
        for change in applied.links:
            if change.after is None:
                self._stamps.pop(change.link, None)
            else:
                self._stamps[change.link] = stamp


def _size(applied: Applied) -> int:
    return max(1, len(applied.links), len(applied.steps))
