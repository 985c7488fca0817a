"""A broker in this process, for those who have none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from linkem_py.errors import ControlError, ToolMissingError

HOST = "127.0.0.1"

_READY_S = 10.0
_LOGGERS = ("amqtt", "transitions", "websockets")


class EmbeddedBroker:
    """An MQTT 3.1.1 broker on the loopback interface: ``async with EmbeddedBroker() as broker``.

    It is amqtt on a thread and an event loop of its own, so that nothing it does or leaves undone touches
    the caller's. It keeps nothing in files, and lets in whoever can reach the loopback interface.

    Parameters
    ----------
    port, websocket_port : to listen on; 0 for any that is free

    Raises `ToolMissingError`, when entered, without amqtt; `ControlError` for a port that is taken.
    """

    def __init__(self, *, port: int = 0, websocket_port: int = 0) -> None:
        self.port = port
        self.websocket_port = websocket_port
        self._started: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """For clients: ``mqtt://127.0.0.1:PORT``."""
        return f"mqtt://{HOST}:{self.port}"

    @property
    def control_url(self) -> str:
        """For `MqttControl`: the same, with the version of MQTT, which then need not be found out."""
        return f"{self.url}?protocol=3.1.1"

    @property
    def websocket_url(self) -> str:
        """For browsers: ``ws://127.0.0.1:PORT``."""
        return f"ws://{HOST}:{self.websocket_port}"

    async def __aenter__(self) -> Self:
        broker_of = _library()
        if self._thread is not None:
            raise RuntimeError("an EmbeddedBroker is entered once")
        self.port, self.websocket_port = (_port(wanted) for wanted in (self.port, self.websocket_port))
        self._thread = threading.Thread(target=self._run, args=(broker_of,), name="linkem-mqtt-broker", daemon=True)
        self._thread.start()
        try:
            await asyncio.wrap_future(self._started)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def __repr__(self) -> str:
        return f"<EmbeddedBroker at {self.url} and {self.websocket_url}>"

    async def _stop(self) -> None:
        from linkem_py.runtime.processes import to_the_end

        thread = self._thread
        if thread is None:
            return
        if self._loop is not None and self._end is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._end.set)
        await to_the_end(asyncio.ensure_future(asyncio.to_thread(thread.join)))

    # --- on the thread -------------------------------------------------------------------------

    def _run(self, broker_of: Callable[[dict[str, Any]], Any]) -> None:
        self._loop = loop = asyncio.new_event_loop()
        # amqtt drops tasks and transports at its end; what they would say then helps nobody.
        loop.set_exception_handler(lambda loop, context: None)
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._serve(broker_of))
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(
                    ControlError(
                        f"the embedded broker could not be started: {error}",
                        host=HOST,
                        port=self.port,
                        reason=str(error),
                    )
                )

    async def _serve(self, broker_of: Callable[[dict[str, Any]], Any]) -> None:
        self._end = asyncio.Event()
        broker = broker_of(_configuration(self.port, self.websocket_port))
        await broker.start()
        self._started.set_result(None)
        try:
            await self._end.wait()
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_READY_S):
                    await broker.shutdown()


def _library() -> Callable[[dict[str, Any]], Any]:
    try:
        from linkem_py.control.mqtt import amqtt_broker
    except ImportError:
        raise ToolMissingError(
            "the embedded MQTT broker needs amqtt: pip install 'linkem_py[broker]', or give the URL of a broker"
        ) from None
    amqtt_broker.check()
    for name in _LOGGERS:
        # Every client that comes or goes is several lines there, some of them warnings.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return amqtt_broker.ClosingBroker


def _configuration(port: int, websocket_port: int) -> dict[str, Any]:
    return {
        "listeners": {
            "default": {"type": "tcp", "bind": f"{HOST}:{port}"},
            "websocket": {"type": "ws", "bind": f"{HOST}:{websocket_port}"},
        },
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


def _port(wanted: int) -> int:
    """A port that is free now. amqtt does not tell which one it got for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise ControlError(
                f"the embedded broker cannot listen at {HOST} port {wanted}: {error.strerror}",
                host=HOST,
                port=wanted,
                reason=error.strerror or str(error),
            ) from None
        return int(probe.getsockname()[1])
