"""Control by MQTT: from publishing a command until the kernel has it, through mosquitto on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import networkx as nx

from benchmarks.measure import Row, percentile
from linkem_py import Impairment, Network, Topology
from linkem_py.control.guest import GuestNetwork
from linkem_py.control.mqtt import MqttControl
from linkem_py.model import LinkKey

TOOLS = ("mosquitto", "mosquitto_pub", "mosquitto_sub")
LAST_REPLY_S = 30.0  # after the last command
UPTO = {"applied": "applied_at", "answered": "received_at"}  # what of a reply tells when


def control(peers: int = 46, batch: int = 1000, singles: int = 10_000, batches: int = 25) -> Iterator[Row]:
    """Latency by rate, and how much goes through: everything in the kernel at hand."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        print(f"control by MQTT is not measured: not installed: {', '.join(missing)}")
        return
    net = Network(Topology.from_graph("bench", nx.complete_graph(peers), Impairment(delay_ms=5)), seed=1)

    async def run() -> list[Row]:
        async with net, broker() as port, MqttControl(net, f"mqtt://127.0.0.1:{port}"):
            return await measure("MQTT through mosquitto", list(net.topology.links), port, batch, singles, batches)

    yield from asyncio.run(run())


def control_of_a_guest(peers: int = 46, batch: int = 1000, singles: int = 10_000, batches: int = 25) -> Iterator[Row]:
    """The same with broker and MQTT here, and the network in a guest kernel. Only outside a guest."""
    if os.environ.get("LINKEM_GUEST"):
        print("control of a network in a guest is measured outside a guest: python -m benchmarks control_of_a_guest")
        return

    async def run() -> list[Row]:
        async with (
            GuestNetwork("full_mesh", settings=[f"peers={peers}"], seed=1, name="bench") as guest,
            broker() as port,
            MqttControl(guest.station, f"mqtt://127.0.0.1:{port}"),
        ):
            links = [state.link for state in (await guest.station.describe()).links]
            section = "MQTT through mosquitto here, the network in a guest"
            # Its clock is not this one, so that only answers can be timed: what they say is the upper bound.
            return await measure(section, links, port, batch, singles, batches, upto=("answered",))

    yield from asyncio.run(run())


async def measure(
    section: str,
    links: Sequence[LinkKey],
    port: int,
    batch: int,
    singles: int,
    batches: int,
    upto: Sequence[str] = ("applied", "answered"),
) -> list[Row]:
    rows = []
    at = UPTO[upto[0]]
    source, destination, segment = links[0]
    topic = f"linkem/bench/link/{segment}/{source}/{destination}/set"
    for rate, seconds in ((1, 8), (100, 5), (1000, 3)):
        found = await timed(port, topic, rate, rate * seconds)
        for event in upto:
            delays = [reply[UPTO[event]] - int(reply["id"]) / 1e9 for reply in found]
            for what, value, aim in (
                ("median", statistics.median(delays) * 1e3, 2),
                ("99th percentile", percentile(delays, 0.99) * 1e3, 10),
            ):
                aimed = rate == 100 and event == upto[0]
                rows.append(
                    Row(
                        f"{section}: from publishing a command",
                        f"until {event}, {rate:,} per second, {what}",
                        value,
                        "ms",
                        f"at most {aim}" if aimed else "",
                        value <= aim if aimed else None,
                    )
                )
    section = f"{section}: how much goes through"
    lines = [json.dumps({"id": str(n), "delay_ms": 5 + n % 50}) for n in range(singles)]
    value = await throughput(port, topic, lines, at)
    rows.append(Row(section, "updates of one link", value, "per s", "at least 5,000", value >= 5000))
    keys = links[:batch]
    lines = [
        json.dumps(
            {"id": f"b{n}", "changes": [{"src": a, "dst": b, "set": {"delay_ms": 5 + n % 50}} for a, b, _ in keys]},
            separators=(",", ":"),
        )
        for n in range(batches)
    ]
    value = len(keys) * await throughput(port, "linkem/bench/set", lines, at)
    rows.append(Row(section, f"links, {len(keys):,} in a batch", value, "per s", "at least 50,000", value >= 50_000))
    return rows


async def timed(port: int, topic: str, rate: int, count: int) -> list[dict[str, Any]]:
    """The replies to so many commands at that rate. A command's id is the time of its publishing, in ns."""
    async with replies(port, count) as found, client("mosquitto_pub", port, "-l", "-q", "1", "-t", topic) as publisher:
        assert publisher.stdin is not None
        due = time.perf_counter()
        for number in range(count):
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            line = json.dumps({"id": str(time.time_ns()), "delay_ms": 5 + number % 50})
            publisher.stdin.write(line.encode() + b"\n")
        publisher.stdin.close()
        await publisher.wait()
    return found


async def throughput(port: int, topic: str, lines: Sequence[str], at: str) -> float:
    """Commands per second when they are published as fast as the broker takes them, by this time of their replies."""
    with tempfile.TemporaryFile() as file:
        file.write("\n".join(lines).encode() + b"\n")
        file.seek(0)
        async with (
            replies(port, len(lines)) as found,
            client("mosquitto_pub", port, "-l", "-q", "1", "-t", topic, stdin=file) as publisher,
        ):
            await publisher.wait()
    times: list[float] = [reply[at] for reply in found]
    first = min(times)
    # The first kernel batch starts the clock, so what it brought does not count.
    return sum(time > first for time in times) / (max(times) - first)


@contextlib.asynccontextmanager
async def replies(port: int, count: int) -> AsyncIterator[list[dict[str, Any]]]:
    """So many replies, there when the block has ended; in a file meanwhile, so that reading costs nothing."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryFile() as file:
        options = ("-q", "1", "-C", str(count), "-t", "linkem/bench/reply/+", "-F", "%U %p")
        async with client("mosquitto_sub", port, *options, stdout=file) as listener:
            await asyncio.sleep(0.5)  # it does not say when it has subscribed
            yield found
            async with asyncio.timeout(LAST_REPLY_S):
                await listener.wait()
        file.seek(0)
        for line in file:
            at, _, payload = line.partition(b" ")
            found.append({**json.loads(payload), "received_at": float(at)})
    refused = [reply["error"] for reply in found if not reply["ok"]]
    assert not refused, refused[0]


@contextlib.asynccontextmanager
async def client(
    tool: str, port: int, *options: str, stdin: IO[bytes] | int = PIPE, stdout: IO[bytes] | int = DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of mosquitto's clients, until the block ends."""
    process = await asyncio.create_subprocess_exec(tool, "-p", str(port), *options, stdin=stdin, stdout=stdout)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def broker() -> AsyncIterator[int]:
    """A mosquitto that holds whatever waits; its port."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        config = Path(folder) / "mosquitto.conf"
        text = (
            f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\n"
            "set_tcp_nodelay true\n"
        )
        config.write_text(text)
        process = await asyncio.create_subprocess_exec("mosquitto", "-c", str(config))
        try:
            await listening(port)
            yield port
        finally:
            process.terminate()
            await process.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)
