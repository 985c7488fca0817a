"""Asks over UDP, again and again until there is an answer. `python asking.py ADDRESS PORT` answers, in capitals."""

from __future__ import annotations

import socket
import sys

Address = tuple[str, int]


def ask(sock: socket.socket, server: Address, question: str, *, tries: int = 5, timeout_s: float = 1.0) -> str:
    """The answer to a question. Raises TimeoutError after so many tries, each so long."""
    sock.settimeout(timeout_s)
    for _ in range(tries):
        sock.sendto(question.encode(), server)
        try:
            while True:
                answer = sock.recv(2048).decode()
                if answer == question.upper():  # not that of an earlier question, late
                    return answer
        except TimeoutError:
            continue
    raise TimeoutError(f"no answer from {server[0]} after {tries} tries")


def serve(address: Address) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        print("ready", flush=True)
        while True:
            question, client = sock.recvfrom(2048)
            sock.sendto(question.upper(), client)


if __name__ == "__main__":
    serve((sys.argv[1], int(sys.argv[2])))
