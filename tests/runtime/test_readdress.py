"""Addresses that change while the network runs, as a modem's when it connects again."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkem_py import CrossTraffic, Impairment, Network, RequestError, Topology
from linkem_py.model.access import DownlinkPlace
from linkem_py.plan import addressing
from linkem_py.plan.objects import HUB
from linkem_py.plan.placement import place
from linkem_py.runtime import read_recording
from tests.runtime.check import assert_kernel_matches, present
from tests.runtime.pcapng_blocks import read
from tests.runtime.test_segments import arrives, bonded, crosses, family_of, packets

pytestmark = pytest.mark.kernel("netem", "htb", "clsact", "skbedit", "gact")

OLD, NEW = ("10.1.0.1", "fd00:2::1"), ("10.1.0.4", "fd00:2::4")


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Network]:
    topology = bonded()
    topology.connect("camera", "server", segment="lte")
    async with Network(topology, seed=1) as net:
        yield net


async def check_new(net: Network) -> None:
    """Every linked peer reaches the new addresses, nobody the old ones; the segment is the way of the new ones."""
    assert_kernel_matches(net)
    assert net.peer("camera").addresses["lte"] == net.names["camera.lte"] == NEW
    for source in ("studio", "server"):
        assert [arrives(net, source, "camera", address) for address in NEW] == [True, True]
        assert [arrives(net, source, "camera", address) for address in OLD] == [False, False]
    for family in (0, 1):
        for to in ("lte", "nr"):
            before = await packets(net, "lte"), await packets(net, "nr")
            assert crosses(net, "camera", "studio", by="lte", to=to, family=family)
            after = await packets(net, "lte"), await packets(net, "nr")
            assert after[0] > before[0]
            assert after[1] == before[1]
        assert crosses(net, "studio", "camera", by="nr", to="lte", family=family)


async def test_the_new_addresses_are_everywhere_at_once_and_the_old_ones_nowhere() -> None:
    async with running() as net:
        applied = await net.readdress("camera", segment="lte")
        assert (applied.what, applied.peer, applied.segment, applied.addresses) == ("readdress", "camera", "lte", NEW)
        await check_new(net)
        shown = await net.peer("studio").run(["getent", "ahostsv4", "camera.lte"], check=True)
        assert shown.stdout.split()[0] == NEW[0]
        shown = await net.peer("camera").run(["ip", "-o", "addr", "show", "dev", "eth1"], check=True)
        assert "secondary" not in shown.stdout


async def test_queues_and_what_waits_in_them_stay() -> None:
    async with running() as net:
        await net.update("camera", "studio", segment="lte", delay_ms=300)
        with (
            net.peer("studio").socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            net.peer("camera").socket(socket.AF_INET, socket.SOCK_DGRAM, segment="lte") as sender,
        ):
            receiver.bind(("", 0))
            receiver.settimeout(5)
            before = net.kernel.qdiscs("camera", "eth1")
            sender.sendto(b"x", (net.peer("studio").addresses["lte"][0], receiver.getsockname()[1]))
            await net.readdress("camera", segment="lte")
            assert receiver.recvfrom(10)[1][0] == OLD[0]
            assert [row.handle for row in net.kernel.qdiscs("camera", "eth1")] == [row.handle for row in before]


async def test_what_is_bound_to_the_old_address_reaches_nobody_any_more() -> None:
    async with running() as net:
        with (
            net.peer("studio").socket() as listener,
            net.peer("camera").socket(segment="lte") as old,
        ):
            listener.bind((net.peer("studio").addresses["lte"][0], 0))
            listener.listen()
            old.settimeout(1)
            old.connect(listener.getsockname())
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(0.5)
                await net.readdress("camera", segment="lte")
                with contextlib.suppress(OSError):
                    old.send(b"x")
                with pytest.raises(TimeoutError):
                    accepted.recv(1)
                with net.peer("camera").socket(segment="lte") as new:
                    new.settimeout(5)
                    new.connect(listener.getsockname())
                    assert new.getsockname()[0] == NEW[0]


async def test_without_a_carrier_too_and_the_new_ones_are_there_with_it() -> None:
    async with running() as net:
        await net.carrier("camera", segment="lte", up=False)
        await net.readdress("camera", segment="lte")
        assert_addresses(net, NEW)
        assert not arrives(net, "studio", "camera", NEW[0])
        await net.carrier("camera", segment="lte", up=True)
        await check_new(net)
        await net.carrier("camera", segment="lte", up=False)
        await net.peer("camera").run(["ip", "link", "set", "eth1", "down"], check=True)
        await net.carrier("camera", segment="lte", up=True)
        await check_new(net)


def assert_addresses(net: Network, addresses: tuple[str, ...]) -> None:
    """The kernel has these on the camera's interface, and no others."""
    found = {key[3] for key in net.kernel.present("camera") if key[0] == "address" and key[2] == "eth1"}
    assert found == set(addresses)


