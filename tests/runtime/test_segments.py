"""Peers on several segments: an address leaves by its own segment; links and carriers go down and up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from linkem_py import Impairment, Network, RequestError, Topology
from tests.runtime.check import assert_kernel_matches

pytestmark = pytest.mark.kernel("netem", "htb", "clsact", "skbedit", "gact")

LTE, NR = Impairment(delay_ms=1), Impairment(delay_ms=2)


def bonded() -> Topology:
    topology = Topology("bonded")
    for name in ("camera", "studio", "server"):
        topology.add_peer(name)
    topology.connect("camera", "studio", LTE, segment="lte")
    topology.connect("camera", "studio", NR, segment="nr")
    topology.connect("studio", "server", segment="lte")
    return topology


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Network]:
    async with Network(bonded(), seed=1) as net:
        yield net


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def arrives(net: Network, source: str, destination: str, address: str, *, by: str | None = None) -> bool:
    """Whether a datagram arrives that is sent to that address, from the address on `by` (None: unbound)."""
    kind = family_of(address)
    with (
        net.peer(destination).socket(kind, socket.SOCK_DGRAM) as receiver,
        net.peer(source).socket(kind, socket.SOCK_DGRAM, segment=by) as sender,
    ):
        receiver.bind(("", 0))
        receiver.settimeout(0.3)
        try:
            sender.sendto(b"x", (address, receiver.getsockname()[1]))
            return receiver.recv(10) == b"x"
        except OSError:
            return False


def crosses(net: Network, source: str, destination: str, *, by: str | None, to: str, family: int = 0) -> bool:
    """Whether a datagram arrives that is sent from the address on `by` (None: unbound) to the address on `to`."""
    return arrives(net, source, destination, net.peer(destination).addresses[to][family], by=by)


async def packets(net: Network, segment: str) -> int:
    return (await net.stats())["camera", "studio", segment].packets


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("by", ["lte", "nr"])
@pytest.mark.parametrize("to", ["lte", "nr"])
async def test_what_is_sent_from_an_address_leaves_by_its_segment(family: int, by: str, to: str) -> None:
    async with running() as net:
        other = "nr" if by == "lte" else "lte"
        before = await packets(net, by), await packets(net, other)
        assert crosses(net, "camera", "studio", by=by, to=to, family=family)
        after = await packets(net, by), await packets(net, other)
        assert after[0] > before[0]
        assert after[1] == before[1]


async def test_nobody_answers_for_an_address_of_another_segment() -> None:
    async with running() as net:
        # The server is on lte only: it asks there for an address that studio has on nr.
        wrong = net.peer("studio").addresses["nr"][0]
        await net.peer("server").run(["ip", "route", "add", f"{wrong}/32", "dev", "eth1"], check=True)
        await net.peer("server").run(["ping", "-c", "1", "-W", "1", wrong])
        known = await net.peer("server").run(["ip", "neigh", "show", wrong])
        assert "lladdr" not in known.stdout


async def test_names_resolve_to_all_addresses_or_those_of_a_segment() -> None:
    async with running() as net:
        studio, camera = net.peer("studio"), net.peer("camera")
        assert dict(studio.addresses) == {"lte": ("10.1.0.2", "fd00:2::2"), "nr": ("10.2.0.2", "fd00:3::2")}
        assert studio.address == "10.1.0.2"
        assert net.names["studio"] == ("10.1.0.2", "fd00:2::2", "10.2.0.2", "fd00:3::2")

        def lookup(name: str) -> set[str]:
            return {str(entry[4][0]) for entry in socket.getaddrinfo(name, 1, proto=socket.IPPROTO_TCP)}

        assert await camera.call(lookup, "studio") == set(net.names["studio"])
        assert await camera.call(lookup, "studio.nr") == {"10.2.0.2", "fd00:3::2"}
        shown = await camera.run(["getent", "ahostsv4", "studio.lte"], check=True)
        assert shown.stdout.split()[0] == "10.1.0.2"

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"{writer.get_extra_info('peername')[0]}\n".encode())
            writer.close()

        server = await studio.start_server(handler, "studio.nr")
        port = server.sockets[0].getsockname()[1]
        for host in ("studio.nr", "studio"):
            reader, writer = await camera.open_connection(host, port, segment="nr")
            assert await reader.readline() == b"10.2.0.1\n"
            writer.close()
            await writer.wait_closed()


async def test_a_partition_cuts_every_segment() -> None:
    async with running() as net:
        await net.partition({"camera"}, {"studio"})
        assert not any(crosses(net, "camera", "studio", by=by, to=by) for by in ("lte", "nr"))
        await net.heal()
        assert all(crosses(net, "camera", "studio", by=by, to=by) for by in ("lte", "nr"))


async def looks(net: Network, name: str) -> dict[str, set[str]]:
    """What the peer's kernel has, without what counts or ages."""
    commands = {
        "addresses": "ip -o addr show scope global",
        "neighbours": "ip neigh show nud permanent",
        "neighbours6": "ip -6 neigh show nud permanent",
        "routes": "ip route show table all",
        "routes6": "ip -6 route show table all",
        "rules": "ip rule", "rules6": "ip -6 rule", "qdiscs": "tc qdisc show", "filters": "tc filter show dev eth1",
    }  # fmt: skip
    return {
        what: set((await net.peer(name).run(command.split(), check=True)).stdout.splitlines())
        for what, command in commands.items()
    }


