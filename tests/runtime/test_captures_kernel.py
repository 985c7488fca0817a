"""Captures in the kernel: what was handed to an interface, what its queues let go, and when."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.errors import RequestError, ToolMissingError
from linkem_py.runtime import Capture
from tests.runtime.pcapng_blocks import File, Seen, read

pytestmark = pytest.mark.kernel("netem", "htb", "clsact", "ifb", "mirred")

PORT = 5005
HEADERS = 14 + 20 + 8
BEFORE, AFTER = 0, 1
INBOUND, OUTBOUND = 1, 2
DELAY_MS = 40


def pair(impairment: Impairment | None = None, **settings: Any) -> Topology:
    topology = Topology("pair", **settings)
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", impairment)
    topology.add_link("b", "a")
    return topology


async def devices_of(net: Network, peer: str) -> set[str]:
    return {link["IFLA_IFNAME"] for link in (await net.peer(peer).inspect())["links"]}


def is_echo(packet: Seen) -> bool:
    """Whether it is an echo request or its answer: an interface also has neighbour discovery at times of its own."""
    if packet.data[12:14] == b"\x08\x00":
        return packet.data[23] == socket.IPPROTO_ICMP and packet.data[34] in (0, 8)
    return packet.data[12:14] == b"\x86\xdd" and packet.data[54] in (128, 129)


def datagrams(file: File, interface: int, direction: int = OUTBOUND) -> Iterator[tuple[int, Seen]]:
    """The numbers of our datagrams, with their packets."""
    for packet in file.packets:
        if packet.interface != interface or packet.direction != direction or packet.data[12:14] != b"\x08\x00":
            continue
        if packet.data[23] == socket.IPPROTO_UDP and struct.unpack_from(">H", packet.data, 36)[0] == PORT:
            yield struct.unpack_from(">I", packet.data, HEADERS)[0], packet


async def send(net: Network, source: str, sink: str, count: int, *, pause_s: float = 0.001, size: int = 100) -> None:
    """Numbered datagrams, one after the other, to a port where nobody listens."""
    sender = net.peer(source).socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver = net.peer(sink).socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.bind(("", PORT))
        sender.connect((net.peer(sink).address, PORT))
        for number in range(count):
            sender.send(number.to_bytes(4, "big") + bytes(size - 4))
            if pause_s:
                await asyncio.sleep(pause_s)


async def test_every_packet_is_there_before_and_unless_lost_after_its_delay(tmp_path: Path) -> None:
    count = 400
    path = tmp_path / "a.pcapng"
    async with Network(pair(Impairment(delay_ms=DELAY_MS, loss_pct=20))) as net:
        async with net.peer("a").capture(path) as capture:
            await send(net, "a", "b", count)
            await asyncio.sleep(2 * DELAY_MS / 1000)
        stats = (await net.stats())["a", "b"]
    file = read(path)
    before, after = dict(datagrams(file, BEFORE)), dict(datagrams(file, AFTER))
    assert sorted(before) == list(range(count))
    assert 0 < stats.lost < count
    assert len(after) == count - stats.lost
    delays_ms = np.array([(after[number].time_ns - before[number].time_ns) / 1e6 for number in after])
    assert delays_ms.min() >= DELAY_MS
    assert np.median(delays_ms) < 1.1 * DELAY_MS
    assert all(after[number].data == before[number].data for number in after)
    assert capture.dropped == 0
    assert capture.packets == len(file.packets)


async def test_what_arrives_is_seen_once_and_as_such(tmp_path: Path) -> None:
    path = tmp_path / "b.pcapng"
    async with Network(pair(Impairment(delay_ms=5))) as net, net.peer("b").capture(path):
        await send(net, "a", "b", 20)
        await asyncio.sleep(0.05)
    file = read(path)
    assert [number for number, _ in datagrams(file, AFTER, INBOUND)] == list(range(20))
    assert list(datagrams(file, BEFORE, INBOUND)) == []


async def test_packets_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    async with Network(pair(Impairment(delay_ms=3, jitter_ms=2))) as net, net.peer("a").capture(path):
        await send(net, "a", "b", 100)
    times = [packet.time_ns for packet in read(path).packets]
    assert times == sorted(times)


@pytest.mark.parametrize("duplicates", ["strict", "isolate"])
async def test_duplicates_are_made_in_the_queues(tmp_path: Path, duplicates: str) -> None:
    path = tmp_path / "a.pcapng"
    topology = pair(Impairment(duplicate_pct=100), duplicates=duplicates)
    async with Network(topology) as net, net.peer("a").capture(path):
        await send(net, "a", "b", 30)
        await asyncio.sleep(0.05)
    file = read(path)
    assert [number for number, _ in datagrams(file, BEFORE)] == list(range(30))
    assert sorted(number for number, _ in datagrams(file, AFTER)) == sorted([*range(30)] * 2)


async def test_what_waits_in_the_queues_stays_when_a_capture_begins_and_ends(tmp_path: Path) -> None:
    async with Network(pair(Impairment(delay_ms=600))) as net:
        receiver = net.peer("b").socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver:
            receiver.bind(("", PORT + 1))
            receiver.setblocking(False)
            sender = net.peer("a").socket(socket.AF_INET, socket.SOCK_DGRAM)
            with sender:
                sender.sendto(b"on its way", (net.peer("b").address, PORT + 1))
                async with net.peer("a").capture(tmp_path / "a.pcapng"):
                    pass
                async with asyncio.timeout(10):
                    assert await asyncio.get_running_loop().sock_recv(receiver, 100) == b"on its way"


async def test_tcpdump_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    async with Network(pair(Impairment(delay_ms=5))) as net, net.peer("a").capture(path):
        await send(net, "a", "b", 10)
        await asyncio.sleep(0.05)
    command = ["tcpdump", "-n", "--nano", "-r", str(path), "udp", "port", str(PORT)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if "UDP, length 100" in line]
    assert len(lines) == 20
    assert all(len(line.split()[0].partition(".")[2]) == 9 for line in lines)


async def test_a_filter_a_length_and_a_count(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    async with Network(pair()) as net:
        peer = net.peer("a")
        with pytest.raises(RequestError, match=r"filter must be a capture filter .*: 'nonsense"):
            await peer.capture(path, filter="nonsense nonsense").start()
        assert not path.exists()
        async with peer.capture(path, filter=f"udp dst port {PORT}", snaplen=60, count=6) as capture:
            await peer.run(["ping", "-c", "1", "b"])
            await send(net, "a", "b", 50)
            await asyncio.wait_for(capture.wait(), 10)
    file = read(path)
    assert [len(packet.data) for packet in file.packets] == [60] * 6
    assert {packet.length for packet in file.packets} == {14 + 20 + 8 + 100}
    assert len(list(datagrams(file, BEFORE))) + len(list(datagrams(file, AFTER))) == 6
    assert file.interfaces[0][11] == f"\0udp dst port {PORT}".encode()


async def test_all_segments_or_one(tmp_path: Path) -> None:
    topology = Topology("two")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_segment("lte")
    topology.connect("a", "b", Impairment(delay_ms=1))
    topology.connect("a", "b", Impairment(delay_ms=2), segment="lte")
    async with Network(topology) as net:
        peer = net.peer("a")
        async with peer.capture(tmp_path / "all.pcapng"), peer.capture(tmp_path / "lte.pcapng", segment="lte"):
            for host in ("b.lan", "b.lte"):
                await peer.run(["ping", "-c", "2", "-i", "0.1", host], check=True)
        assert await devices_of(net, "a") == {"lo", "eth0", "eth1"}
    names = ["eth0 before queues", "eth0 after queues", "eth1 before queues", "eth1 after queues"]
    every, lte = read(tmp_path / "all.pcapng"), read(tmp_path / "lte.pcapng")
    assert (every.names(), lte.names()) == (names, names[2:])
    assert {packet.interface for packet in every.packets} == {0, 1, 2, 3}
    echoes = [packet.interface for packet in every.packets if is_echo(packet)]
    assert 0 < sum(map(is_echo, lte.packets)) == sum(interface >= 2 for interface in echoes) == len(echoes) / 2
    assert b"link a->b when the capture began: delay_ms=2" in lte.interfaces[0][1]


async def test_what_comes_too_fast_is_counted_and_the_rest_is_whole(tmp_path: Path) -> None:
    # Nobody reads the pipe: the ring fills.
    reading, writing = os.pipe()
    try:
        async with Network(pair(Impairment(rate_kbit=10_000_000))) as net:
            capture = net.peer("a").capture(writing)
            await capture.start()
            os.close(writing)
            sent = 0
            while sent < 14_000:
                await send(net, "a", "b", 1000, pause_s=0, size=1400)
                sent += 1000
            taken: list[bytes] = []
            reader = asyncio.create_task(asyncio.to_thread(drain, reading, taken))
            await capture.stop()
            await reader
    finally:
        os.close(reading)
    file = read(b"".join(taken))
    assert capture.dropped > 0
    assert struct.unpack("=Q", file.statistics[0][5]) == (capture.dropped,)
    assert capture.packets == len(file.packets) == sum(struct.unpack("=Q", one[4])[0] for one in file.statistics)
    assert capture.packets + capture.dropped >= 14_000


def drain(fd: int, taken: list[bytes]) -> None:
    while data := os.read(fd, 2**20):
        taken.append(data)


async def test_a_full_disk_is_reported_and_nothing_is_left() -> None:
    async with Network(pair()) as net:
        with pytest.raises(OSError, match="No space left"):
            await net.peer("a").capture("/dev/full").start()
        assert await devices_of(net, "a") == {"lo", "eth0"}


async def test_a_file_that_fails_later_ends_the_capture_and_the_network_goes_on() -> None:
    reading, writing = os.pipe()
    async with Network(pair()) as net:
        capture = net.peer("a").capture(writing)
        await capture.start()
        os.close(writing)
        os.close(reading)
        await send(net, "a", "b", 5)
        await asyncio.wait_for(capture.wait(), 10)
        assert isinstance(capture.error, BrokenPipeError)
        with pytest.raises(BrokenPipeError):
            await capture.stop()
        assert await devices_of(net, "a") == {"lo", "eth0"}
        await net.update("a", "b", delay_ms=1)


async def captured(net: Network, tmp_path: Path) -> Capture:
    capture = net.peer("a").capture(tmp_path / "a.pcapng")
    await capture.start()
    await send(net, "a", "b", 5)
    return capture


async def test_a_capture_ends_with_its_network(tmp_path: Path) -> None:
    async with Network(pair()) as net:
        capture = await captured(net, tmp_path)
    await asyncio.wait_for(capture.wait(), 10)
    assert len(read(tmp_path / "a.pcapng").statistics) == 2
    await capture.stop()


async def test_a_capture_ends_with_its_peer(tmp_path: Path) -> None:
    async with Network(pair()) as net:
        capture = await captured(net, tmp_path)
        await net.remove_peer("a")
        await asyncio.wait_for(capture.wait(), 10)
        await capture.stop()
        assert len(read(tmp_path / "a.pcapng").statistics) == 2


async def test_without_tcpdump_a_filter_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Network(pair()) as net:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissingError, match="tcpdump"):
            await net.peer("a").capture(tmp_path / "a.pcapng", filter="udp").start()
        assert await devices_of(net, "a") == {"lo", "eth0"}


def test_without_asyncio(tmp_path: Path) -> None:
    with Network.blocking(pair()) as net:
        peer = net.peer("a")
        with peer.capture(tmp_path / "a.pcapng") as capture:
            peer.run(["ping", "-c", "1", "b"], check=True)
    assert capture.packets == len(read(tmp_path / "a.pcapng").packets) > 0
