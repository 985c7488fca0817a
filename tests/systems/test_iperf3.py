"""iperf3: goodput is what the rate leaves, and a deep queue delays everyone unless it is managed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from linkem_py import Impairment, Network, Topology
from tests.systems.programs import needs

pytestmark = [pytest.mark.kernel("netem", "htb"), needs("iperf3", "ping")]

RATE_KBIT = 10_000.0
DELAY_MS = 20.0
SECONDS = 4
# Of a full frame of 1514 bytes, TCP carries 1448 with time stamps (RFC 7323) and UDP 1472.
TCP_SHARE, UDP_SHARE = 1448 / 1514, 1472 / 1514


def algorithms() -> list[str]:
    """The congestion controls that this kernel offers."""
    offered = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    return [name for name in offered.read_text().split() if name in ("cubic", "bbr")] if offered.exists() else []


@asynccontextmanager
async def served(there: Impairment) -> AsyncIterator[Network]:
    topology = Topology("iperf3")
    topology.add_peer("client")
    topology.add_peer("server")
    topology.connect("client", "server", there, back=Impairment(delay_ms=DELAY_MS))
    async with Network(topology, seed=6) as net:
        process = await net.peer("server").spawn(["iperf3", "--server", "--forceflush"], stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        while b"listening" not in await process.stdout.readline():
            pass
        yield net


async def iperf3(net: Network, *options: str) -> dict[str, Any]:
    words = ["iperf3", "--client", "server", "--json", "--time", str(SECONDS), *options]
    done = await net.peer("client").run(words, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("algorithm", ["cubic", "bbr"])
async def test_tcp_gets_what_the_rate_leaves_it(algorithm: str) -> None:
    if algorithm not in algorithms():
        pytest.skip(f"this kernel has no {algorithm}")
    async with served(Impairment(delay_ms=DELAY_MS, rate_kbit=RATE_KBIT)) as net:
        found = await iperf3(net, "--congestion", algorithm, "--omit", "1")
    received = found["end"]["sum_received"]["bits_per_second"] / 1000
    assert received <= RATE_KBIT * TCP_SHARE * 1.05
    assert received >= RATE_KBIT * TCP_SHARE * 0.75


async def test_udp_beyond_the_rate_loses_what_is_beyond_it() -> None:
    asked = 2 * RATE_KBIT
    async with served(Impairment(delay_ms=DELAY_MS, rate_kbit=RATE_KBIT)) as net:
        found = await iperf3(net, "--udp", "--bandwidth", f"{asked}K", "--length", "1472")
    whole = found["end"]["sum"]
    arrived_kbit = (whole["packets"] - whole["lost_packets"]) * 1472 * 8 / 1000
    # Whatever a busy machine came to send: what arrives is the rate, and what its queue of 100 ms still held.
    room_kbit = RATE_KBIT * UDP_SHARE * (whole["seconds"] + 0.1)
    assert 0.75 * room_kbit <= arrived_kbit <= 1.03 * room_kbit
    assert whole["lost_percent"] > 20  # of twice the rate


async def test_a_deep_queue_delays_everyone_and_fq_codel_does_not() -> None:
    deep = Impairment(delay_ms=DELAY_MS, rate_kbit=RATE_KBIT / 2, queue_ms=800)
    managed = Impairment(delay_ms=DELAY_MS, rate_kbit=RATE_KBIT / 2, queue="fq_codel")
    waits_ms = []
    for link in (deep, managed):
        async with served(link) as net:
            idle = await round_trip_ms(net)
            # Reno fills what there is; cubic leaves slow start when it feels the delay (HyStart).
            _, busy = await asyncio.gather(iperf3(net, "--congestion", "reno"), later(net))
            waits_ms.append(busy - idle)
    bloated, short = waits_ms
    assert bloated > 4 * short
    assert bloated > 150


async def later(net: Network) -> float:
    await asyncio.sleep(SECONDS / 2)
    return await round_trip_ms(net)


async def round_trip_ms(net: Network) -> float:
    """The mean of ten echoes."""
    words = ["ping", "-n", "-q", "-c", "10", "-i", "0.1", "-W", "5", "server"]
    done = await net.peer("client").run(words, check=True, timeout=60)
    return float(re.search(r"= [\d.]+/([\d.]+)/", done.stdout)[1])  # type: ignore[index]
