"""Redis: a replica far away lags by the link's delay, and catches up after a partition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from linkem_py import Impairment, Network, Topology
from tests.systems.programs import needs, until

pytestmark = [pytest.mark.kernel("netem", "htb", "gact", "skbedit", "u32_mark"), needs("redis-server")]

DELAY_MS = 100.0
FAR = Impairment(delay_ms=DELAY_MS, loss_pct=1)
PORT = 6379


class Client:
    """A connection to a redis server, in its protocol's inline form (RESP)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, command: str) -> str:
        self._writer.write(f"{command}\r\n".encode())
        answer = (await self._reader.readline()).decode().rstrip()
        assert not answer.startswith("-"), answer
        if answer[0] != "$":
            return answer[1:]
        length = int(answer[1:])
        return "" if length < 0 else (await self._reader.readexactly(length + 2)).decode().rstrip()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def facts(self, section: str) -> dict[str, str]:
        lines = (await self.ask(f"INFO {section}")).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


@asynccontextmanager
async def replicated(folder: Path) -> AsyncIterator[tuple[Network, Client, Client]]:
    topology = Topology("redis")
    for name in ("primary", "replica"):
        topology.add_peer(name)
    topology.connect("primary", "replica", FAR)
    async with Network(topology, seed=3) as net:
        clients = []
        for name in topology.peers:
            own = folder / name
            own.mkdir()
            arguments = ["--dir", str(own), "--port", str(PORT), "--protected-mode", "no", "--save", ""]
            arguments += ["--repl-timeout", "2", "--repl-ping-replica-period", "1", "--repl-diskless-sync-delay", "0"]
            if name == "replica":
                arguments += ["--replicaof", net.peer("primary").address, str(PORT)]
            await net.peer(name).spawn(["redis-server", *arguments], stdout=asyncio.subprocess.DEVNULL)
            clients.append(await connected(net, name))
        primary, replica = clients

        async def linked() -> bool:
            return (await replica.facts("replication"))["master_link_status"] == "up"

        await until(linked)
        try:
            yield net, primary, replica
        finally:
            await asyncio.gather(primary.close(), replica.close())


async def connected(net: Network, name: str) -> Client:
    found: list[Client] = []

    async def answers() -> bool:
        try:
            found.append(Client(*await net.peer(name).open_connection(name, PORT)))
        except ConnectionError:
            return False
        return True

    await until(answers)
    return found[0]


async def test_a_write_reaches_the_replica_after_the_delay_and_is_acknowledged_after_two(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    lags, acknowledged = [], []
    async with replicated(tmp_path) as (_, primary, replica):
        for number in range(15):
            began = time.monotonic()
            await primary.ask(f"SET key {number}")

            async def there(value: str = str(number)) -> bool:
                return await replica.ask("GET key") == value

            await until(there, every_s=0.002)
            lags.append(time.monotonic() - began)
        for number in range(10):
            began = time.monotonic()
            await primary.ask(f"SET key {number}")
            assert await primary.ask("WAIT 1 0") == "1"
            acknowledged.append(time.monotonic() - began)
    record_property("lag_ms", [round(1000 * lag, 1) for lag in lags])
    # A packet that is lost comes by retransmission, later; none comes earlier than the link allows.
    assert min(lags) >= DELAY_MS / 1000
    assert min(acknowledged) >= 2 * DELAY_MS / 1000
    assert sorted(lags)[len(lags) // 2] < 1.5 * DELAY_MS / 1000


async def test_after_a_partition_the_replica_asks_for_what_it_missed_only(tmp_path: Path) -> None:
    async with replicated(tmp_path) as (net, primary, replica):
        await primary.ask("SET key before")
        await primary.ask("WAIT 1 0")
        first = await primary.facts("stats")
        await net.partition({"primary"}, {"replica"})

        async def parted() -> bool:
            return (await primary.facts("replication"))["connected_slaves"] == "0"

        await until(parted)
        for number in range(100):
            await primary.ask(f"SET key-{number} {number}")
        assert await replica.ask("GET key-99") == ""
        await net.heal()

        async def caught_up() -> bool:
            return await replica.ask("GET key-99") == "99"

        await until(caught_up)
        last = await primary.facts("stats")
        assert await replica.ask("GET key") == "before"
    assert int(last["sync_full"]) == int(first["sync_full"]) == 1
    assert int(last["sync_partial_ok"]) == int(first["sync_partial_ok"]) + 1
