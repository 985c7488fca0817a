"""The signals that the launcher gets on behalf of the command."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# A command may go on after an interrupt, as a shell does; so only insisting ends it.
INSISTING = 3
INSISTING_S = 2.0

# After another signal the command has this long to end by itself.
GRACE_S = 5.0


class Interrupts:
    """Collects signals while it is entered; outside the main thread, where that cannot be, none.

    Attributes
    ----------
    fd : readable when there is something to `take`; -1 outside the main thread
    """

    def __init__(self) -> None:
        self.fd = -1

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is not threading.main_thread():
            return self
        self.fd, self._writer = os.pipe()
        for fd in (self.fd, self._writer):
            os.set_blocking(fd, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers: dict[signal.Signals, Any] = {}
        for number in (*FORWARDED, signal.SIGWINCH):
            before = signal.getsignal(number)
            # Who started us with a signal ignored (nohup) wants it ignored.
            if before is not signal.SIG_IGN:
                self._handlers[number] = before
                signal.signal(number, _noted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.fd < 0:
            return
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.fd)
        os.close(self._writer)
        self.fd = -1

    def take(self) -> list[int]:
        """The signals that came, in their order."""
        try:
            return [number for number in os.read(self.fd, 512) if number in self._handlers]
        except BlockingIOError:
            return []


class Patience:
    """Decides when a signal is no longer only passed on but ends the guest."""

    def __init__(self) -> None:
        self._interrupts: list[float] = []
        self.status = 0
        self.until: float | None = None

    def __repr__(self) -> str:
        return f"<Patience until {self.until}, then status {self.status}>"

    def note(self, number: int, now: float) -> None:
        """A signal came: sets `until` to the time when the guest shall be ended with `status`."""
        if number == signal.SIGINT:
            self._interrupts = [at for at in self._interrupts if now - at < INSISTING_S] + [now]
            if len(self._interrupts) >= INSISTING:
                self.status, self.until = 128 + number, now
        elif self.until is None:
            self.status, self.until = 128 + number, now + GRACE_S
        else:
            self.until = now


def _noted(number: int, frame: FrameType | None) -> None:
    """Nothing to do: the wake-up descriptor has the number."""


def now() -> float:
    """The clock that deadlines are measured by."""
    return time.monotonic()
