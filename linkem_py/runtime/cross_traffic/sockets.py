"""Where cross traffic comes from and where it goes: sockets in the peers' namespaces."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from linkem_py.runtime.cross_traffic.flow import Sender

PORT = 9  # discard: RFC 863, "A discard service simply throws away any data it receives"

_SO_ATTACH_FILTER = 26
_IP_MTU_DISCOVER, _IP_PMTUDISC_DONT = 10, 0
_RETURN_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)  # a BPF program of one instruction: keep 0 bytes


class SocketMaker(Protocol):
    """What the engine needs of the kernel."""

    def sender(self, source: str, address: str, to: str) -> Sender:
        """What sends from a peer's address to another's."""

    def sink(self, peer: str) -> Sink:
        """What receives in a peer, without a word. Raises `OSError` if the port is taken there."""


class Sink(Protocol):
    """Receives until it is closed."""

    def close(self) -> None:
        """Let go of it."""


class UdpSender:
    """A UDP socket that never waits. Not connected: it finds its way anew when a carrier comes back."""

    def __init__(self, sock: socket.socket, to: str) -> None:
        self._sock = sock
        self._to = (to, PORT)

    def send(self, payload: memoryview) -> None:
        """Send a datagram."""
        self._sock.sendto(payload, self._to)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class FlowSockets:
    """Makes senders and sinks with `run_in`, which runs a function in a peer's namespace."""

    def __init__(self, run_in: Callable[[str, Callable[[], socket.socket]], socket.socket]) -> None:
        self._run_in = run_in

    def sender(self, source: str, address: str, to: str) -> Sender:
        """A UDP socket from an address of `source`, which decides on the segment."""
        sock = self._run_in(source, _udp)
        try:
            sock.setblocking(False)
            # What is larger than the link's `mtu` goes in fragments, and is not refused.
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
            sock.bind((address, 0))
        except BaseException:
            sock.close()
            raise
        return UdpSender(sock, to)

    def sink(self, peer: str) -> Sink:
        """A UDP socket on `PORT` whose filter drops all: no ICMP error, no buffer that fills."""
        sock = self._run_in(peer, _udp)
        try:
            attach_filter(sock)
            sock.bind(("", PORT))
        except BaseException:
            sock.close()
            raise
        return sock


def attach_filter(sock: socket.socket) -> None:
    """Have a socket drop whatever it gets (socket(7), SO_ATTACH_FILTER; ``struct sock_fprog``)."""
    program = ctypes.create_string_buffer(_RETURN_NOTHING, len(_RETURN_NOTHING))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))


def _udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
