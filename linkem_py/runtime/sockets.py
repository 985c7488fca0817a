"""Sockets of this process that live in a peer's namespace, and asyncio streams over them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from linkem_py.errors import RequestError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
MakeSocket = Callable[[int, int, int], socket.socket]

_BACKLOG = 100
_PATIENCE_S = 1.0  # for handlers that do not end when they are cancelled


def resolve(host: str, names: Mapping[str, tuple[str, ...]], family: int) -> tuple[int, str]:
    """(family, address) of a peer's name or an address; IPv4 first unless a family is given.

    Names are those of the network, whatever their case: nothing is looked up elsewhere. Raises
    `RequestError`.
    """
    candidates = names.get(host.lower(), (host,))
    for candidate in candidates:
        try:
            address = ipaddress.ip_address(candidate.partition("%")[0])
        except ValueError:
            raise RequestError("host", "must be a peer's name or an address", host) from None
        found = socket.AF_INET if address.version == 4 else socket.AF_INET6
        if family in (socket.AF_UNSPEC, found):
            return found, candidate
    raise RequestError("host", "has no address of that family", host)


class Handlers:
    """The running handlers of a network's servers, so that they can be ended with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def tracked(self, handler: Handler) -> Handler:
        """The handler, known here while it runs; its cancellation by `close` is nobody's error."""

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                answer = handler(reader, writer)
                if answer is not None:
                    await answer
            except asyncio.CancelledError:
                if not self._closed:
                    raise
            finally:
                self._tasks.discard(task)
                if self._closed:
                    writer.close()

        return run

    async def close(self) -> None:
        """Cancel every handler that runs, and wait until it has ended."""
        self._closed = True
        running = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_PATIENCE_S)


async def open_connection(
    make: MakeSocket, family: int, address: str, port: int, local: tuple[int, str, int] | None, **options: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection from a socket that `make` makes."""
    sock = make(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio looks at it for TCP_NODELAY
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind(local[1:])
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
        return await asyncio.open_connection(sock=sock, **options)
    except BaseException:
        sock.close()
        raise


async def start_server(
    make: MakeSocket, handler: Handler, family: int, address: str, port: int, **options: Any
) -> asyncio.Server:
    """A listening TCP socket that `make` makes."""
    sock = make(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio looks at it for TCP_NODELAY
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.setblocking(False)
        return await asyncio.start_server(handler, sock=sock, **{"backlog": _BACKLOG, **options})
    except BaseException:
        sock.close()
        raise
