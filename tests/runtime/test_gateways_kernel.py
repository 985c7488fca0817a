"""Peers that forward: what goes by them has the impairments of the links to and from them."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.model.topology import LinkKey
from tests.runtime.check import assert_kernel_matches

pytestmark = pytest.mark.kernel("netem", "htb", "gact")

OUT, BACK = Impairment(delay_ms=30), Impairment(delay_ms=50)
PINGS = 5


def routed(**settings: str) -> Topology:
    topology = Topology("routed", **settings)  # type: ignore[arg-type]
    for name in ("laptop", "phone", "server"):
        topology.add_peer(name)
    topology.add_gateway("router", inside="home", outside="wan")
    topology.connect("laptop", "router", OUT, back=BACK, segment="home")
    topology.connect("laptop", "phone", segment="home")
    topology.connect("router", "server", segment="wan")
    return topology


async def round_trip_ms(net: Network, source: str, destination: str, *options: str) -> float:
    """The shortest of a few."""
    command = ["ping", "-c", str(PINGS), "-i", "0.02", *options, destination]
    done = await net.peer(source).run(command, check=True)
    return min(float(time) for time in re.findall(r"time=([\d.]+) ms", str(done.stdout)))


async def packets(net: Network, key: LinkKey) -> int:
    return (await net.stats())[key].packets


@pytest.mark.parametrize("family", ["-4", "-6"])
async def test_routed_traffic_has_the_delays_of_the_links_to_the_gateway_and_from_it(family: str) -> None:
    async with Network(routed()) as net:
        assert_kernel_matches(net)
        before = await packets(net, ("laptop", "router", "home"))
        there = await round_trip_ms(net, "laptop", "server", family)
        assert there >= OUT.delay_ms + BACK.delay_ms
        assert await packets(net, ("laptop", "router", "home")) >= before + PINGS
        again = await round_trip_ms(net, "server", "laptop", family)
        assert again >= OUT.delay_ms + BACK.delay_ms
        assert await round_trip_ms(net, "laptop", "phone", family) < OUT.delay_ms


def arrived(net: Network, source: str, destination: str, count: int) -> int:
    """How many of so many datagrams arrive."""
    address = next(found for on in net.peer(destination).addresses.values() for found in on if "." in found)
    with (
        net.peer(destination).socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        net.peer(source).socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("", 0))
        receiver.settimeout(0.5)
        for _ in range(count):
            sender.sendto(b"x", (address, receiver.getsockname()[1]))
        found = 0
        try:
            while found < count:
                receiver.recv(10)
                found += 1
        except TimeoutError:
            pass
        return found


async def test_the_link_to_a_gateway_changes_under_routed_traffic_one_direction_at_a_time() -> None:
    async with Network(routed(), seed=3) as net:
        await net.update("laptop", "router", segment="home", delay_ms=None, loss_pct=50)
        await net.update("router", "laptop", segment="home", delay_ms=None)
        # 200 packets, each lost with probability 1/2: within six standard deviations of 100.
        assert 57 <= arrived(net, "laptop", "server", 200) <= 143
        assert arrived(net, "server", "laptop", 200) == 200
        await net.update("laptop", "router", segment="home", loss_pct=100)
        assert arrived(net, "laptop", "server", 10) == 0
        assert arrived(net, "laptop", "phone", 10) == 10
        await net.clear("laptop", "router", segment="home")
        assert arrived(net, "laptop", "server", 10) == 10
        await net.update("router", "laptop", segment="home", loss_pct=100)
        assert arrived(net, "server", "laptop", 10) == 0
        assert arrived(net, "server", "router", 10) == 10
        await net.update("router", "laptop", segment="home", loss_pct=None)
        await net.down("laptop", "router", segment="home", one_way=True)
        assert arrived(net, "laptop", "server", 10) == 0
        await net.up("laptop", "router", segment="home")
        assert arrived(net, "laptop", "server", 10) == 10


async def test_the_mtu_of_the_link_to_a_gateway_bounds_what_goes_by_it() -> None:
    async with Network(routed()) as net:
        address = net.peer("server").addresses["wan"][0]
        ask = ["ip", "route", "get", address]
        assert "mtu" not in str((await net.peer("laptop").run(ask)).stdout)
        await net.update("laptop", "router", segment="home", mtu=1300)
        assert_kernel_matches(net)
        assert "mtu 1300" in str((await net.peer("laptop").run(ask)).stdout)
        await net.update("laptop", "router", segment="home", mtu=None)
        assert "mtu" not in str((await net.peer("laptop").run(ask)).stdout)


@pytest.mark.parametrize("settings", [{"unlinked": "blocked"}, {"classifier": "prio"}, {"placement": "hub"}], ids=str)
async def test_routed_traffic_passes_in_every_kind_of_tree(settings: dict[str, str]) -> None:
    if settings.get("placement") and not (await _has_ifb()):
        pytest.skip("this kernel lacks: ifb")
    async with Network(routed(**settings)) as net:
        assert await round_trip_ms(net, "laptop", "server") >= OUT.delay_ms + BACK.delay_ms


async def _has_ifb() -> bool:
    from linkem_py.kernel.probe import probe

    return probe().ifb


async def test_tcp_connects_by_name_through_two_gateways() -> None:
    topology = routed()
    topology.add_gateway("far", inside="wan", outside="world")
    topology.add_peer("star")
    topology.connect("router", "far", segment="wan")
    topology.connect("far", "star", segment="world")

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async with Network(topology) as net:
        for source, destination in (("laptop", "star"), ("star", "laptop")):
            server = await net.peer(destination).start_server(echo, port=9000)
            reader, writer = await net.peer(source).open_connection(destination, 9000)
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
            writer.close()
            server.close()


async def test_after_the_cable_was_pulled_the_way_out_is_there_again() -> None:
    async with Network(routed()) as net:
        await net.carrier("laptop", segment="home", up=False)
        assert arrived(net, "phone", "server", 3) == 3
        await net.carrier("laptop", segment="home", up=True)
        assert_kernel_matches(net)
        assert arrived(net, "laptop", "server", 3) == 3


async def test_a_gateway_that_goes_takes_the_ways_by_it_along() -> None:
    async with Network(routed()) as net:
        await net.remove_peer("router")
        assert_kernel_matches(net)
        shown = (await net.peer("laptop").run(["ip", "route"])).stdout
        assert "default" not in str(shown)
