"""A network at the other end of a broker: the client of `MqttControl`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self

import aiomqtt
import attrs

from linkem_py.control.listeners import Listeners
from linkem_py.control.mqtt.tls import tls_context
from linkem_py.control.mqtt.url import MqttUrl
from linkem_py.control.wire import json
from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.events import Event
from linkem_py.control.wire.replies import Reply
from linkem_py.control.wire.states import Description, LinkCounters, LinkState
from linkem_py.control.wire.topics import PREFIX, Topics
from linkem_py.errors import ControlError, LinkemError
from linkem_py.model import Impairment, LinkKey

_MOST_BYTES = 2**28  # of one message; a topology of some ten thousand links has megabytes
_ON_ITS_WAY_S = 2.0  # for a message that the broker has sent
_quiet = logging.getLogger("linkem_py.mqtt.client")


class MqttStation:
    """A `Station` that another machine runs, over a broker: ``async with MqttStation(url, "demo") as station``.

    It knows what the network's retained topics say. Counters come as often as the network publishes
    them. Entering raises `ControlError` if the broker cannot be reached, or no network of that name is on it.

    Parameters
    ----------
    url : of the broker, see `MqttUrl.parse`
    network : its name in the topics
    prefix : of the topics
    patience_s : how long to wait for the broker, for the network's states and for each reply

    Attributes
    ----------
    lost : why the broker cannot be reached any more, in words; empty while it can
    """

    def __init__(self, url: str, network: str, *, prefix: str = PREFIX, patience_s: float = 10.0) -> None:
        self.name = network
        self._url = MqttUrl.parse(url)
        self._topics = Topics(prefix, network)
        self._in_topics = {name: getattr(self._topics, name) for name in json.COMMAND_NAMES}
        self._patience_s = patience_s
        self._client: aiomqtt.Client
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._replies: dict[str, asyncio.Future[Reply]] = {}
        self._listeners = Listeners()
        self._status = ""
        self._topology: dict[str, Any] | None = None
        self._links: dict[LinkKey, LinkState] = {}
        self._counters: dict[LinkKey, LinkCounters] = {}
        self._news = asyncio.Condition()
        self.lost = ""
        self._stack = AsyncExitStack()

    # --- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            worker = asyncio.create_task(self._work(), name=f"linkem MQTT client of {self.name}")
            stack.push_async_callback(_cancelled, worker)
            topics = self._topics
            filters = (topics.status, topics.topology, topics.event, topics.reply("+"), topics.link(("+", "+", "+")))
            await self._translated(self._client.subscribe([(name, 1) for name in filters]))
            # Once more: when this is granted, what was retained is here, or is on its way.
            await self._translated(self._client.subscribe(topics.status))
            await self._until(lambda: bool(self._status), self._absent, patience_s=_ON_ITS_WAY_S)
            await self._until(lambda: self._status == "online" and self._is_complete(), self._absent)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def __repr__(self) -> str:
        return f"<MqttStation {self.name!r} by {self._url}: {self._status or 'unknown'}>"

    async def _connect(self, stack: AsyncExitStack) -> None:
        url = self._url
        self._client = aiomqtt.Client(
            url.host,
            url.port,
            username=url.username,
            password=url.password,
            protocol=aiomqtt.ProtocolVersion.V311,  # every broker speaks it
            transport=url.transport,
            websocket_path=url.path or None,
            tls_context=tls_context(url) if url.tls else None,
            timeout=self._patience_s,
            logger=_quiet,
        )
        await self._translated(stack.enter_async_context(self._client))

    async def _translated(self, doing: Awaitable[object]) -> None:
        try:
            await doing
        except aiomqtt.MqttError as error:
            from linkem_py.runtime.defaults import why_unreachable

            raise self._error(f"no connection to the MQTT broker {self._url}: {error}{why_unreachable()}") from None

    # --- the port ------------------------------------------------------------------------------

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """See `Station.submit`. Fails with `ControlError` if no reply comes in time."""
        sent = attrs.evolve(command, id=command.id or secrets.token_hex(8))
        assert sent.id is not None
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self.lost:
            future.set_exception(ConnectionError(self.lost))
            return future
        data = json.command_json(sent)
        name = data.pop("command")
        self._replies[sent.id] = future
        self._outgoing.put_nowait((self._in_topics[name], json.dump(data)))
        late = asyncio.get_running_loop().call_later(self._patience_s, self._give_up, sent.id)
        future.add_done_callback(lambda _: late.cancel())
        return future

    async def describe(self) -> Description:
        """As the retained topics have it."""
        topology = self._topology
        assert topology is not None
        keys = [json.link(row) for row in topology["links"]]
        missing = {key: LinkState(link=key, impairment=Impairment(), revision=0, applied_at=0.0) for key in keys}
        states = [self._links.get(key, missing[key]) for key in keys]
        return json.description(
            {
                **topology,
                "revision": max((state.revision for state in states), default=0),
                "links": [json.link_state_json(state) for state in states],
            }
        )

    async def counters(self) -> tuple[LinkCounters, ...]:
        """The next that the network publishes. Raises `ControlError` if it publishes none."""
        assert self._topology is not None
        keys = [json.link(row) for row in self._topology["links"]]
        self._counters.clear()
        await self._translated(self._client.subscribe(self._topics.stats(("+", "+", "+"))))
        await self._until(
            lambda: all(key in self._counters for key in keys),
            lambda: f"network {self.name} publishes no counters (--stats-interval) on {self._url}",
        )
        return tuple(self._counters[key] for key in keys)

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """See `Station.events`."""
        return self._listeners.listening()

    async def wait_for(self, links: Iterable[LinkKey], revision: int) -> None:
        """Until the states of these links are of this revision or later; not for ever."""
        with contextlib.suppress(ControlError):
            await self._until(
                lambda: all(key in self._links and self._links[key].revision >= revision for key in links), lambda: ""
            )

    # --- inside --------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                tasks.create_task(self._receive())
        except* aiomqtt.MqttError as group:
            self.lost = f"the connection to the MQTT broker {self._url} is lost: {group.exceptions[0]}"
            self._listeners.close()
            for future in self._replies.values():
                if not future.done():
                    future.set_exception(ConnectionError(self.lost))
            async with self._news:
                self._news.notify_all()

    async def _send(self) -> None:
        while True:
            topic, payload = await self._outgoing.get()
            await self._client.publish(topic, payload, qos=1)

    async def _receive(self) -> None:
        async for message in self._client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            # Whatever others publish there harms nobody.
            with contextlib.suppress(LinkemError):
                self._take(str(message.topic), payload)
            async with self._news:
                self._news.notify_all()

    def _take(self, topic: str, payload: bytes) -> None:
        heard = self._topics.parse(topic)
        if heard is None:
            return
        if heard.kind == "status":
            self._status = payload.decode(errors="replace")
            if not payload:
                self._listeners.close()  # its topics are being cleared: it has ended, and not just lost the broker
        elif heard.kind == "link" and not payload:
            self._links = {key: state for key, state in self._links.items() if key != heard.link}
        elif not payload:
            return
        elif heard.kind == "topology":
            self._topology = json.parse(payload, most_bytes=_MOST_BYTES)
        elif heard.kind == "link":
            state = json.link_state(json.parse(payload))
            self._links[state.link] = state
        elif heard.kind == "stats":
            counters = json.counters(json.parse(payload))
            self._counters[counters.link] = counters
        elif heard.kind == "reply" and heard.id in self._replies:
            future = self._replies.pop(heard.id)
            if not future.done():
                future.set_result(json.reply(json.parse(payload)))
        elif heard.kind == "event":
            self._listeners.put(json.event(json.parse(payload, most_bytes=_MOST_BYTES)))

    def _is_complete(self) -> bool:
        return self._topology is not None and all(json.link(row) in self._links for row in self._topology["links"])

    def _absent(self) -> str:
        where = f"{self._url}, topics {self._topics.status.removesuffix('status')}"
        if self._status:
            return f"network {self.name} is {self._status} ({where})"
        return f"there is no network {self.name} at {where}"

    def _give_up(self, number: str) -> None:
        future = self._replies.pop(number, None)
        if future is not None and not future.done():
            text = f"network {self.name} did not reply within {self._patience_s:g} s; it may still do as it was told"
            future.set_exception(self._error(text))

    async def _until(
        self, condition: Callable[[], bool], complaint: Callable[[], str], *, patience_s: float | None = None
    ) -> None:
        try:
            async with asyncio.timeout(self._patience_s if patience_s is None else patience_s), self._news:
                await self._news.wait_for(lambda: self.lost or condition())
        except TimeoutError:
            raise self._error(complaint()) from None
        if self.lost:
            raise self._error(self.lost)

    def _error(self, text: str) -> ControlError:
        return ControlError(text, host=self._url.host, port=self._url.port)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
