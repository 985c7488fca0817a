"""Commands that came before: what was answered to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b
from typing import Generic, TypeVar

import attrs

from linkem_py.control.wire.commands import Carrier, Command, Readdress, Reschedule, Switch, Update
from linkem_py.control.wire.limits import dump
from linkem_py.control.wire.replies import Reply
from linkem_py.control.wire.schedules import schedule_to_json
from linkem_py.errors import RequestError
from linkem_py.model.distribution import DelayTable
from linkem_py.model.schedule import Schedule

P = TypeVar("P")

MOST_IDS = 10_000
MOST_BYTES = 16 * 2**20
_SMALL = 300  # bytes of an entry without what can be long in it, roughly


class Redeliveries(Generic[P]):
    """The last command of each `id`: pending (`P`, whatever stands for that), or its reply.

    A command with the same `id` and the same content is a redelivery. The same `id` with another
    content is a new command, and only the newest of an `id` is remembered. Bounded by the number of
    ids and by what the replies take; the oldest are forgotten first.
    """

    def __init__(self, *, most_ids: int = MOST_IDS, most_bytes: int = MOST_BYTES) -> None:
        self._most_ids, self._most_bytes = most_ids, most_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[bytes, P | Reply, int]] = OrderedDict()

    def find(self, id: str, content: bytes) -> P | Reply | None:  # noqa: A002 - the command's word for it
        """What is known of this very command."""
        entry = self._entries.get(id)
        return entry[1] if entry is not None and entry[0] == content else None

    def remember(self, id: str, content: bytes, what: P | Reply) -> None:  # noqa: A002
        """That the command is pending, or its reply; unless another one of that `id` came after it."""
        entry = self._entries.get(id)
        if isinstance(what, Reply) and (entry is None or entry[0] != content):
            return
        self.forget(id)
        size = _SMALL + len(id) + (_size(what) if isinstance(what, Reply) else 0)
        self._entries[id] = (content, what, size)
        self._bytes += size
        while len(self._entries) > self._most_ids or self._bytes > self._most_bytes:
            self.forget(next(iter(self._entries)))

    def forget(self, id: str) -> None:  # noqa: A002
        """As if it had never come."""
        entry = self._entries.pop(id, None)
        if entry is not None:
            self._bytes -= entry[2]

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Redeliveries: {len(self)} ids, about {self._bytes} bytes>"


def content(command: Command) -> bytes:
    """A digest of all of a command but its `id`. Equal contents in another order of fields count as different."""
    return blake2b("".join(_texts(command)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _texts(command: Command) -> Iterator[str]:
    yield type(command).__name__
    if isinstance(command, Update):
        for change in command.changes:
            yield repr(tuple(change))
            # Its repr is for people and leaves the entries out.
            yield from (repr(value.values) for value in change.fields.values() if isinstance(value, DelayTable))
    elif isinstance(command, Reschedule):
        yield from (f"{change.link!r}{_written(change.schedule)}" for change in command.changes)
    elif isinstance(command, Switch | Carrier | Readdress):
        yield repr(attrs.evolve(command, id=None))
    else:
        yield from (repr(sorted(group)) for group in getattr(command, "groups", ()))


def _written(schedule: Schedule | None) -> str:
    # Its repr is for people and leaves the points of traces out.
    if schedule is None:
        return ""
    try:
        return dump(schedule_to_json(schedule)).decode()
    except (RequestError, ValueError, TypeError):
        return repr(id(schedule))  # one of a class of somebody's own: the same only as itself


def _size(reply: Reply) -> int:
    return 0 if reply.error is None else len(reply.error.message) + len(repr(reply.error.value))
