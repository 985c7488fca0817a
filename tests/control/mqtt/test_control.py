"""Everything that is said to a network and by it, through a real broker."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from linkem_py import Impairment
from linkem_py.control.mqtt import MqttControl, MqttUrl
from linkem_py.errors import RequestError
from tests.control.mqtt.brokers import Mosquitto
from tests.control.mqtt.clients import Client, eventually
from tests.control.mqtt.conftest import triangle
from tests.dry import DryNetwork

SET = "linkem/demo/set"
LINK_SET = "linkem/demo/link/lan/a/b/set"
LINKS = ["linkem/demo/link/lan/a/b", "linkem/demo/link/lan/b/a", "linkem/demo/link/lan/b/c", "linkem/demo/link/lan/c/b"]


# ---------------------------------------------------------------------------------- retained state


async def test_retained_topics_are_there_when_entered_and_gone_when_left(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url) as control:
        assert control.protocol == "5"
        held = await asyncio.to_thread(broker.retained)
    assert set(held) == {"linkem/demo/status", "linkem/demo/topology", *LINKS}
    assert held["linkem/demo/status"] == "online"
    topology = json.loads(held["linkem/demo/topology"])
    assert set(topology["peers"]) == {"a", "b", "c"}
    assert {"src": "a", "dst": "b", "segment": "lan"} in topology["links"]
    link = json.loads(held[LINKS[0]])
    assert link["impairment"] == {"delay_ms": 5, "loss_pct": 1}
    assert link["revision"] == 0
    assert await asyncio.to_thread(broker.retained) == {}


async def test_who_listens_hears_of_the_end(broker: Mosquitto, net: DryNetwork) -> None:
    async with Client(broker.port) as client:
        async with MqttControl(net, broker.url):
            assert (await client.wait_on("linkem/demo/status")).payload == b"online"
        said = [(await client.wait_on("linkem/demo/status")).payload for _ in range(2)]
    assert sorted(said) == [b"", b"offline"]


async def test_a_link_that_goes_is_cleared_and_one_that_comes_is_told(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await net.connect("a", "c")
        assert (await client.wait_on("linkem/demo/link/lan/c/a")).json["impairment"] == {}
        await net.remove_peer("b")
        await client.wait(lambda heard: heard.topic == LINKS[3] and not heard.payload)
        await client.wait(lambda heard: heard.topic.endswith("/topology") and set(heard.json["peers"]) == {"a", "c"})
        held = await asyncio.to_thread(broker.retained, "linkem/demo/link/#")
        assert set(held) == {"linkem/demo/link/lan/a/c", "linkem/demo/link/lan/c/a"}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_links_that_a_dead_run_of_that_name_left_are_cleared(
    broker: Mosquitto, net: DryNetwork, protocol: str
) -> None:
    async with Client(broker.port, topics="linkem/+/link/+/+/+") as client:
        for topic in ("linkem/demo/link/lan/x/y", "linkem/demo/link/wan/a/b", LINKS[0], "linkem/other/link/lan/x/y"):
            await client.publish(topic, {"from": "before"}, retain=True)
        async with MqttControl(net, f"{broker.url}?protocol={protocol}"):
            for topic in ("linkem/demo/link/lan/x/y", "linkem/demo/link/wan/a/b"):
                await client.wait(lambda heard, topic=topic: heard.topic == topic and not heard.payload)  # type: ignore[misc]
            held = await asyncio.to_thread(broker.retained)
            assert set(held) == {"linkem/demo/status", "linkem/demo/topology", *LINKS, "linkem/other/link/lan/x/y"}
            assert json.loads(held[LINKS[0]])["impairment"] == {"delay_ms": 5, "loss_pct": 1}
            # What is told of links does not come back, nor is it taken for a command.
            client.forget()
            await net.update("a", "b", delay_ms=77)
            await client.wait(lambda heard: heard.topic == LINKS[0])
        assert not [heard for heard in client.heard if heard.topic.endswith("/event")]
    assert list(await asyncio.to_thread(broker.retained)) == ["linkem/other/link/lan/x/y"]


async def test_what_a_program_changes_is_told_too(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await net.update("a", "b", delay_ms=77)
        state = await client.wait(lambda heard: heard.topic == LINKS[0] and heard.json["revision"] == 1)
        assert state.json["impairment"] == {"delay_ms": 77, "loss_pct": 1}
        assert state.json["applied_at"] == net.link_revision(("a", "b", "lan"))[1]


async def test_status_says_offline_when_the_network_ends_first(broker: Mosquitto) -> None:
    async with DryNetwork(triangle()) as net, Client(broker.port) as client:
        async with MqttControl(net, broker.url):
            await net.close()
            await client.wait(lambda heard: heard.topic.endswith("/status") and heard.payload == b"offline")
            reply = await client.ask(LINK_SET, {"delay_ms": 1})
            assert not reply["ok"]
            assert reply["error"]["message"] == "the network has ended"
        await client.wait(lambda heard: heard.topic.endswith("/status") and heard.payload == b"")


# --------------------------------------------------------------------------------------- commands


async def test_only_what_is_named_changes(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await asyncio.to_thread(broker.publish, LINK_SET, {"id": "one", "delay_ms": 80})
        reply = (await client.wait_on("linkem/demo/reply/one")).json
        assert (reply["ok"], reply["revision"], reply["error"]) == (True, 1, None)
        assert reply["applied_at"] == net.link_revision(("a", "b", "lan"))[1]
        assert net.impairment("a", "b").delay_ms == 80
        assert net.impairment("a", "b").loss_pct == 1
        await client.ask(LINK_SET, {"loss_pct": None})
        assert net.impairment("a", "b").loss_pct == 0
        await client.ask(LINK_SET, {"clear": True})
        assert net.impairment("a", "b") == Impairment()


async def test_a_batch_is_all_or_nothing(broker: Mosquitto, net: DryNetwork) -> None:
    good = {"src": "a", "dst": "b", "set": {"delay_ms": 9}}
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        reply = await client.ask(SET, {"changes": [good, {"src": "c", "dst": "b", "set": {"delay_ms": -1}}]})
        assert (reply["ok"], reply["error"]["field"], reply["error"]["value"]) == (False, "delay_ms", -1)
        assert net.impairment("a", "b").delay_ms == 5
        assert (await client.ask(SET, {"changes": [good, {"src": "c", "dst": "b", "set": {"rate_kbit": 9}}]}))["ok"]
    assert (net.impairment("a", "b").delay_ms, net.impairment("c", "b").rate_kbit) == (9, 9)


async def test_partition_and_heal(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        assert (await client.ask("linkem/demo/partition", {"groups": [["a"], ["b", "c"]]}))["ok"]
        assert len(net.groups) == 2
        event = await client.wait(lambda heard: heard.topic.endswith("/event"))
        assert event.json["groups"] == [["a"], ["b", "c"]]
        topology = await client.wait(lambda heard: heard.topic.endswith("/topology") and heard.json["groups"])
        assert topology.json["groups"] == [["a"], ["b", "c"]]
        assert (await client.ask("linkem/demo/heal", {}))["ok"]
        await client.wait(lambda heard: heard.topic.endswith("/topology") and not heard.json["groups"])


async def test_the_same_id_again_is_applied_once(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        replies = []
        for _ in range(3):
            await client.publish(LINK_SET, {"id": "again", "delay_ms": 33})
            replies.append((await client.wait_on("linkem/demo/reply/again")).json)
        assert replies[0] == replies[1] == replies[2]
    assert net.revision == 1


async def test_updates_of_one_link_are_applied_in_order_and_each_has_its_reply(
    broker: Mosquitto, net: DryNetwork
) -> None:
    count = 1500
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        net.dry.gate.clear()  # a backlog, so that updates go together
        for number in range(count):
            await client.publish(LINK_SET, {"id": f"n{number}", "delay_ms": number}, qos=0)
        net.dry.gate.set()
        replies: dict[int, int] = {}
        while len(replies) < count:
            reply = (await client.wait(lambda heard: "/reply/" in heard.topic)).json
            assert reply["ok"]
            replies[int(reply["id"][1:])] = reply["revision"]
        await client.wait(
            lambda heard: heard.topic == LINKS[0] and heard.json["impairment"].get("delay_ms") == count - 1
        )
    assert net.impairment("a", "b").delay_ms == count - 1
    revisions = [replies[number] for number in range(count)]
    assert revisions == sorted(revisions)
    assert net.revision < count / 10


async def test_a_backlog_is_left_with_the_broker(broker: Mosquitto, net: DryNetwork) -> None:
    count = 300
    control = MqttControl(net, broker.url)
    control._backlog._most_commands = 50
    async with control, Client(broker.port) as client:
        net.dry.gate.clear()
        for number in range(count):
            await client.publish(LINK_SET, {"id": f"n{number}", "delay_ms": number})
        await eventually(lambda: control._backlog.held > 0)
        # What the broker sends before an acknowledgement is its own affair: 20, by default.
        assert len(control._backlog) <= 50 + 20 + 1
        net.dry.gate.set()
        seen = [(await client.wait(lambda heard: "/reply/" in heard.topic)).json["ok"] for _ in range(count)]
    assert all(seen)
    assert net.impairment("a", "b").delay_ms == count - 1


# ---------------------------------------------------------------------------------------- replies


async def test_mqtt5_is_answered_on_the_response_topic_with_its_correlation_data(
    broker: Mosquitto, net: DryNetwork
) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await client.publish(
            LINK_SET, {"id": "x", "delay_ms": 1}, response_topic="my/answers", correlation=b"\0\1binary"
        )
        answer = await client.wait_on("my/answers")
        assert answer.properties.CorrelationData == b"\0\1binary"
        assert answer.json["ok"]
        assert any(heard.topic == "linkem/demo/reply/x" for heard in client.heard)
        await client.publish(LINK_SET, b"broken", response_topic="my/answers")
        assert not (await client.wait_on("my/answers")).json["ok"]


async def test_an_answer_to_our_own_topic_does_not_come_back_to_us(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await client.publish(LINK_SET, b"broken", response_topic=LINK_SET)
        await client.ask(LINK_SET, {"delay_ms": 1})
        refused = [heard for heard in client.heard if heard.topic.endswith("/event") and b"refused" in heard.payload]
        assert len(refused) == 1


async def test_an_error_without_an_id_goes_to_event(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await client.publish(LINK_SET, {"delay_ms": -1})
        event = (await client.wait_on("linkem/demo/event")).json
        assert (event["event"], event["id"], event["error"]["field"]) == ("refused", None, "delay_ms")


BAD: list[tuple[str, bytes, str]] = [
    (LINK_SET, b"", "payload"),
    (LINK_SET, b"no json", "payload"),
    (LINK_SET, b"[1]", "payload"),
    (LINK_SET, b"7", "payload"),
    (LINK_SET, b"\xff\xfe", "payload"),
    (LINK_SET, b'{"delay_ms": NaN}', "payload"),
    (LINK_SET, b'{"delay_ms": 1e999}', "payload"),
    (LINK_SET, b'{"delay_ms": 1, "delay_ms": 2}', "payload"),
    (LINK_SET, b'{"delay_ms":' + b"[" * 20 + b"]" * 20 + b"}", "payload"),
    (LINK_SET, b'{"delay_ms": 1, "x": "' + b"y" * 65536 + b'"}', "payload"),
    (LINK_SET, b"{}", "payload"),
    (LINK_SET, b'{"dely_ms": 5}', "dely_ms"),
    (LINK_SET, b'{"delay_ms": "5"}', "delay_ms"),
    (LINK_SET, b'{"delay_ms": true}', "delay_ms"),
    (LINK_SET, b'{"delay_ms": -1}', "delay_ms"),
    (LINK_SET, b'{"loss_pct": 101}', "loss_pct"),
    (LINK_SET, b'{"clear": 1}', "clear"),
    (LINK_SET, b'{"id": [], "delay_ms": 1}', "id"),
    (LINK_SET, b'{"id": "a/b", "delay_ms": 1}', "id"),
    ("linkem/demo/link/lan/a/nobody/set", b'{"delay_ms": 1}', "peer"),
    ("linkem/demo/link/lan/a/c/set", b'{"delay_ms": 1}', "link"),
    ("linkem/demo/link/other/a/b/set", b'{"delay_ms": 1}', "segment"),
    (SET, b'{"changes": []}', "changes"),
    (SET, b'{"changes": {}}', "changes"),
    (SET, b'{"changes": [{"src": "a"}]}', "changes[0].dst"),
    (
        SET,
        b'{"changes": [{"src": "a", "dst": "b", "set": {"delay_ms": 1}}, {"src": "a", "dst": "b", "clear": true}]}',
        "changes[1]",
    ),
    ("linkem/demo/partition", b'{"groups": [["a"]]}', "groups"),
    ("linkem/demo/partition", b'{"groups": [["a"], ["x"]]}', "peer"),
    ("linkem/demo/partition", b'{"groups": [["a"], ["a"]]}', "peer"),
    ("linkem/demo/heal", b'{"why": 1}', "why"),
]


async def test_what_arrives_bad_is_answered_and_changes_nothing(broker: Mosquitto, net: DryNetwork) -> None:
    before = net.topology.copy()
    fields = []
    async with MqttControl(net, broker.url), Client(broker.port, topics="linkem/demo/event") as client:
        for topic, payload, _ in BAD:
            await client.publish(topic, payload)
            event = (await client.wait_on("linkem/demo/event")).json
            assert event["event"] == "refused"
            assert event["error"]["rule"]
            fields.append(event["error"]["field"])
    assert fields == [field for _, _, field in BAD]
    assert net.revision == 0
    assert net.topology.links == before.links


async def test_a_batch_that_breaks_the_duplicate_rule_is_refused(broker: Mosquitto) -> None:
    topology = triangle()
    topology.duplicates = "strict"
    async with DryNetwork(topology) as net, MqttControl(net, broker.url), Client(broker.port) as client:
        changes = [
            {"src": "b", "dst": "a", "set": {"duplicate_pct": 5}},
            {"src": "b", "dst": "c", "set": {"delay_ms": 5}},
        ]
        reply = await client.ask(SET, {"changes": changes})
        assert reply["error"]["kind"] == "DuplicateRestrictionError"
        assert net.revision == 0


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_retained_command_from_before_is_ignored_with_a_notice(
    broker: Mosquitto, net: DryNetwork, protocol: str
) -> None:
    async with Client(broker.port) as client:
        await client.publish(LINK_SET, {"id": "old", "delay_ms": 999}, retain=True)
        async with MqttControl(net, f"{broker.url}?protocol={protocol}") as control:
            assert control.protocol == protocol
            notice = (await client.wait_on("linkem/demo/event")).json
            assert notice["event"] == "notice"
            assert LINK_SET in notice["message"]
            await client.ask(LINK_SET, {"delay_ms": 6})
        assert net.revision == 1


# ------------------------------------------------------------------------------- events and counters


async def test_events_tell_what_was_applied(broker: Mosquitto, net: DryNetwork) -> None:
    async with MqttControl(net, broker.url), Client(broker.port) as client:
        await client.publish(LINK_SET, {"delay_ms": 8})
        event = (await client.wait_on("linkem/demo/event")).json
        assert (event["event"], event["what"], event["revision"]) == ("changed", "update", 1)
        assert event["links"][0]["impairment"]["delay_ms"] == 8
        await net.add_peer("d")
        event = (await client.wait(lambda heard: heard.topic.endswith("/event") and heard.json["peer"] == "d")).json
        assert event["what"] == "add_peer"


async def test_counters_come_at_an_interval(broker: Mosquitto, net: DryNetwork) -> None:
    async with Client(broker.port) as client, MqttControl(net, broker.url, stats_interval_s=0.05):
        topic = "linkem/demo/stats/lan/a/b"
        first, second = [(await client.wait_on(topic)).json for _ in range(2)]
        assert first["interval_s"] == 0
        assert second["interval_s"] > 0
        assert second["packets"] == 0
        assert (await client.wait_on("linkem/demo/stats/lan/c/b")).json["src"] == "c"


# -------------------------------------------------------------------------------------------- names


async def test_prefix_and_name_are_the_callers(broker: Mosquitto, net: DryNetwork) -> None:
    async with (
        MqttControl(net, broker.url, prefix="lab/4", name="left") as left,
        DryNetwork(triangle()) as other,
        MqttControl(other, MqttUrl.parse(broker.url), prefix="lab/4", name="right"),
        Client(broker.port) as client,
    ):
        assert left.topics.status == "lab/4/left/status"
        await client.publish("lab/4/left/link/lan/a/b/set", {"id": "x", "delay_ms": 1})
        assert (await client.wait_on("lab/4/left/reply/x")).json["ok"]
        assert net.impairment("a", "b").delay_ms == 1
        assert other.revision == 0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"stats_interval_s": 0}, "stats_interval_s"),
        ({"stats_interval_s": float("nan")}, "stats_interval_s"),
        ({"name": "a/b"}, "name"),
        ({"name": "ok", "prefix": "#"}, "prefix"),
        ({"prefix": "+"}, "prefix"),
    ],
)
async def test_wrong_arguments_are_named(net: DryNetwork, options: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        MqttControl(net, "mqtt://127.0.0.1", **options)
    assert caught.value.field == field
