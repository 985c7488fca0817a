"""The other side: a client that hears everything, and a cable to the broker that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 20.0


class Heard(NamedTuple):
    topic: str
    payload: bytes
    retain: bool
    properties: Any

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


class Client:
    """Subscribed to everything; what came is in `heard`."""

    def __init__(
        self, port: int, *, protocol: aiomqtt.ProtocolVersion = aiomqtt.ProtocolVersion.V5, topics: str = "#"
    ) -> None:
        self.heard: list[Heard] = []
        self._topics = topics
        nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = aiomqtt.Client("127.0.0.1", port, protocol=protocol, socket_options=[nodelay])
        self._news = asyncio.Event()
        self._numbers = itertools.count()
        self._reading: asyncio.Task[None] | None = None
        self._unclaimed: list[Heard] = []

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        await self._client.subscribe(self._topics, qos=1)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._reading is not None
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
            await self._reading
        with contextlib.suppress(aiomqtt.MqttError):
            await self._client.__aexit__(None, None, None)
        if self._client._disconnected.done():
            self._client._disconnected.exception()  # seen: the library does not look

    async def _read(self) -> None:
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            heard = Heard(message.topic.value, message.payload, bool(message.retain), message.properties)
            self.heard.append(heard)
            self._unclaimed.append(heard)
            self._news.set()

    def forget(self) -> None:
        """Let go of what was heard."""
        self.heard.clear()
        self._unclaimed.clear()

    async def publish(
        self,
        topic: str,
        payload: Any,
        *,
        qos: int = 1,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        properties = None
        if response_topic is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ResponseTopic = response_topic
            if correlation is not None:
                properties.CorrelationData = correlation
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await self._client.publish(topic, data, qos=qos, retain=retain, properties=properties)

    async def ask(self, topic: str, payload: dict[str, Any]) -> Any:
        """The reply to a command; it gets an id if it has none."""
        named = {"id": f"t{next(self._numbers)}", **payload}
        await self.publish(topic, named)
        network = "/".join(topic.split("/")[:2])
        return (await self.wait(lambda heard: heard.topic == f"{network}/reply/{named['id']}")).json

    async def wait(self, wanted: Callable[[Heard], bool]) -> Heard:
        """The first message that is wanted; the next call finds the next."""
        looked_at = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for number in range(looked_at, len(self._unclaimed)):
                    if wanted(self._unclaimed[number]):
                        return self._unclaimed.pop(number)
                looked_at = len(self._unclaimed)
                self._news.clear()
                await self._news.wait()

    async def wait_on(self, topic: str) -> Heard:
        return await self.wait(lambda heard: heard.topic == topic)


class Cable:
    """A TCP relay to a broker that can be cut, so that each end thinks the other has vanished."""

    def __init__(self, port: int, *, refuse_level: int | None = None) -> None:
        self.target = port
        self.port = 0
        self.connections = 0
        self._refuse_level = refuse_level
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                first = await reader.readexactly(12)
                # CONNECT: fixed header of two bytes or three, "MQTT" with its length, then the level.
                level = first[first.index(b"MQTT") + 4]
                if level != self._refuse_level:
                    await self._relay(first, reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _relay(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers.add(there_writer)
        there_writer.write(first)
        try:
            ways = [
                asyncio.create_task(_pump(reader, there_writer)),
                asyncio.create_task(_pump(there_reader, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            there_writer.transport.abort()
            self._writers.discard(there_writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - whatever it looks at has no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def server(handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A server that is no broker; its port."""
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handle(reader, writer)

    made = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)
