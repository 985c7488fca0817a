"""UDP datagrams many at a time, each with the time at which the kernel received it.

`sendmmsg` and `recvmmsg` (Linux, 64 bits) carry hundreds of datagrams in one system call; numpy
arrays are their argument lists, so that no datagram costs Python anything.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_NO_CHECK, SO_TIMESTAMPNS, SO_MEMINFO = 32, 33, 11, 35, 55
NANOSECONDS = 1_000_000_000
HEADERS = 14 + 20 + 8  # bytes of Ethernet (without its check sequence), IPv4 and UDP

_MESSAGE = np.dtype(
    [
        ("name", "u8"), ("name_length", "u4"), ("_a", "u4"), ("vectors", "u8"), ("vector_count", "u8"),
        ("control", "u8"), ("control_length", "u8"), ("flags", "i4"), ("_b", "u4"), ("length", "u4"), ("_c", "u4"),
    ]
)  # fmt: skip
_VECTOR = np.dtype([("base", "u8"), ("length", "u8")])
_ADDRESS = np.dtype([("family", "u2"), ("port", ">u2"), ("host", ">u4"), ("_zero", "u8")])  # sockaddr_in
_CONTROL = np.dtype([("length", "u8"), ("level", "i4"), ("type", "i4"), ("seconds", "i8"), ("nanoseconds", "i8")])

_libc = ctypes.CDLL(None, use_errno=True)
for _function in (_libc.sendmmsg, _libc.recvmmsg):
    _function.restype = ctypes.c_int
_libc.sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
_libc.recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]


class Received(NamedTuple):
    """Datagrams as parallel arrays.

    `hosts` are IPv4 addresses as numbers, `times` nanoseconds of CLOCK_REALTIME by the kernel's
    receive path, `sizes` payload bytes, `payloads` one row of bytes each (as much as the reader keeps).
    """

    hosts: NDArray[np.uint32]
    times: NDArray[np.int64]
    sizes: NDArray[np.uint32]
    payloads: NDArray[np.uint8]


def prepare(sock: socket.socket, *, receive_bytes: int, send_bytes: int, check: bool = True) -> None:
    """Make a socket fit for measuring: kernel timestamps, large buffers, no waiting.

    The buffers' limits of the machine are overruled where the process may; `check` False sends
    without the UDP checksum, so that corrupted payloads arrive.
    """
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if not check:
        sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    forced = ((SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_bytes), (SO_SNDBUFFORCE, socket.SO_SNDBUF, send_bytes))
    for force, plain, size in forced:
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, size)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, plain, size)


def dropped(sock: socket.socket) -> int:
    """Datagrams that this socket did not take, most often for want of buffer (SK_MEMINFO_DROPS)."""
    return int(struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[8])


class Reader:
    """Reads datagrams, up to `batch` a call, keeping the first `keep` bytes of each."""

    def __init__(self, batch: int = 256, keep: int = 32) -> None:
        self._payloads = np.zeros((batch, keep), np.uint8)
        self._names = np.zeros(batch, _ADDRESS)
        self._controls = np.zeros(batch, _CONTROL)
        self._vectors = np.zeros(batch, _VECTOR)
        self._vectors["base"] = _addresses(self._payloads)
        self._vectors["length"] = keep
        self._messages = np.zeros(batch, _MESSAGE)
        self._messages["name"] = _addresses(self._names)
        self._messages["vectors"] = _addresses(self._vectors)
        self._messages["vector_count"] = 1
        self._messages["control"] = _addresses(self._controls)
        self._batch = batch

    def read(self, sock: socket.socket) -> Received | None:
        """What has arrived, at most one batch; None if nothing has."""
        messages = self._messages
        messages["name_length"] = _ADDRESS.itemsize
        messages["control_length"] = _CONTROL.itemsize
        # MSG_TRUNC: the length is that of the whole datagram, not of the bytes kept.
        flags = socket.MSG_DONTWAIT | socket.MSG_TRUNC
        count = _libc.recvmmsg(sock.fileno(), messages.ctypes.data, self._batch, flags, None)
        if count < 0:
            error = ctypes.get_errno()
            if error in (11, 4, 111):  # EAGAIN, EINTR, ECONNREFUSED of an earlier datagram
                return None
            raise OSError(error, os.strerror(error))
        controls = self._controls[:count]
        return Received(
            self._names["host"][:count].astype(np.uint32),
            controls["seconds"] * NANOSECONDS + controls["nanoseconds"],
            messages["length"][:count].copy(),
            self._payloads[:count].copy(),
        )

    def drain(self, sock: socket.socket) -> list[Received]:
        """All that has arrived."""
        found = []
        while (received := self.read(sock)) is not None:
            found.append(received)
            if len(received.sizes) < self._batch:
                break
        return found


class Train:
    """Datagrams of `size` bytes for one destination, sent with one call.

    Each begins with its number, three times over: one flipped bit leaves two of them whole.
    """

    def __init__(self, host: str, port: int, *, size: int, batch: int = 64) -> None:
        self._numbers_room = np.zeros((batch, max(size, 24)), np.uint8)
        self._numbers = self._numbers_room[:, :24].view("<u8")
        self._name = np.zeros(1, _ADDRESS)
        packed = int.from_bytes(socket.inet_aton(host), "big")
        self._name[0] = (socket.AF_INET, port, packed, 0)
        self._vectors = np.zeros(batch, _VECTOR)
        self._vectors["base"] = _addresses(self._numbers_room)
        self._vectors["length"] = size
        self._messages = np.zeros(batch, _MESSAGE)
        self._messages["name"] = self._name.ctypes.data
        self._messages["name_length"] = _ADDRESS.itemsize
        self._messages["vectors"] = _addresses(self._vectors)
        self._messages["vector_count"] = 1
        self._pointer = self._messages.ctypes.data
        self.batch = batch
        self.size = size

    def number(self, first: int, count: int) -> None:
        """Give the next `count` datagrams their numbers, from `first` on."""
        self._numbers[:count] = np.arange(first, first + count, dtype=np.uint64)[:, None]

    def send(self, fd: int, count: int) -> int:
        """Send the first `count`; how many the kernel took."""
        sent: int = _libc.sendmmsg(fd, self._pointer, count, socket.MSG_DONTWAIT)
        if sent < 0:
            error = ctypes.get_errno()
            if error in (11, 4, 105, 111, 1):  # EAGAIN, EINTR, ENOBUFS, ECONNREFUSED, EPERM (dropped by a filter)
                return 0
            raise OSError(error, os.strerror(error))
        return sent


def numbers_of(payloads: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The numbers in the payloads by majority of their three copies, and which payloads are damaged."""
    copies = np.ascontiguousarray(payloads[:, :24]).view("<u8")
    first, second, third = copies[:, 0], copies[:, 1], copies[:, 2]
    number = np.where((first == second) | (first == third), first, second)
    damaged = (first != second) | (first != third)
    return number, damaged | payloads[:, 24:].any(axis=1)


def _addresses(array: NDArray[Any]) -> NDArray[np.uint64]:
    """Where each row of an array lies in memory."""
    return np.uint64(array.ctypes.data) + np.arange(len(array), dtype=np.uint64) * np.uint64(array.strides[0])
