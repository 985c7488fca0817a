"""What gateways do to addresses and ports, as a server outside sees it (RFC 4787, RFC 5780)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import AsyncIterator

import pytest

from linkem_py import Nat, Network, Topology
from tests.runtime.check import assert_kernel_matches
from tests.runtime.stun import PORTS, SILENCE_S, Endpoint, Stun, endpoint, stun, udp
from topologies import home_nat

pytestmark = pytest.mark.kernel("netem", "nat")

EIM, ADM, APDM = "endpoint-independent", "address-dependent", "address-and-port-dependent"


def behind(nat: Nat | str) -> Topology:
    topology = Topology("behind")
    for name in ("laptop", "phone", "stun", "other"):
        topology.add_peer(name)
    topology.add_gateway("router", inside="home", outside="wan", nat=nat)
    for name in ("laptop", "phone"):
        topology.connect(name, "router", segment="home")
    for name in ("stun", "other"):
        topology.connect("router", name, segment="wan")
    return topology


@contextlib.asynccontextmanager
async def running(nat: Nat | str) -> AsyncIterator[tuple[Network, Stun]]:
    async with Network(behind(nat)) as net:
        with stun(net) as server:
            yield net, server


def mapping_of(server: Stun, client: socket.socket) -> str:
    """The mapping behaviour, told as RFC 5780, 4.3 does."""
    first = server.mapped(client, "stun")
    if server.mapped(client, "other") == first:
        assert server.mapped(client, "other", PORTS[1]) == server.mapped(client, "stun", PORTS[1]) == first
        return EIM
    return ADM if server.mapped(client, "stun", PORTS[1]) == first else APDM


def filtering_of(server: Stun, client: socket.socket) -> str:
    """The filtering behaviour, told as RFC 5780, 4.4 does, with a socket that has sent nothing yet."""
    mapping = server.mapped(client, "stun")
    assert server.reaches(client, mapping, "stun")
    if server.reaches(client, mapping, "other", PORTS[1]):
        return EIM
    return ADM if server.reaches(client, mapping, "stun", PORTS[1]) else APDM


@pytest.mark.parametrize(
    ("nat", "mapping", "filtering"),
    [
        ("home", EIM, APDM),
        ("full_cone", EIM, EIM),
        ("symmetric", APDM, APDM),
        ("cgnat", EIM, EIM),
        (Nat(filtering="address-dependent"), EIM, ADM),
        (Nat(mapping="address-dependent", filtering="address-dependent"), ADM, ADM),
        (Nat(mapping="address-and-port-dependent", filtering="endpoint-independent"), APDM, EIM),
    ],
    ids=str,
)
async def test_a_nat_maps_and_filters_as_it_says(nat: Nat | str, mapping: str, filtering: str) -> None:
    async with running(nat) as (net, server):
        with udp(net, "laptop", 5000) as client:
            assert mapping_of(server, client) == mapping
        with udp(net, "laptop", 5001) as client:
            assert filtering_of(server, client) == filtering
        assert_kernel_matches(net)


@pytest.mark.parametrize(("nat", "kept"), [("home", True), ("full_cone", True), ("symmetric", False), ("cgnat", False)])
async def test_ports_are_kept_or_drawn(nat: str, kept: bool) -> None:
    async with running(nat) as (net, server):
        ports = [5000, 5001, 5002]
        with contextlib.ExitStack() as sockets:
            clients = [sockets.enter_context(udp(net, "laptop", port)) for port in ports]
            seen = [server.mapped(client, "stun") for client in clients]
        assert {address for address, _ in seen} == {net.peer("router").addresses["wan"][0]}
        assert ([port for _, port in seen] == ports) is kept


@pytest.mark.parametrize("nat", ["home", "full_cone", "cgnat"])
async def test_two_that_have_the_same_port_inside_keep_their_mappings_apart(nat: str) -> None:
    async with running(nat) as (net, server):
        with udp(net, "laptop", 5000) as first, udp(net, "phone", 5000) as second:
            # In this order Linux, left to itself, gives both one port, and one of them another one later.
            mine, theirs = server.mapped(first, "stun"), server.mapped(second, "other")
            assert mine != theirs
            assert server.mapped(first, "other") == mine
            assert server.mapped(second, "stun") == theirs
            assert server.reaches(first, mine, "other")
            assert server.reaches(second, theirs, "other")


@pytest.mark.parametrize("nat", ["home", "full_cone", "symmetric", "cgnat"])
async def test_a_mapping_ends_after_its_time_and_what_is_sent_out_prolongs_it(nat: str) -> None:
    async with running(Nat.named(nat, udp_timeout_s=3)) as (net, server):
        with udp(net, "laptop", 5000) as client:
            mapping = server.mapped(client, "stun")
            for _ in range(2):
                await asyncio.sleep(2)
                assert server.mapped(client, "stun") == mapping
            sent = time.monotonic()
            while time.monotonic() < sent + 3.5:
                # What comes in does not prolong it.
                server.sockets["stun", PORTS[0]].sendto(b"in", mapping)
                await asyncio.sleep(0.5)
            assert not server.reaches(client, mapping, "stun")


@pytest.mark.parametrize("nat", ["home", "full_cone"])
async def test_what_came_in_unasked_does_not_move_the_mapping_made_later(nat: str) -> None:
    async with running(nat) as (net, server):
        router = net.peer("router").addresses["wan"][0]
        server.sockets["stun", PORTS[0]].sendto(b"early", (router, 5000))
        with udp(net, "laptop", 5000) as client:
            assert server.mapped(client, "other") == (router, 5000)
            assert server.mapped(client, "stun") == (router, 5000)
            assert server.reaches(client, (router, 5000), "stun")


async def test_punching_a_hole_takes_both_sides_to_send() -> None:
    async with running("home") as (net, server):
        with udp(net, "laptop", 5000) as client:
            mapping = server.mapped(client, "stun")
            assert not server.reaches(client, mapping, "other")
            client.sendto(b"punch", endpoint(net, "other", PORTS[0]))
            assert server.reaches(client, mapping, "other")
            assert server.mapped(client, "other") == mapping


async def test_a_gateway_with_another_address_maps_to_that_from_then_on() -> None:
    async with running("full_cone") as (net, server):
        with udp(net, "laptop", 5000) as client:
            before = server.mapped(client, "stun")
            await net.readdress("router", segment="wan")
            await net.readdress("router", segment="home")
            assert_kernel_matches(net)
            after = server.mapped(client, "stun")
            assert after == (net.peer("router").addresses["wan"][0], 5000) != before
            assert server.reaches(client, after, "other")
            assert not server.reaches(client, before, "other")


async def test_the_gateway_has_ports_of_its_own() -> None:
    async with running("home") as (net, server):
        router = net.peer("router").addresses["wan"][0]
        with udp(net, "router", 7000) as own, udp(net, "laptop", 5000) as client:
            server.mapped(client, "stun")
            server.sockets["stun", PORTS[0]].sendto(b"hello", (router, 7000))
            data, sender = own.recvfrom(10)
            own.sendto(data, sender)
            assert server.sockets["stun", PORTS[0]].recvfrom(10) == (b"hello", (router, 7000))
            assert own.sendto(b"mine", endpoint(net, "other", PORTS[0]))
            _, seen = server.sockets["other", PORTS[0]].recvfrom(10)
            assert seen == (router, 7000)
            server.sockets["other", PORTS[0]].sendto(b"back", seen)
            assert own.recv(10) == b"back"


async def test_the_inside_cannot_be_reached_by_its_own_addresses() -> None:
    async with running("full_cone") as (net, server):
        inside = net.peer("laptop").addresses["home"][0]
        way = ["ip", "route", "add", f"{inside}/32", "via", net.peer("router").addresses["wan"][0]]
        await net.peer("stun").run(way, check=True)
        with udp(net, "laptop", 5000) as client:
            assert not server.reaches(client, (inside, 5000), "stun")


# --- TCP -----------------------------------------------------------------------------------------


async def seen_by(net: Network, peer: str, source_port: int) -> Endpoint:
    """What a TCP connection from the laptop is seen as, after a hundred kilobytes each way."""
    seen: list[Endpoint] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[:2])
        writer.write(await reader.readexactly(100_000))
        await writer.drain()
        writer.close()

    server = await net.peer(peer).start_server(echo, port=8000)
    sock = net.peer("laptop").socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", source_port))
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, endpoint(net, peer, 8000))
        reader, writer = await asyncio.open_connection(sock=sock)
        data = bytes(range(250)) * 400
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()
    finally:
        server.close()
    return seen[0]


@pytest.mark.parametrize(("nat", "alike"), [("home", True), ("full_cone", True), ("symmetric", False), ("cgnat", True)])
async def test_tcp_goes_through_and_is_mapped_as_udp_is(nat: str, alike: bool) -> None:
    async with running(nat) as (net, _):
        first, second = await seen_by(net, "stun", 6000), await seen_by(net, "other", 6000)
        assert first[0] == second[0] == net.peer("router").addresses["wan"][0]
        assert (first == second) is alike
        assert (await net.peer("laptop").run(["ping", "-c", "1", "stun"])).returncode == 0


# --- in series -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def in_series(home: str) -> AsyncIterator[tuple[Network, Stun]]:
    topology = Topology("series")
    for name in ("laptop", "stun", "other"):
        topology.add_peer(name)
    topology.add_segment("access", ipv4="100.64.0.0/10")
    topology.add_gateway("router", inside="home", outside="access", nat=home)
    topology.add_gateway("carrier", inside="access", outside="wan", nat="cgnat")
    topology.connect("laptop", "router", segment="home")
    topology.connect("router", "carrier", segment="access")
    for name in ("stun", "other"):
        topology.connect("carrier", name, segment="wan")
    async with Network(topology) as net:
        with stun(net) as server:
            yield net, server


@pytest.mark.parametrize(("alice", "bob", "meet"), [("home", "home", True), ("symmetric", "home", False)])
async def test_two_homes_meet_by_a_hole_in_each_unless_one_draws_a_port_for_it(
    alice: str, bob: str, meet: bool
) -> None:
    async with Network(home_nat.topology(alice, bob, alice_line="lan", bob_line="lan")) as net:
        with stun(net, ("stun", "relay")) as server, udp(net, "alice") as first, udp(net, "bob") as second:
            mine, theirs = server.mapped(first, "stun"), server.mapped(second, "stun")
            first.settimeout(SILENCE_S)
            second.settimeout(SILENCE_S)
            for _ in range(2):  # what comes before its hole is lost
                first.sendto(b"from alice", theirs)
                await asyncio.sleep(0.1)
                second.sendto(b"from bob", mine)
                await asyncio.sleep(0.1)
            assert (received(first), received(second)) == ((b"from bob", b"from alice") if meet else (b"", b""))


def received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(100)
    except TimeoutError:
        return b""


@pytest.mark.parametrize(
    ("home", "mapping", "filtering"),
    [("home", EIM, APDM), ("full_cone", EIM, EIM), ("symmetric", APDM, APDM)],
)
async def test_behind_two_nats_the_stricter_one_decides(home: str, mapping: str, filtering: str) -> None:
    async with in_series(home) as (net, server):
        with udp(net, "laptop", 5000) as client:
            assert mapping_of(server, client) == mapping
        with udp(net, "laptop", 5001) as client:
            address, port = server.mapped(client, "stun")
            assert address == net.peer("carrier").addresses["wan"][0]
            assert port != 5001
        with udp(net, "laptop", 5002) as client:
            assert filtering_of(server, client) == filtering
        shared = ipaddress.ip_network("100.64.0.0/10")
        assert ipaddress.ip_address(net.peer("router").addresses["access"][0]) in shared
