"""A kernel of Python behind a socket: answers every netlink message by what its type says."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable

NLM_F_ACK = 0x04
ERROR, DONE, ROW = 2, 3, 20
INTERRUPTED, CAPPED, TLVS = 0x10, 0x100, 0x200


class FakeKernel:
    """A socket whose kernel answers a message by what its type says; keeps what was sent."""

    def __init__(self, *, buffer_bytes: int = 212_992) -> None:
        self.buffer_bytes = buffer_bytes
        self.sends: list[bytes] = []
        self.queue: deque[bytes | OSError] = deque()
        self.answer: Callable[[bytes, int], list[bytes | OSError]] = answer_errors
        self.closed = 0

    def setblocking(self, flag: bool) -> None: ...

    def setsockopt(self, *option: int) -> None: ...

    def getsockopt(self, level: int, option: int) -> int:
        return self.buffer_bytes

    def fileno(self) -> int:
        return -1 if self.closed else 3

    def close(self) -> None:
        self.closed += 1

    def send(self, data: bytes) -> None:
        self.sends.append(bytes(data))
        for message in split(bytes(data)):
            self.queue.extend(self.answer(message, len(self.sends)))

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self.queue:
            raise BlockingIOError
        first = self.queue.popleft()
        if isinstance(first, OSError):
            raise first
        return first


def split(data: bytes) -> list[bytes]:
    messages = []
    while data:
        length = int.from_bytes(data[:4], "little")
        messages.append(data[:length])
        data = data[length:]
    return messages


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    padded = payload + bytes(-len(payload) % 4)
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + padded


def request(number: int, size: int = 0) -> bytes:
    """A message that `FakeKernel` refuses with the error `number`."""
    return message(number + 100, 1, 0, bytes(size))


def answer_errors(data: bytes, _: int) -> list[bytes | OSError]:
    _, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data)
    number = kind - 100
    if not number and not flags & NLM_F_ACK:
        return []
    text = f"no {number}".encode() + b"\0"
    tlvs = struct.pack("=HH", 4 + len(text), 1) + text + bytes(-len(text) % 4) + struct.pack("=HHI", 8, 2, 36)
    payload = struct.pack("=i", -number) + data[:16] + (tlvs if number else b"")
    return [message(ERROR, CAPPED | (TLVS if number else 0), sequence, payload)]
