"""A network in a guest kernel, as its owner on the host has it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from linkem_py.control.client import RemoteStation, error_of
from linkem_py.control.frames import MuxError
from linkem_py.control.mux import Mux
from linkem_py.control.wire.json import parse, reply
from linkem_py.errors import GuestError, LinkemError
from linkem_py.runtime.processes import to_the_end

T = TypeVar("T")

# A module's name and no import: what it runs is the command line's, and this package is below that.
_INSIDE = ("-m", "linkem_py.cli.main", "inside")
_LAUNCHER = ("-m", "linkem_py.guest")

_LAUNCHER_SAYS = "linkem guest: "
_QUOTE = "  | "  # how its messages go on in further lines

_BOOT_S = 90.0  # the launcher itself gives the kernel 60 s
_DOWN_S = 15.0  # for the network's end, when asked
_TERMINATE_S = 10.0  # the launcher gives the command 5 s, and the kernel's end takes a moment
_CHUNK = 64 << 10
_KEPT_LINES = 20


class GuestNetwork:
    """A network in a guest kernel of its own: ``async with GuestNetwork("pair.py") as guest``.

    Boots a kernel, brings the network up in it and takes both away at the end; the guest ends with
    this process, too, however that ends. Needs no privileges. What a terminal sends to the foreground (ctrl-C)
    does not reach it: this process decides.

    Parameters
    ----------
    topology, settings, seed : as on the command line; found from the same working directory
    arguments : words that describe the network, as on the command line, instead of a `topology` (None)
    name : of the network, the topology's by default
    kernel : path of the guest kernel, the first one found by default
    memory : of the guest, as ``"1G"``
    inside : further words for the command line that has the network in the guest
    tell : called with each line that the guest's side writes to standard error

    Attributes
    ----------
    station : the network's `Station`
    pid : of the process that holds the guest, 0 before there is one
    ended : why the guest has ended, in words, as soon as it has; empty if it was asked to

    Entering raises what starting the network inside raised, as near as it can be had, or `GuestError`.
    """

    def __init__(
        self,
        topology: str | None,
        *,
        settings: Sequence[str] = (),
        arguments: Sequence[str] = (),
        seed: int | None = None,
        name: str | None = None,
        kernel: str | None = None,
        memory: str = "1G",
        inside: Sequence[str] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._topology = topology if topology is not None else " ".join(arguments)
        self._command = ["--memory", memory]
        self._command += ["--kernel", kernel] if kernel is not None else []
        self._command += ["--", sys.executable, *_INSIDE, *([] if topology is None else [topology]), *arguments]
        self._command += [f"--set={setting}" for setting in settings]
        self._command += [f"--seed={seed}"] if seed is not None else []
        self._command += [f"--name={name}"] if name is not None else []
        self._command += inside
        self._tell = tell
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)  # by the inside
        self._reason: deque[str] = deque(maxlen=_KEPT_LINES)  # by the launcher
        self.pid = 0
        self._mux: Mux | None = None
        self._station: RemoteStation | None = None
        self._owner: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._down = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "new" if self._life is None else "ended" if self._life.done() else f"launcher {self.pid}"
        return f"<GuestNetwork {self._topology!r}, {state}>"

    # --- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._life is not None:
            raise RuntimeError("a GuestNetwork runs once")
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # All of its life is in one task: nobody's cancellation leaves half of it behind.
        self._life = asyncio.create_task(self._live(up), name=f"guest with {self._topology}")
        try:
            await asyncio.wait([up, self._life], timeout=_BOOT_S, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await self.close()
            raise
        if self._life.done():
            self._life.result()
        if not up.done():
            await self.close()
            raise GuestError(f"the network in the guest did not come up within {_BOOT_S:.0f} s")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the network and its guest; asked first, then killed. Twice is harmless."""
        self._down.set()
        if self._life is not None:
            with contextlib.suppress(LinkemError, OSError):  # why it did not come up was told already
                await to_the_end(self._life)

    # --- use -----------------------------------------------------------------------------------

    @property
    def station(self) -> RemoteStation:
        """The network, for surfaces of this process."""
        if self._station is None:
            raise ConnectionResetError("the network in the guest has ended")
        return self._station

    async def open_channel(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the network's server, as to a control socket. Raises `ConnectionError`."""
        if self._mux is None:
            raise ConnectionResetError("the network in the guest has ended")
        return await self._mux.open()

    async def perform(self) -> dict[str, Any]:
        """Have the inside do what it was told to besides, such as a replay. Returns what came of it.

        Raises `ConnectionError` if the network has ended before.
        """
        if self._owner is None:
            raise ConnectionResetError("the network in the guest has ended")
        reader, writer = self._owner
        writer.write(b"begin\n")
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the network in the guest has ended")
        found: dict[str, Any] = json.loads(line)
        return found

    # --- inside --------------------------------------------------------------------------------

    async def _live(self, up: asyncio.Future[None]) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *_LAUNCHER, "--owner", str(os.getpid())),
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # no signals from the terminal
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        listening = asyncio.create_task(self._listen(process.stderr))
        try:
            async with Mux(process.stdout, process.stdin, first=True) as mux:
                await self._use(mux, up)
        except MuxError as error:
            self._reason.append(str(error))
        except ConnectionError:
            pass  # it has ended, and why is still to be heard
        finally:
            self._mux = self._station = self._owner = None
            status = await _end(process, patient=up.done())
            await listening
            self.ended.set_result(self._why(status))
        if not up.done() and not self._down.is_set():
            raise GuestError(self.ended.result() or "the network in the guest ended before it was up")

    async def _use(self, mux: Mux, up: asyncio.Future[None]) -> None:
        """Until somebody wants an end, or it has come."""
        reader, lifeline = await mux.open()
        try:
            if not await self._first(self._started(reader)):
                return
            async with await RemoteStation.connect(*await mux.open()) as station:
                self._mux, self._station, self._owner = mux, station, (reader, lifeline)
                up.set_result(None)
                await self._first(mux.wait_ended())
        finally:
            lifeline.close()

    async def _started(self, reader: asyncio.StreamReader) -> bool:
        """Whether the network runs, as soon as that is known; False if the guest has ended instead."""
        line = await reader.readline()
        if not line.endswith(b"\n"):
            return False
        outcome = reply(parse(line))
        if outcome.error is not None:
            raise error_of(outcome.error)
        return True

    async def _first(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` brings, or None if the end is asked for before."""
        tasks = asyncio.ensure_future(work), asyncio.ensure_future(self._down.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[0].result() if tasks[0].done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        """Passes on what is said, line by line, and keeps what the launcher itself says about the end."""
        rest = b""
        while chunk := await stderr.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _CHUNK:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._hear(line.decode(errors="replace"))
        if rest:
            self._hear(rest.decode(errors="replace"))

    def _hear(self, line: str) -> None:
        if line.startswith(_LAUNCHER_SAYS):
            self._reason.append(line.removeprefix(_LAUNCHER_SAYS))
        elif self._reason and line.startswith(_QUOTE):
            self._reason.append(line)
        else:
            self._said.append(line)
            with contextlib.suppress(OSError):  # nobody listens any more
                self._tell(line)

    def _why(self, status: int) -> str:
        """Why it has ended; empty if that was as it should."""
        if self._reason:
            return "\n".join(self._reason)
        if status == 0 or self._down.is_set():
            return ""
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return "\n".join([f"the network in the guest ended with {how}", *(f"{_QUOTE}{line}" for line in self._said)])


async def _end(process: asyncio.subprocess.Process, *, patient: bool) -> int:
    """The exit status of a process that was asked to end already; insists if it does not."""
    assert process.stdout is not None
    discarding = asyncio.create_task(_discard(process.stdout))
    try:
        for seconds, insist in ((_DOWN_S if patient else 0.0, process.terminate), (_TERMINATE_S, process.kill)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await process.wait()
            with contextlib.suppress(ProcessLookupError):
                insist()
        return await process.wait()
    finally:
        discarding.cancel()
        await asyncio.gather(discarding, return_exceptions=True)


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK):
        pass
