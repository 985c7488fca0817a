"""Programs in the peers of a network of this process, for clients that are elsewhere."""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import contextlib
import errno
import os
import struct
import sys
import termios
from asyncio.streams import FlowControlMixin
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Any

from linkem_py.control.capturing import CaptureProgram
from linkem_py.control.program import Program
from linkem_py.control.sessions import hang_up
from linkem_py.errors import ToolMissingError
from linkem_py.kernel.packet_ring import MOST_BYTES
from linkem_py.runtime import Capture, processes
from linkem_py.runtime.peer import NetworkPeer
from linkem_py.runtime.processes import to_the_end

if TYPE_CHECKING:
    from linkem_py.runtime.network import Network

PIECE = 2**15  # bytes read at a time
GRACE_S = 1.0  # how long a program may take to end after SIGHUP
_LAUNCHER = Path(__file__).with_name("terminal.py")
_CTRL_D = b"\x04"


class LocalPrograms:
    """`Programs` in a network of this process."""

    def __init__(self, net: Network) -> None:
        self._net = net

    async def exec(
        self,
        peer: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        terminal: tuple[int, int] | None = None,
    ) -> Program:
        """See `Programs.exec`."""
        found = self._net.peer(peer)
        variables = {name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None}
        options: dict[str, Any] = {"env": variables, "cwd": cwd, "start_new_session": True}
        if terminal is None:
            return PipedProgram(await found.spawn(arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, **options))
        return await _on_terminal(found, arguments, terminal, options)

    async def capture(
        self,
        peer: str,
        *,
        segment: str | None = None,
        snaplen: int = MOST_BYTES,
        filter: str | None = None,  # noqa: A002 - as everybody calls it
        count: int | None = None,
        seconds: float | None = None,
    ) -> Program:
        """See `Programs.capture`."""
        found = self._net.peer(peer)

        def make(fd: int) -> Capture:
            return found.capture(fd, segment=segment, snaplen=snaplen, filter=filter, count=count)

        return await CaptureProgram.start(make, seconds=seconds)

    def __repr__(self) -> str:
        return f"<LocalPrograms of {self._net!r}>"


class _LocalProgram:
    """What is the same with and without a terminal. The program leads its session."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def send_signal(self, number: int) -> None:
        """See `Program.send_signal`."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def wait(self) -> int:
        """See `Program.wait`."""
        status = await processes.ended(self._process)
        return status if status >= 0 else 128 - status

    async def end(self) -> None:
        """See `Program.end`. Goes on to the end when cancelled."""
        await to_the_end(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        try:
            if self._process.returncode is None:
                await hang_up(self._process.pid, grace_s=GRACE_S)
        finally:
            await processes.end(self._process)


class PipedProgram(_LocalProgram):
    """A `Program` with pipes."""

    outputs = ("stdout", "stderr")

    async def read(self, output: str = "stdout") -> bytes:
        """See `Program.read`."""
        stream: asyncio.StreamReader = getattr(self._process, output)
        return await stream.read(PIECE)

    async def write(self, data: bytes) -> None:
        """See `Program.write`."""
        assert self._process.stdin is not None
        await _write(self._process.stdin, data)

    def write_eof(self) -> None:
        """See `Program.write_eof`."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def resize(self, rows: int, columns: int) -> None:
        """Nothing."""


class TerminalProgram(_LocalProgram):
    """A `Program` on a terminal; `reader` and `writer` are the other end of that."""

    outputs = ("stdout",)

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        close: contextlib.ExitStack,
    ) -> None:
        super().__init__(process)
        self._reader, self._writer, self._close = reader, writer, close

    async def read(self, output: str = "stdout") -> bytes:
        """See `Program.read`."""
        try:
            return await self._reader.read(PIECE)
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has the terminal open any more
                raise
            return b""

    async def write(self, data: bytes) -> None:
        """See `Program.write`."""
        await _write(self._writer, data)

    def write_eof(self) -> None:
        """See `Program.write_eof`."""
        if not self._writer.is_closing():
            self._writer.write(_CTRL_D)

    def resize(self, rows: int, columns: int) -> None:
        """See `Program.resize`; the kernel tells the program with SIGWINCH."""
        if not self._writer.is_closing():
            _set_size(self._writer.get_extra_info("pipe").fileno(), rows, columns)

    async def _end(self) -> None:
        try:
            await super()._end()
        finally:
            self._close.close()


async def _on_terminal(
    peer: NetworkPeer, arguments: Sequence[str], size: tuple[int, int], options: Mapping[str, Any]
) -> TerminalProgram:
    with contextlib.ExitStack() as ours:
        with contextlib.ExitStack() as theirs:
            master, slave = os.openpty()
            theirs.callback(os.close, slave)
            reader, writer = await _streams(master, ours)
            _set_size(slave, *size)
            failure, report = os.pipe()
            theirs.callback(os.close, report)
            failed = await _reader(failure, ours)
            locale = options["env"].get("LC_CTYPE", "")
            launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(report), locale, *arguments]
            process = await peer.spawn(launcher, stdin=slave, stdout=slave, stderr=slave, pass_fds=(report,), **options)
        program = TerminalProgram(process, reader, writer, ours)
        try:
            if number := await failed.read():
                raise _failure(peer.name, arguments[0], int(number))
        except BaseException:
            await program.end()
            raise
        program._close = ours.pop_all()
        return program


def _failure(peer: str, program: str, number: int) -> Exception:
    if number == errno.ENOENT:
        return ToolMissingError(f"peer {peer}: there is no program {program!r} on this machine")
    return OSError(number, os.strerror(number), program)


async def _streams(master: int, closing: contextlib.ExitStack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Both directions of a terminal's other end; `closing` lets go of them."""
    loop = asyncio.get_running_loop()
    other = os.dup(master)
    try:
        reader = await _reader(master, closing)
    except BaseException:
        os.close(other)
        raise
    transport, protocol = await loop.connect_write_pipe(FlowControlMixin, os.fdopen(other, "wb", 0))
    closing.callback(transport.abort)
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


async def _reader(fd: int, closing: contextlib.ExitStack) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
    )
    closing.callback(transport.close)
    return reader


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        # It has ended, or does not read any more; its output and status say what there is to say.
        with contextlib.suppress(OSError):
            writer.write(data)
            await writer.drain()


def _set_size(terminal: int, rows: int, columns: int) -> None:
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
