"""Scenarios behind ports of loopback: what is sent to one arrives at the other, impaired."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from linkem_py import Impairment, RequestError, TopologyError
from linkem_py.model.presets import Preset
from linkem_py.model.scenario import SCENARIOS, Scenario, ScenarioLink
from linkem_py.testing import (
    NetworkOrchestrator,
    ScenarioHandle,
    TestScenario,
    run_test_with_network,
    setup_bonding_test,
)

kernel = pytest.mark.kernel("netem", "htb")
DELAY_MS = 50.0


def two_links(loss_pct: float = 0.0) -> Scenario:
    own = Preset(name="own", impairment=Impairment(delay_ms=DELAY_MS, loss_pct=loss_pct))
    links = [ScenarioLink(name=name, uplink=own, downlink=own) for name in ("first", "second")]
    return Scenario(name="two", duration_s=1, links=links)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


async def arrived(sock: socket.socket) -> tuple[bytes, int]:
    """A datagram, and the port that it came from."""
    async with asyncio.timeout(10):
        data, (_, port) = await asyncio.get_running_loop().sock_recvfrom(sock, 2000)
        return data, port


def test_the_scenarios_are_those_that_have_a_name() -> None:
    assert {str(one) for one in TestScenario} == set(SCENARIOS)


@pytest.mark.parametrize("port", [0, -1, 65536, True, "5000", None])
async def test_a_port_that_cannot_be_is_refused(port: object) -> None:
    async with NetworkOrchestrator() as orchestrator:
        with pytest.raises(RequestError, match="rx_port must be from 1 to 65535"):
            await orchestrator.start_scenario(TestScenario.BASELINE_GOOD, port)  # type: ignore[arg-type]


async def test_a_scenario_that_there_is_not_is_refused() -> None:
    with pytest.raises(TopologyError, match="baseline_good"):
        await NetworkOrchestrator().start_scenario("baseline_god", 5000)


@kernel
async def test_a_datagram_crosses_the_links_both_ways(sender: socket.socket, receiver: socket.socket) -> None:
    async with NetworkOrchestrator(seed=1) as orchestrator:
        handle = await orchestrator.start_scenario(two_links(), receiver.getsockname()[1])
        began = time.monotonic()
        sender.sendto(b"there", ("127.0.0.1", handle.ingress_port))
        assert await arrived(receiver) == (b"there", handle.egress_port)
        assert time.monotonic() - began >= DELAY_MS / 1000
        receiver.sendto(b"back", ("127.0.0.1", handle.egress_port))
        assert await arrived(sender) == (b"back", handle.ingress_port)
        assert time.monotonic() - began >= 2 * DELAY_MS / 1000


@kernel
async def test_datagrams_take_the_links_in_turn_or_the_one_asked_for(
    sender: socket.socket, receiver: socket.socket
) -> None:
    async with NetworkOrchestrator(seed=1) as orchestrator:
        handle = await orchestrator.start_scenario(two_links(), receiver.getsockname()[1])
        assert orchestrator.get_active_links() == handle.links
        first, second = handle.links

        async def crossed() -> tuple[int, int]:
            stats = await handle.network.stats()
            return stats[first.key].packets, stats[second.key].packets

        before = await crossed()
        for port in (*[handle.ingress_port] * 4, *[second.ingress_port] * 3):
            sender.sendto(b"x", ("127.0.0.1", port))
            await arrived(receiver)
        after = await crossed()
        assert (after[0] - before[0], after[1] - before[1]) == (2, 5)
    assert orchestrator.get_active_links() == ()


@kernel
async def test_loss_on_the_links_is_loss_at_the_port(sender: socket.socket, receiver: socket.socket) -> None:
    async def test(handle: ScenarioHandle) -> list[bytes]:
        for number in range(400):
            sender.sendto(b"%d" % number, ("127.0.0.1", handle.ingress_port))
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        found = []
        while True:
            try:
                found.append(receiver.recv(2000))
            except BlockingIOError:
                return found

    came = await run_test_with_network(two_links(loss_pct=20), receiver.getsockname()[1], test, seed=2)
    assert 260 < len(came) < 370  # 320, four standard deviations (8) and a margin for a full buffer


@kernel
async def test_a_bonding_test_has_two_links(receiver: socket.socket) -> None:
    orchestrator, handle = await setup_bonding_test(receiver.getsockname()[1], seed=3)
    try:
        assert [link.name for link in handle.links] == ["link1", "link2"]
        poor = handle.network.topology.links[handle.links[1].key].impairment
        assert poor.rate_kbit == 2000
    finally:
        await orchestrator.teardown()
        await orchestrator.teardown()


@kernel
async def test_a_test_that_fails_leaves_no_scenario(receiver: socket.socket) -> None:
    async def test(handle: ScenarioHandle) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run_test_with_network(TestScenario.BASELINE_GOOD, receiver.getsockname()[1], test)
