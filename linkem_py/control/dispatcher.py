"""Commands to a network: in order, a backlog in few kernel batches, redeliveries once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from linkem_py.control.redeliveries import Redeliveries, content
from linkem_py.control.wire.commands import (
    Carrier,
    Command,
    LinkUpdate,
    Partition,
    Readdress,
    Reschedule,
    Switch,
    Update,
)
from linkem_py.control.wire.json import problem_of
from linkem_py.control.wire.replies import Reply
from linkem_py.control.wire.schedules.bounds import changes_count
from linkem_py.errors import LinkemError, RequestError
from linkem_py.model import LinkKey
from linkem_py.model.distribution import DelayTable
from linkem_py.model.schedule import Schedule
from linkem_py.runtime.changes import Applied, Change, Clearing

if TYPE_CHECKING:
    from linkem_py.runtime.network import Network

MOST_COMMANDS = 10_000  # that wait
MOST_CHANGES = 250_000  # of links, in the commands that wait: what takes the memory
BATCH_CHANGES = 2_000  # of links in one kernel batch, so that the first of a long backlog does not wait for the last

_LOG = logging.getLogger(__name__)

Batch: TypeAlias = Mapping[LinkKey, Change]
Outcome: TypeAlias = "Applied | Exception"


@attrs.define(eq=False)
class _Pending:
    """A command that waits or is under way, and all who wait for its reply."""

    command: Command
    weight: int
    content: bytes
    replies: list[asyncio.Future[Reply]]


class Dispatcher:
    """Carries out commands one after the other, in the order in which they came.

    When it comes to an update, all updates that wait directly behind it go into the same kernel
    batch, up to a bound; each is still all or nothing for itself and gets its own reply. All other
    commands stand alone. A command is never held back in the hope for more.

    What comes again with the same `id` and the same content is not carried out again: it gets the
    first one's reply, also an error. So a new attempt needs a new `id`.

    Parameters
    ----------
    net : the network
    refused : called with each command that failed and its reply, before whoever waits hears of it
    most_commands, most_changes : how much may wait; beyond, commands are refused at once
    """

    def __init__(
        self,
        net: Network,
        *,
        refused: Callable[[Command, Reply], None] = lambda command, reply: None,
        most_commands: int = MOST_COMMANDS,
        most_changes: int = MOST_CHANGES,
    ) -> None:
        self._net = net
        self._refused = refused
        self._most_commands, self._most_changes = most_commands, most_changes
        self._waiting: deque[_Pending] = deque()
        self._commands = self._changes = 0  # not yet answered
        self._seen: Redeliveries[_Pending] = Redeliveries()
        self._closed = False
        self._news = asyncio.Event()

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """Hand a command over. The future may be cancelled without harm: the command is carried out all the same."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._closed:
            _fail(future)
            return future
        digest = content(command) if command.id is not None else b""
        known = self._seen.find(command.id, digest) if command.id is not None else None
        weight = _weight(command)
        if isinstance(known, Reply):
            future.set_result(known)
        elif self._commands >= self._most_commands or self._changes + weight > self._most_changes:
            future.set_result(self._overload(command))
        elif known is not None:
            self._commands += 1
            known.replies.append(future)
        else:
            self._accept(_Pending(command, weight, digest, [future]))
        return future

    async def run(self) -> None:
        """Carry commands out until closed."""
        try:
            while not self._closed:
                if self._waiting:
                    await self._turn(self._take())
                else:
                    self._news.clear()
                    await self._news.wait()
        finally:
            self.close()  # however it ended: nobody waits for a reply that cannot come

    def close(self) -> None:
        """Take nothing more. What waits fails with `ConnectionError`; what is under way is still answered."""
        self._closed = True
        self._give_up(self._waiting)
        self._waiting.clear()
        self._news.set()

    def __repr__(self) -> str:
        return f"<Dispatcher: {self._commands} commands of {self._changes} changes not answered yet>"

    # --- taking in -----------------------------------------------------------------------------

    def _accept(self, pending: _Pending) -> None:
        self._commands += 1
        self._changes += pending.weight
        if pending.command.id is not None:
            self._seen.remember(pending.command.id, pending.content, pending)
        self._waiting.append(pending)
        self._news.set()

    def _overload(self, command: Command) -> Reply:
        # Not remembered: the same command may come again when there is room.
        if self._commands >= self._most_commands:
            most, found = f"{self._most_commands} commands", self._commands
        else:
            most, found = f"{self._most_changes} link changes", self._changes + _weight(command)
        rule = f"must be at most {most}: wait for replies before sending more"
        reply = self._failed(command, RequestError("backlog", rule, found))
        self._refused(command, reply)
        return reply

    # --- carrying out --------------------------------------------------------------------------

    async def _turn(self, taken: Sequence[_Pending]) -> None:
        try:
            outcomes = await self._carry_out(taken)
            if self._ended():
                self.close()
            for pending, outcome in zip(taken, outcomes, strict=True):
                self._settle(pending, outcome)
        finally:
            self._give_up(taken)

    def _take(self) -> list[_Pending]:
        """The command whose turn it is, and those that can go with it."""
        taken = [self._waiting.popleft()]
        changes = taken[0].weight
        while self._waiting and all(isinstance(one.command, Update) for one in (taken[0], self._waiting[0])):
            changes += self._waiting[0].weight
            if changes > BATCH_CHANGES:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _carry_out(self, taken: Sequence[_Pending]) -> Sequence[Outcome]:
        """What became of each. Errors that nobody foresaw are the command's, not the dispatcher's."""
        try:
            if isinstance(taken[0].command, Update):
                return await self._update([one.command for one in taken if isinstance(one.command, Update)])
            else:
                return [await self._alone(taken[0].command)]
        except Exception as error:
            if len(taken) == 1 or self._ended():
                return [error] * len(taken)
            # Which of them it was is not known: one by one. What was done already is the same if done twice.
            return [outcome for one in taken for outcome in await self._carry_out([one])]

    async def _alone(self, command: Command) -> Applied:
        if isinstance(command, Partition):
            return await self._net.partition(*command.groups)
        elif isinstance(command, Reschedule):
            return await self._reschedule(command)
        elif isinstance(command, Switch):
            source, destination, segment = command.link
            switch = self._net.up if command.up else self._net.down
            return await switch(source, destination, segment=segment, one_way=not command.both)
        elif isinstance(command, Carrier):
            return await self._net.carrier(command.peer, segment=command.segment, up=command.up)
        elif isinstance(command, Readdress):
            return await self._net.readdress(
                command.peer, segment=command.segment, ipv4=command.ipv4, ipv6=command.ipv6
            )
        else:
            return await self._net.heal()

    async def _reschedule(self, command: Reschedule) -> Applied:
        schedules = dict(command.changes)
        if len(schedules) < len(command.changes):
            raise RequestError("changes", "must not name a link twice", len(command.changes))
        return await self._net.set_schedules(schedules)

    async def _update(self, updates: Sequence[Update]) -> list[Outcome]:
        outcomes: list[Outcome | None] = []
        batches: list[Batch] = []
        for update in updates:
            batch = _batch(update)
            if isinstance(batch, RequestError):
                outcomes.append(batch)
            else:
                outcomes.append(None)
                batches.append(batch)
        made = iter(await self._net.update_batches(batches) if batches else ())
        return [outcome if outcome is not None else next(made) for outcome in outcomes]

    def _ended(self) -> bool:
        try:
            self._net.kernel  # noqa: B018 - it says whether there is one
        except RuntimeError:
            return True
        return False

    # --- answering -----------------------------------------------------------------------------

    def _settle(self, pending: _Pending, outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            if not isinstance(outcome, LinkemError):
                if self._closed:
                    return  # it is the network's end that it ran into
                _LOG.error("a command failed", exc_info=outcome)
            reply = self._failed(pending.command, outcome)
            self._refused(pending.command, reply)
        else:
            reply = Reply(ok=True, id=pending.command.id, revision=outcome.revision, applied_at=outcome.at)
        if pending.command.id is not None:
            self._seen.remember(pending.command.id, pending.content, reply)
        self._forget(pending)
        for future in pending.replies:
            if not future.done():
                future.set_result(reply)
        pending.replies = []

    def _give_up(self, what: Sequence[_Pending] | deque[_Pending]) -> None:
        for pending in what:
            if pending.replies:  # not settled
                self._forget(pending)
                for future in pending.replies:
                    _fail(future)
                pending.replies = []

    def _forget(self, pending: _Pending) -> None:
        self._commands -= len(pending.replies)
        self._changes -= pending.weight

    def _failed(self, command: Command, error: Exception) -> Reply:
        return Reply(ok=False, id=command.id, revision=self._net.revision, error=problem_of(error))


def _fail(future: asyncio.Future[Reply]) -> None:
    if not future.done():
        future.set_exception(ConnectionError("the network has ended"))
        future.exception()  # seen: nobody has to wait for a reply


def _batch(update: Update) -> Batch | RequestError:
    changes: dict[LinkKey, Change] = {
        change.link: Clearing(change.fields) if change.clear else change.fields for change in update.changes
    }
    if len(changes) < len(update.changes):
        return RequestError("changes", "must not name a link twice", len(update.changes))
    return changes


def _weight(command: Command) -> int:
    if isinstance(command, Update):
        return max(1, sum(1 + _extra(change) for change in command.changes))
    if isinstance(command, Reschedule):
        return sum(1 + _changes(change.schedule) for change in command.changes)
    return 1 + sum(len(group) for group in getattr(command, "groups", ()))


def _extra(change: LinkUpdate) -> int:
    """What long values weigh: about a link change for every kilobyte."""
    return sum(_length(value) // 128 for value in change.fields.values() if not isinstance(value, float | int | None))


def _changes(schedule: Schedule | None) -> int:
    return 0 if schedule is None else changes_count(schedule) // 8


def _length(value: Any) -> int:
    if isinstance(value, DelayTable):
        return len(value.values)
    return len(value) if isinstance(value, str) else len(repr(value))
