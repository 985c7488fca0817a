"""A program, or a capture, that a client of the control socket runs in a peer.

``{"n", "request": "exec", "peer", "argv", "env", "cwd", "terminal": {"rows", "columns"}}``; what comes after
`argv` may be left out, and is as `Programs.exec` has it. Every message about it has its `n`, and besides:

| from the server | |
|---|---|
| ``"result": {}`` | it has started |
| ``"stdout"``, ``"stderr"`` | its output, base64; on a terminal ``stdout`` only |
| ``"taken": {"stdin": bytes}`` | it has taken so much of its input |
| ``"refused": {"field", ...}`` | what was wrong with the client's last message; it goes on |
| ``"exit": status`` | it has ended; 128 + N if signal N ended it |
| ``"end": true`` | it was hung up on |

| from the client | |
|---|---|
| ``"stdin"`` | input, base64 |
| ``"eof": true`` | the end of its input |
| ``"taken": {"stdout": bytes}`` | so much of its output was taken |
| ``"signal": number``, ``"size": [rows, columns]`` | for its process group; of its terminal |
| ``"stop": true`` | hang up |

``{"n", "request": "capture", "peer", "segment", "snaplen", "filter", "count", "seconds"}``, all but `peer` as
`Programs.capture` has it or left out, is a program without input: ``stdout`` is a pcapng file, any ``signal`` asks for
its end, and the last line of ``stderr`` is ``{"packets", "dropped"}``.

At most 256 KiB of the input, and of each output, may be on their way without being taken: so a program whose
client does not read waits, and a signal never waits behind input.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias

from linkem_py.control.program import Program, Programs
from linkem_py.control.wire.answers import problem_json
from linkem_py.control.wire.replies import Problem
from linkem_py.control.wire.shape import as_list, as_number, as_object, as_text, as_whole, check_names, member
from linkem_py.errors import RequestError

WINDOW_BYTES = 2**18  # of an output, or of the input, that its receiver has not said to have taken
_PIECE = 2**15
_LINGER_S = 0.5  # for outputs that others hold open after the program's end and that bring nothing
_MOST_SIZE = 2**16 - 1
_MOST_SIGNAL = 64
_MOST_EARLY = 16

Start: TypeAlias = Callable[[], Awaitable[Program]]


def program_of(programs: Programs, data: dict[str, Any]) -> Start:
    """What starts the program of an ``exec``: ``peer``, ``argv``, and perhaps ``env``, ``cwd``, ``terminal``.

    Raises `RequestError`.
    """
    check_names(data, ("peer", "argv", "env", "cwd", "terminal"))
    peer = _text(member(data, "peer"), "peer")
    arguments = [_text(word, f"argv[{n}]") for n, word in enumerate(as_list(member(data, "argv"), "argv"))]
    if not arguments:
        raise RequestError("argv", "must name a program", [])
    env = _env(data.get("env"))
    cwd = None if data.get("cwd") is None else _text(data["cwd"], "cwd")
    terminal = None if data.get("terminal") is None else _terminal(data["terminal"])
    return lambda: programs.exec(peer, arguments, env=env, cwd=cwd, terminal=terminal)


def capture_of(programs: Programs, data: dict[str, Any]) -> Start:
    """What starts a ``capture``. Raises `RequestError`."""
    check_names(data, ("peer", "segment", "snaplen", "filter", "count", "seconds"))
    peer = _text(member(data, "peer"), "peer")
    options: dict[str, Any] = {}
    for name, read in (("segment", _text), ("filter", _text), ("snaplen", as_whole), ("count", as_whole)):
        if data.get(name) is not None:
            options[name] = read(data[name], name)
    if data.get("seconds") is not None:
        options["seconds"] = as_number(data["seconds"], "seconds")
        if not options["seconds"] > 0:
            raise RequestError("seconds", "must be above 0", data["seconds"])
    return lambda: programs.capture(peer, **options)


class Execution:
    """One program, from its request to its exit.

    Parameters
    ----------
    start : starts it; see `program_of`, `capture_of`
    send : sends a message to the client
    """

    def __init__(self, start: Start, send: Callable[[dict[str, Any]], None]) -> None:
        self._start = start
        self._send = send
        self._program: Program | None = None
        self._early: list[Callable[[Program], None]] = []  # what is to be done once it has started
        self._input: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._input_bytes = 0
        self._input_over = False
        self._windows: dict[str, Window] = {}
        self._sent = 0  # pieces of output

    async def run(self) -> None:
        """Start it, and pass everything on until it has ended. Cancelled, it hangs up on it."""
        program = await self._start()
        try:
            self._windows = {output: Window() for output in program.outputs}
            self._program = program
            self._send({"result": {}})
            for action in self._early:
                action(program)
            self._send({"exit": await self._attend(program)})
        except* ConnectionError:
            self._send({"error": problem_json(Problem(message="the program is out of reach", kind="ConnectionError"))})
        finally:
            self._program = None
            await program.end()

    def take(self, data: dict[str, Any]) -> None:
        """More from the client: ``stdin``, ``eof``, ``signal``, ``size``, ``taken``. Raises `RequestError`."""
        check_names(data, ("n", "stdin", "eof", "signal", "size", "taken"))
        if "taken" in data:
            self._taken(as_object(data["taken"], "taken"))
        if "stdin" in data:
            self._take_input(_decoded(data["stdin"]))
        if data.get("eof") is True and not self._input_over:
            self._input_over = True
            self._input.put_nowait(None)
        if "signal" in data:
            number = _whole(data["signal"], "signal", _MOST_SIGNAL)
            self._act(lambda program: program.send_signal(number))
        if "size" in data:
            rows, columns = _size(data["size"])
            self._act(lambda program: program.resize(rows, columns))

    def _act(self, action: Callable[[Program], None]) -> None:
        if self._program is not None:
            action(self._program)
        elif len(self._early) < _MOST_EARLY:
            self._early.append(action)

    def _take_input(self, data: bytes) -> None:
        if self._input_bytes + len(data) > WINDOW_BYTES:
            raise RequestError("stdin", f"must be at most {WINDOW_BYTES} bytes before they are taken", len(data))
        if self._input_over:
            raise RequestError("stdin", "must not come after eof", len(data))
        if data:
            self._input_bytes += len(data)
            self._input.put_nowait(data)

    def _taken(self, counts: dict[str, Any]) -> None:
        for output, count in counts.items():
            if output in self._windows:
                self._windows[output].give_back(as_whole(count, f"taken.{output}"))

    async def _attend(self, program: Program) -> int:
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed(program))
            pumps = [group.create_task(self._pump(program, output)) for output in program.outputs]
            status = await program.wait()
            await self._outlast(pumps)
            for task in (feeding, *pumps):
                task.cancel()
        return status

    async def _feed(self, program: Program) -> None:
        while (data := await self._input.get()) is not None:
            await program.write(data)
            self._input_bytes -= len(data)
            self._send({"taken": {"stdin": len(data)}})
        program.write_eof()

    async def _pump(self, program: Program, output: str) -> None:
        window = self._windows[output]
        while data := await program.read(output):
            await window.take(len(data))
            self._sent += 1
            self._send({output: base64.b64encode(data).decode()})

    async def _outlast(self, pumps: list[asyncio.Task[None]]) -> None:
        """Wait for what the program has written; not for ever, because others may hold its outputs open."""
        while True:
            before = self._sent
            _, pending = await asyncio.wait(pumps, timeout=_LINGER_S)
            quiet = self._sent == before and not any(window.full for window in self._windows.values())
            if not pending or quiet:
                return


class Window:
    """How much may be sent before it is taken."""

    def __init__(self, size: int = WINDOW_BYTES) -> None:
        self._size = self._left = size
        self._more = asyncio.Event()
        self.full = False

    async def take(self, count: int) -> None:
        """Wait until so many bytes, at most the size, may be sent; they count as sent."""
        self.full = count > self._left
        while count > self._left:
            self._more.clear()
            await self._more.wait()
        self.full = False
        self._left -= count

    def give_back(self, count: int) -> None:
        """So many bytes were taken."""
        self._left = min(self._size, self._left + count)
        self._more.set()


def _text(value: Any, path: str) -> str:
    text = as_text(value, path)
    if not text or "\0" in text:
        raise RequestError(path, "must be some text without NUL", text)
    return text


def _env(value: Any) -> Mapping[str, str | None]:
    env: dict[str, str | None] = {}
    for name, text in as_object({} if value is None else value, "env").items():
        if not name or "=" in name or "\0" in name:
            raise RequestError("env", "must have names without '=' and NUL", name)
        if text is not None and "\0" in as_text(text, f"env.{name}"):
            raise RequestError(f"env.{name}", "must be text without NUL", text)
        env[name] = text
    return env


def _terminal(value: Any) -> tuple[int, int]:
    data = as_object(value, "terminal")
    check_names(data, ("rows", "columns"), "terminal.")
    return (
        _whole(member(data, "rows", "terminal."), "terminal.rows", _MOST_SIZE),
        _whole(member(data, "columns", "terminal."), "terminal.columns", _MOST_SIZE),
    )


def _size(value: Any) -> tuple[int, int]:
    if len(row := as_list(value, "size")) != 2:
        raise RequestError("size", "must be [rows, columns]", row)
    return _whole(row[0], "size[0]", _MOST_SIZE), _whole(row[1], "size[1]", _MOST_SIZE)


def _whole(value: Any, path: str, most: int) -> int:
    number = as_whole(value, path)
    if not 1 <= number <= most:
        raise RequestError(path, f"must be between 1 and {most}", number)
    return number


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(as_text(value, "stdin"), validate=True)
    except (binascii.Error, ValueError):
        _refuse_input(value)


def _refuse_input(value: Any) -> NoReturn:
    raise RequestError("stdin", "must be base64", value) from None
