from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
from pathlib import Path

import pytest

from linkem_py.control.mqtt import EmbeddedBroker, MqttControl
from linkem_py.control.mqtt.connection import V311
from linkem_py.errors import ControlError, ToolMissingError
from tests.control.mqtt.brokers import needs_mosquitto
from tests.control.mqtt.clients import Client
from tests.dry import DryNetwork

pytest.importorskip("amqtt")

SET = "linkem/demo/link/lan/a/b/set"


def listening_at(port: int) -> set[str]:
    """The addresses, as the kernel writes them, at which somebody listens on a port; 0A is LISTEN."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}


async def test_listens_on_loopback_only_and_says_where(capfd: pytest.CaptureFixture[str]) -> None:
    async with EmbeddedBroker() as broker:
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert broker.websocket_url == f"ws://127.0.0.1:{broker.websocket_port}"
        for port in (broker.port, broker.websocket_port):
            assert listening_at(port) == {"0100007F"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("websocket", [False, True])
async def test_control_works_through_it(net: DryNetwork, websocket: bool) -> None:
    async with (
        EmbeddedBroker() as broker,
        MqttControl(net, (broker.websocket_url if websocket else broker.url) + "?protocol=3.1.1"),
        Client(broker.port, protocol=V311) as client,
    ):
        assert (await client.wait_on("linkem/demo/status")).payload == b"online"
        assert (await client.ask(SET, {"delay_ms": 21}))["ok"]
        await client.publish(SET, b"nonsense")
        await client.wait(lambda heard: heard.topic.endswith("/event") and heard.json["event"] == "refused")
    assert net.impairment("a", "b").delay_ms == 21


async def test_nothing_is_left(caplog: pytest.LogCaptureFixture) -> None:
    tasks = len(asyncio.all_tasks())
    for _ in range(3):
        async with EmbeddedBroker() as broker, Client(broker.port, protocol=V311) as client:
            await client.publish("x", {"y": 1})
            await client.wait_on("x")
            port = broker.port
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert "linkem-mqtt-broker" not in {thread.name for thread in threading.enumerate()}
    assert len(asyncio.all_tasks()) == tasks
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_clients_that_stay_do_not_keep_it_from_ending(net: DryNetwork) -> None:
    async with EmbeddedBroker() as broker:
        control = MqttControl(net, broker.control_url, closing_s=0.2, timeout_s=1)
        await control.__aenter__()
    await control.close()


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ControlError, match=f"127.0.0.1 port {port}: Address already in use"):
            await EmbeddedBroker(port=port).__aenter__()


async def test_without_amqtt_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    monkeypatch.delitem(sys.modules, "linkem_py.control.mqtt.amqtt_broker", raising=False)
    monkeypatch.delattr("linkem_py.control.mqtt.amqtt_broker", raising=False)
    with pytest.raises(ToolMissingError, match=r"pip install 'linkem_py\[broker\]'"):
        await EmbeddedBroker().__aenter__()


async def test_another_amqtt_than_is_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkem_py.control.mqtt.amqtt_broker._OVERRIDDEN", [(object, ["attach"])])
    with pytest.raises(ToolMissingError, match="does not know this version of amqtt"):
        await EmbeddedBroker().__aenter__()


def packet(kind: int, content: bytes) -> bytes:
    """A packet of MQTT 3.1.1, of less than 128 bytes."""
    return bytes([kind, len(content)]) + content


def text(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


WILL = text(b"will") + text(b"gone")
# Without a keepalive, with which amqtt gives other tasks a turn between two packets.
CONNECT = packet(0x10, text(b"MQTT") + b"\x04\x06\0\0" + text(b"") + WILL)
DISCONNECT = packet(0xE0, b"")


@pytest.mark.parametrize("goodbye", [DISCONNECT, b""])
async def test_who_says_everything_at_once_and_hangs_up_is_heard_out(goodbye: bytes) -> None:
    async with EmbeddedBroker() as broker, Client(broker.port, protocol=V311) as client:
        for turn in range(10):
            said = [b"%d-%d" % (turn, number) for number in range(20)]
            with socket.create_connection(("127.0.0.1", broker.port)) as hasty:
                # All of it is there before the broker begins to read, the end of the stream too.
                hasty.sendall(CONNECT + b"".join(packet(0x30, text(b"said") + payload) for payload in said) + goodbye)
                hasty.shutdown(socket.SHUT_WR)
                assert [(await client.wait_on("said")).payload for _ in said] == said
        if not goodbye:
            await client.wait_on("will")
        await client.publish("last", b"")
        await client.wait_on("last")
        assert len([heard for heard in client.heard if heard.topic == "will"]) == (0 if goodbye else 10)


@needs_mosquitto
async def test_mosquitto_pub_is_heard_and_gets_nothing_that_it_has_not_subscribed_to(net: DryNetwork) -> None:
    async with (
        EmbeddedBroker() as broker,
        MqttControl(net, broker.control_url),
        Client(broker.port, protocol=V311) as client,
    ):
        for number in range(50):
            await client.publish(f"retained/{number}", b"x" * 500, retain=True)
        for number in range(1, 6):
            said = f'{{"id": "{number}", "delay_ms": {number}}}'
            process = await asyncio.create_subprocess_exec(
                "mosquitto_pub", "-p", str(broker.port), "-t", SET, "-m", said
            )
            assert await process.wait() == 0
        for number in range(1, 6):  # two that come close together may be one change, but each is answered
            assert (await client.wait_on(f"linkem/demo/reply/{number}")).json["ok"]
    assert net.impairment("a", "b").delay_ms == 5