async def test_a_network_grown_while_it_runs_is_the_one_that_was_built() -> None:
    topology = Topology("bonded")
    for name in ("camera", "studio", "server"):
        topology.add_peer(name)
    for segment in ("lte", "nr"):
        topology.add_segment(segment)
    async with running() as built, Network(topology, seed=1) as grown:
        assert grown.peer("camera").addresses == {}
        await grown.connect("camera", "studio", LTE, segment="lte")
        await grown.connect("studio", "server", segment="lte")
        await grown.connect("camera", "studio", NR, segment="nr")
        for name in ("camera", "studio", "server"):
            assert await looks(grown, name) == await looks(built, name)
            assert grown.kernel.present(name) == built.kernel.present(name)
        assert crosses(grown, "camera", "studio", by="nr", to="lte")
        await grown.disconnect("camera", "studio", segment="nr")
        assert list(grown.peer("camera").addresses) == ["lte"]
        assert "studio.nr" not in grown.names
        rules = await grown.peer("camera").run(["ip", "rule"], check=True)
        assert "10.1.0.1" not in rules.stdout
        assert crosses(grown, "camera", "studio", by="lte", to="lte")


async def test_a_second_segment_takes_nobody_off_the_first() -> None:
    topology = Topology("two")
    for name in ("a", "b", "c"):
        topology.add_peer(name)
    async with Network(topology, seed=1) as net:
        await net.connect("a", "b", segment="lte")
        assert crosses(net, "a", "c", by="lan", to="lan")
        assert crosses(net, "a", "b", by="lte", to="lan")
        await net.update("a", "b", segment="lte", delay_ms=1)
        await net.clear("a", "b", segment="lte")
        with pytest.raises(RequestError, match="peer c: segment is not one that the peer is on: 'lte'"):
            net.peer("c").socket(segment="lte")


async def test_a_link_that_is_down_lets_nothing_in_and_comes_back_as_it_was() -> None:
    async with running() as net:
        before = await looks(net, "camera")
        told: list[Any] = []
        net.subscribe(told.append)
        done = await net.down("camera", "studio", segment="lte")
        assert {change.link for change in done.links} == {("camera", "studio", "lte"), ("studio", "camera", "lte")}
        assert all(step.verb == "change" for step in done.steps)
        assert not crosses(net, "camera", "studio", by="lte", to="lte")
        assert not crosses(net, "studio", "camera", by="lte", to="lte", family=1)
        assert crosses(net, "camera", "studio", by="nr", to="nr")
        assert crosses(net, "studio", "server", by="lte", to="lte")
        await net.update("camera", "studio", segment="lte", delay_ms=3)
        assert not crosses(net, "camera", "studio", by="lte", to="lte")
        await net.update("camera", "studio", segment="lte", delay_ms=1)
        await net.up("camera", "studio", segment="lte")
        assert crosses(net, "camera", "studio", by="lte", to="lte")
        after = await looks(net, "camera")
        assert {what: seen for what, seen in after.items() if what != "qdiscs"} == {
            what: seen for what, seen in before.items() if what != "qdiscs"
        }
        assert [applied.what for applied in told] == ["down", "update", "update", "up"]
        with pytest.raises(RequestError, match="link is not in the topology"):
            await net.down("camera", "server", segment="lte")


