"""Starts a kernel, held by a keeper process, with a line into it."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from linkem_py.errors import GuestError
from linkem_py.guest import keeper
from linkem_py.guest.kernels import GuestKernel
from linkem_py.guest.memory import find_memory_folder

# Of the memory that host and guest share, for input.
SHARED_BYTES = 1 << 20

# How the keeper may hold the kernel, the better way first.
MODES = (keeper.ISOLATED, keeper.PLAIN)

_PIPE_BYTES = 1 << 20
_COMMAND_LINE_BYTES = 4095
_KEEPER_END_S = 15.0

# The first two measure which of several checksum routines is fastest, 0.16 s each, for file systems that
# nobody has in a guest: 0.85 s of a boot of 1.8 s. The third writes 512 terminals into sysfs. `lpj` spares
# calibrating a delay loop that no driver of this architecture uses.
_FAST_BOOT = (
    "initcall_blacklist=raid6_select_algo,calibrate_xor_blocks",
    "pty.legacy_count=0",
    "lpj=20000000",
)

_INIT = Path(__file__).parent / "inside" / "init.py"


class Launch:
    """A running kernel: our ends of what leads into it.

    Attributes
    ----------
    line_in, line_out : read from, write to the guest
    console : read what the kernel says
    control : readable when the keeper says something or is gone
    shared : memory that the guest can read
    window : bytes of one output stream that may be on their way without filling the line
    """

    def __init__(self, kernel: GuestKernel, memory: int, extra: Sequence[str] = ()) -> None:
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as theirs:
            self.line_in, their_out = _pipe(stack, theirs)
            their_in, self.line_out = _pipe(theirs, stack)
            self.console, their_console = _pipe(stack, theirs)
            memfd = os.memfd_create("linkem-guest")
            theirs.callback(os.close, memfd)
            os.ftruncate(memfd, SHARED_BYTES)
            self.shared = stack.enter_context(mmap.mmap(memfd, SHARED_BYTES))
            # A quarter for both outputs together: small writes may take a page of the pipe each.
            self.window = _widen(their_out) // 8
            command = [str(kernel.path), *_arguments(memory, their_in, their_out, memfd, extra)]
            self._start(stack, command, memory, (their_in, their_out, memfd), their_console)
            self._stack = stack.pop_all()

    def __repr__(self) -> str:
        return f"<Launch keeper {self._keeper.pid}, kernel {self.kernel_pid}>"

    def _start(
        self,
        stack: contextlib.ExitStack,
        command: list[str],
        memory: int,
        fds: tuple[int, ...],
        console: int,
    ) -> None:
        refusal = ""
        for mode in MODES:
            folder = find_memory_folder(memory, os.environ) if mode == keeper.PLAIN else "-"
            self.control, theirs = socket.socketpair()
            with theirs:
                arguments = [mode, str(os.getpid()), str(theirs.fileno()), str(memory), folder, *command]
                self._keeper = subprocess.Popen(
                    [interpreter(), "-I", "-S", "-B", keeper.__file__, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    cwd="/",
                    pass_fds=(*fds, theirs.fileno()),
                    start_new_session=True,
                )
            self.isolated = mode == keeper.ISOLATED
            self.kernel_pid = 0
            word, _, rest = self.told().partition(" ")
            if word == "holds":
                self.kernel_pid = int(rest)
                stack.callback(self._end)
                return
            refusal = rest or "it died"
            self.control.close()
            self._keeper.wait()
        raise GuestError(f"the guest kernel's keeper process could not start: {refusal}")

    def told(self) -> str:
        """What the keeper says next; empty if it is gone. Blocks if it has said nothing."""
        try:
            return self.control.recv(4096).decode(errors="replace").strip()
        except OSError:
            return ""

    def close(self) -> None:
        """Ends the kernel and all that belongs to it; harmless when done twice."""
        self._stack.close()

    def _end(self) -> None:
        self.control.close()
        try:
            self._keeper.wait(_KEEPER_END_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()


def interpreter() -> str:
    """The interpreter of this process, by the name that needs no virtual environment."""
    return os.path.realpath(sys.executable)


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe, and who closes which end of it."""
    reader, writer = os.pipe()
    reading.callback(os.close, reader)
    writing.callback(os.close, writer)
    return reader, writer


def _widen(pipe: int) -> int:
    """Makes a pipe as large as allowed; returns its size."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


def _arguments(memory: int, line_in: int, line_out: int, shared: int, extra: Sequence[str]) -> list[str]:
    """The kernel's command line."""
    arguments = [
        f"mem={memory >> 10}K",
        "root=/dev/root",
        "rootfstype=hostfs",
        "hostfs=/",
        "rw",
        # Nothing in ~/.uml: the management console that it is for is not used here.
        "uml_dir=/dev/null/",
        "con=null",
        "con0=null,fd:1",
        f"ssl0=fd:{line_in},fd:{line_out}",
        f"iomem=mmapper,/proc/self/fd/{shared}",
        "quiet",
        *_FAST_BOOT,
        f"init={_quoted(interpreter())}",
        *extra,
        "--",
        "-I",
        "-S",
        "-B",
        _quoted(str(_INIT)),
    ]
    if len(" ".join(arguments)) > _COMMAND_LINE_BYTES:
        raise GuestError(f"the guest kernel's command line is too long: {' '.join(arguments)}")
    return arguments


def _quoted(path: str) -> str:
    if '"' in path:
        raise GuestError(f"a quotation mark cannot stand on the guest kernel's command line: {path}")
    return f'"{path}"' if " " in path else path
