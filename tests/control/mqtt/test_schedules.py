"""Schedules, links that go down and carriers, through a real broker."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from linkem_py import Network
from linkem_py.control.mqtt import MqttControl
from linkem_py.control.remote_mqtt import MqttStation
from linkem_py.control.wire.commands import Carrier, LinkSchedule, Readdress, Reschedule, Switch
from linkem_py.model.presets import SCHEDULES
from tests.control.mqtt.brokers import Mosquitto
from tests.control.mqtt.clients import Client
from tests.control.mqtt.conftest import triangle
from tests.dry import DryNetwork

LINK = "linkem/demo/link/lan/a/b"
KEY = ("a", "b", "lan")
DELAY = {"type": "constant", "what": {"delay_ms": 205, "loss_pct": 0}}


def state(heard: Any) -> Any:
    """The link's state in a message; nothing in others."""
    return heard.json if heard.topic == LINK and heard.payload else {}


async def test_a_schedule_begins_and_ends_on_the_links_topic(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        reply = await client.ask(f"{LINK}/schedule", {"type": "preset", "name": "bursty-markov"})
        assert (reply["ok"], list(net.schedules)) == (True, [KEY])
        told = await client.wait(lambda heard: "schedule" in state(heard))
        assert told.json["schedule"] == {"type": "markov", "name": "bursty_markov"}
        assert json.loads((await asyncio.to_thread(broker.retained))[LINK])["schedule"]["name"] == "bursty_markov"
        assert (await client.ask(f"{LINK}/schedule", {"schedule": None}))["ok"]
        assert not net.schedules
        await client.wait(lambda heard: "impairment" in state(heard) and "schedule" not in state(heard))


async def test_null_ends_a_schedule_without_a_word_more(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await client.ask(f"{LINK}/schedule", DELAY)
        await client.publish(f"{LINK}/schedule", b" null\n")
        assert (await client.ask(f"{LINK}/set", {"loss_pct": 2}))["ok"]  # commands keep their order
        assert not net.schedules
        assert net.impairment("a", "b").delay_ms == 205


async def test_what_is_wrong_is_answered_with_its_place(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        bad = {"type": "markov", "states": {"good": {"delay_ms": -1}}, "matrix": [[1]], "mean_dwell_s": 1}
        error = (await client.ask(f"{LINK}/schedule", bad))["error"]
        assert (error["field"], error["value"]) == ("schedule.states.good.delay_ms", -1)
        assert error["message"].startswith("link a->b: schedule.states.good.delay_ms must be between")
        assert not net.schedules


async def test_several_links_at_once(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        changes = [{"src": "a", "dst": "b", "schedule": DELAY}, {"src": "c", "dst": "b", "schedule": DELAY}]
        assert (await client.ask("linkem/demo/schedule", {"changes": changes}))["ok"]
        assert set(net.schedules) == {KEY, ("c", "b", "lan")}


async def test_a_retained_schedule_from_before_is_ignored(broker: Mosquitto, net: DryNetwork) -> None:
    async with Client(broker.port) as client:
        await client.publish(f"{LINK}/schedule", DELAY, retain=True)
        async with MqttControl(net, broker.url):
            await client.wait(lambda heard: heard.topic.endswith("/event") and "was ignored" in heard.json["message"])
            assert not net.schedules


async def test_the_same_schedule_again_goes_on(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        for _ in range(2):
            await client.publish(f"{LINK}/schedule", {"id": "one", **DELAY})
            await client.wait_on("linkem/demo/reply/one")
            client.forget()
        assert [applied.what for applied in net.journal].count("set_schedule") == 1


async def test_a_link_goes_down_and_up(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        assert (await client.ask(f"{LINK}/switch", {"up": False}))["ok"]
        await client.wait(lambda heard: state(heard).get("down") is True)
        assert not net.topology.links["b", "a", "lan"].down
        both = {"src": "a", "dst": "b", "up": True, "both": True}
        assert (await client.ask("linkem/demo/switch", both))["ok"]
        assert not net.topology.links[KEY].down


async def test_the_topology_tells_of_carriers(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        assert (await client.ask("linkem/demo/carrier", {"peer": "a", "up": False}))["ok"]
        told = await client.wait(
            lambda heard: heard.topic.endswith("/topology") and b"without_carrier" in heard.payload
        )
        assert told.json["without_carrier"] == [{"peer": "a", "segment": "lan"}]


async def test_a_station_over_the_broker_has_the_same_commands(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), MqttStation(broker.url, "demo") as station:
        schedule = SCHEDULES["handover"].schedule
        for command in (
            Reschedule(changes=(LinkSchedule(KEY, schedule),)),
            Switch(link=KEY, up=False),
            Carrier(peer="a", segment="lan", up=False),
            Readdress(peer="a", segment="lan", ipv4="10.0.0.99"),
        ):
            assert (await station.submit(command)).ok
        assert net.schedules[KEY].schedule == schedule
        assert net.topology.links[KEY].down
        assert net.without_carrier == (("a", "lan"),)
        assert net.peer("a").address == "10.0.0.99"


@pytest.mark.netem
async def test_a_schedule_from_the_broker_changes_what_is_measured(broker: Mosquitto) -> None:
    async def median_ms() -> float:
        done = await net.peer("a").run(("ping", "-c", "5", "-i", "0.2", "-W", "5", "-q", "b"), check=True)
        return float(str(done.stdout).rpartition(" = ")[2].split("/")[1])

    async with Network(triangle(), seed=1) as net, MqttControl(net, broker.url), Client(broker.port) as client:
        before = await median_ms()
        assert (await client.ask(f"{LINK}/schedule", DELAY))["ok"]
        await client.wait(lambda heard: state(heard).get("impairment", {}).get("delay_ms") == 205)
        # The way there is 200 ms longer, the way back as long as before.
        assert await median_ms() - before == pytest.approx(200, abs=100)
        assert (await client.ask(f"{LINK}/switch", {"up": False}))["ok"]
        silent = await net.peer("a").run(("ping", "-c", "2", "-i", "0.2", "-W", "1", "-q", "b"))
        assert "100% packet loss" in str(silent.stdout)
        assert (await client.ask(f"{LINK}/switch", {"up": True}))["ok"]
        assert await median_ms() - before == pytest.approx(200, abs=100)
