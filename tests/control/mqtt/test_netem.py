"""From a message to the kernel's own queues, and back."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from linkem_py import Network, Topology
from linkem_py.control.mqtt import MqttControl
from linkem_py.control.mqtt.backoff import Backoff
from tests.control.mqtt.brokers import Mosquitto
from tests.control.mqtt.clients import Client, eventually
from tests.control.mqtt.conftest import triangle

pytestmark = pytest.mark.netem

SET = "linkem/demo/link/lan/a/b/set"
PING = ("ping", "-c", "2", "-i", "0.2", "-W", "5", "-q", "b")


async def median_ms(net: Network) -> float:
    done = await net.peer("a").run(PING, check=True)
    return float(str(done.stdout).rpartition(" = ")[2].split("/")[1])


async def test_a_message_delays_packets(broker: Mosquitto) -> None:
    async with Network(triangle(), seed=1) as net, MqttControl(net, broker.url), Client(broker.port) as client:
        before = await median_ms(net)
        await asyncio.to_thread(broker.publish, SET, {"id": "slow", "delay_ms": 205, "loss_pct": 0})
        assert (await client.wait_on("linkem/demo/reply/slow")).json["ok"]
        # The way there is 200 ms longer, the way back as long as before.
        assert await median_ms(net) - before == pytest.approx(200, abs=100)


async def test_counters_count_what_was_sent(broker: Mosquitto) -> None:
    async with (
        Network(triangle(), seed=1) as net,
        MqttControl(net, broker.url, stats_interval_s=0.1),
        Client(broker.port, topics="linkem/demo/stats/lan/a/b") as client,
    ):
        await net.peer("a").run(PING, check=True)
        stats = await client.wait(lambda heard: heard.json["packets"] >= 2)
        assert stats.json["bytes"] > 0


async def test_a_kernels_refusal_is_answered_and_undone(broker: Mosquitto) -> None:
    topology = Topology("demo")
    for peer in "ab":
        topology.add_peer(peer)
    topology.connect("a", "b")
    async with Network(topology, seed=1) as net, MqttControl(net, broker.url), Client(broker.port) as client:
        before = net.impairment("a", "b")
        reply = await client.ask(SET, {"delay_ms": 10, "rate_kbit": -5})
        assert (reply["ok"], reply["error"]["field"]) == (False, "rate_kbit")
        assert net.impairment("a", "b") == before
        assert (await client.ask(SET, {"delay_ms": 10}))["revision"] == 1


async def test_a_broker_that_goes_under_load_does_not_touch_the_network(broker: Mosquitto, soon: Backoff) -> None:
    async with (
        Network(triangle(), seed=1) as net,
        MqttControl(net, broker.url, backoff=soon, closing_s=0.5) as control,
    ):
        async with Client(broker.port) as client:
            for number in range(200):
                await client.publish(SET, json.dumps({"id": f"n{number}", "delay_ms": number}).encode(), qos=0)
            await client.wait_on("linkem/demo/reply/n20")
            await asyncio.to_thread(broker.stop, signal.SIGKILL)
        await eventually(lambda: not control.connected and not control._backlog)
        await net.peer("a").run(PING, check=True)
        await asyncio.to_thread(broker.start)
        await eventually(lambda: control.connected)
        async with Client(broker.port) as client:
            assert (await client.ask(SET, {"delay_ms": 1}))["ok"]
