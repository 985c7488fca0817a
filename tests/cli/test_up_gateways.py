from __future__ import annotations

from typing import Any

from linkem_py import Topology
from linkem_py.cli.console import Paint
from linkem_py.cli.hosting import gateway_facts
from linkem_py.cli.up import lines_of

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


def test_gateways_are_told_with_what_they_do() -> None:
    topology = Topology("t")
    topology.add_gateway("router", inside="home", outside="wan", nat="symmetric")
    topology.add_gateway("plain", inside="lab", outside="wan")
    lines = lines_of({**FACTS, "gateways": gateway_facts(topology)}, Paint(False), detached=False)
    (router,) = [line for line in lines if line.split()[0] == "router"]
    assert "gateway from home to wan, symmetric: address-and-port-dependent mapping" in router
    (plain,) = [line for line in lines if line.split()[0] == "plain"]
    assert plain.endswith("gateway from lab to wan, no NAT")


def test_without_gateways_nothing_is_said_of_them() -> None:
    lines = lines_of({**FACTS, "gateways": gateway_facts(Topology("t"))}, Paint(False), detached=False)
    assert not any("gateway" in line for line in lines)
