"""The MTU of a link: what the sender's stack makes of packets that are larger."""

from __future__ import annotations

import errno
import socket

import pytest

from linkem_py import CapabilityWarning, Impairment, Network
from tests.runtime.check import assert_kernel_matches
from tests.runtime.traffic import flowing, pair

pytestmark = [pytest.mark.kernel("netem"), pytest.mark.filterwarnings("ignore:mtu")]

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
TIMESTAMPS = 12  # bytes of TCP options


async def passed(net: Network, before: int = 0) -> int:
    """Packets that have left a for b."""
    return (await net.stats())["a", "b"].packets - before


@pytest.mark.parametrize(
    ("family", "mtu", "fragments"),
    [(socket.AF_INET, 576, 3), (socket.AF_INET, 1300, 2), (socket.AF_INET6, 1280, 2)],
)
async def test_datagrams_are_sent_in_fragments(family: socket.AddressFamily, mtu: int, fragments: int) -> None:
    count = 50
    async with flowing(Impairment(mtu=mtu), frame=1400, family=family) as (net, flow):
        before = await passed(net)
        arrivals = flow.exchange(count)
        assert (len(arrivals.numbers), arrivals.damaged) == (count, 0)
        assert await passed(net, before) == count * fragments
        assert_kernel_matches(net)
        change = await net.update("a", "b", mtu=None, delay_ms=1)
        assert any(step.startswith("delete route to ") for step in change.operations)
        before = await passed(net)
        assert len(flow.exchange(count).numbers) == count
        assert await passed(net, before) == count
        assert_kernel_matches(net)
        await net.update("a", "b", mtu=1499)
        change = await net.update("a", "b", mtu=mtu)
        assert [step.split(" to ")[0] for step in change.operations] == ["change route"] * 2
        before = await passed(net)
        assert len(flow.exchange(count).numbers) == count
        assert await passed(net, before) == count * fragments


async def test_what_must_not_be_cut_is_refused_by_the_senders_stack() -> None:
    async with pair(Impairment(mtu=1000)) as net:
        with net.peer("a").socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            sender.sendto(bytes(1000 - 28), (net.peer("b").address, 5000))
            with pytest.raises(OSError, match="too long") as caught:
                sender.sendto(bytes(1000 - 27), (net.peer("b").address, 5000))
    assert caught.value.errno == errno.EMSGSIZE


async def test_tcp_segments_follow_one_way_only() -> None:
    async with pair(Impairment(mtu=1000)) as net:
        with net.peer("b").socket() as listener, net.peer("a").socket() as sender:
            listener.bind((net.peer("b").address, 6000))
            listener.listen()
            sender.connect((net.peer("b").address, 6000))
            accepted, _ = listener.accept()
            with accepted:
                assert segment(sender, accepted) == 1000 - 40 - TIMESTAMPS
                assert segment(accepted, sender) == 1500 - 40 - TIMESTAMPS
                await net.update("a", "b", mtu=700)
                assert segment(sender, accepted) == 700 - 40 - TIMESTAMPS
                await net.update("a", "b", mtu=None)
                assert segment(sender, accepted) == 1500 - 40 - TIMESTAMPS


def segment(sender: socket.socket, sink: socket.socket) -> int:
    """The greatest segment. The stack finds out that the route has changed with the first byte sent."""
    for _ in range(2):
        sender.sendall(b"x")
        sink.recv(1)
    return sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


async def test_ipv6_keeps_its_least_mtu_and_says_so() -> None:
    async with flowing(frame=1250, family=socket.AF_INET6) as (net, flow):
        with pytest.warns(CapabilityWarning, match="IPv6 has no MTU below 1280"):
            await net.update("a", "b", mtu=600)
        before = await passed(net)
        assert len(flow.exchange(20).numbers) == 20
        assert await passed(net, before) == 20


async def test_links_and_peers_come_and_go_with_their_mtu() -> None:
    async with pair(Impairment(mtu=1300)) as net:
        await net.add_peer("d")
        await net.connect("d", "b", Impairment(mtu=1400))
        assert_kernel_matches(net)
        await net.remove_peer("b")
        assert_kernel_matches(net)
        await net.connect("a", "d", Impairment(mtu=1301))
        await net.disconnect("a", "d")
        assert_kernel_matches(net)
