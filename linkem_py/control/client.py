"""A network at the other end of a byte stream: the control socket's client."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import itertools
import json as plain_json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

from linkem_py import errors
from linkem_py.control.dispatcher import MOST_COMMANDS
from linkem_py.control.lines import MOST_LINE_BYTES, LineReader, LineWriter
from linkem_py.control.listeners import Listener
from linkem_py.control.remote_program import RemoteProgram
from linkem_py.control.wire import json
from linkem_py.control.wire.answers import problem
from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.events import Event
from linkem_py.control.wire.measures import Measures
from linkem_py.control.wire.replies import Problem, Reply
from linkem_py.control.wire.states import Description, LinkCounters
from linkem_py.errors import LinkemError, RequestError, TopologyError
from linkem_py.kernel.packet_ring import MOST_BYTES
from linkem_py.runtime.processes import to_the_end

PROTOCOL = 1
MOST_ANSWER_BYTES = 2**30  # a description of a large network; what it comes from is trusted
MOST_WAITING_BYTES = 8 * 2**20  # of commands that are not sent yet

_OUTPUTS = ("stdout", "stderr")

Taker: TypeAlias = Callable[[dict[str, Any] | None], None]


class RemoteStation:
    """A `Station` at the other end of a byte stream that a `Server` serves.

    ``async with await RemoteStation.connect_unix(path) as station``. Commands are sent without waiting
    for replies. At most 10,000 of them may be without a reply; beyond, they are refused as by `LocalStation`.
    When the stream ends, whatever waits fails with `ConnectionError` and iterators of events end.

    Attributes
    ----------
    name : of the network
    version : of linkem_py at the other end
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = self.version = ""
        self._in = LineReader(reader, most_bytes=MOST_ANSWER_BYTES)
        self._out = LineWriter(writer, most_bytes=8 * MOST_WAITING_BYTES)
        self._writer = writer
        self._numbers = itertools.count(1)
        self._commands: dict[int, tuple[str | None, asyncio.Future[Reply]]] = {}
        self._takers: dict[int, Taker] = {}
        self._worker: asyncio.Task[None] | None = None
        self._lost = False

    @classmethod
    async def connect_unix(cls, path: str | os.PathLike[str]) -> Self:
        """Connected to a control socket. Raises OSError if there is none or nobody listens, `ConnectionError`."""
        return await cls.connect(*await asyncio.open_unix_connection(path))

    @classmethod
    async def connect(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Self:
        """Connected over a stream that is there already. Raises `ConnectionError` if no server is at its other end."""
        station = cls(reader, writer)
        try:
            more = await station._greet()
            station._worker = asyncio.create_task(station._run(more), name=f"linkem client of {station.name}")
            await asyncio.sleep(0)  # it begins: cancelled before, it would not let go of the stream
        except BaseException:
            await station.close()
            writer.close()
            raise
        return station

    async def close(self) -> None:
        """Hang up. Twice is harmless."""
        if self._worker is not None:
            self._worker.cancel()
            await to_the_end(asyncio.ensure_future(asyncio.wait([self._worker])))

    async def wait_closed(self) -> None:
        """Until the stream has ended, from whichever side."""
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "ended" if self._lost else f"{len(self._commands)} commands not answered yet"
        return f"<RemoteStation {self.name!r}: {state}>"

    # --- the port ------------------------------------------------------------------------------

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """See `Station.submit`."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._lost:
            _fail(future)
            return future
        try:
            self._need_room()
            data = json.command_json(command)
            number = self._say(data.pop("command"), data)
        except TopologyError as error:
            future.set_result(Reply(ok=False, id=command.id, error=json.problem_of(error)))
        else:
            self._commands[number] = command.id, future
        return future

    async def describe(self) -> Description:
        """See `Station.describe`."""
        return json.description(await self._ask("describe"))

    async def counters(self) -> tuple[LinkCounters, ...]:
        """See `Station.counters`."""
        return tuple(json.counters(row) for row in await self._ask("counters"))

    async def measures(self) -> Measures:
        """See `Station.measures`."""
        return json.measures(await self._ask("measures"))

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Event]]:
        """See `Station.events`. What waits here is bounded as at the other end."""
        listener = Listener()
        begun: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(message: dict[str, Any] | None) -> None:
            if message is not None and "event" in message:
                listener.put(json.event(message["event"]))
            elif message is None or "result" not in message:
                listener.close()
            if message is None or "event" not in message:
                _bring(begun, message)

        number = self._send("watch", take)
        try:
            await begun
            yield listener
        finally:
            listener.close()
            if self._takers.pop(number, None) is not None:
                self._out.send(json.dump({"n": number, "stop": True}))

    # --- besides -------------------------------------------------------------------------------

    async def down(self) -> None:
        """Have the network ended by its owner. Returns when that has begun; `wait_closed` waits for more."""
        await self._ask("down")

    async def ping(self) -> None:
        """Come back when the other end has answered."""
        await self._ask("ping")

    async def exec(
        self,
        peer: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        terminal: tuple[int, int] | None = None,
    ) -> RemoteProgram:
        """See `Programs.exec`. ``async with await station.exec(...) as program`` hangs up at the end."""
        size = None if terminal is None else {"rows": terminal[0], "columns": terminal[1]}
        parameters = {"peer": peer, "argv": list(arguments), "env": dict(env or {}), "cwd": cwd, "terminal": size}
        return await self._run_program("exec", ("stdout",) if terminal is not None else _OUTPUTS, parameters)

    async def capture(
        self,
        peer: str,
        *,
        segment: str | None = None,
        snaplen: int = MOST_BYTES,
        filter: str | None = None,  # noqa: A002 - as everybody calls it
        count: int | None = None,
        seconds: float | None = None,
    ) -> RemoteProgram:
        """See `Programs.capture`."""
        parameters = {
            "peer": peer, "segment": segment, "snaplen": snaplen, "filter": filter, "count": count, "seconds": seconds,
        }  # fmt: skip
        return await self._run_program("capture", _OUTPUTS, parameters)

    # --- inside --------------------------------------------------------------------------------

    async def _run_program(
        self, request: str, outputs: tuple[str, ...], parameters: Mapping[str, Any]
    ) -> RemoteProgram:
        begun: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(message: dict[str, Any] | None) -> None:
            _bring(begun, message) if not begun.done() else program.take(message)

        number = self._send(request, take, **parameters)
        program = RemoteProgram(
            outputs,
            send=lambda message: self._out.send(json.dump({"n": number, **message})),
            forget=lambda: self._forget(number),
        )
        try:
            await begun
        except BaseException:
            await program.end()  # it may have been started all the same
            raise
        return program

    def _forget(self, number: int) -> None:
        self._takers.pop(number, None)

    async def _ask(self, request: str) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = self._send(request, lambda message: _bring(answer, message))
        try:
            return await answer
        finally:
            self._takers.pop(number, None)

    def _send(self, request: str, taker: Taker, **parameters: Any) -> int:
        """Send a request, of which `taker` gets every answer, and None when the stream ends."""
        if self._lost:
            raise _ended()
        number = self._say(request, parameters)
        self._takers[number] = taker
        return number

    def _say(self, request: str, parameters: Mapping[str, Any]) -> int:
        """Send a request, and return its number. Raises `RequestError` for one that the other end would not read."""
        number = next(self._numbers)
        line = json.dump({"n": number, "request": request, **parameters})
        if len(line) > MOST_LINE_BYTES:
            raise RequestError("line", f"must be at most {MOST_LINE_BYTES} bytes", len(line))
        self._out.send(line)
        return number

    def _need_room(self) -> None:
        rest = "wait for replies before sending more"
        if len(self._commands) >= MOST_COMMANDS:
            raise RequestError("backlog", f"must be at most {MOST_COMMANDS} commands: {rest}", len(self._commands))
        if self._out.waiting > MOST_WAITING_BYTES:
            raise RequestError("backlog", f"must be at most {MOST_WAITING_BYTES} bytes: {rest}", self._out.waiting)

    async def _greet(self) -> list[bytes | None]:
        lines = await self._in.read()
        try:
            greeting = plain_json.loads(lines[0] or b"")
            protocol, self.name, self.version = greeting["linkem"], greeting["name"], greeting["version"]
        except (LookupError, TypeError, ValueError) as error:
            raise ConnectionError("no linkem network answers there") from error
        if protocol != PROTOCOL:
            raise ConnectionError(
                f"network {self.name!r} is run by linkem_py {self.version}, which speaks protocol {protocol}; "
                f"this one speaks {PROTOCOL}"
            )
        return lines[1:]

    async def _run(self, lines: list[bytes | None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._out.run())
                await self._receive(lines)
                sender.cancel()
        except* ConnectionError:
            pass
        finally:
            self._lose()
            self._writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _receive(self, lines: list[bytes | None]) -> None:
        while True:
            for line in lines:
                try:
                    self._take(plain_json.loads(line or b""))
                except (LinkemError, LookupError, TypeError, ValueError, AttributeError) as error:
                    raise ConnectionError("what came from the other end is not the protocol") from error
            if not (lines := await self._in.read()):
                return

    def _take(self, message: dict[str, Any]) -> None:
        number = message["n"]
        if number is None:  # whatever it was, somebody here would wait for its answer for ever
            raise ConnectionError("the other end did not understand what it was asked")
        waiting = self._commands.get(number)
        if waiting is not None:
            _answer(*waiting, message)
            del self._commands[number]
        elif (taker := self._takers.get(number)) is not None:
            taker(message)

    def _lose(self) -> None:
        self._lost = True
        commands, self._commands = self._commands, {}
        for _, future in commands.values():
            _fail(future)
        takers, self._takers = self._takers, {}
        for taker in takers.values():
            taker(None)


def _ended() -> ConnectionError:
    return ConnectionError("the network has ended, or cannot be reached any more")


def _fail(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(_ended())
        future.exception()  # seen: nobody has to wait for it


def _answer(id: str | None, future: asyncio.Future[Reply], message: dict[str, Any]) -> None:  # noqa: A002
    if future.done():
        return  # nobody waits any more
    if "reply" in message:
        future.set_result(json.reply(message["reply"]))
    else:
        found = problem(message["error"], "error")
        if found.kind == "ConnectionError":
            _fail(future)
        else:
            future.set_result(Reply(ok=False, id=id, error=found))


def _bring(future: asyncio.Future[Any], message: dict[str, Any] | None) -> None:
    """Give an answer to whoever asked."""
    if future.done():
        return
    if message is None:
        _fail(future)
    elif "error" in message:
        future.set_exception(error_of(problem(message["error"], "error")))
        future.exception()  # seen: whoever asked may have gone
    else:
        future.set_result(message.get("result"))


def error_of(problem: Problem) -> Exception:
    """The error that a problem was made of, as near as it can be had."""
    kind = getattr(builtins, problem.kind, None)
    if isinstance(kind, type) and issubclass(kind, OSError):
        return kind(problem.message)
    kind = getattr(errors, problem.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, LinkemError)):
        return LinkemError(problem.message)
    if not issubclass(kind, TopologyError):
        return kind(problem.message)
    end = problem.message.find(f"{problem.field} {problem.rule}")
    where = problem.message[:end].removesuffix(": ") if end > 0 else ""
    return kind(problem.field, problem.rule, problem.value, where=where)
