"""The port between a running network and the surfaces that control it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.events import Event
from linkem_py.control.wire.measures import Measures
from linkem_py.control.wire.replies import Reply
from linkem_py.control.wire.states import Description, LinkCounters


class Station(Protocol):
    """A running network as its surfaces see it, wherever it runs: in this process or in a guest."""

    def submit(self, command: Command) -> Awaitable[Reply]:
        """Hand a command over; commands are carried out in the order of these calls, whether or not anybody waits.

        The reply tells of errors in the command and of the kernel's; nothing is raised for them.
        Raises `ConnectionError` when awaited, if the network has ended or cannot be reached.
        """

    async def describe(self) -> Description:
        """The whole, as it is now."""

    async def counters(self) -> tuple[LinkCounters, ...]:
        """Counters of every link, in the topology's order."""

    async def measures(self) -> Measures:
        """Description and counters of one moment, and what else can be measured."""

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Everything that happens from entering on. The iterator ends with the network.

        Bounded: who reads too slowly gets a `Missed` in place of what was dropped.
        """
