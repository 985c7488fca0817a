"""The control socket: a station on byte streams, for any number of clients at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from linkem_py.control.connection import Connection, Offer
from linkem_py.control.program import Programs
from linkem_py.control.station import Station
from linkem_py.errors import RequestError
from linkem_py.runtime.processes import to_the_end

MOST_CLIENTS = 256


class Server:
    """Serves a station to clients; `connection` has the protocol.

    A context manager; leaving ends all connections and takes the socket's file away.

    Parameters
    ----------
    station : the network
    name : of the network, by which clients greet it
    programs : runs programs in peers (`LocalPrograms`); None if there is none of it here
    on_down : called when a client asks for the network's end, after it was answered; None forbids it
    """

    def __init__(
        self,
        station: Station,
        *,
        name: str,
        programs: Programs | None = None,
        on_down: Callable[[], object] | None = None,
    ) -> None:
        self._offer = Offer(station=station, name=name, programs=programs, on_down=on_down)
        self._clients: set[asyncio.Task[None]] = set()
        self._listening: list[tuple[asyncio.Server, Path, tuple[int, int]]] = []
        self._closed = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end. Whatever its client does harms nobody else."""
        if self._closed or len(self._clients) >= MOST_CLIENTS:
            writer.close()
            return
        task = asyncio.create_task(Connection(self._offer, reader, writer).serve())
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await to_the_end(task)
            finally:
                writer.close()  # it may have been cancelled before it began

    async def listen_unix(self, path: str | os.PathLike[str]) -> None:
        """Accept connections on a socket file of mode 0600, which nobody else could open at any time.

        A socket that a dead owner left is replaced. Raises `RequestError` if somebody listens there or if
        there is anything but a socket, and OSError.
        """
        place = Path(path)
        await _check_free(place)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            _bind(sock, place)
            server = await asyncio.start_unix_server(self._accept, sock=sock, backlog=MOST_CLIENTS)
        except BaseException:
            sock.close()
            raise
        self._listening.append((server, place, _identity(place)))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio takes the cancellation of such a task, at the loop's end, for an error.
        with contextlib.suppress(asyncio.CancelledError):
            await self.serve(reader, writer)

    async def close(self) -> None:
        """End all connections, and programs with them. Twice is harmless."""
        self._closed = True
        listening, self._listening = self._listening, []
        clients = list(self._clients)
        for task in clients:
            task.cancel()
        try:
            for server, path, identity in listening:
                server.close()
                with contextlib.suppress(FileNotFoundError):
                    if _identity(path) == identity:
                        path.unlink()
        finally:
            if clients:
                await to_the_end(asyncio.ensure_future(asyncio.wait(clients)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Server of {self._offer.name!r}: {len(self._clients)} clients>"


def _bind(sock: socket.socket, path: Path) -> None:
    """Bind where nobody else may look, and move the file to its place once its mode is right."""
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            made = f"/proc/self/fd/{fd}/s"  # short: unix(7) allows 107 bytes
            sock.bind(made)
            os.chmod(made, 0o600)
            os.replace(made, path)
        finally:
            os.close(fd)


async def _check_free(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ConnectionError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise RequestError("path", "must be free, or a socket that nobody serves", str(path))
        _, writer = await asyncio.open_unix_connection(path)
        writer.close()
        raise RequestError("path", "must not be in use by another server", str(path))


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
