"""Watches one run in virtual time from outside: how far it is, and whether it stands still."""

from __future__ import annotations

from pathlib import Path

from linkem_py.guest.peek import Peek
from linkem_py.guest.virtual_time import BOOT_S, GuestStalledError, Passed, VirtualTime, Watchdog

_NS = 1e-9


class Watch:
    """The clocks of one command, the guest's and ours. Closed by whoever made it."""

    def __init__(self, virtual: VirtualTime, kernel: Path, pid: int) -> None:
        self._virtual = virtual
        self._pid = pid
        self._peek = Peek(kernel)
        self._dog = Watchdog(virtual.stall_s)
        self._began: tuple[float, int] | None = None
        self._ended: tuple[float, int] | None = None

    def __repr__(self) -> str:
        return f"<Watch {self._peek!r}>"

    @property
    def until(self) -> float | None:
        """When to look again, in real time; None while there is nothing to look for."""
        return self._dog.next_look if self._runs() else None

    def start(self, now: float, clock_ns: int = BOOT_S * 10**9) -> None:
        """The command has started, when the guest's clock showed `clock_ns`, or is about to."""
        if self._began is None:
            self._peek.open(self._pid)
        self._began = now, clock_ns
        self._dog.excuse(now)

    def end(self, now: float, clock_ns: int) -> None:
        """The command has ended."""
        self._ended = now, clock_ns

    def look(self, now: float, *, excused: bool) -> None:
        """Raises `GuestStalledError` if virtual time has stood still for too long; not if that is `excused`."""
        if not self._runs() or now < self._dog.next_look:
            return
        clock = self._peek.clock_ns()
        if clock is None or excused:
            self._dog.excuse(now)
            return
        program = self._dog.look(now, clock * _NS, self._peek.running())
        if program is not None:
            assert self._began is not None
            at = (clock - self._began[1]) * _NS
            raise GuestStalledError(program, at, self._virtual.stall_s, self._dog.moved_s)

    def tell(self, now: float) -> None:
        """Says what has passed; nothing if the command did not start."""
        end = self._ended
        if end is None and (clock := self._peek.clock_ns()) is not None:
            end = now, clock
        if self._began is not None and end is not None and self._virtual.tell is not None:
            virtual_s, real_s = (end[1] - self._began[1]) * _NS, end[0] - self._began[0]
            self._virtual.tell(Passed(virtual_s=virtual_s, real_s=real_s))

    def close(self) -> None:
        """Looks no more; harmless when done twice."""
        self._peek.close()

    def _runs(self) -> bool:
        return self._began is not None and self._ended is None and self._peek.works
