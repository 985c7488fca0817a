"""A small network without a kernel, and a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from linkem_py import Impairment, Topology
from linkem_py.control.mqtt.backoff import Backoff
from tests.control.mqtt.brokers import MISSING, Mosquitto, mosquitto
from tests.dry import DryNetwork


def triangle(name: str = "demo") -> Topology:
    topology = Topology(name)
    for peer in "abc":
        topology.add_peer(peer)
    topology.connect("a", "b", Impairment(delay_ms=5, loss_pct=1))
    topology.connect("b", "c")
    return topology


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    with mosquitto(tmp_path) as made:
        yield made


@pytest.fixture
async def net() -> AsyncIterator[DryNetwork]:
    async with DryNetwork(triangle(), seed=1) as made:
        yield made


@pytest.fixture
def soon() -> Backoff:
    """Waits that a test can afford."""
    return Backoff(0.01, 0.1)