async def test_one_direction_may_go_down_alone() -> None:
    async with running() as net:
        await net.down("camera", "studio", segment="lte", one_way=True)
        assert not crosses(net, "camera", "studio", by="lte", to="lte")
        assert crosses(net, "studio", "camera", by="lte", to="lte")


@pytest.mark.parametrize("program", [[], ["ip", "link", "set", "eth1", "down"]], ids=["carrier", "program"])
async def test_all_is_as_before_when_the_carrier_returns(program: list[str]) -> None:
    async with running() as net:
        before, present = await looks(net, "camera"), net.kernel.present("camera")
        done = await net.carrier("camera", segment="lte", up=False)
        assert (done.what, done.peer, done.segment) == ("carrier down", "camera", "lte")
        assert (await net.carrier("camera", segment="lte", up=False)).steps == ()
        assert "NO-CARRIER" in (await net.peer("camera").run(["ip", "link", "show", "eth1"])).stdout
        if program:
            await net.peer("camera").run(program, check=True)
            assert (await looks(net, "camera"))["neighbours"] != before["neighbours"]
        assert not crosses(net, "camera", "studio", by="lte", to="lte")
        assert crosses(net, "camera", "studio", by="nr", to="nr")
        await net.carrier("camera", segment="lte", up=True)
        assert await looks(net, "camera") == before
        assert net.kernel.present("camera") == present
        for family in (0, 1):
            assert crosses(net, "camera", "studio", by="lte", to="nr", family=family)
        assert [applied.what for applied in net.journal][-1] == "carrier up"


async def test_a_carrier_of_a_segment_that_the_peer_is_not_on_is_refused() -> None:
    async with running() as net:
        with pytest.raises(RequestError, match="peer server: segment is not one that the peer is on: 'nr'"):
            await net.carrier("server", segment="nr", up=False)
        await net.carrier("server", segment="lte", up=True)  # it never went: nothing changes
        await net.remove_peer("camera")
        assert sorted(net.peers) == ["server", "studio"]


@pytest.mark.filterwarnings("ignore:mtu")
@pytest.mark.parametrize("by", [None, "lte"])
@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
async def test_an_mtu_holds_from_any_address_and_after_the_carrier_was_gone(family: int, by: str | None) -> None:
    topology = bonded()
    topology.set_impairment("camera", "studio", LTE.evolve(mtu=1300), segment="lte")
    async with Network(topology, seed=1) as net:
        targets = ["lte"] if by is None else ["lte", "nr"]
        await check_mtu(net, by, targets, family, 1300)
        await net.update("camera", "studio", segment="lte", mtu=1400)
        assert_kernel_matches(net)
        await check_mtu(net, by, targets, family, 1400)
        await net.carrier("camera", segment="lte", up=False)
        await net.peer("camera").run(["ip", "link", "set", "eth1", "down"])
        await net.carrier("camera", segment="lte", up=True)
        assert_kernel_matches(net)
        await check_mtu(net, by, targets, family, 1400)
        await net.update("camera", "studio", segment="lte", mtu=None)
        assert_kernel_matches(net)
        await check_mtu(net, by, targets, family, 1500)


async def check_mtu(net: Network, by: str | None, targets: list[str], family: int, mtu: int) -> None:
    for to in targets:
        address = net.peer("studio").addresses[to][family]
        kind, level, option = (
            (socket.AF_INET6, socket.IPPROTO_IPV6, 24) if family else (socket.AF_INET, socket.IPPROTO_IP, 14)
        )
        with net.peer("camera").socket(kind, socket.SOCK_DGRAM, segment=by) as sender:
            sender.connect((address, 5000))
            assert sender.getsockopt(level, option) == mtu  # IP_MTU, IPV6_MTU
