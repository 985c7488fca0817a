"""Connected to the broker again and again, with what waits kept meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from random import Random

from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from linkem_py.control.mqtt.backoff import Backoff
from linkem_py.control.mqtt.connection import V5, V311, Connection, Terms, VersionRefusedError
from linkem_py.control.mqtt.outbox import Outbox, Outgoing
from linkem_py.errors import ControlError, LinkemError

_log = logging.getLogger("linkem_py.mqtt")

_VERSIONS: dict[str, ProtocolVersion] = {"5": V5, "3.1.1": V311}
_GUESS_S = 1.0
_MOST_UNWRITTEN = 1000  # messages of QoS 0 that are on their way to the socket
_MOST_PASSING = 1000  # events that wait while the broker is away


class Session:
    """One client's session with a broker, over as many connections as it takes.

    The broker keeps the session while we are away: what is published to our subscriptions with QoS 1
    meanwhile comes when we are back.

    Parameters
    ----------
    terms : of every connection
    filters : topics to subscribe to
    on_message : called for every message that comes, in order
    on_connected : called when a connection is ready, also the first
    on_disconnected : called when one is gone; what came on it and was not acknowledged comes again
    random : for the jitter of `backoff`
    """

    def __init__(
        self,
        terms: Terms,
        filters: Sequence[str],
        *,
        on_message: Callable[[MQTTMessage], None],
        on_connected: Callable[[], None],
        on_disconnected: Callable[[], None],
        backoff: Backoff,
        random: Random,
    ) -> None:
        self.terms = terms
        self.filters = tuple(filters)
        # What this broker speaks, once known.
        self.version: ProtocolVersion | None = None if terms.url.protocol is None else _VERSIONS[terms.url.protocol]
        self.connections = 0
        self.connection: Connection | None = None
        self._incoming: Connection | None = None  # also while it is being opened
        self.replies = Outbox()
        self.passing = Outbox(most_messages=_MOST_PASSING)
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._backoff = backoff
        self._random = random
        self._marks: dict[Outgoing, asyncio.Future[bool]] = {}
        self._pumping = False
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()  # something was acknowledged, came or went

    def __repr__(self) -> str:
        state = "connected" if self.connection is not None else "not connected"
        return f"<Session {self.terms.identifier} with {self.terms.url}, {state}: {self.replies!r}>"

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect for the first time. Raises `ControlError`."""
        await self._connect()

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        clock = asyncio.get_running_loop().time
        attempt = 0  # since a connection lasted: a broker that takes us in and throws us out is not asked in a rush
        while True:
            began = clock()
            if (connection := self.connection) is not None:
                reason = await connection.lost()
                _log.info("connection to the MQTT broker at %s lost: %s", self.terms.url, reason)
                await self._let_go()
            attempt = 0 if clock() - began > self._backoff.most_s else attempt
            attempt = await self._reconnect(attempt)

    async def end(self, *, timeout_s: float) -> bool:
        """Disconnect, and have the broker forget the session. False if it could not be told so in time."""
        await self._let_go()
        if self.version is None:
            return False
        last = self._new_connection(self.version, clean=True)
        try:
            async with asyncio.timeout(timeout_s):
                await last.open()
        except (ControlError, TimeoutError) as error:
            _log.warning("the MQTT broker keeps our session %s: %s", self.terms.identifier, error)
            return False
        finally:
            await last.close()
        return True

    # --- messages ------------------------------------------------------------------------------

    async def subscribe_to(self, name: str) -> None:
        """Subscribe to something more, for this connection; without complaint if the broker does not allow it."""
        if self.connection is not None:
            with contextlib.suppress(ControlError):
                await self.connection.subscribe_to([name])

    async def unsubscribe_from(self, name: str) -> None:
        """The reverse of `subscribe_to`."""
        if self.connection is not None:
            with contextlib.suppress(MqttError):
                await self.connection.unsubscribe(name)

    def post(self, message: Outgoing) -> None:
        """Publish it, as soon as that is possible; kept while the broker is away."""
        (self.replies if message.qos else self.passing).put(message)
        self._pump()

    def publish_round(self, messages: Sequence[tuple[str, bytes]]) -> asyncio.Future[bool]:
        """Publish retained messages, behind the replies that wait; the future tells if the broker has taken them.

        Only the last is acknowledged: a broker takes what comes on a connection in order. So who waits for
        each round has never more than that on its way: a slow broker makes rounds rare, not queues long.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.connection is None:
            future.set_result(False)
            return future
        for topic, payload in messages[:-1]:
            self.connection.send(topic, payload, qos=0, retain=True)
        topic, payload = messages[-1]
        mark = Outgoing(topic=topic, payload=payload, retain=True, mark=True)
        self._marks[mark] = future
        future.add_done_callback(lambda _: self._marks.pop(mark, None))
        self.post(mark)
        return future

    async def publish_passing(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish what is of no use later: with QoS 0, as fast as the broker takes it, or not at all."""
        for number, (topic, payload) in enumerate(messages):
            if (connection := self.connection) is None:
                return
            connection.send(topic, payload, qos=0, retain=False)
            if number % 50 == 49:
                await asyncio.sleep(0)
                while self.connection is connection and not connection.idle:
                    await self._something_happens()

    def acknowledge(self, message: MQTTMessage) -> None:
        """Tell the broker that it may forget a message; it came on the connection that there is now."""
        if self._incoming is not None:
            self._incoming.acknowledge(message)

    async def until_connected(self) -> None:
        """Wait for a connection."""
        await self._ready.wait()

    async def flush(self) -> None:
        """Wait until nothing waits and everything is acknowledged. For ever if the broker stays away."""
        while self.replies or self.passing or self.connection is None or not self.connection.idle:
            await self._something_happens()

    # --- inside --------------------------------------------------------------------------------

    async def _something_happens(self) -> None:
        self._changed.clear()
        # An acknowledgement of ours that is written to the socket is told by nobody: look again.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), 0.02)

    def _pump(self) -> None:
        connection = self.connection
        if connection is None or self._pumping:
            return
        self._pumping = True  # handing over may call back at once
        try:
            for outbox, window in ((self.replies, connection.most_in_flight), (self.passing, _MOST_UNWRITTEN)):
                for message in outbox.take(window):
                    properties = None
                    if message.correlation is not None:
                        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                        properties.CorrelationData = message.correlation
                    number = connection.send(
                        message.topic, message.payload, qos=message.qos, retain=message.retain, properties=properties
                    )
                    outbox.sent(message, number)
        finally:
            self._pumping = False

    def _acknowledged(self, number: int) -> None:
        message = self.replies.acknowledged(number)
        if message is None:
            self.passing.acknowledged(number)
        elif message.mark and (future := self._marks.get(message)) is not None and not future.done():
            future.set_result(True)
        self._changed.set()
        self._pump()

    def _new_connection(
        self, version: ProtocolVersion, *, clean: bool = False, answer_s: float | None = None
    ) -> Connection:
        return Connection(
            self.terms,
            version,
            on_message=_ignore if clean else self._on_message,
            on_acknowledged=_ignore if clean else self._acknowledged,
            clean=clean,
            answer_s=None if answer_s is None else min(answer_s, self.terms.timeout_s),
        )

    async def _connect(self) -> None:
        connection = await self._open()
        try:
            self.connection = connection
            await connection.subscribe_to(self.filters)
        except BaseException:
            await self._let_go()
            raise
        self.connections += 1
        self._on_connected()
        self._ready.set()
        self._changed.set()
        self._pump()

    async def _open(self) -> Connection:
        """A connection in the version that this broker speaks: MQTT 5 if it can, else 3.1.1."""
        refused: VersionRefusedError | None = None
        versions = (V5, V311) if self.version is None else (self.version,)
        for version in versions:
            # A broker that knows only 3.1.1 may wait for more of a message that it cannot make sense of.
            guessing = version is not versions[-1]
            connection = self._new_connection(version, answer_s=_GUESS_S if guessing else None)
            # What the broker has kept for us comes in one breath with its consent.
            self._incoming = connection
            try:
                await connection.open()
            except VersionRefusedError as error:
                if error.certain and self.terms.url.protocol is None:
                    self.version = None  # another broker than before
                refused = refused or error
            else:
                self.version = version
                return connection
        assert refused is not None
        raise refused

    async def _reconnect(self, attempt: int) -> int:
        """Until there is a connection. The number of attempts, so many before it included."""
        while self.connection is None:
            await asyncio.sleep(self._backoff.wait_s(attempt, self._random))
            attempt += 1
            try:
                await self._connect()
            except LinkemError as error:  # a certificate that is being replaced, too
                _log.info("%s", error)
        return attempt

    async def _let_go(self) -> None:
        self._ready.clear()
        connection, self.connection = self.connection, None
        self._incoming = None
        if connection is None:
            return
        self.replies.disconnected()
        self.passing.disconnected()
        for future in list(self._marks.values()):
            if not future.done():
                future.set_result(False)
        self._on_disconnected()
        self._changed.set()
        await connection.close()


def _ignore(_: object) -> None:
    pass
