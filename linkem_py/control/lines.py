"""Lines on a byte stream, both ways, without ever keeping more of them than a bound."""

from __future__ import annotations

import asyncio

MOST_LINE_BYTES = 16 * 2**20
MOST_WAITING_BYTES = 16 * 2**20
_CHUNK = 2**16
_COMFORTABLE = 2**18  # bytes that wait to be sent; whoever can wait does so above it


class LineReader:
    """Lines from a `StreamReader`, as many at a time as have come. A longer one than `most_bytes` is never kept."""

    def __init__(self, reader: asyncio.StreamReader, *, most_bytes: int = MOST_LINE_BYTES) -> None:
        self._reader = reader
        self.most_bytes = most_bytes
        self._begun = bytearray()  # of a line that has not ended
        self._skipping = False

    async def read(self) -> list[bytes | None]:
        """The next lines, without their ends; None in place of one that is too long. Empty at the stream's end.

        What comes after the last end of a line is nothing. Raises `ConnectionError`.
        """
        while data := await self._reader.read(_CHUNK):
            if lines := self._split(data):
                return lines
        return []

    def _split(self, data: bytes) -> list[bytes | None]:
        first, *others = data.split(b"\n")
        lines: list[bytes | None] = []
        if not self._skipping:
            self._begun += first
        for begin in others:
            if not self._skipping:
                self._end(lines)
            self._skipping = False
            self._begun += begin
        if len(self._begun) > self.most_bytes:
            # Said at once: the rest may never come.
            self._end(lines)
            self._skipping = True
        return lines

    def _end(self, lines: list[bytes | None]) -> None:
        lines.append(bytes(self._begun) if len(self._begun) <= self.most_bytes else None)
        self._begun.clear()


class LineWriter:
    """Lines to a `StreamWriter`; those of one turn of the event loop go in one write.

    `send` never waits, so that nobody has to wait for a reader elsewhere. What waits for a reader who
    does not read is bounded: beyond `most_bytes` the stream is given up.
    """

    def __init__(self, writer: asyncio.StreamWriter, *, most_bytes: int = MOST_WAITING_BYTES) -> None:
        self._writer = writer
        self._most_bytes = most_bytes
        self._lines: list[bytes] = []
        self._waiting = 0  # bytes of them, and of what is being written
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._broken = False

    def send(self, line: bytes) -> None:
        """Send a line, given without its end. After the stream's end it is lost."""
        if self._broken:
            return
        if self._waiting > self._most_bytes:
            self._give_up()
            self._writer.transport.abort()  # so that `run` does not go on waiting
            return
        self._lines += (line, b"\n")
        self._waiting += len(line) + 1
        if self._waiting > _COMFORTABLE:
            self._room.clear()
        self._empty.clear()
        self._news.set()

    @property
    def waiting(self) -> int:
        """Bytes that are not handed to the stream yet."""
        return 0 if self._broken else self._waiting

    async def room(self) -> None:
        """Wait until not much waits any more; for whoever can produce the next line later."""
        while not self._room.is_set():  # whoever was woken before may have filled it again
            await self._room.wait()

    async def flush(self) -> None:
        """Wait until all is handed to the stream, or the stream has ended."""
        await self._empty.wait()

    async def run(self) -> None:
        """Write what there is to write, until cancelled. Raises `ConnectionError` when the stream has ended."""
        try:
            while not self._broken:
                await self._news.wait()
                self._news.clear()
                data, self._lines = b"".join(self._lines), []
                self._writer.write(data)
                await self._writer.drain()
                self._waiting -= len(data)
                if self._waiting <= _COMFORTABLE:
                    self._room.set()
                if not self._lines:
                    self._empty.set()
        finally:
            if self._lines and not self._writer.is_closing():
                self._writer.writelines(self._lines)  # the last words
            self._give_up()
        raise ConnectionError(f"more than {self._most_bytes} bytes wait for the other side, which does not read")

    def _give_up(self) -> None:
        self._broken = True
        self._lines.clear()
        for event in (self._news, self._room, self._empty):
            event.set()
