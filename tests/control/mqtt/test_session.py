"""Connections that are refused, lost and found again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import time
from typing import Any

import aiomqtt
import pytest

from linkem_py.control.mqtt import EmbeddedBroker, MqttControl, connection
from linkem_py.control.mqtt.backoff import Backoff
from linkem_py.control.mqtt.connection import V5, V311, Connection, Terms
from linkem_py.control.mqtt.outbox import Outgoing
from linkem_py.control.mqtt.session import Session
from linkem_py.control.mqtt.url import MqttUrl
from linkem_py.errors import ControlError, RequestError, ToolMissingError
from tests.control.mqtt.brokers import Mosquitto, free_port
from tests.control.mqtt.clients import Cable, Client, eventually, server
from tests.dry import DryNetwork

SET = "linkem/demo/link/lan/a/b/set"


def url(cable: Cable, protocol: str = "") -> str:
    return f"mqtt://127.0.0.1:{cable.port}" + (f"?protocol={protocol}" if protocol else "")


async def session_is_kept(port: int, control: MqttControl) -> bool:
    """Whether the broker still has the session."""
    assert control._session is not None
    terms = Terms(
        url=MqttUrl.parse(f"mqtt://127.0.0.1:{port}"),
        identifier=control._session.terms.identifier,
        will_topic="x",
        will_payload=b"",
        expiry_s=0,
    )
    connection = Connection(terms, V5, on_message=lambda _: None, on_acknowledged=lambda _: None)
    await connection.open()
    await connection.close()
    return connection.session_present


# ------------------------------------------------------------------------------- the first connection


async def test_nobody_listens(net: DryNetwork) -> None:
    port = free_port()
    control = MqttControl(net, f"mqtt://127.0.0.1:{port}")
    with pytest.raises(ControlError, match=f"127.0.0.1 port {port}: Connection refused") as caught:
        await control.__aenter__()
    assert (caught.value.host, caught.value.port, caught.value.reason) == ("127.0.0.1", port, "Connection refused")
    assert "closed" in repr(control)


async def test_no_such_host(net: DryNetwork) -> None:
    with pytest.raises(ControlError, match=r"broker\.invalid port 1883: "):
        await MqttControl(net, "mqtt://broker.invalid").__aenter__()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x7f"])
async def test_who_answers_is_no_broker(net: DryNetwork, said: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()

    async with server(handle) as port:
        with pytest.raises(ControlError, match=f"127.0.0.1 port {port}: "):
            await MqttControl(net, f"mqtt://127.0.0.1:{port}", timeout_s=2).__aenter__()


async def test_who_says_nothing_is_given_up(net: DryNetwork) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(handle) as port:
        with pytest.raises(ControlError, match="timed out"):
            await MqttControl(net, f"mqtt://127.0.0.1:{port}", timeout_s=0.2).__aenter__()


async def test_entering_can_be_cancelled(net: DryNetwork) -> None:
    heard = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        await reader.read()

    async with server(handle) as port:
        entering = asyncio.ensure_future(MqttControl(net, f"mqtt://127.0.0.1:{port}", timeout_s=0.3).__aenter__())
        await heard.wait()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering


# --------------------------------------------------------------------------------- versions of MQTT


async def test_a_broker_of_3_1_1_alone_is_spoken_to_in_that(net: DryNetwork) -> None:
    async with EmbeddedBroker() as broker, MqttControl(net, broker.url) as control:
        assert control.protocol == "3.1.1"
        async with Client(broker.port, protocol=V311) as client:
            assert (await client.ask(SET, {"delay_ms": 44}))["ok"]
    assert net.impairment("a", "b").delay_ms == 44


async def test_a_broker_that_hangs_up_on_mqtt5_is_asked_again_and_remembered(
    broker: Mosquitto, net: DryNetwork, soon: Backoff
) -> None:
    async with Cable(broker.port, refuse_level=5) as cable, MqttControl(net, url(cable), backoff=soon) as control:
        assert control.protocol == "3.1.1"
        assert cable.connections == 2
        await cable.cut()
        await cable.plug()
        await eventually(lambda: control.connected)
        assert control.protocol == "3.1.1"
        assert cable.connections == 3


async def test_a_version_that_was_asked_for_is_not_changed(broker: Mosquitto, net: DryNetwork) -> None:
    async with Cable(broker.port, refuse_level=5) as cable:
        with pytest.raises(ControlError, match="closed the connection"):
            await MqttControl(net, url(cable, "5")).__aenter__()


# --------------------------------------------------------------------------- away, and back again


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_commands_sent_while_we_are_away_are_applied_when_we_are_back(
    broker: Mosquitto, net: DryNetwork, soon: Backoff, protocol: str
) -> None:
    async with (
        Cable(broker.port) as cable,
        MqttControl(net, url(cable, protocol), backoff=soon) as control,
        Client(broker.port) as client,
    ):
        await cable.cut()
        for number in range(100):
            await client.publish(SET, {"id": f"away{number}", "delay_ms": number})
        assert not control.connected
        assert net.revision == 0
        await cable.plug()
        replies = [(await client.wait_on(f"linkem/demo/reply/away{number}")).json for number in range(100)]
        assert all(reply["ok"] for reply in replies)
        assert net.impairment("a", "b").delay_ms == 99


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_broker_forgets_the_session_at_the_end(
    broker: Mosquitto, net: DryNetwork, soon: Backoff, protocol: str
) -> None:
    async with Cable(broker.port) as cable:
        control = MqttControl(net, url(cable, protocol), backoff=soon, closing_s=0.2)
        async with control:
            await cable.cut()
            assert await session_is_kept(broker.port, control)
            await cable.plug()
            await eventually(lambda: control.connected)
        assert not await session_is_kept(broker.port, control)


async def test_the_last_will_says_offline_and_the_return_online(
    broker: Mosquitto, net: DryNetwork, soon: Backoff
) -> None:
    async with (
        Client(broker.port, topics="linkem/demo/status") as client,
        Cable(broker.port) as cable,
        MqttControl(net, url(cable), backoff=soon),
    ):
        assert (await client.wait_on("linkem/demo/status")).payload == b"online"
        await cable.cut()
        assert (await client.wait_on("linkem/demo/status")).payload == b"offline"
        await cable.plug()
        assert (await client.wait_on("linkem/demo/status")).payload == b"online"


async def test_the_network_goes_on_and_is_told_when_the_broker_is_back(
    broker: Mosquitto, net: DryNetwork, soon: Backoff
) -> None:
    async with MqttControl(net, broker.url, backoff=soon) as control:
        await asyncio.to_thread(broker.stop, signal.SIGKILL)
        await eventually(lambda: not control.connected)
        await net.update("a", "b", delay_ms=123)
        await net.disconnect("b", "c")
        await asyncio.to_thread(broker.start)
        await eventually(lambda: control.connected)
        async with Client(broker.port) as client:
            await client.wait(
                lambda heard: (
                    heard.topic == "linkem/demo/link/lan/a/b" and heard.json["impairment"].get("delay_ms") == 123
                )
            )
            await client.wait(
                lambda heard: heard.topic == "linkem/demo/topology" and len(heard.json["links"]) == 2,
            )
            assert (await client.ask(SET, {"delay_ms": 1}))["ok"]
        held = await asyncio.to_thread(broker.retained, "linkem/demo/link/#")
        assert set(held) == {"linkem/demo/link/lan/a/b", "linkem/demo/link/lan/b/a"}


async def test_a_retained_command_is_noticed_once_not_at_every_return(
    broker: Mosquitto, net: DryNetwork, soon: Backoff
) -> None:
    async with (
        Client(broker.port) as client,
        Cable(broker.port) as cable,
    ):
        await client.publish(SET, {"delay_ms": 999}, retain=True)
        async with MqttControl(net, url(cable), backoff=soon) as control:
            await client.wait(lambda heard: heard.topic.endswith("/event") and heard.json["event"] == "notice")
            await cable.cut()
            await cable.plug()
            await eventually(lambda: control.connected)
            await client.ask(SET, {"delay_ms": 6})
            notices = [h for h in client.heard if h.topic.endswith("/event") and h.json["event"] == "notice"]
            assert len(notices) == 1
    assert net.revision == 1


async def test_replies_beyond_the_bound_are_dropped_with_a_notice(
    broker: Mosquitto, net: DryNetwork, soon: Backoff
) -> None:
    async with (
        Cable(broker.port) as cable,
        MqttControl(net, url(cable), backoff=soon) as control,
        Client(broker.port) as client,
    ):
        session = control._session
        assert session is not None
        session.replies.most_messages = 100
        await cable.cut()
        for number in range(150):
            session.post(Outgoing(topic=f"linkem/demo/reply/{number}", payload=b"{}"))
            session.post(Outgoing(topic="linkem/demo/event", payload=b'{"event":"changed"}', qos=0))
        assert len(session.replies) == 100
        await cable.plug()
        notice = await client.wait(lambda heard: heard.topic.endswith("/event") and heard.json["event"] == "notice")
        assert "50 replies were dropped" in notice.json["message"]
        replies = {int(heard.topic.rpartition("/")[2]) for heard in client.heard if "/reply/" in heard.topic}
        assert replies <= set(range(50, 150))
        await client.wait_on("linkem/demo/reply/149")


async def test_a_broker_that_throws_us_out_again_and_again_is_asked_ever_more_rarely(
    broker: Mosquitto, net: DryNetwork
) -> None:
    waits: list[int] = []

    class Waits(Backoff):
        def wait_s(self, attempt: int, random: random.Random) -> float:
            waits.append(attempt)
            return 0.001

    async with (
        Cable(broker.port) as cable,
        MqttControl(net, url(cable, "5"), backoff=Waits(0.1, 600.0)) as control,
    ):
        assert control._session is not None
        for turn in range(2, 7):
            await cable.cut()
            await cable.plug()
            await eventually(lambda turn=turn: control._session.connections >= turn)  # type: ignore[misc]
    assert waits == sorted(set(waits))
    assert len(waits) >= 5


async def test_a_certificate_that_is_missing_for_a_moment_does_not_end_it(
    net: DryNetwork, soon: Backoff, monkeypatch: pytest.MonkeyPatch, broker: Mosquitto
) -> None:
    refusals = 3
    made = Session._new_connection

    def new_connection(self: Session, *arguments: Any, **options: Any) -> Connection:
        nonlocal refusals
        if self.connections and refusals:
            refusals -= 1
            raise RequestError("ca", "must be a file of certificates", "ca.pem")
        return made(self, *arguments, **options)

    monkeypatch.setattr(Session, "_new_connection", new_connection)
    async with Cable(broker.port) as cable, MqttControl(net, url(cable), backoff=soon) as control:
        await cable.cut()
        await cable.plug()
        await eventually(lambda: not refusals and control.connected)


async def test_libraries_that_are_made_in_another_way_are_refused(
    net: DryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_INSIDE_PAHO", ["_handle_everything"])
    with pytest.raises(ToolMissingError, match=r"aiomqtt 2\.\S+, paho-mqtt .*paho's Client has no _handle_everything"):
        await MqttControl(net, "mqtt://127.0.0.1").__aenter__()


async def test_leaving_while_the_broker_is_away_takes_no_longer_than_allowed(
    broker: Mosquitto, net: DryNetwork, soon: Backoff
) -> None:
    async with MqttControl(net, broker.url, backoff=soon, closing_s=0.1) as control:
        await asyncio.to_thread(broker.stop, signal.SIGKILL)
        await eventually(lambda: not control.connected)
        began = time.monotonic()
    # Not of the network's speed, but of waiting for ever.
    assert time.monotonic() - began < 15


async def test_stopped_and_started_twenty_times_under_load_no_acknowledged_command_is_lost(
    broker: Mosquitto, net: DryNetwork, soon: Backoff
) -> None:
    applied: dict[int, float] = {}
    net.subscribe(lambda change: applied.update({change.revision: change.links[0].after.delay_ms or 0}))  # type: ignore[union-attr]
    acknowledged: dict[int, int] = {}
    stopping = asyncio.Event()

    async def load() -> None:
        """Commands as fast as they are taken, through whatever happens; replies as they come."""
        number = 0
        while not stopping.is_set():
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", broker.port, timeout=0.5) as client:
                    await client.subscribe("linkem/demo/reply/+", qos=1)
                    reading = asyncio.create_task(read(client))
                    try:
                        while not stopping.is_set():
                            number += 1
                            payload = json.dumps({"id": f"n{number}", "delay_ms": number})
                            await client.publish(SET, payload, qos=number % 2)
                    finally:
                        reading.cancel()
                        await asyncio.gather(reading, return_exceptions=True)
            await asyncio.sleep(0.01)

    async def read(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            reply = json.loads(message.payload)
            assert reply["ok"], reply
            acknowledged[int(reply["id"][1:])] = reply["revision"]

    chance = random.Random(1)
    processes: list[subprocess.Popen[bytes]] = []
    async with MqttControl(net, broker.url, backoff=soon, timeout_s=2) as control:
        loading = asyncio.create_task(load())
        for turn in range(20):
            assert broker.process is not None
            processes.append(broker.process)
            known = len(acknowledged)
            await eventually(lambda known=known: len(acknowledged) > known + 5)  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.02))
            await asyncio.to_thread(broker.stop, signal.SIGKILL if turn % 2 else signal.SIGTERM)
            await asyncio.to_thread(broker.start)
        known = len(acknowledged)
        await eventually(lambda: len(acknowledged) > known)
        stopping.set()
        await loading
        assert control._session is not None
        assert control._session.connections == 21
        await eventually(lambda: not control._backlog)
    # What has a reply is in the revision that the reply names, itself or overwritten by a later one.
    assert all(applied[revision] >= number for number, revision in acknowledged.items())
    # Nothing was applied out of order, and the last is in force.
    assert list(applied.values()) == sorted(applied.values())
    assert net.impairment("a", "b").delay_ms == applied[net.revision]
    revisions = [acknowledged[number] for number in sorted(acknowledged)]
    assert revisions == sorted(revisions)
    assert all(process.poll() is not None for process in processes)