@pytest.mark.filterwarnings("ignore:mtu")
async def test_in_a_partition_and_while_a_link_is_down_and_with_an_mtu() -> None:
    async with running() as net:
        await net.update("studio", "camera", segment="lte", mtu=1300)
        await net.partition({"camera"}, {"studio"})
        await net.down("camera", "server", segment="lte")
        await net.readdress("camera", segment="lte")
        assert_kernel_matches(net)
        assert not arrives(net, "studio", "camera", NEW[0])
        assert not arrives(net, "server", "camera", NEW[0])
        await net.heal()
        await net.up("camera", "server", segment="lte")
        await check_new(net)
        for address in NEW:
            six = family_of(address) == socket.AF_INET6
            with net.peer("studio").socket(family_of(address), socket.SOCK_DGRAM, segment="lte") as sender:
                sender.connect((address, 5000))
                level, option = (socket.IPPROTO_IPV6, 24) if six else (socket.IPPROTO_IP, 14)
                assert sender.getsockopt(level, option) == 1300  # IPV6_MTU, IP_MTU


async def test_given_addresses_and_back_and_a_peer_on_one_segment_only() -> None:
    async with running() as net:
        await net.readdress("server", segment="lte", ipv4="10.1.200.9", ipv6="fd00:2::cafe")
        assert arrives(net, "camera", "server", "10.1.200.9")
        assert arrives(net, "studio", "server", "fd00:2::cafe")
        await net.readdress("camera", segment="lte")
        await net.readdress("camera", segment="lte", ipv4=OLD[0], ipv6=OLD[1])
        await net.readdress("server", segment="lte", ipv4="10.1.0.3", ipv6="fd00:2::3")
        assert_kernel_matches(net)
        with pytest.raises(RequestError, match="segment is not one that the peer is on: 'nr'"):
            await net.readdress("server", segment="nr")
        async with running() as built:
            for name in ("camera", "studio", "server"):
                assert net.kernel.present(name) == built.kernel.present(name)


async def test_a_peer_joins_a_segment_gets_links_there_and_leaves() -> None:
    async with running() as net:
        before = net.kernel.present("server")
        joined = await net.join("server", "nr")
        assert (joined.what, joined.peer, joined.segment) == ("join", "server", "nr")
        assert_kernel_matches(net)
        assert crosses(net, "studio", "server", by="nr", to="nr")
        await net.connect("server", "studio", segment="nr")
        assert_kernel_matches(net)
        assert crosses(net, "server", "studio", by="nr", to="lte", family=1)
        await net.leave("server", "nr")
        assert "nr" in net.peer("server").addresses
        await net.disconnect("server", "studio", segment="nr")
        assert "nr" not in net.peer("server").addresses
        assert net.kernel.present("server") == before


# ----------------------------------------- beside placement, access links, cross traffic and captures

EQUIPPED = pytest.mark.kernel("ifb", "mirred")


def equipped() -> Topology:
    """The camera's queues stand in the hub, and it has an access link on lte."""
    topology = Topology("equipped")
    topology.add_peer("camera", placement="hub")
    for name in ("studio", "server"):
        topology.add_peer(name)
    for name in ("studio", "server"):
        topology.connect("camera", name, Impairment(delay_ms=1, rate_kbit=4000), segment="lte")
    topology.connect("camera", "studio", Impairment(delay_ms=2), segment="nr")
    topology.set_access("camera", segment="lte", uplink_kbit=6000, downlink_kbit=6000)
    return topology


