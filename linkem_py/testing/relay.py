"""Carries datagrams between loopback and the two ends of a link."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TypeAlias

from linkem_py.model.topology import LinkKey
from linkem_py.runtime import Network

Address: TypeAlias = tuple[str, int]

LOOPBACK = "127.0.0.1"


class Port(asyncio.DatagramProtocol):
    """A datagram socket that hands on what comes. What cannot be sent is lost, as datagrams are."""

    def __init__(self, on_datagram: Callable[[bytes, Address], None]) -> None:
        self._on_datagram = on_datagram
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, sock: socket.socket, on_datagram: Callable[[bytes, Address], None]) -> Port:
        """Takes over a bound socket."""
        sock.setblocking(False)
        _, port = await asyncio.get_running_loop().create_datagram_endpoint(lambda: cls(on_datagram), sock=sock)
        return port

    @property
    def address(self) -> Address:
        """Where it is bound."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def send(self, data: bytes, address: Address) -> None:
        """Sends, or loses."""
        if self._transport is not None:
            self._transport.sendto(data, address)

    async def close(self) -> None:
        """Closes the socket; harmless when done twice."""
        if self._transport is not None:
            self._transport.abort()
            await self._closed

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # noqa: D102
        self._transport = transport

    def datagram_received(self, data: bytes, address: Address) -> None:  # noqa: D102
        self._on_datagram(data, address)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102
        if not self._closed.done():
            self._closed.set_result(None)


class LinkRelay:
    """One link: what it is given at one end comes out at the other, impaired.

    Parameters
    ----------
    key : the link, by source, destination and segment
    ingress_port : on loopback; datagrams sent to it cross this link
    forward : what to do with datagrams that have crossed it
    """

    def __init__(self, key: LinkKey, forward: Callable[[bytes], None]) -> None:
        self.key = key
        self._forward = forward
        self._back: tuple[Port, Address] | None = None
        self._ports = contextlib.AsyncExitStack()

    async def open(self, network: Network) -> None:
        """Opens its sockets: on loopback, and in the peers at both ends."""
        source, destination, segment = self.key
        async with self._ports as stack:
            self._ingress = await _opened(stack, on_loopback(), lambda data, who: self.send(data, self._ingress, who))
            near = network.peer(source).socket(socket.AF_INET, socket.SOCK_DGRAM, segment=segment)
            self._near = await _opened(stack, near, lambda data, _: self._answer(data))
            far = network.peer(destination).socket(socket.AF_INET, socket.SOCK_DGRAM, segment=segment)
            self._far = await _opened(stack, far, lambda data, _: self._forward(data))
            self._ports = stack.pop_all()
        self.ingress_port = self._ingress.address[1]

    def send(self, data: bytes, entered: Port, sender: Address) -> None:
        """Sends over the link. Answers go to this sender, out of the port by which it came."""
        self._back = entered, sender
        self._near.send(data, self._far.address)

    def answer(self, data: bytes) -> None:
        """Sends over the link's way back."""
        self._far.send(data, self._near.address)

    def _answer(self, data: bytes) -> None:
        if self._back is not None:
            port, address = self._back
            port.send(data, address)

    async def close(self) -> None:
        """Closes its sockets."""
        await self._ports.aclose()


def on_loopback() -> socket.socket:
    """A datagram socket on a free port of loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOOPBACK, 0))
    return sock


async def _opened(
    stack: contextlib.AsyncExitStack, sock: socket.socket, on_datagram: Callable[[bytes, Address], None]
) -> Port:
    port = await Port.open(sock, on_datagram)
    stack.push_async_callback(port.close)
    return port
