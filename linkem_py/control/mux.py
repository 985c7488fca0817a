"""Several byte streams over one: what lets many clients talk to a network at the far end of a line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from linkem_py.control.channel import Channel
from linkem_py.control.frames import Decoder, Frame, Kind, MuxError

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

MAX_CHANNELS = 1024  # of each side, so that what they hold is bounded

_READ_BYTES = _WRITE_BYTES = 64 << 10
_FLUSH_S = 5.0


class Mux:
    """Channels over one byte stream; an async context manager, which closes the stream at its end.

    The two sides must differ in `first`. Each may open channels; `accept` is called, in a task of its own,
    with the streams of one that the other side opened, which are closed when it returns. Without it
    such a channel is reset. Channels take turns; one that is not read holds up itself alone.

    `limit` is that of the channels' `asyncio.StreamReader`, in bytes: the longest line that it can read.

    At the end what was written is still sent, as far as the other side has room for it, for at most 5 s.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        first: bool,
        accept: Accept | None = None,
        limit: int = 64 << 10,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._accept = accept
        self._limit = limit
        self._ours = self._theirs = 1 if first else 2
        self._theirs = 3 - self._ours
        self._channels: dict[int, Channel] = {}
        self._turns: deque[Channel] = deque()
        self._waiting: set[Channel] = set()  # those in `_turns`
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._ended = asyncio.Event()
        self._error: MuxError | None = None
        self._tasks = asyncio.TaskGroup()
        self._carrying: list[asyncio.Task[None]] = []
        self._handlers: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        state = f"ended: {self._error}" if self._error else "ended" if self._ended.is_set() else "open"
        return f"<Mux {state}, {len(self._channels)} channels>"

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._carrying = [self._tasks.create_task(self._receive()), self._tasks.create_task(self._send())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for task in self._handlers:
                task.cancel()
            if self._handlers:
                await asyncio.wait(self._handlers)
            await self._flush()
        finally:
            self._end(None)
            for task in (*self._carrying, *self._handlers):  # of a channel, too, that was opened meanwhile
                task.cancel()
            try:
                await self._tasks.__aexit__(None, None, None)
            finally:
                await self._close_stream()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new channel. Raises `ConnectionError` if the mux has ended or has `MAX_CHANNELS` of this side."""
        if self._ended.is_set():
            raise self._error or ConnectionResetError("the stream that carries the channels has ended")
        if self._count(self._ours) >= MAX_CHANNELS:
            raise ConnectionRefusedError(f"channels must be at most {MAX_CHANNELS}: one more was asked for")
        number, self._ours = self._ours, self._ours + 2
        channel = self._channels[number] = Channel(self, number, opening=True)
        self.give_turn(channel)
        return channel.streams(self._limit)

    async def wait_ended(self) -> None:
        """Returns when the stream has ended. Raises `MuxError` if that was because of what came over it."""
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    # --- for the channels ----------------------------------------------------------------------

    def give_turn(self, channel: Channel) -> None:
        """Ask it for frames, when its turn comes."""
        if channel not in self._waiting and not self._ended.is_set():
            self._waiting.add(channel)
            self._turns.append(channel)
            self._idle.clear()
            self._wake.set()

    def forget(self, channel: Channel) -> None:
        """Both sides are done with it."""
        del self._channels[channel.number]

    # --- inside --------------------------------------------------------------------------------

    async def _receive(self) -> None:
        decoder = Decoder()
        try:
            while chunk := await self._reader.read(_READ_BYTES):
                for frame in decoder.feed(chunk):
                    self._on_frame(frame)
            if not decoder.between_frames:
                raise MuxError("stream: must not end within a frame")
        except MuxError as error:
            self._end(error)
        except OSError:
            pass  # the other side died: as if it had ended the stream
        self._end(None)

    def _on_frame(self, frame: Frame) -> None:
        channel = self._channels.get(frame.channel)
        if channel is not None:
            channel.receive(frame)
        elif frame.kind is Kind.OPEN:
            self._on_open(frame.channel)
        else:
            raise MuxError(f"frame {frame.kind.name}: channel must be an open one: {frame.channel}")

    def _on_open(self, number: int) -> None:
        if number != self._theirs:
            raise MuxError(f"frame OPEN: channel must be {self._theirs}, the next one: {number}")
        if self._count(number) >= MAX_CHANNELS:
            raise MuxError(f"frame OPEN: channels must be at most {MAX_CHANNELS}: one more was opened")
        self._theirs += 2
        channel = self._channels[number] = Channel(self, number, opening=False)
        if self._accept is None or self._ended.is_set():
            channel.abort()
            return
        # The streams at once: data may be in the same chunk.
        task = self._tasks.create_task(self._serve(self._accept, channel, *channel.streams(self._limit)))
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _serve(
        self, accept: Accept, channel: Channel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await accept(reader, writer)
        except ConnectionError:
            channel.abort()
        except Exception as error:
            # As asyncio does for servers: one connection's fault is not the others'.
            channel.abort()
            context = {"message": "a channel's handler failed", "exception": error, "transport": channel}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            writer.close()

    async def _send(self) -> None:
        try:
            while not self._ended.is_set():
                await self._wake.wait()
                while batch := self._batch():
                    self._writer.write(batch)
                    await self._writer.drain()
                self._wake.clear()
                self._idle.set()
        except OSError:
            self._end(None)

    def _batch(self) -> bytes:
        """The next frames, a turn for each channel, in one piece: a call of the kernel costs more than a frame."""
        frames: list[bytes] = []
        size = 0
        while self._turns and size < _WRITE_BYTES:
            channel = self._turns.popleft()
            frame = channel.next_frame()
            if frame is None:
                self._waiting.discard(channel)
                continue
            self._turns.append(channel)
            frames.append(frame.encode())
            size += len(frames[-1])
        return b"".join(frames)

    async def _flush(self) -> None:
        if not self._turns:
            return
        ends = [asyncio.ensure_future(event.wait()) for event in (self._idle, self._ended)]
        try:
            await asyncio.wait(ends, timeout=_FLUSH_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in ends:
                waiting.cancel()

    def _end(self, error: MuxError | None) -> None:
        if self._ended.is_set():
            return
        self._error = error
        self._ended.set()
        self._turns.clear()
        self._waiting.clear()
        for channel in self._channels.values():
            channel.end(error)
        self._channels.clear()
        self._wake.set()

    async def _close_stream(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            pass  # the other side is gone

    def _count(self, number: int) -> int:
        return sum(1 for other in self._channels if other % 2 == number % 2)
