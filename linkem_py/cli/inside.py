"""``linkem inside``: the network of a guest kernel, for its owner on the host. Not for people.

Standard input and output carry channels (`linkem_py.control.mux`), which the host opens. The first one tells
how the start went, in one line, a `Reply`, and by its end on the host's side asks for the end of the
network; a line before that has it replay its recording, and the outcome is a second line of answer. Each
other one is a connection to the network's server, as to a control socket.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import attrs

from linkem_py.cli import described
from linkem_py.cli.replay import perform
from linkem_py.control.local import LocalStation
from linkem_py.control.mux import Mux
from linkem_py.control.programs import LocalPrograms
from linkem_py.control.server import Server
from linkem_py.control.wire.json import dump, problem_of, reply_json
from linkem_py.control.wire.replies import Reply
from linkem_py.errors import LinkemError
from linkem_py.runtime import CapabilityWarning, Network, Recording, read_recording

if TYPE_CHECKING:
    from linkem_py.model import Topology


def run(options: argparse.Namespace) -> int:
    """Runs the network that `options` describe, with `options.seed` and the name `options.network`, until asked to end.

    Returns the exit status: 1 if the network could not be started, which the host is told, else 0.
    """
    line = _take_streams()
    warnings.simplefilter("ignore", CapabilityWarning)  # the network's description has them as notes
    try:
        found: Start | LinkemError = _load(options)
    except LinkemError as error:
        found = error
    return asyncio.run(_run(line, found, options))


@attrs.frozen
class Start:
    """What is to run; what is to be replayed in it, if there is something."""

    topology: Topology
    recording: Recording | None = None


def _load(options: argparse.Namespace) -> Start:
    if not options.replay:
        return Start(described.load(options).topology)
    recording = read_recording(options.topology)
    return Start(recording.topology, recording)


class Inside:
    """What the host's channels lead to: nothing until it is known how the start went.

    Attributes
    ----------
    stop : set when the network shall end
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._said = asyncio.Event()
        self._outcome = Reply(ok=True)
        self._server: Server | None = None
        self._has_owner = False
        self._perform: Callable[[], Coroutine[Any, Any, dict[str, Any]]] | None = None

    def started(self, server: Server, perform: Callable[[], Coroutine[Any, Any, dict[str, Any]]] | None = None) -> None:
        """The network runs; `perform` is what it is to do once the owner says so."""
        self._server, self._perform = server, perform
        self._said.set()

    def failed(self, error: Exception) -> None:
        """It does not, and this is why; or its end failed, which goes to standard error."""
        if self._said.is_set():
            print(f"linkem: {_words(error)}", file=sys.stderr, flush=True)
            return
        problem = attrs.evolve(problem_of(error), message=_words(error))
        self._outcome = Reply(ok=False, error=problem)
        self._said.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A channel that the host opened."""
        owner, self._has_owner = not self._has_owner, True
        await self._said.wait()
        if owner:
            writer.write(dump(reply_json(self._outcome)) + b"\n")
            if await reader.readline() and self._perform is not None:
                await _until_end(reader, writer, self._perform())
            self.stop.set()
        elif self._server is not None:
            await self._server.serve(reader, writer)


async def _until_end(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, work: Coroutine[Any, Any, dict[str, Any]]
) -> None:
    """Until the other side ends; meanwhile the work is done, and its outcome said."""
    async with asyncio.TaskGroup() as group:
        ending = group.create_task(reader.read())
        working = group.create_task(work)
        await asyncio.wait([ending, working], return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            writer.write(dump(await working) + b"\n")
            await ending
        working.cancel()


async def _run(line: tuple[int, int], found: Start | LinkemError, options: argparse.Namespace) -> int:
    inside = Inside()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, inside.stop.set)
    async with _line(line) as streams, Mux(*streams, first=False, accept=inside.accept) as mux:
        ended = asyncio.ensure_future(mux.wait_ended())
        ended.add_done_callback(lambda _: inside.stop.set())
        try:
            if isinstance(found, LinkemError):
                raise found
            await _serve(found, inside, options)
        except (LinkemError, OSError) as error:
            inside.failed(error)
            await inside.stop.wait()  # until the host has read it
            return 1
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
    return 0


async def _serve(start: Start, inside: Inside, options: argparse.Namespace) -> None:
    recording = start.recording
    async with (
        Network(
            start.topology, seed=options.seed, record=options.record, record_stats_s=options.record_stats
        ) as network,
        LocalStation(network, name=options.network) as station,
        Server(station, name=station.name, programs=LocalPrograms(network), on_down=inside.stop.set) as server,
    ):
        inside.started(
            server, None if recording is None else lambda: perform(network, recording, options.speed, station.notice)
        )
        await inside.stop.wait()


def _words(error: Exception) -> str:
    """As the command line on the host would put it."""
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, LinkemError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return "; ".join([text, *getattr(error, "__notes__", ())])


def _take_streams() -> tuple[int, int]:
    """The line's descriptors: what a topology's file prints goes to standard error, and it has no input."""
    line = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # told when it is said, not at the end
    return line


@contextlib.asynccontextmanager
async def _line(fds: tuple[int, int]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Streams over two pipes, closed afterwards."""
    loop = asyncio.get_running_loop()
    incoming, outgoing = (os.fdopen(fd, mode, buffering=0) for fd, mode in zip(fds, ("rb", "wb"), strict=True))
    reader, unused = asyncio.StreamReader(), asyncio.StreamReader()
    coming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), incoming)
    going, protocol = await loop.connect_write_pipe(lambda: asyncio.StreamReaderProtocol(unused), outgoing)
    writer = asyncio.StreamWriter(going, protocol, unused, loop)
    try:
        yield reader, writer
    finally:
        for transport in (going, coming):
            if not transport.is_closing():
                transport.close()
