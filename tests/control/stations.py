"""Networks without a kernel, their stations, and clients that speak the control socket's lines by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from itertools import permutations
from pathlib import Path
from typing import Any, Self

from linkem_py import Topology
from linkem_py.control.client import RemoteStation
from linkem_py.control.local import LocalStation
from linkem_py.control.server import Server
from linkem_py.control.wire.commands import LinkUpdate, Update
from linkem_py.model import LinkKey
from tests.dry import DryNetwork

PATIENCE_S = 60.0  # a test that waits so long has failed


def mesh(peers: int = 4) -> Topology:
    """Peers ``p0``, ``p1``, ..., all joined to all."""
    topology = Topology("mesh")
    for number in range(peers):
        topology.add_peer(f"p{number}")
    for first, second in permutations(topology.peers, 2):
        topology.add_link(first, second)
    return topology


def lan(source: str, destination: str) -> LinkKey:
    return (source, destination, "lan")


def delay(milliseconds: Any, source: str = "p0", destination: str = "p1", *, id: str | None = None) -> Update:  # noqa: A002
    return Update(changes=(LinkUpdate(lan(source, destination), {"delay_ms": milliseconds}),), id=id)


class RawClient:
    """The other end of a control socket, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, path: Path) -> Self:
        client = cls(*await asyncio.open_unix_connection(path, limit=2**17))
        assert (await client.receive())["linkem"] == 1
        return client

    def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.writer.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            line = await self.reader.readline()
        assert line.endswith(b"\n"), "the server has hung up"
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    async def answers(self, count: int) -> dict[Any, dict[str, Any]]:
        """So many answers, by their number."""
        found = [await self.receive() for _ in range(count)]
        return {message["n"]: message for message in found}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


@contextlib.asynccontextmanager
async def remote(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[DryNetwork, LocalStation, RemoteStation]]:
    path = tmp_path / "control.sock"
    async with DryNetwork(mesh()) as net, LocalStation(net) as local, Server(local, name="far", **options) as server:
        await server.listen_unix(path)
        gate = net.dry.gate
        async with await RemoteStation.connect_unix(path) as station:
            try:
                yield net, local, station
            finally:
                gate.set()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that must come about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.002)
