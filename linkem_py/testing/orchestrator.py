"""Scenarios behind two ports of loopback, for harnesses that know nothing of namespaces."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Awaitable, Callable
from itertools import cycle
from types import TracebackType
from typing import Self, TypeVar

import attrs

from linkem_py.errors import RequestError
from linkem_py.model.scenario import Scenario, scenario
from linkem_py.model.topology import LinkKey
from linkem_py.runtime import Network
from linkem_py.testing.relay import LOOPBACK, LinkRelay, Port, on_loopback

T = TypeVar("T")


class TestScenario(enum.StrEnum):
    """The scenarios that have a name."""

    __test__ = False  # not one of pytest's

    BASELINE_GOOD = "baseline_good"
    BONDING_ASYMMETRIC = "bonding_asymmetric"
    MOBILE_HANDOVER = "mobile_handover"
    DEGRADING_NETWORK = "degrading_network"
    NR_TO_LTE_HANDOVER = "nr_to_lte_handover"
    NR_MMWAVE_MOBILITY = "nr_mmwave_mobility"
    NR_NETWORK_SLICING = "nr_network_slicing"
    BONDED_STRESS = "bonded_stress"


@attrs.frozen(kw_only=True)
class ActiveLink:
    """A link of a running scenario.

    Attributes
    ----------
    name : the scenario's name of it, which is its segment
    key : source, destination, segment
    ingress_port : datagrams sent to this port of loopback cross this link
    """

    name: str
    key: LinkKey
    ingress_port: int


@attrs.frozen(kw_only=True)
class ScenarioHandle:
    """A running scenario. All ports are on 127.0.0.1.

    Attributes
    ----------
    ingress_port : datagrams sent to it cross the links, one after the other in turn
    egress_port : where they come from at `rx_port`; what is sent back to it crosses the ways back in turn
    rx_port : where they arrive, impaired
    links : each with an ingress port of its own
    network : for all that a `Network` can do while it runs, such as `update`
    """

    ingress_port: int
    egress_port: int
    rx_port: int
    links: tuple[ActiveLink, ...]
    network: Network


class NetworkOrchestrator:
    """Runs scenarios, each as ports on loopback: ``async with NetworkOrchestrator(seed=7) as orchestrator``.

    Needs what `Network` needs, and raises what it raises. `seed` is that of each network.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._running = contextlib.AsyncExitStack()
        self._links: list[ActiveLink] = []

    def __repr__(self) -> str:
        return f"<NetworkOrchestrator with {len(self._links)} links>"

    async def start_scenario(self, what: Scenario | TestScenario | str, rx_port: int) -> ScenarioHandle:
        """Starts a scenario, or the one of that name; its schedules begin at once.

        Datagrams (UDP over IPv4, up to the links' MTU in one piece) sent to 127.0.0.1:`ingress_port`
        arrive, impaired by the links, at 127.0.0.1:`rx_port`. The scenario goes on until `teardown`,
        whatever its duration.

        Raises `RequestError` for a port that cannot be, `TopologyError` for a name that there is not.
        """
        chosen = what if isinstance(what, Scenario) else scenario(str(what))
        if isinstance(rx_port, bool) or not isinstance(rx_port, int) or not 0 < rx_port < 65536:
            raise RequestError("rx_port", "must be from 1 to 65535", rx_port)
        async with contextlib.AsyncExitStack() as stack:
            handle = await _start(stack, chosen, rx_port, self._seed)
            self._running.push_async_exit(stack.pop_all())
        self._links += handle.links
        return handle

    def get_active_links(self) -> tuple[ActiveLink, ...]:
        """The links of all scenarios that run."""
        return tuple(self._links)

    async def teardown(self) -> None:
        """Ends all scenarios; harmless when done twice."""
        self._links.clear()
        await self._running.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.teardown()


async def _start(stack: contextlib.AsyncExitStack, chosen: Scenario, rx_port: int, seed: int | None) -> ScenarioHandle:
    network = await stack.enter_async_context(Network(chosen.topology(), seed=seed))
    relays: list[LinkRelay] = []
    back = cycle(relays)
    egress = await Port.open(on_loopback(), lambda data, _: next(back).answer(data))
    stack.push_async_callback(egress.close)
    for link in chosen.links:
        relay = LinkRelay(link.keys[0], lambda data: egress.send(data, (LOOPBACK, rx_port)))
        await relay.open(network)
        stack.push_async_callback(relay.close)
        relays.append(relay)
    there = cycle(relays)
    ingress = await Port.open(on_loopback(), lambda data, sender: next(there).send(data, ingress, sender))
    stack.push_async_callback(ingress.close)
    return ScenarioHandle(
        ingress_port=ingress.address[1],
        egress_port=egress.address[1],
        rx_port=rx_port,
        links=tuple(ActiveLink(name=relay.key[2], key=relay.key, ingress_port=relay.ingress_port) for relay in relays),
        network=network,
    )


async def setup_bonding_test(rx_port: int, *, seed: int | None = None) -> tuple[NetworkOrchestrator, ScenarioHandle]:
    """A typical link and a poor one between loopback and `rx_port`. The caller tears down."""
    orchestrator = NetworkOrchestrator(seed)
    return orchestrator, await orchestrator.start_scenario(TestScenario.BONDING_ASYMMETRIC, rx_port)


async def run_test_with_network(
    what: Scenario | TestScenario | str,
    rx_port: int,
    test: Callable[[ScenarioHandle], Awaitable[T]],
    *,
    seed: int | None = None,
) -> T:
    """What `test` returns, given a running scenario that is torn down after it, however it ends."""
    async with NetworkOrchestrator(seed) as orchestrator:
        return await test(await orchestrator.start_scenario(what, rx_port))
