"""A server that tells whoever asks what it was seen as, at two addresses with two ports each (as RFC 5780 has it)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from linkem_py import Network

Endpoint = tuple[str, int]

PORTS = (3478, 3479)
PATIENCE_S = 5.0
SILENCE_S = 0.3  # long enough for a packet that has no delay to wait for


class Stun:
    """Sockets of `peers`, two each; `Stun.sockets[peer, port]`."""

    def __init__(self, net: Network, peers: tuple[str, str]) -> None:
        self.net = net
        self.peers = peers
        self.sockets = {(peer, port): udp(net, peer, port) for peer in peers for port in PORTS}

    def mapped(self, client: socket.socket, peer: str, port: int = PORTS[0]) -> Endpoint:
        """What a client's socket is seen as by one of them, as the client is told."""
        client.sendto(b"who am I", endpoint(self.net, peer, port))
        seen: Endpoint = self.sockets[peer, port].recvfrom(100)[1]
        self.sockets[peer, port].sendto(f"{seen[0]} {seen[1]}".encode(), seen)
        host, _, number = client.recv(100).decode().partition(" ")
        assert (host, int(number)) == seen
        return seen

    def reaches(self, client: socket.socket, mapping: Endpoint, peer: str, port: int = PORTS[0]) -> bool:
        """Whether what one of them sends to a mapping arrives at the client's socket."""
        self.sockets[peer, port].sendto(b"knock", mapping)
        client.settimeout(SILENCE_S)
        try:
            while True:
                data, sender = client.recvfrom(100)
                if data == b"knock" and sender == endpoint(self.net, peer, port):
                    return True
        except TimeoutError:
            return False
        finally:
            client.settimeout(PATIENCE_S)


def endpoint(net: Network, peer: str, port: int) -> Endpoint:
    return net.peer(peer).addresses["wan"][0], port


def udp(net: Network, peer: str, port: int = 0) -> socket.socket:
    made = net.peer(peer).socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("", port))
    made.settimeout(PATIENCE_S)
    return made


@contextlib.contextmanager
def stun(net: Network, peers: tuple[str, str] = ("stun", "other")) -> Iterator[Stun]:
    server = Stun(net, peers)
    try:
        yield server
    finally:
        for each in server.sockets.values():
            each.close()
