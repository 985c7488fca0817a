"""The port to programs in peers, for whoever runs them from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from linkem_py.kernel.packet_ring import MOST_BYTES


class Program(Protocol):
    """A program that runs in a peer, with pipes or on a terminal of its own."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what can be read: ``stdout`` and ``stderr``; on a terminal ``stdout`` only."""

    async def read(self, output: str = "stdout") -> bytes:
        """The next piece of an output; empty at its end. While nobody reads, the program must wait."""

    async def write(self, data: bytes) -> None:
        """Give it input; returns when it may be given more. What it does not want any more is lost."""

    def write_eof(self) -> None:
        """No more input. On a terminal: Ctrl-D, which is that at the beginning of a line."""

    def send_signal(self, number: int) -> None:
        """Send a signal to it and to what it has started, as far as that has no process group of its own."""

    def resize(self, rows: int, columns: int) -> None:
        """The terminal has another size. Without a terminal nothing happens."""

    async def wait(self) -> int:
        """Its status when it has ended, 128 + N if signal N ended it. Raises `ConnectionError`."""

    async def end(self) -> None:
        """Let go of it. If it still runs, its session gets SIGHUP, and SIGKILL after a second. Twice is harmless."""


class Programs(Protocol):
    """Runs programs in the peers of a network."""

    async def exec(
        self,
        peer: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        terminal: tuple[int, int] | None = None,
    ) -> Program:
        """Start a program; it is the caller's to `end`.

        It has the environment of the network's owner with `env` changed in it (None takes a variable
        away), and starts in `cwd`, by default the owner's. `terminal` is (rows, columns): then it has a
        terminal of that size. Raises `RequestError` for a peer that is not there, `ToolMissingError` for
        a program, OSError if it cannot be started, `ConnectionError`.
        """

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
        """Start a capture, as `NetworkPeer.capture` does; it is the caller's to `end`.

        Its ``stdout`` is a pcapng file; any signal, or so many seconds, end it, and then ``stderr`` says in a line of
        JSON how many ``packets`` there were, and how many were ``dropped``. Its status is 1 if it failed. Raises
        `RequestError`, `CapabilityError`, `ToolMissingError`, `ConnectionError`.
        """
