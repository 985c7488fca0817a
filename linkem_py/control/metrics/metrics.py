"""Answers Prometheus's scrapes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from linkem_py.control.local import LocalStation
from linkem_py.control.metrics.families import families
from linkem_py.control.wire.measures import Measures
from linkem_py.errors import LinkemError, RequestError
from linkem_py.runtime.processes import to_the_end

if TYPE_CHECKING:
    from linkem_py.runtime import Network

LOOPBACK = "127.0.0.1"
MOST_CLIENTS = 32
PATIENCE_S = 10.0  # for a client's request, and for it to take the answer
MEASURE_S = 30.0  # for the network to say how it is
_MOST_LINE, _MOST_LINES = 8192, 100
_PATHS = ("/metrics", "/")


class Measured(Protocol):
    """What can be measured: a `Station`, wherever its network runs."""

    async def measures(self) -> Measures:
        """All of it, at one moment."""


class Metrics:
    """Serves metrics of a network over HTTP: ``async with Metrics(net, port=9090) as metrics``.

    Counters are read when they are asked for; whoever asks while they are read gets the same answer.

    Parameters
    ----------
    network : a running `Network` of this loop, or a station, such as `GuestNetwork.station`
    host, port : where to listen; 0 takes a free port. Beyond loopback anybody may read

    Attributes
    ----------
    url : of the metrics, once it listens

    Raises `RequestError` on entering if it cannot listen there.
    """

    def __init__(self, network: Network | Measured, *, host: str = LOOPBACK, port: int = 0) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 2**16:
            raise RequestError("port", "must be between 0 and 65535", port, where="metrics")
        self.url = ""
        self._station: Measured = network if hasattr(network, "measures") else LocalStation(network)
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._measuring: asyncio.Task[Measures] | None = None

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._accept, self._host, self._port, limit=_MOST_LINE)
        except OSError as error:
            where = f"{self._host}:{self._port}"
            raise RequestError("metrics", f"must be where this machine can listen ({error.strerror})", where) from error
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Listen no more, and hang up on whoever is there. Twice is harmless."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        tasks: list[asyncio.Task[None] | asyncio.Task[Measures]] = [*self._clients]
        tasks += [self._measuring] if self._measuring is not None else []
        for task in tasks:
            task.cancel()
        if tasks:
            await to_the_end(asyncio.ensure_future(asyncio.wait(tasks)))

    def __repr__(self) -> str:
        return f"<Metrics {self.url or 'not listening'}: {len(self._clients)} clients>"

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics now, and their content type, for an HTTP client that accepts such. Raises what measuring does."""
        async with asyncio.timeout(MEASURE_S):
            measures = await asyncio.shield(self._measure())
        # On another thread: thousands of links take tenths of a second, and schedules must not wait for them.
        return await asyncio.to_thread(_encoded, measures, accept)

    def _measure(self) -> asyncio.Task[Measures]:
        if self._measuring is None:
            self._measuring = asyncio.ensure_future(self._station.measures())
            self._measuring.add_done_callback(self._measured)
        return self._measuring

    def _measured(self, task: asyncio.Task[Measures]) -> None:
        self._measuring = None
        if not task.cancelled():
            task.exception()  # seen, if everybody who asked has gone

    # --- HTTP ----------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                await self._serve(reader, writer, full=len(self._clients) > MOST_CLIENTS)
        finally:
            self._clients.discard(task)
            writer.transport.abort() if self._server is None else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, full: bool) -> None:
        kind = "text/plain; charset=utf-8"
        try:
            async with asyncio.timeout(PATIENCE_S):
                method, path, accept = await _request(reader)
        except ValueError:
            status, body = HTTPStatus.BAD_REQUEST, b"not HTTP\n"
        else:
            if full:
                status, body = HTTPStatus.SERVICE_UNAVAILABLE, b"too many clients\n"
            elif path not in _PATHS:
                status, body = HTTPStatus.NOT_FOUND, b"see /metrics\n"
            elif method not in ("GET", "HEAD"):
                status, body = HTTPStatus.METHOD_NOT_ALLOWED, b"GET it\n"
            else:
                status, body, kind = await self._answer(accept)
            body = b"" if method == "HEAD" else body
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        async with asyncio.timeout(PATIENCE_S):
            await writer.drain()

    async def _answer(self, accept: str) -> tuple[HTTPStatus, bytes, str]:
        try:
            return (HTTPStatus.OK, *await self.text(accept))
        except (LinkemError, OSError, RuntimeError, TimeoutError) as error:
            words = str(error) or f"the network did not answer within {MEASURE_S:.0f} s"
            return HTTPStatus.SERVICE_UNAVAILABLE, f"{words}\n".encode(), "text/plain; charset=utf-8"


class _Once:
    """A collector of what was measured."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def collect(self) -> Iterable[Metric]:
        return families(self._measures)


def _encoded(measures: Measures, accept: str) -> tuple[bytes, str]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(measures))
    ProcessCollector(registry=registry)
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, str]:
    """Method, path and what is accepted. Raises ValueError for what is not HTTP, `ConnectionError`."""
    line = await reader.readline()  # ValueError if it is too long
    if not line:
        raise ConnectionResetError
    method, target, version = line.decode("latin-1").split()
    if not version.startswith("HTTP/"):
        raise ValueError("no HTTP version")
    accept = ""
    for _ in range(_MOST_LINES):
        name, colon, value = (await reader.readline()).decode("latin-1").partition(":")
        if not colon:
            return method, target.partition("?")[0], accept
        if name.lower() == "accept":
            accept = value.strip()
    raise ValueError("too many headers")
