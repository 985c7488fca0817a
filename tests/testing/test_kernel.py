"""The fixtures over networks of a real kernel."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.runtime import BlockingNetwork
from linkem_py.testing.captures import Captures
from tests.runtime.pcapng_blocks import read

pytestmark = pytest.mark.kernel("netem", "gact", "skbedit", "u32_mark")

ICMP_TYPE, ECHO_REPLY, ECHO_REQUEST = 14 + 20, 0, 8


def pair() -> Topology:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=30))
    return topology


@pytest.fixture
async def port(network: Network) -> int:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await network.peer("b").start_server(answer)
    return int(server.sockets[0].getsockname()[1])


@pytest.mark.linkem(pair())
async def test_fixtures_of_an_async_test_share_its_network(network: Network, port: int) -> None:
    began = time.monotonic()
    reader, writer = await network.peer("a").open_connection("b", port)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
    assert time.monotonic() - began > 0.12  # two round trips, at least


@pytest.mark.linkem("star", seed=1)
def test_an_ordinary_test_has_one_that_blocks(network: BlockingNetwork) -> None:
    first, *_, last = network.peers
    assert network.peer(first).run(["ping", "-c", "1", last]).returncode == 0
    assert network.peer(first).spawn(["sleep", "60"]).poll() is None  # and the check for leaks finds nothing


@pytest.mark.linkem(pair())
async def test_captures_have_what_every_peer_saw(network: Network, tmp_path: Path) -> None:
    captures = Captures(tmp_path, tmp_path / "test")
    await captures.start(network)
    assert (await network.peer("a").run(["ping", "-4", "-c", "1", "b"])).returncode == 0
    await captures.stop()
    for name in ("a", "b"):
        packets = read(captures.folder / f"{name}.pcapng").packets
        assert {ECHO_REQUEST, ECHO_REPLY} <= {packet.data[ICMP_TYPE] for packet in packets}


@pytest.mark.linkem(pair())
async def test_a_captured_network_may_be_closed_by_the_test(network: Network, tmp_path: Path) -> None:
    captures = Captures(tmp_path, tmp_path / "test")
    await captures.start(network)
    await network.close()
    await captures.stop()


def test_the_first_example_of_the_guide_passes(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
    first = guide.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "test_first.py").write_text(first)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "--linkem-require", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
