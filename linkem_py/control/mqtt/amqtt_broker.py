"""amqtt's broker, without what makes it lose messages and keep connections.

Three things of amqtt 0.12 are put right here:

- Every client that connects was sent what is retained on every topic that anybody has subscribed to. One that had
  said what it had to say and closed, as ``mosquitto_pub`` does, then had its own message thrown away by the kernel
  (closing a TCP socket with unread data resets the connection, RFC 2525, 2.17).
- What a client said in one breath with its goodbye might not be passed on any more.
- A connection that ended in an error stayed open.
"""

from __future__ import annotations

import asyncio
from typing import Any

from amqtt.broker import Broker
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler

from linkem_py.errors import ToolMissingError

_PAUSE_S = 0.002  # between two looks at whether a client's messages were passed on
# What is overridden below. The names have an underscore in amqtt, so a later version may not have them.
_OVERRIDDEN = (
    (Broker, ("stream_connected", "_initialize_client_session", "_publish_retained_messages_for_subscription")),
    (BrokerProtocolHandler, ("attach", "handle_disconnect", "wait_disconnect")),
)


def check() -> None:
    """Raise `ToolMissingError` if this amqtt is built in another way than the one that is known here."""
    for kind, names in _OVERRIDDEN:
        for name in names:
            if not hasattr(kind, name):
                raise ToolMissingError(
                    f"the embedded MQTT broker does not know this version of amqtt ({kind.__name__} has no {name}): "
                    "pip install 'amqtt>=0.11,<0.13', or give the URL of a broker"
                )


class _Reader:
    """Lets what was read be dealt with before more is read, the end of the stream above all."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    async def read(self, n: int = -1) -> bytes:
        # A packet is dealt with in a task of its own, and those that have not begun when the stream ends never do.
        await asyncio.sleep(0)
        return bytes(await self._reader.read(n))

    def feed_eof(self) -> None:
        self._reader.feed_eof()


class _Handler(BrokerProtocolHandler):  # type: ignore[misc]
    """One client's connection; it ends when what the client has said was passed on."""

    _over = False
    _goodbye: Any = None

    def attach(self, session: Any, reader: Any, writer: Any) -> None:
        super().attach(session, _Reader(reader), writer)

    async def handle_disconnect(self, disconnect: Any) -> None:
        # Perhaps before anybody waits for it.
        self._over = True
        self._goodbye = self._goodbye or disconnect
        await super().handle_disconnect(disconnect)

    async def wait_disconnect(self) -> Any:
        if not self._over:
            await super().wait_disconnect()
        while not self.session.delivered_message_queue.empty():  # noqa: ASYNC110 - there is no event for that
            await asyncio.sleep(_PAUSE_S)
        return self._goodbye


class ClosingBroker(Broker):  # type: ignore[misc]
    """See the module."""

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """A client of TCP, from its first byte until nothing is left of it."""
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            writer.transport.abort()

    async def _initialize_client_session(self, *arguments: Any) -> tuple[Any, Any]:
        handler, session = await super()._initialize_client_session(*arguments)
        handler.__class__ = _Handler
        return handler, session

    async def _publish_retained_messages_for_subscription(self, subscription: tuple[str, int], session: Any) -> None:
        subscribers = self._subscriptions.get(subscription[0], ())
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)
