"""One client of a control socket: its requests, their answers, and what it watches.

The protocol: lines of JSON in UTF-8, both ways. The server begins with a greeting,
``{"linkem": 1, "name": NETWORK, "version": ...}``, 1 being the protocol. A request has a number `n` of the
client's choice, which every answer to it repeats:

| request | answers |
|---|---|
| ``{"n", "request": "set", "id", "changes"}`` and other commands (`wire.requests`) | ``{"n", "reply"}`` |
| ``describe``, ``counters``, ``measures``, ``ping``, ``down`` (end the network) | ``{"n", "result"}`` |
| ``watch``; later ``{"n", "stop": true}`` | ``result`` {}, then each ``event``, ``{"n", "end": true}`` |
| ``exec``, ``capture`` | see `execution` |

What is wrong with a line, and why a request failed, comes as ``{"n", "error": {"field", "rule", "value",
"message", "kind"}}``, with the number null if the line had no proper one; it is the last answer to its number. A
command that was refused is answered with a reply that says so. Answers come in any order; commands are
carried out in theirs. ``docs/control-socket.md`` has examples.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

import attrs

import linkem_py
from linkem_py.control.execution import Execution, capture_of, program_of
from linkem_py.control.lines import LineReader, LineWriter
from linkem_py.control.program import Programs
from linkem_py.control.station import Station
from linkem_py.control.wire import json
from linkem_py.control.wire.answers import problem_json
from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.replies import Problem, Reply
from linkem_py.control.wire.shape import check_names
from linkem_py.errors import LinkemError, RequestError, TopologyError

PROTOCOL = 1
MOST_NUMBER = 2**53 - 1  # whole numbers that every JSON reader can tell apart (RFC 8259, 6)
MOST_UNANSWERED = 4_000  # commands of one client; further ones are not read before there are replies
MOST_QUESTIONS = 16  # likewise
MOST_STREAMS = 64  # watches and programs of one client at a time
CLOSING_S = 1.0  # for what was written to go out
PATIENCE_S = 5.0  # for a client that has no more requests and does not read what it is still owed

_LOG = logging.getLogger(__name__)
_BARE = ("describe", "counters", "measures", "watch", "down", "ping")  # what is asked without saying more
_RUNNING = {"exec": program_of, "capture": capture_of}
_REQUESTS = (*json.COMMAND_NAMES, *_BARE, *_RUNNING)

Question: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]


@attrs.frozen(kw_only=True)
class Offer:
    """What a server has for its clients.

    Attributes
    ----------
    station : the network
    name : of the network, for the greeting
    programs : runs programs in peers; None if that cannot be done here
    on_down : ends the network; None if a client cannot
    """

    station: Station
    name: str
    programs: Programs | None = None
    on_down: Callable[[], object] | None = None


class Connection:
    """A client's requests, answered as they come.

    Commands go to the station in the order of their lines, and replies come when there are some.
    What asks for something long (``describe``, ``counters``) is done one after the other, beside the
    commands. A client that does not read gets no further answers made for it.
    """

    def __init__(self, offer: Offer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._offer = offer
        self._in = LineReader(reader)
        self._out = LineWriter(writer)
        self._writer = writer
        self._questions: asyncio.Queue[tuple[int, Question]] = asyncio.Queue(MOST_QUESTIONS)
        self._streams: dict[int, tuple[asyncio.Task[None], Execution | None]] = {}
        self._unanswered = 0
        self._fewer = asyncio.Event()  # commands without an answer

    async def serve(self) -> None:
        """Until the client has gone, or has had the answers to its last requests."""
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(self._out.run()), group.create_task(self._answer_questions())]
                await self._talk(group)
                for task in helpers:
                    task.cancel()
        except* ConnectionError:
            pass  # the client has gone
        finally:
            await self._hang_up()

    async def _talk(self, group: asyncio.TaskGroup) -> None:
        self._send({"linkem": PROTOCOL, "name": self._offer.name, "version": linkem_py.__version__})
        while lines := await self._in.read():
            for line in lines:
                await self._handle(line, group)
                await self._out.room()
        streams = [task for task, _ in self._streams.values()]
        for task in streams:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                if streams:
                    await asyncio.wait(streams)
                await self._fewer_than(1)
                await self._questions.join()
                await self._out.flush()

    async def _hang_up(self) -> None:
        """Let go of the stream, once what was written has gone; a client that does not read loses it."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSING_S):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._writer.transport.abort()

    # --- requests ------------------------------------------------------------------------------

    async def _handle(self, line: bytes | None, group: asyncio.TaskGroup) -> None:
        number = None
        try:
            if line is None:
                raise RequestError("line", f"must be at most {self._in.most_bytes} bytes", "a longer one")
            data = json.parse(line, most_bytes=self._in.most_bytes)
            number = _number(data)
            if "request" in data:
                await self._request(number, data, group)
            else:
                self._go_on(number, data)
        except Exception as error:  # whatever it is, it is that line's
            self._send_error(number, error)

    async def _request(self, number: int, data: dict[str, Any], group: asyncio.TaskGroup) -> None:
        offer, request = self._offer, data.pop("request")
        del data["n"]
        if not isinstance(request, str):
            raise RequestError("request", f"must be one of {', '.join(_REQUESTS)}", request)
        if request in _BARE:
            check_names(data, ())
        if request in json.COMMAND_NAMES:
            await self._fewer_than(MOST_UNANSWERED)
            self._submit(number, request, data)
        elif request == "describe":
            await self._ask(number, lambda: _description(offer.station))
        elif request == "counters":
            await self._ask(number, lambda: _counters(offer.station))
        elif request == "measures":
            await self._ask(number, lambda: _measures(offer.station))
        elif request == "down":
            await self._ask(number, self._down)
        elif request == "ping":
            self._send({"n": number, "result": {}})
        elif request == "watch":
            await self._stream(number, self._watch(number), None, group)
        elif request in _RUNNING:
            execution = self._execution(number, request, data)
            await self._stream(number, execution.run(), execution, group)
        else:
            raise RequestError("request", f"must be one of {', '.join(_REQUESTS)}", request)

    def _go_on(self, number: int, data: dict[str, Any]) -> None:
        """More for a stream. For one that has just ended it comes too late, which is no error."""
        task, execution = self._streams.get(number, (None, None))
        if data.get("stop") is True:
            if task is not None:
                task.cancel()
        elif execution is not None:
            try:
                execution.take(data)
            except Exception as error:  # it goes on: an error would be the last word about it
                self._send({"n": number, "refused": problem_json(_problem(error))})
        elif task is not None or not {"stdin", "eof", "signal", "size", "taken"} & data.keys():
            raise RequestError("request", f"must be one of {', '.join(_REQUESTS)}", data.get("request"))

    # --- commands ------------------------------------------------------------------------------

    def _submit(self, number: int, name: str, data: dict[str, Any]) -> None:
        try:
            command: Command = json.named_command(name, data)
        except TopologyError as error:
            reply = Reply(ok=False, id=json.command_id(data), error=json.problem_of(error))
            self._send({"n": number, "reply": json.reply_json(reply)})
            return
        self._unanswered += 1
        asyncio.ensure_future(self._offer.station.submit(command)).add_done_callback(partial(self._replied, number))

    def _replied(self, number: int, future: asyncio.Future[Reply]) -> None:
        self._unanswered -= 1
        self._fewer.set()
        if future.cancelled():
            self._send_error(number, ConnectionError("the command was given up"))
        elif error := future.exception():
            self._send_error(number, error)
        else:
            self._send({"n": number, "reply": json.reply_json(future.result())})

    async def _fewer_than(self, most: int) -> None:
        while self._unanswered >= most:
            self._fewer.clear()
            await self._fewer.wait()

    # --- questions -----------------------------------------------------------------------------

    async def _ask(self, number: int, question: Question) -> None:
        await self._questions.put((number, question))

    async def _answer_questions(self) -> None:
        while True:
            number, question = await self._questions.get()
            try:
                self._send({"n": number, "result": await question()})
            except Exception as error:  # whatever it is, it is that question's
                self._send_error(number, error)
            finally:
                self._questions.task_done()
            await self._out.room()

    async def _down(self) -> dict[str, Any]:
        if self._offer.on_down is None:
            raise RequestError(
                "request", "must be sent to whoever started the network: it cannot be ended here", "down"
            )
        # The answer is on its way before the end begins.
        asyncio.get_running_loop().call_soon(self._offer.on_down)
        return {}

    # --- streams -------------------------------------------------------------------------------

    async def _stream(
        self,
        number: int,
        work: Coroutine[Any, Any, None],
        execution: Execution | None,
        group: asyncio.TaskGroup,
    ) -> None:
        try:
            if number in self._streams:
                raise RequestError("n", "must not be in use", number)
            if len(self._streams) >= MOST_STREAMS:
                raise RequestError("n", f"must not be more than {MOST_STREAMS} watches and programs at a time", number)
        except RequestError:
            work.close()
            raise
        task = group.create_task(self._guarded(number, work))
        self._streams[number] = (task, execution)
        task.add_done_callback(lambda _: self._streams.pop(number, None))
        await asyncio.sleep(0)  # it begins: cancelled before, it would not say that it has ended

    async def _guarded(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            self._send({"n": number, "end": True})
            raise
        except Exception as error:  # whatever it is, it is that stream's
            self._send_error(number, error)

    async def _watch(self, number: int) -> None:
        async with self._offer.station.events() as events:
            self._send({"n": number, "result": {}})
            async for event in events:
                self._send({"n": number, "event": json.event_json(event)})
                await self._out.room()
        self._send({"n": number, "end": True})

    def _execution(self, number: int, request: str, data: dict[str, Any]) -> Execution:
        if self._offer.programs is None:
            raise RequestError("request", "must be sent to where the network runs: it runs no programs here", request)
        return Execution(
            _RUNNING[request](self._offer.programs, data), lambda message: self._send({"n": number, **message})
        )

    # --- out -----------------------------------------------------------------------------------

    def _send_error(self, number: int | None, error: BaseException) -> None:
        self._send({"n": number, "error": problem_json(_problem(error))})

    def _send(self, message: dict[str, Any]) -> None:
        self._out.send(json.dump(message))


async def _description(station: Station) -> dict[str, Any]:
    return json.description_json(await station.describe())


async def _counters(station: Station) -> list[dict[str, Any]]:
    return [json.counters_json(one) for one in await station.counters()]


async def _measures(station: Station) -> dict[str, Any]:
    return json.measures_json(await station.measures())


def _number(data: dict[str, Any]) -> int:
    number = data.get("n")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST_NUMBER:
        raise RequestError("n", f"must be a whole number from 0 to {MOST_NUMBER}", number)
    return number


def _problem(error: BaseException) -> Problem:
    if isinstance(error, OSError):
        named = error.filename is not None and error.strerror is not None
        message = f"{error.filename}: {error.strerror}" if named else str(error)
        kind = "ConnectionError" if isinstance(error, ConnectionError) else type(error).__name__
        return Problem(message=message, kind=kind)
    if not isinstance(error, LinkemError):
        _LOG.error("a request failed", exc_info=error)
    return json.problem_of(error)
