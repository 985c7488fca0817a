"""One routing netlink socket: batches with exact answers, dumps, small requests.

A batch is many messages in one ``sendmsg``. The kernel works through it before the call returns
and goes on after an error, so every answer waits in the receive buffer by then. Only the last
message of a chunk asks for an acknowledgement: errors are reported whether asked for or not, and
the last acknowledgement says that all before it were carried out.
"""

from __future__ import annotations

import errno as errno_module
import itertools
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType

from linkem_py.errors import KernelError
from linkem_py.kernel.answers import (
    NLMSG_DONE,
    NLMSG_ERROR,
    SUCCESS,
    Ack,
    AcknowledgementsLostError,
    NetlinkError,
    iterate_messages,
    read_ack,
)
from linkem_py.kernel.codec.decode import link_rows
from linkem_py.kernel.codec.link import link_dump_message

__all__ = ["Ack", "AcknowledgementsLostError", "NetlinkError", "NetlinkSocket", "open_socket"]

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12

NLM_F_ACK = 0x04
NLM_F_DUMP_INTR = 0x10

_SEQ = struct.Struct("=I")
_FLAGS = struct.Struct("=H")
_SEQ_MASK = 0xFFFFFFFF

# What one error costs in the receive buffer is not its length but its truesize: a struct sk_buff and
# a slab of 512 bytes for up to 150 bytes of words (measured: 768 on Linux 6.1, 832 on 6.18), of 1,024
# beyond.
ERROR_TRUESIZE_BYTES = 1536
_SENDMSG_OVERHEAD_BYTES = 32  # netlink_sendmsg: "if (len > sk->sk_sndbuf - 32) return -EMSGSIZE"
_RECEIVE_BYTES = 65536
_DUMP_ATTEMPTS = 20


