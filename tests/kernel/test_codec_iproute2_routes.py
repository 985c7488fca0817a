"""What we send is what ip (iproute2 6.1) sends for the same route or rule."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from linkem_py.kernel.codec import (
    RouteRow,
    RuleRow,
    route_dump_message,
    route_message,
    route_rows,
    rule_dump_message,
    rule_message,
    rule_rows,
)
from linkem_py.plan.objects import Route, Rule
from tests.kernel.wire import parse, recorded

ETH0, TABLE = 3, 1002  # the interface index in the recording

RULE4, RULE6 = Rule("a", "10.1.0.1", TABLE), Rule("a", "fd00:2::1", TABLE)
DIRECT4, DIRECT6 = (Route("a", "eth0", TABLE, subnet) for subnet in ("10.1.0.0/16", "fd00:2::/64"))
VIA4 = Route("a", "eth0", TABLE, "10.2.0.2/32", "10.1.0.2")
VIA6 = Route("a", "eth0", TABLE, "fd00:3::2/128", "fd00:2::2")
GATEWAY6 = bytes.fromhex("fd000002000000000000000000000002")
NOWHERE4, NOWHERE6 = (Route("a", "", TABLE, subnet) for subnet in ("10.3.0.0/16", "fd00:4::/64"))

ALIKE: dict[str, Callable[[], bytes]] = {
    "rule4": lambda: rule_message("create", RULE4),
    "rule6": lambda: rule_message("create", RULE6),
    "rule4_delete": lambda: rule_message("delete", RULE4),
    "route4_device": lambda: route_message("create", DIRECT4, ETH0),
    "route6_device": lambda: route_message("create", DIRECT6, ETH0),
    "route4_gateway": lambda: route_message("create", VIA4, ETH0),
    "route6_gateway": lambda: route_message("create", VIA6, ETH0),
    "route4_replace": lambda: route_message("change", VIA4, ETH0),
    "route4_unreachable": lambda: route_message("create", NOWHERE4, 0),
    "route6_unreachable": lambda: route_message("create", NOWHERE6, 0),
}


@pytest.mark.parametrize("name", ALIKE)
def test_is_the_same_attribute_by_attribute(name: str) -> None:
    assert parse(ALIKE[name]()) == parse(recorded(name))


@pytest.mark.parametrize(("name", "route"), [("route4_delete", VIA4), ("route6_delete", VIA6)])
def test_deleting_a_route_names_it(name: str, route: Route) -> None:
    ours, theirs = parse(route_message("delete", route, ETH0)), parse(recorded(name))
    assert ours.kind == theirs.kind
    assert ours.flags == theirs.flags
    assert ours.attributes == theirs.attributes
    assert ours.fixed[:2] == theirs.fixed[:2]  # family, prefix length


def test_a_dump_is_read_back() -> None:
    # What the kernel answers has the layout of what it is asked.
    routes = [route_message("create", route, ETH0) for route in (DIRECT4, VIA6, NOWHERE4)]
    assert list(route_rows(routes)) == [
        RouteRow(TABLE, bytes([10, 1, 0, 0]), 16, ETH0),
        RouteRow(TABLE, bytes.fromhex("fd000003000000000000000000000002"), 128, ETH0, GATEWAY6),
        RouteRow(TABLE, bytes([10, 3, 0, 0]), 16),
    ]
    assert list(rule_rows([rule_message("create", RULE4)])) == [RuleRow(TABLE, bytes([10, 1, 0, 1]))]


@pytest.mark.parametrize(("message", "kind"), [(route_dump_message(), 26), (rule_dump_message(), 34)])
def test_a_dump_asks_for_everything(message: bytes, kind: int) -> None:
    assert struct.unpack_from("=IHH", message) == (28, kind, 0x301)
    assert not any(message[8:])
