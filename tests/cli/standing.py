"""A network that stays up without a kernel, on a thread, for tests of the commands that reach it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from linkem_py import Impairment, Topology
from linkem_py.control.local import LocalStation
from linkem_py.control.mqtt import EmbeddedBroker, MqttControl
from linkem_py.control.registry import RUNNING, Registry
from linkem_py.control.server import Server
from tests.dry import DryNetwork


def pair() -> Topology:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=20))
    return topology


class Standing:
    """``with Standing("demo") as network``: in this user's registry until it is left or brought down.

    Attributes
    ----------
    downs : how often its end was asked for
    url : of its broker, if it has one
    """

    def __init__(self, name: str, topology: Callable[[], Topology] = pair, *, broker: bool = False) -> None:
        self.name = name
        self.downs = 0
        self.url = ""
        self._broker = broker
        self._topology = topology
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def notice(self, text: str) -> None:
        self._loop.call_soon_threadsafe(self._station.notice, text)

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        topology = self._topology()
        with Registry.of_user().claim(self.name, topology=topology.name) as claim:
            async with (
                DryNetwork(topology) as net,
                LocalStation(net, name=self.name) as station,
                Server(station, name=self.name, on_down=self._down) as server,
                contextlib.AsyncExitStack() as stack,
            ):
                if self._broker:
                    broker = await stack.enter_async_context(EmbeddedBroker())
                    self.url = broker.url
                    control = MqttControl(station, broker.control_url, name=self.name, stats_interval_s=0.1)
                    await stack.enter_async_context(control)
                self._station = station
                await server.listen_unix(claim.socket)
                claim.update(state=RUNNING, place="this kernel", kernel="6.12", peers=tuple(topology.peers), links=2)
                self._ready.set()
                await self._end.wait()

    def _down(self) -> None:
        self.downs += 1
        self._end.set()
