"""What every peer's interfaces saw, kept for tests that failed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkem_py.runtime import Capture, Network

_LOG = logging.getLogger(__name__)


def folder_of(base: Path, nodeid: str, number: int) -> Path:
    """The folder for a test's network, the `number`-th from 0."""
    name = re.sub(r"[^\w.=-]+", "_", nodeid).strip("_")[-150:]
    return base / name / (f"network-{number + 1}" if number else "")


class Captures:
    """The captures of one network: a file for each peer.

    Attributes
    ----------
    base : the folder for all tests
    folder : where the files are, below it
    """

    def __init__(self, base: Path, folder: Path) -> None:
        self.base = base
        self.folder = folder
        self._running: list[Capture] = []

    async def start(self, network: Network) -> None:
        """Begin in every peer that there is; returns when all of them capture."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name, peer in network.peers.items():
            if peer.addresses:
                capture = peer.capture(self.folder / (re.sub(r"[^\w.-]", "_", name) + ".pcapng"))
                await capture.start()
                self._running.append(capture)

    async def stop(self) -> None:
        """End them; the files are complete then, but for those that could not be written."""
        running, self._running = self._running, []
        outcomes = await asyncio.gather(*(capture.stop() for capture in running), return_exceptions=True)
        for capture, outcome in zip(running, outcomes, strict=True):
            if isinstance(outcome, Exception):
                _LOG.error("the capture of %s in %s is not complete: %s", capture.peer, self.folder, outcome)

    def discard(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in self.folder.parents:
            if not folder.is_relative_to(self.base):
                return
            with contextlib.suppress(OSError):  # there are those of others
                folder.rmdir()
