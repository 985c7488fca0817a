"""etcd: a partition of the leader elects another; a write takes the round trip to the nearest follower."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from linkem_py import Impairment, Network, Topology
from tests.systems.programs import needs, until

pytestmark = [pytest.mark.kernel("netem", "htb", "gact", "skbedit", "u32_mark"), needs("etcd")]

NAMES = ("a", "b", "c")
DELAY_MS, LONG_MS = 5.0, 40.0
CLIENT_PORT, PEER_PORT = 2379, 2380
ELECTION_MS = 1000
REQUEST_S = 3.0


class Cluster:
    """Three etcd servers that run, each asked from within its own peer, over HTTP."""

    def __init__(self, net: Network) -> None:
        self.net = net

    async def ask(self, name: str, call: str, **body: Any) -> dict[str, Any] | None:
        """What a server answers to a call of the v3 API; None if it refuses or is not there in time."""
        return await self.net.peer(name).call(_post, f"http://127.0.0.1:{CLIENT_PORT}/v3/{call}", body)

    async def put(self, name: str, key: str, value: str) -> bool:
        return await self.ask(name, "kv/put", key=_coded(key), value=_coded(value)) is not None

    async def get(self, name: str, key: str) -> str | None:
        """The value on that server itself, without asking the leader."""
        answer = await self.ask(name, "kv/range", key=_coded(key), serializable=True)
        found = (answer or {}).get("kvs", [])
        return base64.b64decode(found[0]["value"]).decode() if found else None

    async def leader(self, *asked: str) -> str | None:
        """The server that all those asked take for the leader; None if they do not agree on one."""
        answers = await asyncio.gather(*(self.ask(name, "maintenance/status") for name in NAMES))
        members = {answer["header"]["member_id"]: name for name, answer in zip(NAMES, answers, strict=True) if answer}
        leaders = {(answer or {}).get("leader") for name, answer in zip(NAMES, answers, strict=True) if name in asked}
        return members.get(leaders.pop()) if len(leaders) == 1 else None


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _post(url: str, body: dict[str, Any]) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=REQUEST_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    topology = Topology("etcd")
    for name in NAMES:
        topology.add_peer(name)
    for first, second in (("a", "b"), ("a", "c"), ("b", "c")):
        topology.connect(first, second, Impairment(delay_ms=DELAY_MS))
    async with Network(topology, seed=4) as net:
        at = {name: f"http://{net.peer(name).address}:{PEER_PORT}" for name in NAMES}
        for name in NAMES:
            arguments = {
                "name": name,
                "data-dir": str(folder / name),
                "listen-peer-urls": at[name],
                "initial-advertise-peer-urls": at[name],
                "listen-client-urls": f"http://127.0.0.1:{CLIENT_PORT}",
                "advertise-client-urls": f"http://127.0.0.1:{CLIENT_PORT}",
                "initial-cluster": ",".join(f"{peer}={url}" for peer, url in at.items()),
                "heartbeat-interval": "100",
                "election-timeout": str(ELECTION_MS),
                "unsafe-no-fsync": None,
            }
            words = [f"--{option}" if value is None else f"--{option}={value}" for option, value in arguments.items()]
            await net.peer(name).spawn(
                ["etcd", *words], stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
        running = Cluster(net)

        async def agreed() -> bool:
            return await running.leader(*NAMES) is not None

        await until(agreed)
        yield running


async def test_a_partition_of_the_leader_elects_another_and_all_agree_afterwards(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with cluster(tmp_path) as running:
        assert await running.put("a", "key", "before")
        old = await running.leader(*NAMES)
        assert old is not None
        others = [name for name in NAMES if name != old]
        await running.net.partition({old}, set(others))

        async def replaced() -> bool:
            return await running.leader(*others) in others

        took_s = await until(replaced)
        record_property("election_s", round(took_s, 3))
        # A follower waits for its election timeout after the last heartbeat, which was at most one interval ago.
        assert took_s >= (ELECTION_MS - 100) / 1000 / 2
        assert await running.put(others[0], "key", "by the majority")
        assert not await running.put(old, "key", "by the minority")
        assert await running.get(old, "key") == "before"
        await running.net.heal()

        async def healed() -> bool:
            values = [await running.get(name, "key") for name in NAMES]
            return values == ["by the majority"] * 3 and await running.leader(*NAMES) in others

        await until(healed)


async def test_a_write_takes_a_round_trip_to_the_followers(tmp_path: Path) -> None:
    async def times(running: Cluster, leader: str) -> list[float]:
        found = []
        for number in range(15):
            began = time.monotonic()
            assert await running.put(leader, "key", str(number))
            found.append(time.monotonic() - began)
        return found

    async with cluster(tmp_path) as running:
        leader = await running.leader(*NAMES)
        assert leader is not None
        near = await times(running, leader)
        followers = [name for name in NAMES if name != leader]
        keys = [key for name in followers for key in ((leader, name), (name, leader))]
        await running.net.update_links({key: {"delay_ms": LONG_MS} for key in keys})
        assert await running.leader(*NAMES) == leader
        far = await times(running, leader)
    longer_ms = 2 * (LONG_MS - DELAY_MS)
    assert min(near) >= 2 * DELAY_MS / 1000
    assert min(far) >= 2 * LONG_MS / 1000
    # The quickest of each: what the machine adds to them is the least, and alike.
    assert 1000 * (min(far) - min(near)) == pytest.approx(longer_ms, rel=0.4)
