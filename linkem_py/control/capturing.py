"""A capture in a network of this process, as a program for clients that are elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable

from linkem_py.runtime import Capture
from linkem_py.runtime.processes import to_the_end

_PIECE = 2**15  # bytes read at a time


class CaptureProgram:
    """A `Program` whose ``stdout`` is the file of a capture; see `Programs.capture`."""

    outputs = ("stdout", "stderr")

    def __init__(self, capture: Capture, reader: asyncio.StreamReader, close: Callable[[], None]) -> None:
        self._capture = capture
        self._reader = reader
        self._close = close
        self._said = False
        self._deadline: asyncio.TimerHandle | None = None
        self._life = asyncio.create_task(self._live(), name=f"linkem capture of {capture.peer}")

    @classmethod
    async def start(cls, make: Callable[[int], Capture], *, seconds: float | None) -> CaptureProgram:
        """Begin the capture that `make` makes for a file descriptor."""
        reading, writing = os.pipe()
        try:
            capture = make(writing)
            starting = asyncio.create_task(capture.start())
            # Only what comes before the packets is written by then, far less than a pipe holds.
            await to_the_end(starting)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        reader = asyncio.StreamReader(limit=_PIECE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
        )
        program = cls(capture, reader, transport.close)
        if seconds is not None:
            program._deadline = asyncio.get_running_loop().call_later(seconds, capture.end)
        return program

    async def read(self, output: str = "stdout") -> bytes:
        """See `Program.read`."""
        if output == "stdout":
            return await self._reader.read(_PIECE)
        await asyncio.wait([self._life])
        if self._said:
            return b""
        self._said = True
        capture = self._capture
        said: dict[str, object] = {"packets": capture.packets, "dropped": capture.dropped}
        if capture.error is not None:
            said["error"] = str(capture.error)
        return json.dumps(said).encode() + b"\n"

    async def write(self, data: bytes) -> None:
        """Nothing: it takes no input."""

    def write_eof(self) -> None:
        """Nothing."""

    def send_signal(self, number: int) -> None:
        """Ask for its end."""
        self._capture.end()

    def resize(self, rows: int, columns: int) -> None:
        """Nothing."""

    async def wait(self) -> int:
        """See `Program.wait`."""
        return await asyncio.shield(self._life)

    async def end(self) -> None:
        """See `Program.end`."""
        self._capture.end()
        self._close()  # it may wait for somebody to read
        await to_the_end(asyncio.ensure_future(asyncio.wait([self._life])))

    async def _live(self) -> int:
        await self._capture.wait()
        if self._deadline is not None:
            self._deadline.cancel()
        with contextlib.suppress(OSError):  # `error` has it
            await self._capture.stop()
        return 0 if self._capture.error is None else 1
