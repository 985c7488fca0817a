"""One connection to the broker, from open to close."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import aiomqtt
import attrs
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from linkem_py.control.mqtt.tls import tls_context
from linkem_py.control.mqtt.url import MqttUrl
from linkem_py.errors import ControlError, ToolMissingError

V5 = aiomqtt.ProtocolVersion.V5
V311 = aiomqtt.ProtocolVersion.V311

_UNSUPPORTED_VERSION = (0x84, 0x01)  # MQTT 5, 3.2.2.2; MQTT 3.1.1, 3.2.2.3
_SENT_ONLY_TO_NEW_SUBSCRIPTIONS = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
# Below the limit of mosquitto's default (20), and enough to fill the round trips of a local network.
_IN_FLIGHT_DEFAULT = 20
_IN_FLIGHT_MOST = 200

# Small messages are not held back by the kernel, to be joined with later ones.
_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

# What goes wrong is told by us, in our words; the library's own lines repeat it.
_quiet = logging.getLogger("linkem_py.mqtt.library")
_quiet.setLevel(logging.CRITICAL + 1)


class VersionRefusedError(ControlError):
    """The broker does not speak this version of MQTT. `certain`: it said so."""

    def __init__(self, text: str, *, certain: bool, host: str = "", port: int = 0, reason: str = "") -> None:
        super().__init__(text, host=host, port=port, reason=reason)
        self.certain = certain


@attrs.frozen(kw_only=True)
class Terms:
    """What every connection of a session has in common.

    Attributes
    ----------
    url : of the broker
    identifier : of the client, the same for the whole session
    will_topic, will_payload : what the broker publishes, retained, when we vanish
    expiry_s : how long the broker keeps the session of a client that is away (MQTT 5)
    keepalive_s : a silent connection is given up after one and a half of these
    timeout_s : bound of a connection attempt, and of a wait for an answer
    """

    url: MqttUrl
    identifier: str
    will_topic: str
    will_payload: bytes
    expiry_s: int = 3600
    keepalive_s: int = 30
    timeout_s: float = 5.0


class Connection(aiomqtt.Client):
    """One connection. aiomqtt opens it and couples it to the event loop.

    Messages come and go by plain calls on the paho client inside: a task for each, as the coroutines and
    the iterator of aiomqtt need, would cost more than all the rest at thousands per second.

    Parameters
    ----------
    on_message : called for every message; whoever gets it calls `acknowledge`, in the order of the calls
    on_acknowledged : called with the number from `send` when the broker has taken a message of QoS 1
    clean : forget what the broker has kept for us, and keep nothing
    answer_s : how long the broker may think about whether to let us in
    """

    def __init__(
        self,
        terms: Terms,
        version: aiomqtt.ProtocolVersion,
        *,
        on_message: Callable[[paho.MQTTMessage], None],
        on_acknowledged: Callable[[int], None],
        clean: bool = False,
        answer_s: float | None = None,
    ) -> None:
        url = terms.url
        self.version = version
        self.session_present = False
        self.most_in_flight = _IN_FLIGHT_DEFAULT
        self._reached = False  # the broker's socket, TLS and WebSocket included
        self._waiting_to_write = False
        self._thread = threading.get_ident()
        self._receive = on_message
        self._acknowledged = on_acknowledged
        super().__init__(
            url.host,
            url.port,
            username=url.username,
            password=url.password,
            identifier=terms.identifier,
            protocol=version,
            will=None if clean else aiomqtt.Will(terms.will_topic, terms.will_payload, qos=1, retain=True),
            transport=url.transport,
            websocket_path=url.path or None,
            tls_context=tls_context(url) if url.tls else None,
            timeout=answer_s or terms.timeout_s,
            keepalive=terms.keepalive_s,
            socket_options=[_NO_DELAY],
            max_inflight_messages=0,  # the outbox keeps the count, from what the broker allows
            logger=_quiet,
            **_persistence(version, clean, terms.expiry_s),
        )
        check_libraries(self)
        self._handle_publish = self._client._handle_publish
        self._client._handle_publish = self._publish_arrived  # type: ignore[method-assign]
        self._client.connect_timeout = terms.timeout_s
        self._client.manual_ack_set(True)

    # --- life ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect. Raises `ControlError`, as `VersionRefusedError` if another version may do better.

        Who is cancelled meanwhile leaves when the attempt has ended, and nothing of it is left.
        """
        attempt = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(attempt)
        except aiomqtt.MqttError as error:
            await self._cut()
            raise self._translated(error) from None
        except ValueError as error:
            # A host name that cannot be encoded, for one.
            raise self._error(str(error)) from None
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError, ValueError):
                while not attempt.done():
                    await asyncio.wait([attempt])
                attempt.result()
            await self._cut()
            raise

    async def close(self) -> None:
        """Disconnect, politely if that is still possible. The last will is not published then."""
        try:
            if self._client.is_connected() and self._client.disconnect() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                await asyncio.wait([self._disconnected], timeout=self.timeout)
        finally:
            await self._cut()

    async def lost(self) -> str:
        """Wait until the connection is gone; why it went."""
        await asyncio.wait([self._disconnected])
        error = self._disconnected.exception()
        return "closed" if error is None else str(error)

    async def _cut(self) -> None:
        """Take the connection away at once, with the library's hold on the event loop."""
        if (sock := self._client.socket()) is not None and (number := sock.fileno()) >= 0:
            # The library sees the end of the stream, and lets go of everything by itself.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as same:
                same.shutdown(socket.SHUT_RDWR)
            while self._client.socket() is not None:
                self._client.loop_read()
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.gather(self._misc_task, return_exceptions=True)
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # seen

    # --- messages ------------------------------------------------------------------------------

    async def subscribe_to(self, filters: Sequence[str]) -> None:
        """Subscribe with QoS 1; with MQTT 5 not to what we publish ourselves. Raises `ControlError`."""
        if self.version is V5:
            options = SubscribeOptions(qos=1, noLocal=True, retainHandling=_SENT_ONLY_TO_NEW_SUBSCRIPTIONS)
            asked: Any = [(name, options) for name in filters]
        else:
            asked = [(name, 1) for name in filters]
        try:
            codes: Sequence[int | ReasonCode] = await self.subscribe(asked)
        except aiomqtt.MqttError as error:
            raise self._error(f"no subscription: {error}") from None
        for name, code in zip(filters, codes, strict=False):
            if (code.value if isinstance(code, ReasonCode) else code) >= 0x80:
                raise self._error(f"the broker refuses the subscription to {name}")

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties | None = None) -> int:
        """Hand a message to the connection; the number that `on_acknowledged` names later, if the QoS is 1."""
        return self._client.publish(topic, payload, qos, retain, properties).mid

    def acknowledge(self, message: paho.MQTTMessage) -> None:
        """Tell the broker that it may forget this message."""
        if message.qos:
            self._client.ack(message.mid, message.qos)

    @property
    def idle(self) -> bool:
        """Whether everything handed over has gone to the kernel's socket."""
        return not self._client.want_write()

    # --- the library's callbacks ---------------------------------------------------------------

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._reached = True
        super()._on_socket_open(client, userdata, sock)

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._wait_to_write(sock, False)
        super()._on_socket_close(client, userdata, sock)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        # At the end of what the event loop is doing, with all that has come together by then. aiomqtt would
        # remember the socket's number instead, and use it when another socket may have it.
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._write)
        else:
            self._loop.call_soon_threadsafe(self._write)

    def _on_socket_unregister_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Decided at the end of `_write`."""

    def _write(self) -> None:
        if self._client.socket() is None:
            return
        try:
            self._client.loop_write()
        except Exception as error:  # whatever it is, the connection is no good any more
            if not self._disconnected.done():
                self._disconnected.set_exception(error)
            return
        if (sock := self._client.socket()) is not None:
            self._wait_to_write(sock, not self.idle)

    def _wait_to_write(self, sock: Any, wanted: bool) -> None:
        if wanted != self._waiting_to_write and sock.fileno() >= 0:
            self._waiting_to_write = wanted
            if wanted:
                self._loop.add_writer(sock.fileno(), self._write)
            else:
                self._loop.remove_writer(sock.fileno())

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = flags.session_present
        allowed = getattr(properties, "ReceiveMaximum", _IN_FLIGHT_DEFAULT if self.version is V311 else 65535)
        self.most_in_flight = max(1, min(allowed, _IN_FLIGHT_MOST))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            # aiomqtt would wait for the whole timeout.
            self._connected.set_exception(aiomqtt.MqttError("the broker closed the connection without an answer"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _publish_arrived(self) -> MQTTErrorCode:
        """A PUBLISH packet is complete. The library takes most of its time for properties, also when there are none."""
        if (message := plain_publish(self._client._in_packet, self.version)) is None:
            return self._handle_publish()
        self._receive(message)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        self._receive(message)

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        self._acknowledged(mid)

    # --- errors --------------------------------------------------------------------------------

    def _translated(self, error: aiomqtt.MqttError) -> ControlError:
        if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
            reason = f"the broker refuses us: {error.rc}"
            if error.rc.value in _UNSUPPORTED_VERSION:
                return self._version_refused(reason, certain=True)
            return self._error(reason)
        if not self._reached:
            # What there was to say is in what the library translated: an error of the socket, of TLS or HTTP.
            said = error.__context__
            return self._error((said.strerror if isinstance(said, OSError) else None) or str(said or error))
        # It hung up, or said nothing, or nothing that could be understood: old brokers do all of that.
        return self._version_refused(str(error), certain=False)

    def _version_refused(self, reason: str, *, certain: bool) -> VersionRefusedError:
        return VersionRefusedError(
            self._text(reason), host=self._hostname, port=self._port, reason=reason, certain=certain
        )

    def _error(self, reason: str) -> ControlError:
        return ControlError(self._text(reason), host=self._hostname, port=self._port, reason=reason)

    def _text(self, reason: str) -> str:
        from linkem_py.runtime.defaults import why_unreachable

        place = f"at {self._hostname} port {self._port}"
        return f"no connection to the MQTT broker {place}: {reason}{why_unreachable()}"


# What is used of the libraries that they do not promise: of aiomqtt's client, and of paho's in it.
_INSIDE = (
    *("_client", "_connected", "_disconnected", "_hostname", "_loop", "_misc_task", "_port"),
    *("_on_connect", "_on_disconnect", "_on_message", "_on_publish", "_on_socket_open", "_on_socket_close"),
    *("_on_socket_register_write", "_on_socket_unregister_write"),
)
_INSIDE_PAHO = ("_handle_publish", "_in_packet")


def check_libraries(client: aiomqtt.Client) -> None:
    """Raise `ToolMissingError` if the installed libraries are made in another way than is known here."""
    missing = [f"aiomqtt.Client has no {name}" for name in _INSIDE if not hasattr(client, name)]
    if not missing:
        missing = [f"paho's Client has no {name}" for name in _INSIDE_PAHO if not hasattr(client._client, name)]
    if not missing and not {"command", "packet"} <= set(client._client._in_packet):
        missing = ["paho's Client reads packets in another way"]
    if missing:
        found = ", ".join(f"{name} {metadata.version(name)}" for name in ("aiomqtt", "paho-mqtt"))
        raise ToolMissingError(
            f"MQTT control does not know these versions of its libraries: {found} ({missing[0]}): "
            "pip install 'aiomqtt>=2.3,<=2.5.1' 'paho-mqtt>=2.1,<=2.2'"
        )


def plain_publish(packet: Any, version: aiomqtt.ProtocolVersion) -> paho.MQTTMessage | None:
    """The message in a PUBLISH packet of QoS 0 or 1 without properties (MQTT 5, 3.3); None for any other."""
    command, data = packet["command"], packet["packet"]
    qos = command >> 1 & 3
    name_end = 2 + int.from_bytes(data[:2], "big")
    end = name_end + 2 * qos
    if qos > 1 or (version is V5 and data[end : end + 1] != b"\0"):
        return None
    if version is V5:
        end += 1
    if len(data) < end:
        return None
    message = paho.MQTTMessage(
        int.from_bytes(data[name_end : name_end + 2], "big") if qos else 0, bytes(data[2:name_end])
    )
    message.qos, message.retain, message.dup = qos, bool(command & 1), bool(command & 8)
    message.payload = bytes(data[end:])
    return message


def _persistence(version: aiomqtt.ProtocolVersion, clean: bool, expiry_s: int) -> dict[str, Any]:
    """The broker keeps what comes while we are away, unless `clean`."""
    if version is not V5:
        return {"clean_session": clean}
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0 if clean else expiry_s
    return {"clean_start": clean, "properties": properties}
