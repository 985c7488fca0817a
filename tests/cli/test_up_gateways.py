from __future__ import annotations

from typing import Any

import pytest

from linkem_py import Topology
from linkem_py.cli.console import Paint
from linkem_py.cli.looking import description_lines
from linkem_py.cli.up import lines_of
from linkem_py.control.local import LocalStation
from linkem_py.control.wire.reports import description, description_json
from tests.dry import DryNetwork

FACTS: dict[str, Any] = {
    "name": "demo",
    "peers": {"laptop": {"home": ["10.1.0.1"]}},
    "place": "here",
    "kernel": "6.12",
    "pid": 5,
    "links": 2,
    "mqtt": [],
    "topics": "",
    "metrics": "",
    "named": False,
}


@pytest.fixture
async def told() -> dict[str, Any]:
    """What the control socket and MQTT tell of a network with gateways."""
    topology = Topology("t")
    topology.add_gateway("router", inside="home", outside="wan")
    topology.add_gateway("plain", inside="lab", outside="wan")
    async with DryNetwork(topology) as net, LocalStation(net) as station:
        return description_json(await station.describe())


async def test_they_are_part_of_the_description(told: dict[str, Any]) -> None:
    assert told["gateways"] == [
        {"peer": "router", "inside": "home", "outside": "wan", "nat": None},
        {"peer": "plain", "inside": "lab", "outside": "wan", "nat": None},
    ]
    assert description_json(description(told)) == told


async def test_up_and_show_tell_what_they_do(told: dict[str, Any]) -> None:
    told["gateways"][0]["nat"] = "symmetric: address-and-port-dependent mapping"
    lines = lines_of({**FACTS, "gateways": told["gateways"]}, Paint(False), detached=False)
    (router,) = [line for line in lines if line.split()[0] == "router"]
    assert "gateway from home to wan, symmetric: address-and-port-dependent mapping" in router
    (plain,) = [line for line in lines if line.split()[0] == "plain"]
    assert plain.endswith("gateway from lab to wan, no NAT")
    assert "plain is a gateway from lab to wan, no NAT" in description_lines(told, Paint(False), now=told["started_at"])


async def test_without_gateways_nothing_is_said_of_them() -> None:
    async with DryNetwork(Topology("t")) as net, LocalStation(net) as station:
        told = description_json(await station.describe())
    assert "gateways" not in told
    assert not any("gateway" in line for line in lines_of({**FACTS, "gateways": []}, Paint(False), detached=False))
    assert not any("gateway" in line for line in description_lines(told, Paint(False), now=0))
