"""The sockets that measure: one for datagrams on every interface concerned, one for echo in every peer."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import attrs

from linkem_py.model.topology import LinkKey
from linkem_py.report import datagrams
from linkem_py.runtime import Network

_SOL_RAW, _ICMP_FILTER = 255, 1
_ECHO_REPLY, _ECHO_REQUEST = 0, 8
PROBE_BUFFER = 64 << 20
_ECHO = struct.Struct("!BBHHH")


@attrs.frozen(eq=False)
class Station:
    """A socket of a peer on a segment, and its IPv4 address as text and as a number."""

    sock: socket.socket
    address: str
    host: int
    port: int


class Stations:
    """Opens what the links given need; closes it on leaving.

    Raises `RequestError` if a peer is not there, OSError if the machine has no room for sockets.
    """

    def __init__(self, network: Network, links: Iterable[LinkKey], *, receive_bytes: int = PROBE_BUFFER) -> None:
        self._network = network
        self._ends = sorted({(peer, segment) for one, other, segment in links for peer in (one, other)})
        self._receive_bytes = receive_bytes
        self._stack = contextlib.ExitStack()
        self._stations: dict[tuple[str, str], Station] = {}
        self._echoes: dict[str, socket.socket] = {}

    def __enter__(self) -> Self:
        try:
            for peer, segment in self._ends:
                self._open(peer, segment)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __getitem__(self, end: tuple[str, str]) -> Station:
        return self._stations[end]

    def echo(self, peer: str) -> socket.socket:
        """The peer's raw socket for echo requests and their replies."""
        return self._echoes[peer]

    def _open(self, name: str, segment: str) -> None:
        peer = self._network.peer(name)
        sock = self._stack.enter_context(peer.socket(socket.AF_INET, socket.SOCK_DGRAM, segment=segment))
        datagrams.prepare(sock, receive_bytes=self._receive_bytes, send_bytes=4 << 20, check=False)
        address, port = sock.getsockname()
        host = int.from_bytes(socket.inet_aton(address), "big")
        self._stations[name, segment] = Station(sock, address, host, port)
        if name not in self._echoes:
            raw = self._stack.enter_context(peer.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
            raw.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
            datagrams.prepare(raw, receive_bytes=1 << 20, send_bytes=1 << 20)
            self._echoes[name] = raw


def echo_request(identifier: int, number: int) -> bytes:
    """An ICMP echo request (RFC 792) of as many bytes as `ping` sends by default."""
    body = bytes(56)
    checksum = (_ECHO_REQUEST << 8) + identifier + number
    while checksum >> 16:
        checksum = (checksum & 0xFFFF) + (checksum >> 16)
    return _ECHO.pack(_ECHO_REQUEST, 0, ~checksum & 0xFFFF, identifier, number) + body


def echo_reply(packet: bytes) -> tuple[int, int] | None:
    """(identifier, number) of a reply with its IPv4 header before it; None if it is something else."""
    start = (packet[0] & 0xF) * 4 if packet else 0
    if len(packet) < start + _ECHO.size:
        return None
    kind, _code, _checksum, identifier, number = _ECHO.unpack_from(packet, start)
    return (identifier, number) if kind == _ECHO_REPLY else None
