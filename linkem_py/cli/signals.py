"""Signals that a loop over sockets waits for beside them."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from types import FrameType


@contextlib.contextmanager
def caught(numbers: Iterable[signal.Signals], tell: Callable[[int], object] | None = None) -> Iterator[socket.socket]:
    """A socket that is readable when one of these signals came; `tell` gets its number, in its handler."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if tell is not None:
            tell(number)

    came, bell = socket.socketpair()
    with came, bell:
        bell.setblocking(False)
        before = {number: signal.signal(number, handle) for number in numbers}
        bell_before = signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        try:
            yield came
        finally:
            signal.set_wakeup_fd(bell_before)
            for number, handler in before.items():
                signal.signal(number, handler)
