"""One run: the network, the camera and the studio in it, the link that dies, and all that they say."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from examples.rist_bonding.timeline import EVERY_S, Carried, Cut, Delivery, Received, Sent, Timeline
from linkem_py import Network, Topology

ROOT = Path(__file__).resolve().parents[2]
CAMERA, STUDIO = "camera", "studio"
PORT = 5004  # RTP on an even port, RTCP on the next (TR-06-1)
PATIENCE_S = 60.0  # for programs that start, on a busy machine


@attrs.frozen(kw_only=True)
class Plan:
    """What to do: how to bond, how fast and how long, and when which link is down (seconds of the stream)."""

    method: str = "broadcast"
    rate_kbit: float = 1500
    seconds: float = 20
    buffer_ms: int = 1000
    cut: Cut | None = None


def interpreter() -> str:
    """A Python that has GStreamer's bindings: this one, or else the system's."""
    return sys.executable if importlib.util.find_spec("gi") else "/usr/bin/python3"


async def run(
    topology: Topology, plan: Plan, *, seed: int | None = None, watch: Callable[[float], None] | None = None
) -> Timeline:
    """Stream from `camera` to `studio` over every segment that both are on. `watch` is called as time goes by.

    Raises `RuntimeError` with their words where GStreamer's programs fail, and what networks raise.
    """
    async with Network(topology, seed=seed) as network:
        return await _Run(network, plan, watch).collect()


class _Run:
    def __init__(self, network: Network, plan: Plan, watch: Callable[[float], None] | None) -> None:
        self._network, self._plan, self._watch = network, plan, watch
        self._links = tuple(network.peer(STUDIO).addresses)
        self._began = 0.0
        self._sent: list[Sent] = []
        self._received: list[Received] = []
        self._carried: list[Carried] = []
        self._deliveries: list[Delivery] = []
        self._cuts: list[Cut] = []

    async def collect(self) -> Timeline:
        plan = self._plan
        addresses = self._network.peer(STUDIO).addresses
        bonded = ",".join(f"{addresses[link][0]}:{PORT + 2 * number}" for number, link in enumerate(self._links))
        buffer = ["--buffer", str(plan.buffer_ms)]
        stream = ["--method", plan.method, "--rate", str(plan.rate_kbit), "--seconds", str(plan.seconds)]
        async with (
            asyncio.timeout(PATIENCE_S + 3 * plan.seconds),
            self._program(STUDIO, bonded, *buffer) as studio,
            self._program(CAMERA, bonded, *buffer, *stream) as camera,
        ):
            await asyncio.gather(self._ready(studio), self._ready(camera))
            self._began = time.monotonic()
            assert camera.stdin is not None
            camera.stdin.write(b"go\n")
            sampling = asyncio.create_task(self._sample_links())
            hearing = asyncio.create_task(self._hear(studio, self._of_studio))
            cutting = asyncio.create_task(self._cut())
            try:
                await self._hear(camera, self._of_camera)
                await cutting
                await self._look()
                await self._drained()
                assert studio.stdin is not None
                studio.stdin.close()
                await hearing
            finally:
                for task in (sampling, hearing, cutting):
                    task.cancel()
                await asyncio.gather(sampling, hearing, cutting, return_exceptions=True)
        return Timeline(
            links=self._links, rate_kbit=plan.rate_kbit, buffer_ms=plan.buffer_ms, sent=self._sent,
            received=self._received, carried=self._carried, deliveries=self._deliveries, cuts=self._cuts,
        )  # fmt: skip

    async def _drained(self) -> None:
        """Until the last packet is there, or none has come for as long as the receiver may wait for it."""
        known, quiet_s = 0, 0.0
        while not self._deliveries or self._deliveries[-1].number + 1 < self._sent[-1].packets:
            quiet_s = quiet_s + EVERY_S if known == len(self._deliveries) else 0.0
            known = len(self._deliveries)
            if quiet_s > self._plan.buffer_ms / 1000 + 1:
                return
            await asyncio.sleep(EVERY_S)

    @asynccontextmanager
    async def _program(self, peer: str, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        pipe = asyncio.subprocess.PIPE
        process = await self._network.peer(peer).spawn(
            [interpreter(), "-m", f"examples.rist_bonding.{peer}", *words],
            stdin=pipe, stdout=pipe, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise RuntimeError("a program of GStreamer's did not start; its words are above")

    async def _hear(self, process: asyncio.subprocess.Process, note: Callable[[Mapping[str, Any]], None]) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            note(json.loads(line))
        if status := await process.wait():
            raise RuntimeError(f"a program of GStreamer's ended with status {status}; its words are above")

    def _of_camera(self, said: Mapping[str, Any]) -> None:
        originals, retransmitted, times = (
            tuple(session[name] for session in said["sessions"]) for name in ("sent", "retransmitted", "round_trip_ms")
        )
        self._sent.append(
            Sent(
                at=said["at"] - self._began, packets=said["sent"], originals=originals, retransmitted=retransmitted,
                round_trip_ms=times,
            )
        )  # fmt: skip

    def _of_studio(self, said: Mapping[str, Any]) -> None:
        counters = {name: said[name] for name in ("recovered", "lost", "duplicates", "requests")}
        arrived = tuple(session["received"] for session in said["sessions"])
        self._received.append(Received(at=said["at"] - self._began, arrived=arrived, **counters))
        self._deliveries += [
            Delivery(number, sent - self._began, at - self._began) for number, sent, at in said["delivered"]
        ]

    async def _sample_links(self) -> None:
        while True:
            await self._look()
            if self._watch is not None:
                self._watch(self._carried[-1].at)
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> None:
        stats = await self._network.stats()
        links = [stats[CAMERA, STUDIO, link] for link in self._links]
        self._carried.append(
            Carried(
                at=time.monotonic() - self._began,
                frames=tuple(link.packets for link in links),
                octets=tuple(link.bytes for link in links),
                dropped=tuple(link.drops for link in links),
            )
        )

    async def _cut(self) -> None:
        if (cut := self._plan.cut) is None:
            return
        await asyncio.sleep(self._began + cut.at - time.monotonic())
        down = time.monotonic() - self._began
        await self._network.down(CAMERA, STUDIO, segment=cut.link)
        await asyncio.sleep(self._began + cut.until - time.monotonic())
        await self._network.up(CAMERA, STUDIO, segment=cut.link)
        self._cuts.append(Cut(link=cut.link, at=down, until=time.monotonic() - self._began))
