"""One channel of a mux, as a transport of asyncio: readers and writers behave as they do on a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from linkem_py.control.frames import MAX_PAYLOAD, WINDOW_BYTES, Frame, Kind, MuxError, credit

# Not for every few bytes read.
_CREDIT_BYTES = WINDOW_BYTES // 4

_HIGH_WATER = 64 << 10  # as asyncio has it for sockets


class Carrier(Protocol):
    """What a channel needs of its mux."""

    def give_turn(self, channel: Channel) -> None:
        """The channel may have a frame to send: `Channel.next_frame` will be called until it has none."""

    def forget(self, channel: Channel) -> None:
        """Both sides are done with it."""


class Channel(asyncio.Transport):
    """One channel of a mux.

    Attributes
    ----------
    number : what it is called on the stream
    """

    def __init__(self, carrier: Carrier, number: int, *, opening: bool) -> None:
        super().__init__()
        self.number = number
        self._carrier = carrier
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol = asyncio.Protocol()
        self._opening = opening  # our first frame is still to be sent
        self._out = bytearray()
        self._credit = WINDOW_BYTES
        self._high, self._low = _HIGH_WATER, _HIGH_WATER // 4
        self._writing_paused = self._reading_paused = False
        self._in: deque[bytes] = deque()
        self._room = WINDOW_BYTES  # what the other side may still send
        self._owed = 0  # of it, read and not yet given back
        self._eof = self._eof_sent = False
        self._closing = self._broken = self._closed = False  # closed: our last word is sent
        self._their_eof = self._their_eof_told = self._their_close = False
        self._lost = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "closing" if self._closing else "open"
        return f"<Channel {self.number} {state}, {len(self._out)} bytes to send, credit {self._credit}>"

    def streams(self, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A reader and a writer for it; `limit` as of `asyncio.StreamReader`, in bytes."""
        reader = asyncio.StreamReader(limit=limit, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        self._protocol = protocol
        protocol.connection_made(self)
        return reader, asyncio.StreamWriter(self, protocol, reader, self._loop)

    # --- for the mux ---------------------------------------------------------------------------

    def next_frame(self) -> Frame | None:
        """The next frame to send, if one may be sent now."""
        if self._closed:
            return None
        if self._opening:
            self._opening = False
            return Frame(Kind.OPEN, self.number)
        if self._broken:
            return self._last_word(Kind.RESET)
        if self._owed >= _CREDIT_BYTES and not self._their_eof:
            amount, self._owed = self._owed, 0
            self._room += amount
            return credit(self.number, amount)
        if self._out and self._credit:
            return Frame(Kind.DATA, self.number, self._take())
        if self._out:
            return None
        if self._closing:
            return self._last_word(Kind.CLOSE)
        if self._eof and not self._eof_sent:
            self._eof_sent = True
            return Frame(Kind.EOF, self.number)
        return None

    def receive(self, frame: Frame) -> None:
        """A frame of this channel came. Raises `MuxError` if it must not come now."""
        if self._their_close or (self._their_eof and frame.kind is Kind.DATA):
            raise MuxError(f"frame {frame.kind.name}: channel {frame.channel} must not be closed already")
        if frame.kind is Kind.DATA:
            self._on_data(frame.payload)
        elif frame.kind is Kind.CREDIT:
            self._on_credit(frame.amount)
        elif frame.kind is Kind.EOF:
            self._their_eof = True
            self._deliver()
        elif frame.kind is Kind.CLOSE:
            self._on_close()
        elif frame.kind is Kind.RESET:
            self._on_reset()
        else:
            raise MuxError(f"frame {frame.kind.name}: channel {frame.channel} must be new")

    def end(self, error: Exception | None) -> None:
        """The mux has ended: what has come can still be read, unless there was an `error`."""
        self._closing = self._closed = True
        self._out.clear()
        if error is None:
            while self._in and not self._lost:
                self._protocol.data_received(self._in.popleft())
        self._lose(error)

    def _take(self) -> bytes:
        count = min(len(self._out), self._credit, MAX_PAYLOAD)
        chunk = bytes(self._out[:count])
        del self._out[:count]
        self._credit -= count
        self._resume_writing()
        return chunk

    def _last_word(self, kind: Kind) -> Frame:
        self._closed = True
        self._lose(None)
        if self._their_close:
            self._carrier.forget(self)
        return Frame(kind, self.number)

    def _on_data(self, chunk: bytes) -> None:
        self._room -= len(chunk)
        if self._room < 0:
            raise MuxError(f"frame DATA: length must be within the credit of channel {self.number}: {len(chunk)}")
        if self._closing:
            # Nobody reads it; but who sends it may want to read only when all of it is sent.
            self._owe(len(chunk))
            return
        self._in.append(chunk)
        self._deliver()

    def _on_credit(self, amount: int) -> None:
        self._credit += amount
        if self._credit > WINDOW_BYTES:
            raise MuxError(f"frame CREDIT: amount must be what channel {self.number} has sent at most: {amount}")
        self._carrier.give_turn(self)

    def _on_close(self) -> None:
        self._their_eof = self._their_close = True
        self._out.clear()  # nobody would read it
        self._resume_writing()
        if self._closed:
            self._carrier.forget(self)
            return
        self._deliver()
        self._carrier.give_turn(self)

    def _on_reset(self) -> None:
        self._their_eof = self._their_close = True
        if self._closed:
            self._carrier.forget(self)
            return
        self._closing = True
        self._out.clear()
        self._lose(ConnectionResetError("the channel was reset by its other side"))
        self._carrier.give_turn(self)

    def _deliver(self) -> None:
        """Pass on what came, as far as it is wanted."""
        while self._in and not (self._reading_paused or self._closing):
            chunk = self._in.popleft()
            self._protocol.data_received(chunk)
            self._owe(len(chunk))
        if self._their_eof and not (self._in or self._their_eof_told or self._closing):
            self._their_eof_told = True
            if not self._protocol.eof_received():
                self.close()

    def _owe(self, count: int) -> None:
        self._owed += count
        if self._owed >= _CREDIT_BYTES:
            self._carrier.give_turn(self)

    def _resume_writing(self) -> None:
        if self._writing_paused and len(self._out) <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        """Tell the protocol that this is the end, once."""
        if not self._lost:
            self._lost = True
            self._in.clear()
            self._loop.call_soon(self._protocol.connection_lost, error)

    # --- for whoever reads and writes, as in `asyncio.Transport` -------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``channel`` : the number."""
        return self.number if name == "channel" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told what comes."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told what comes."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether it is closed, or will be once everything is sent."""
        return self._closing

    def close(self) -> None:
        """No more reading; what was written is sent first."""
        if not self._closing:
            self._closing = True
            unread = sum(map(len, self._in))
            self._in.clear()
            self._owe(unread)
            self._carrier.give_turn(self)

    def abort(self) -> None:
        """Close at once; what is not yet sent is lost, and the other side is told so."""
        if not self._closed:
            self._closing = self._broken = True
            self._out.clear()
            self._lose(None)
            self._carrier.give_turn(self)

    def is_reading(self) -> bool:
        """Whether data is passed on as it comes."""
        return not (self._reading_paused or self._closing)

    def pause_reading(self) -> None:
        """Keep what comes, within the window."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Pass on what was kept."""
        if self._reading_paused:
            self._reading_paused = False
            # Not at once: a StreamReader calls this before it begins to wait for the data.
            self._loop.call_soon(self._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """In bytes: the protocol is asked to pause above `high`, and to go on below `low`."""
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low
        self._pause_writing()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high, in bytes."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Bytes written and not yet sent."""
        return len(self._out)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send, as the credit allows."""
        if self._eof:
            raise RuntimeError("cannot write after write_eof()")
        if self._closing or not data:
            return
        if self._their_close:
            self._closing = True
            self._lose(BrokenPipeError("the other side of the channel is closed"))
            self._carrier.give_turn(self)
            return
        self._out += data
        self._carrier.give_turn(self)
        self._pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Send all of them."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write_eof(self) -> None:
        """The other side reads an end after what was written; reading here goes on."""
        if not (self._eof or self._closing):
            self._eof = True
            self._carrier.give_turn(self)

    def _pause_writing(self) -> None:
        if len(self._out) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()
