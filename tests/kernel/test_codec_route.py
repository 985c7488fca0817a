"""Routes to single destinations: as ip sends them, and as the kernel and ip show them."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.kernel.codec import RouteRow, route_dump_message, route_message, route_rows
from linkem_py.plan.addressing import MAIN_TABLE
from linkem_py.plan.objects import Route
from tests.kernel.scratch import ETH0, Scratch
from tests.kernel.wire import parse, recorded, recorded_without_ack

FOUR = Route("p1", "eth0", MAIN_TABLE, "10.0.0.2/32", mtu=1300, advmss=1460)
SIX = Route("p1", "eth0", MAIN_TABLE, "fd00::2/128", mtu=1300, advmss=1440)
RECORDED_INDEX = 3


def row(route: Route, index: int) -> RouteRow:
    address = ipaddress.ip_network(route.destination).network_address
    return RouteRow(route.table, address.packed, address.max_prefixlen, index, b"", route.mtu, route.advmss)


@pytest.mark.parametrize(("route", "name"), [(FOUR, "route4"), (SIX, "route6")])
def test_a_route_is_the_same_to_the_byte(route: Route, name: str) -> None:
    assert route_message("create", route, RECORDED_INDEX) == recorded_without_ack(name)


def test_a_change_differs_in_its_flags_only() -> None:
    assert route_message("change", FOUR, RECORDED_INDEX) == recorded_without_ack("route4_replaced")


@pytest.mark.parametrize(("route", "name"), [(FOUR, "route4_remove"), (SIX, "route6_remove")])
def test_a_deletion_is_the_same_to_the_byte(route: Route, name: str) -> None:
    assert parse(route_message("delete", route, RECORDED_INDEX)) == parse(recorded(name))


@given(st.sampled_from([FOUR, SIX]), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1))
def test_what_is_encoded_is_decoded(route: Route, mtu: int, advmss: int, index: int) -> None:
    message = route_message("create", route._replace(mtu=mtu, advmss=advmss), index)
    assert list(route_rows([message])) == [row(route._replace(mtu=mtu, advmss=advmss), index)]


@pytest.mark.parametrize(("destination", "gateway"), [("0.0.0.0/0", "10.0.0.2"), ("::/0", "fd00::2")])
def test_a_default_route_leads_to_an_address_of_zeros_in_both_families(destination: str, gateway: str) -> None:
    (found,) = route_rows([route_message("create", Route("p1", "eth0", MAIN_TABLE, destination, gateway), 3)])
    assert (str(ipaddress.ip_address(found.destination)), found.prefixlen) == (destination.removesuffix("/0"), 0)
    assert found.gateway == ipaddress.ip_address(gateway).packed


def test_other_routes_are_left_out() -> None:
    for name in ("route4_mtu", "route6_mtu"):  # not static
        assert not list(route_rows([recorded(name)]))


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        made.lan(1, 2)
        yield made


@pytest.mark.kernel("veth", "ipv6")
@pytest.mark.parametrize(("route", "family"), [(FOUR, "-4"), (SIX, "-6")])
def test_ip_shows_the_route_that_was_meant(scratch: Scratch, route: Route, family: str) -> None:
    scratch.send("p1", route_message("create", route, ETH0))
    for made in (route, route._replace(mtu=1400)):
        scratch.send("p1", route_message("change", made, ETH0))
        (shown,) = (
            row for row in scratch.json("p1", f"ip {family} -d -j route") if row["dst"] in ("10.0.0.2", "fd00::2")
        )
        assert (shown["dev"], shown["protocol"]) == ("eth0", "static")
        assert shown["metrics"] == [{"mtu": made.mtu, "advmss": made.advmss}]
        rows = list(route_rows(scratch.spaces["p1"].netlink.dump(route_dump_message())))
        assert rows == [row(made, ETH0)]
    assert scratch.refused("p1", route_message("create", route, ETH0)) == errno.EEXIST
    scratch.send("p1", route_message("delete", route, ETH0))
    assert scratch.refused("p1", route_message("delete", route, ETH0)) == errno.ESRCH
