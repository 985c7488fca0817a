"""A running network reached over a broker, in plain JSON and blocking: `Reach` over an `MqttStation`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeAlias

from linkem_py.control.remote_mqtt import MqttStation
from linkem_py.control.wire import json
from linkem_py.control.wire.commands import Command, Reschedule, Switch, Update
from linkem_py.control.wire.events import Event
from linkem_py.control.wire.replies import Reply
from linkem_py.errors import ControlError, TopologyError
from linkem_py.model import LinkKey

Listening: TypeAlias = contextlib.AbstractAsyncContextManager[AsyncIterator[Event]]


class MqttReach:
    """See `Reach`. Its event loop runs only while something is asked."""

    def __init__(self, runner: asyncio.Runner, station: MqttStation) -> None:
        self.name = station.name
        self._runner = runner
        self._station = station

    def command(self, command: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """See `Reach`. It comes back when the links' states have arrived, too."""
        return json.reply_json(self._runner.run(self._command({"command": command, **data})))

    def describe(self) -> dict[str, Any]:
        """See `Reach`."""
        return json.description_json(self._runner.run(self._station.describe()))

    def counters(self) -> list[dict[str, Any]]:
        """See `Reach`."""
        return [json.counters_json(one) for one in self._runner.run(self._station.counters())]

    def events(self) -> Iterator[dict[str, Any]]:
        """See `Reach`."""
        listening = self._station.events()
        return self._events(listening, self._runner.run(_entered(listening)))

    def _events(self, listening: Listening, events: AsyncIterator[Event]) -> Iterator[dict[str, Any]]:
        try:
            while (event := self._runner.run(_next(events))) is not None:
                yield json.event_json(event)
            if self._station.lost:
                raise ControlError(self._station.lost)
        finally:
            self._runner.run(_left(listening))

    async def _command(self, data: dict[str, Any]) -> Reply:
        try:
            command = json.command(data)
        except TopologyError as error:
            return Reply(ok=False, error=json.problem_of(error))
        try:
            reply = await self._station.submit(command)
        except ConnectionError as error:
            raise ControlError(str(error)) from error
        if reply.ok and (links := _links(command)):
            await self._station.wait_for(links, reply.revision)
        return reply


def _links(command: Command) -> list[LinkKey]:
    """The links whose states a command changes."""
    if isinstance(command, Update | Reschedule):
        return [change.link for change in command.changes]
    return [command.link] if isinstance(command, Switch) else []


@contextlib.contextmanager
def mqtt_reach(url: str, prefix: str, name: str) -> Iterator[MqttReach]:
    """Raises `ControlError` if there is no such network, `RequestError` for a wrong URL, prefix or name."""
    with asyncio.Runner() as runner:
        station = runner.run(_opened(url, prefix, name))
        try:
            yield MqttReach(runner, station)
        finally:
            runner.run(station.__aexit__(None, None, None))


async def _opened(url: str, prefix: str, name: str) -> MqttStation:
    return await MqttStation(url, name, prefix=prefix).__aenter__()


async def _entered(listening: Listening) -> AsyncIterator[Event]:
    return await listening.__aenter__()


async def _left(listening: Listening) -> None:
    await listening.__aexit__(None, None, None)


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)