def trees(net: Network) -> list[list[int]]:
    """The handles of what queues for the camera on lte: in the hub, upward and downward."""
    camera, lte = net.topology.peers["camera"], net.topology.segments["lte"]
    places = [place(camera, lte), (HUB, addressing.port(lte, camera))]
    return [[row.handle for row in net.kernel.qdiscs(ns, dev)] for ns, dev in places]


@EQUIPPED
async def test_with_queues_in_the_hub_and_an_access_link() -> None:
    async with Network(equipped(), seed=1) as net:
        await net.set_cross_traffic("camera", "studio", CrossTraffic(load_kbit=400, packet_bytes=500), segment="lte")
        before = trees(net)
        assert all(before)
        await net.readdress("camera", segment="lte")
        await check_new(net)
        assert trees(net) == before
        stats = net.cross_traffic["camera", "studio", "lte"]
        sent = (await net.stats())["camera", "studio", "lte"].packets
        await asyncio.sleep(1)
        later = net.cross_traffic["camera", "studio", "lte"]
        assert later.sent - stats.sent > 20
        assert later.refused == stats.refused
        # They go through the link's queue, and nobody answers them.
        assert (await net.stats())["camera", "studio", "lte"].packets - sent > 20
        await net.set_access("camera", segment="lte", uplink_kbit=5000, downlink_at="peer")
        await net.readdress("camera", segment="lte", ipv4=OLD[0], ipv6=OLD[1])
        assert_kernel_matches(net)
        assert arrives(net, "server", "camera", OLD[0])


@EQUIPPED
@pytest.mark.parametrize("downlink_at", ["hub", "peer"])
async def test_a_capture_goes_on_over_other_addresses_and_over_an_interface_that_goes(
    tmp_path: Path, downlink_at: DownlinkPlace
) -> None:
    path = tmp_path / "camera.pcapng"
    async with Network(equipped(), seed=1) as net:
        await net.connect("camera", "studio", segment="wifi")
        await net.disconnect("camera", "studio", segment="wifi")
        joined = await net.join("camera", "wifi", uplink_kbit=3000, downlink_kbit=2000, downlink_at=downlink_at)
        assert (joined.what, joined.segment) == ("join", "wifi")
        assert_kernel_matches(net)
        async with net.peer("camera").capture(path) as capture:
            assert crosses(net, "camera", "studio", by="lte", to="lte")
            await net.readdress("camera", segment="lte")
            assert crosses(net, "camera", "studio", by="lte", to="lte")
            await net.leave("camera", "wifi")
            assert crosses(net, "camera", "studio", by="nr", to="nr")
            await asyncio.sleep(0.3)
        assert_kernel_matches(net)
        assert capture.error is None
    seen = [packet.data[26:30] for packet in read(path).packets if packet.data[12:14] == b"\x08\x00"]
    for address in (OLD[0], NEW[0], "10.2.0.1"):
        assert seen.count(socket.inet_aton(address)) >= 2  # before queues and after


@EQUIPPED
async def test_a_replay_readdresses_what_has_access_links_and_queues_in_the_hub(tmp_path: Path) -> None:
    first, second = tmp_path / "run.jsonl", tmp_path / "again.jsonl"
    async with Network(equipped(), seed=1, record=first, record_stats_s=None) as net:
        await net.readdress("camera", segment="lte")
        await net.join("server", "nr", uplink_kbit=900, downlink_kbit=700, downlink_at="peer")
        await net.set_access("camera", segment="lte", uplink_kbit=5000)
        await net.add_peer("drone", placement="hub")
        await net.connect("drone", "camera", Impairment(delay_ms=1), segment="lte")
        await net.readdress("drone", segment="lte")
        kernel = present(net)
    recording = read_recording(first)
    async with Network(recording.topology, seed=recording.seed, record=second, record_stats_s=None) as net:
        played = await net.replay(recording, speed=math.inf)
        assert (played.made, played.notices) == (6, ())
        assert_kernel_matches(net)
        assert present(net) == kernel
