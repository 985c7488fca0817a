"""What every peer's interfaces saw, by tcpdump, kept for tests that failed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from linkem_py.errors import ToolMissingError

if TYPE_CHECKING:
    from linkem_py.runtime import Network, NetworkPeer

_READY_S = 10.0
_END_S = 5.0
_SETTLE_S = 0.1  # for what the kernel has captured and tcpdump, which drops the rest at a signal, has not read


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
    missing : there is no tcpdump on this machine
    """

    def __init__(self, base: Path, folder: Path) -> None:
        self.base = base
        self.folder = folder
        self.missing = False
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self, network: Network) -> None:
        """Begin in every peer that there is; returns when all of them capture."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            for name, peer in network.peers.items():
                self._running.append(await self._begin(name, peer))
        except ToolMissingError:
            self.missing = True
            self.discard()
            return
        await asyncio.gather(*map(_listening, self._running))

    async def _begin(self, name: str, peer: NetworkPeer) -> asyncio.subprocess.Process:
        file = self.folder / (re.sub(r"[^\w.-]", "_", name) + ".pcap")
        # Without immediate mode the kernel keeps packets back for a second; and as root, because the user
        # that tcpdump would become may not write here.
        command = ["tcpdump", "-i", "any", "--immediate-mode", "-U", "-n", "-Z", "root", "-w", str(file)]
        silent = subprocess.DEVNULL
        return await peer.spawn(command, stdin=silent, stdout=silent, stderr=subprocess.PIPE)

    async def stop(self) -> None:
        """End them; the files are complete then."""
        running, self._running = self._running, []
        if running:
            await asyncio.sleep(_SETTLE_S)
        for process in running:
            if process.returncode is None:
                process.terminate()
        await asyncio.gather(*map(_ended, running))

    def discard(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in self.folder.parents:
            if not folder.is_relative_to(self.base):
                return
            with contextlib.suppress(OSError):  # there are those of others
                folder.rmdir()


async def _listening(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(_READY_S):
        while line := await process.stderr.readline():
            if b"listening on" in line:
                return


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.communicate(), _END_S)
    except TimeoutError:
        process.kill()
        await process.communicate()