class NetlinkSocket:
    """A socket of the NETLINK_ROUTE family, bound to the namespace it was created in.

    Built from an existing socket (`open_socket`), which may come from a thread that had entered
    another namespace; owned, and closed, from here on. Not safe for use by two threads at once.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sequence = 0
        sock.setblocking(True)
        sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        sock.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        send_bytes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        receive_bytes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.chunk_bytes = send_bytes - _SENDMSG_OVERHEAD_BYTES
        self.chunk_messages = max(1, receive_bytes // ERROR_TRUESIZE_BYTES)

    @classmethod
    def open(cls) -> NetlinkSocket:
        """A socket in the calling thread's network namespace."""
        return cls(open_socket())

    # --- life ---------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The file descriptor, -1 once closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket; twice is harmless."""
        self._sock.close()

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.fileno() < 0 else f"fd={self.fileno()}"
        return f"<NetlinkSocket {state} sent={self._sequence} chunk={self.chunk_messages}>"

    # --- batches ------------------------------------------------------------------------------

    def transact(self, messages: Sequence[bytes]) -> list[Ack]:
        """Send all messages, in order, and return the kernel's answer to each.

        Lengths and flags are the caller's (NLM_F_ACK is not needed); sequence numbers are written
        here. A message that is refused does not stop those after it.

        Raises `AcknowledgementsLostError` when answers were lost, `KernelError` for a message
        longer than the send buffer.
        """
        acks: list[Ack | None] = [SUCCESS] * len(messages)
        for start, end in list(self._chunks(messages)):  # refused as a whole before any is sent
            first = self._send_chunk(messages[start:end])
            answers, complete = self._receive_answers(first, end - start)
            if not complete:
                acks[start:] = [None] * (len(messages) - start)
            for index, ack in answers.items():
                acks[start + index] = ack
            if not complete:
                raise AcknowledgementsLostError(acks, sent=end)
        return acks  # type: ignore[return-value]  # no None is left once every chunk was complete

    def _chunks(self, messages: Sequence[bytes]) -> Iterator[tuple[int, int]]:
        """Ranges such that requests fit the send buffer, and errors for all the receive buffer."""
        start = 0
        while start < len(messages):
            end = start + self.chunk_messages
            lengths = [len(message) for message in messages[start:end]]
            if sum(lengths) > self.chunk_bytes:
                fitting = sum(total <= self.chunk_bytes for total in itertools.accumulate(lengths))
                if not fitting:
                    raise KernelError(
                        f"a netlink message of {lengths[0]} bytes exceeds the send buffer: {self.chunk_bytes}"
                    )
                lengths = lengths[:fitting]
            yield start, start + len(lengths)
            start += len(lengths)

    def _send_chunk(self, messages: Sequence[bytes]) -> int:
        """Number and send; returns the first sequence number."""
        buffer = bytearray().join(messages)
        first = sequence = self._sequence + 1
        pack_into = _SEQ.pack_into
        offset = 8
        for message in messages:
            pack_into(buffer, offset, sequence & _SEQ_MASK)
            offset += len(message)
            sequence += 1
        last = len(buffer) - len(messages[-1])
        _FLAGS.pack_into(buffer, last + 6, _FLAGS.unpack_from(buffer, last + 6)[0] | NLM_F_ACK)
        self._sequence = sequence - 1
        self._send(buffer)
        return first

    def _receive_answers(self, first: int, count: int) -> tuple[dict[int, Ack], bool]:
        """Answers by position, and whether none is missing."""
        answers: dict[int, Ack] = {}
        overflow = False
        while True:
            try:
                data = self._sock.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return answers, False
            except OSError as error:
                if error.errno != errno_module.ENOBUFS:
                    raise
                overflow = True
                continue
            for kind, flags, sequence, offset, end in iterate_messages(data):
                index = (sequence - first) & _SEQ_MASK
                if kind == NLMSG_ERROR and index < count:
                    answers[index] = read_ack(data, flags, offset, end)
                    if index == count - 1:
                        return answers, not overflow

    # --- dumps and requests -------------------------------------------------------------------

    def dump(self, message: bytes) -> list[bytes]:
        """All messages of a dump, with their headers; begun anew while the kernel says it changed.

        Raises `NetlinkError`.
        """
        for _ in range(_DUMP_ATTEMPTS):
            rows = self._dump_once(message)
            if rows is not None:
                return rows
        raise NetlinkError("dump", errno_module.EINTR, f"interrupted {_DUMP_ATTEMPTS} times by changes")

    def request(self, message: bytes) -> bytes:
        """The one message that answers a request (no NLM_F_ACK). Raises `NetlinkError`."""
        sequence = self._send_single(message)
        while True:
            data = self._sock.recv(_RECEIVE_BYTES)
            for kind, flags, answered, offset, end in iterate_messages(data):
                if answered != sequence:
                    continue
                if kind == NLMSG_ERROR:
                    ack = read_ack(data, flags, offset, end)
                    raise NetlinkError("netlink request", ack.errno, ack.message)
                return data[offset:end]

    def link_indexes(self) -> dict[str, int]:
        """Interface index by name, for every device of the namespace."""
        return {row.name: row.ifindex for row in link_rows(self.dump(link_dump_message(statistics=False)))}

    def _send_single(self, message: bytes) -> int:
        self._sequence += 1
        buffer = bytearray(message)
        _SEQ.pack_into(buffer, 8, self._sequence & _SEQ_MASK)
        self._send(buffer)
        return self._sequence & _SEQ_MASK

    def _send(self, buffer: bytearray) -> None:
        try:
            self._sock.send(buffer)
        except OSError as error:
            raise NetlinkError("netlink send", error.errno or 0) from error

    def _dump_once(self, message: bytes) -> list[bytes] | None:
        sequence = self._send_single(message)
        rows: list[bytes] = []
        interrupted = False
        while True:
            try:
                data = self._sock.recv(_RECEIVE_BYTES)
            except OSError as error:
                if error.errno != errno_module.ENOBUFS:
                    raise
                interrupted = True
                continue
            for kind, flags, answered, offset, end in iterate_messages(data):
                if answered != sequence:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    ack = read_ack(data, flags, offset, end)
                    if ack.errno:
                        raise NetlinkError("netlink dump", ack.errno, ack.message)
                    return None if interrupted else rows
                rows.append(data[offset:end])


def open_socket() -> socket.socket:
    """A raw NETLINK_ROUTE socket of the calling thread's network namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
