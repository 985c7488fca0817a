"""The event loop of programs that run a network themselves."""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from linkem_py.runtime.defaults import in_virtual_time

_T = TypeVar("_T")


class ExactSelector(selectors.EpollSelector):
    """Waits for microseconds, where epoll rounds up to whole milliseconds.

    In virtual time the machine's speed is not seen, and rounding is what sets two runs apart.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `selectors.EpollSelector` does."""
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)  # epoll's own descriptor is ready when one of its is
        return super().select(0)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The one that asyncio would make; in virtual time, one whose waits are exact."""
    return asyncio.SelectorEventLoop(ExactSelector()) if in_virtual_time() else asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """As `asyncio.run`, in a `new_event_loop`."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
