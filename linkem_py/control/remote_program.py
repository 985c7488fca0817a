"""A program in a peer at the other end of a byte stream."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from linkem_py.control.execution import WINDOW_BYTES, Window

_PIECE = 2**15
_CREDIT_BYTES = WINDOW_BYTES // 4  # not for every few bytes read


class RemoteProgram:
    """A `Program` that a `RemoteStation` runs; a context manager whose leaving hangs up on it.

    Parameters
    ----------
    outputs : as `Program.outputs`
    send : sends a message about it
    forget : called when nothing more will come
    """

    def __init__(
        self, outputs: tuple[str, ...], send: Callable[[dict[str, Any]], None], forget: Callable[[], None]
    ) -> None:
        self._outputs = {output: _Output() for output in outputs}
        self._send = send
        self._forget = forget
        self._window = Window()
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def outputs(self) -> tuple[str, ...]:
        """See `Program.outputs`."""
        return tuple(self._outputs)

    async def read(self, output: str = "stdout") -> bytes:
        """See `Program.read`."""
        queue = self._outputs[output]
        data = await queue.get()
        if (taken := queue.owed()) and not self._exit.done():
            self._send({"taken": {output: taken}})
        return data

    async def write(self, data: bytes) -> None:
        """See `Program.write`."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            await self._window.take(len(piece))
            if self._exit.done():
                return
            self._send({"stdin": base64.b64encode(piece).decode()})

    def write_eof(self) -> None:
        """See `Program.write_eof`."""
        self._send_on({"eof": True})

    def send_signal(self, number: int) -> None:
        """See `Program.send_signal`."""
        self._send_on({"signal": int(number)})

    def resize(self, rows: int, columns: int) -> None:
        """See `Program.resize`."""
        self._send_on({"size": [rows, columns]})

    async def wait(self) -> int:
        """See `Program.wait`. Whether the outputs are read or not; they can be read afterwards."""
        return await asyncio.shield(self._exit)

    async def end(self) -> None:
        """See `Program.end`; does not wait for it."""
        self._send_on({"stop": True})
        self.take(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    def __repr__(self) -> str:
        return f"<RemoteProgram: {'ended' if self._exit.done() else 'running'}>"

    def take(self, message: dict[str, Any] | None) -> None:
        """A message about it; None if no more can come."""
        if message is None or message.keys() & {"exit", "error", "end"}:
            self._over(message or {})
        elif "taken" in message:
            self._window.give_back(message["taken"]["stdin"])
        else:
            for output in message.keys() & self._outputs.keys():
                self._outputs[output].put(base64.b64decode(message[output]))

    def _send_on(self, message: dict[str, Any]) -> None:
        if not self._exit.done():
            self._send(message)

    def _over(self, message: dict[str, Any]) -> None:
        if self._exit.done():
            return
        if "exit" in message:
            self._exit.set_result(message["exit"])
        else:
            self._exit.set_exception(ConnectionError("the program is out of reach"))
            self._exit.exception()  # seen: nobody has to wait for it
        for queue in self._outputs.values():
            queue.close()
        self._window.give_back(WINDOW_BYTES)
        self._forget()


class _Output:
    """What has come of an output and was not read. Its sender bounds it."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._closed = False
        self._taken = 0

    def put(self, data: bytes) -> None:
        self._pieces.append(data)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def get(self) -> bytes:
        while not self._pieces:
            if self._closed:
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._pieces.popleft()
        self._taken += len(data)
        return data

    def owed(self) -> int:
        """What the sender must be told that was taken, now and then."""
        if self._taken < _CREDIT_BYTES:
            return 0
        taken, self._taken = self._taken, 0
        return taken
