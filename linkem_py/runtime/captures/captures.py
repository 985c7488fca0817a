"""The captures of a network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from linkem_py.plan import addressing
from linkem_py.runtime.changes import Applied

if TYPE_CHECKING:
    from linkem_py.kernel.driver import KernelDriver
    from linkem_py.runtime.captures.capture import Capture
    from linkem_py.runtime.journal import Journal


class Captures:
    """Ends captures with their network or peer, and lets those of one interface share what copies its packets."""

    def __init__(self, journal: Journal) -> None:
        self._running: set[Capture] = set()
        self._users: dict[tuple[str, str], int] = {}  # of a peer's interface
        self._busy = asyncio.Lock()  # held while copies begin or end
        journal.subscribe(self._changed)

    def add(self, capture: Capture) -> None:
        """It runs."""
        self._running.add(capture)

    def discard(self, capture: Capture) -> None:
        """It has ended."""
        self._running.discard(capture)

    async def copy(self, kernel: KernelDriver, peer: str, device: str) -> str:
        """The device that gets copies of what an interface is handed, until `let_go`. Raises `KernelError`."""
        target = addressing.copies(device)
        async with self._busy:
            if not self._users.get((peer, device)):
                await asyncio.to_thread(kernel.mirror, peer, device, target)
            self._users[peer, device] = self._users.get((peer, device), 0) + 1
        return target

    async def let_go(self, kernel: KernelDriver, peer: str, device: str) -> None:
        """One fewer needs the copies. The last one ends them, if the peer is still there."""
        async with self._busy:
            self._users[peer, device] -= 1
            if not self._users[peer, device]:
                del self._users[peer, device]
                await asyncio.to_thread(kernel.unmirror, peer, device, addressing.copies(device))

    async def close(self) -> None:
        """End all of them; what went wrong with one, its own `error` says."""
        await asyncio.gather(*(capture.stop() for capture in tuple(self._running)), return_exceptions=True)

    def _changed(self, applied: Applied) -> None:
        if applied.what == "remove_peer":
            for capture in self._running:
                if capture.peer == applied.peer:
                    capture.end()

    def __repr__(self) -> str:
        return f"<Captures: {len(self._running)} running>"
