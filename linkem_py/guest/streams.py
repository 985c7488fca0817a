"""The host's ends of the streams: what waits to go into the guest, and what came out of it."""

from __future__ import annotations

import mmap
import os
from collections import deque

from linkem_py.guest.inside import frames

# A pipe that is ready for writing takes this much without blocking (pipe(7), PIPE_BUF).
_ATOMIC = 4096

# Without shared memory input goes over the line itself, in pieces that leave room for other frames.
_INLINE = 1024
_INLINE_WINDOW = 16 << 10


class Sender:
    """Frames for the guest, never more of them on their way than its line can bear."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = bytearray()
        self._unread = 0

    def __repr__(self) -> str:
        return f"<Sender {len(self._waiting)} bytes waiting, {self._unread} not yet read>"

    def send(self, frame: bytes) -> None:
        """Queues a frame and sends what may go."""
        self._waiting += frame
        self._flush()

    def acknowledge(self, count: int) -> None:
        """The guest has read `count` bytes."""
        self._unread -= count
        self._flush()

    def _flush(self) -> None:
        room = frames.LINE_WINDOW - self._unread
        if room <= 0 or not self._waiting:
            return
        try:
            count = os.write(self._fd, self._waiting[:room])
        except BrokenPipeError:
            count = len(self._waiting)  # The kernel is gone; whoever watches it will find out.
        del self._waiting[:count]
        self._unread += count


class Feed:
    """Input for the guest: through the shared memory, a ring, if the kernel has it, else over the line."""

    def __init__(self, sender: Sender, shared: mmap.mmap) -> None:
        self._sender = sender
        self._shared = shared
        self._use_shared = False
        self._put = self._taken = 0

    def __repr__(self) -> str:
        return f"<Feed {self._put - self._taken} bytes on their way>"

    def begin(self, *, use_shared: bool) -> None:
        """The guest is there."""
        self._use_shared = use_shared

    @property
    def room(self) -> int:
        """Bytes that `put` accepts now."""
        window = len(self._shared) if self._use_shared else _INLINE_WINDOW
        return window - (self._put - self._taken)

    def put(self, stream: int, chunk: bytes) -> None:
        """Sends input; not more than there is room for."""
        view = memoryview(chunk)
        while view:
            if self._use_shared:
                at = self._put % len(self._shared)
                part = view[: len(self._shared) - at]
                self._shared[at : at + len(part)] = bytes(part)
                self._sender.send(frames.piece(stream, at, len(part)))
            else:
                part = view[:_INLINE]
                self._sender.send(frames.data(stream, bytes(part)))
            self._put += len(part)
            view = view[len(part) :]

    def taken(self, count: int) -> None:
        """The guest has passed on `count` bytes."""
        self._taken += count


class Outlet:
    """What came out on one stream and waits for its reader here.

    Attributes
    ----------
    fd : where it goes, or -1 once nobody reads or writes it any more

    Without `credited` the guest is not told how much has been passed on: it holds back by itself.
    """

    def __init__(self, stream: int, fd: int, sender: Sender, *, hand_over: bool, credited: bool = True) -> None:
        self.fd = fd
        self._stream = stream
        self._sender = sender
        self._hand_over = hand_over
        self._credited = credited
        self._chunks: deque[memoryview] = deque()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Outlet {frames.STREAM_NAMES[self._stream]}, {len(self._chunks)} chunks waiting>"

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def put(self, chunk: bytes) -> None:
        """Takes what the guest sent."""
        if self.fd < 0:
            return
        self._chunks.append(memoryview(chunk))

    def end(self) -> None:
        """The guest will send no more."""
        self._ended = True
        self._finish()

    def flush(self) -> None:
        """Writes once, when the reader is ready, and tells the guest to send more."""
        if self.fd < 0 or not self._chunks:
            return
        chunk = self._chunks[0]
        try:
            count = os.write(self.fd, chunk[:_ATOMIC])
        except BlockingIOError:
            return
        except OSError:
            self._abandon()
            return
        if count == len(chunk):
            self._chunks.popleft()
        else:
            self._chunks[0] = chunk[count:]
        if self._credited:
            self._sender.send(frames.amount(frames.CREDIT, self._stream, count))
        self._finish()

    def _abandon(self) -> None:
        """The reader is gone: so shall be the pipe in the guest, and its writer be told as usual."""
        self._chunks.clear()
        self.fd = -1
        self._sender.send(frames.encode(frames.CLOSE, bytes((self._stream,))))

    def _finish(self) -> None:
        """Passes the end on: a reader waits for the last descriptor of a pipe to be closed."""
        if self._ended and not self._chunks and self.fd >= 0:
            if self._hand_over:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.fd)
                os.close(null)
            self.fd = -1
