from __future__ import annotations

import asyncio
import socket
import time

import asking
import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.model.presets import Preset
from linkem_py.runtime import BlockingNetwork


def two_peers(there: Impairment, back: Impairment | None = None) -> Topology:
    topology = Topology("asking")
    topology.add_peer("client")
    topology.add_peer("server")
    topology.connect("client", "server", there, back=back)
    return topology


@pytest.mark.linkem(two_peers(Impairment(delay_ms=10, loss_pct=30)))
def test_losses_are_made_good(client: socket.socket, server: asking.Address, network: BlockingNetwork) -> None:
    for number in range(10):
        # All 20 tries fail once in 80,000 runs of this test.
        assert asking.ask(client, server, f"question {number}", tries=20, timeout_s=0.2) == f"QUESTION {number}"
    stats = network.stats()["client", "server"]
    assert stats.packets >= 10


@pytest.mark.linkem(two_peers(Impairment(delay_ms=10)))
def test_a_partition_is_noticed_and_survived(
    client: socket.socket, server: asking.Address, network: BlockingNetwork
) -> None:
    network.partition({"client"}, {"server"})
    with pytest.raises(TimeoutError, match="after 2 tries"):
        asking.ask(client, server, "anybody?", tries=2, timeout_s=0.1)
    network.heal()
    assert asking.ask(client, server, "and now?") == "AND NOW?"


def over_a_preset(preset: Preset) -> Topology:
    return two_peers(preset.impairment)


@pytest.mark.linkem_preset("lte_uplink", "wifi_bad", "satellite_geo")
@pytest.mark.linkem(topology=over_a_preset)
def test_it_works_over(preset: Preset, client: socket.socket, server: asking.Address) -> None:
    assert asking.ask(client, server, preset.name, tries=10, timeout_s=2) == preset.name.upper()


@pytest.mark.linkem(two_peers(Impairment(delay_ms=40), back=Impairment(delay_ms=60)))
async def test_a_round_trip_takes_what_both_ways_take(network: Network) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    await network.peer("server").start_server(answer, port=9000)
    reader, writer = await network.peer("client").open_connection("server", 9000)
    began = time.monotonic()
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    assert time.monotonic() - began >= 0.1
    writer.close()
