"""The commands, the program and the configuration of docs/mqtt.md do what it says."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkem_py import Impairment, Topology
from linkem_py.control.mqtt import MqttControl
from tests.control.mqtt.brokers import MISSING, Mosquitto, mosquitto
from tests.control.mqtt.clients import eventually
from tests.control.mqtt.test_security import certificates, needs_openssl, needs_passwd, run
from tests.dry import DryNetwork

TEXT = (Path(__file__).parents[3] / "docs" / "mqtt.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
TOKYO = ("us-east-1", "tokyo")

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


def block(holding: str, language: str = "sh") -> str:
    """The one block of the document that has this text in it."""
    (found,) = (text for kind, text in BLOCKS if kind == language and holding in text)
    return found


@pytest.fixture
async def regions() -> AsyncIterator[DryNetwork]:
    topology = Topology("regions")
    for peer in ("eu-west", "us-east-1", "us-east-2", "tokyo"):
        topology.add_peer(peer)
    topology.connect(*TOKYO, Impairment(delay_ms=80, loss_pct=0.2))
    async with DryNetwork(topology) as net:
        yield net


async def shell(script: str, port: int, options: str = "") -> str:
    """What a script says, whose mosquitto clients speak to this port."""
    script = re.sub(r"\b(mosquitto_(pub|sub|rr)) ", rf"\1 -p {port} {options}", script)
    process = await asyncio.create_subprocess_exec("bash", "-ec", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_the_quickstart_changes_the_network(broker: Mosquitto, regions: DryNetwork) -> None:
    lines = [line for line in block("the loss goes").splitlines() if line.startswith("mosquitto_pub")]
    assert len(lines) == 4
    async with MqttControl(regions, broker.url):
        for number, line in enumerate(lines, 1):
            await shell(line, broker.port)
            await eventually(lambda number=number: regions.revision == number)  # type: ignore[misc]
            if number == 1:
                assert regions.impairment(*TOKYO) == Impairment(delay_ms=180, loss_pct=2)
            if number == 3:
                assert set(regions.groups) == {frozenset({"us-east-1"}), frozenset({"tokyo"})}
    assert regions.impairment(*TOKYO) == Impairment(delay_ms=180)
    assert not regions.groups


@pytest.mark.skipif(shutil.which("mosquitto_rr") is None, reason="not installed: mosquitto_rr")
async def test_the_shell_example_prints_the_reply(broker: Mosquitto, regions: DryNetwork) -> None:
    async with MqttControl(regions, broker.url):
        reply = json.loads(await shell(block("ask()"), broker.port))
    assert (reply["ok"], reply["revision"]) == (True, 1)
    assert regions.impairment(*TOKYO).delay_ms == 250


async def test_the_python_example_prints_the_reply(broker: Mosquitto, regions: DryNetwork) -> None:
    program = block("import aiomqtt", "python").replace('Client("127.0.0.1"', f'Client("127.0.0.1", {broker.port}')
    async with MqttControl(regions, broker.url):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    assert b"'ok': True" in out
    assert regions.impairment(*TOKYO).rate_kbit == 5000


@needs_openssl
@needs_passwd
async def test_the_configuration_lets_everybody_do_what_is_theirs(tmp_path: Path, regions: DryNetwork) -> None:
    await asyncio.to_thread(certificates, tmp_path)
    (tmp_path / "acl").write_text(block("user operator", ""))
    for user in ("linkem", "operator", "dashboard"):
        create = ["-c"] if user == "linkem" else []
        await asyncio.to_thread(run, "mosquitto_passwd", *create, "-b", tmp_path / "passwords", user, f"{user}-pw")
    lines = block("listener 8883", "").replace("/etc/mosquitto", str(tmp_path)).splitlines()
    options = "\n".join(line for line in lines if not line.startswith(("#", "listener", "set_tcp", "max_queued")))
    with mosquitto(tmp_path, options=options + "\n") as broker:
        broker_url = f"mqtts://linkem:linkem-pw@127.0.0.1:{broker.port}?ca={tmp_path}/ca.pem"
        async with MqttControl(regions, broker_url):
            everybody = f"-h 127.0.0.1 --cafile {tmp_path}/ca.pem -q 1"

            async def say(user: str, topic: str, payload: str) -> None:
                await shell(
                    f"mosquitto_pub -u {user} -P {user}-pw -t linkem/regions/{topic} -m '{payload}'",
                    broker.port,
                    f"{everybody} ",
                )

            await say("dashboard", "link/lan/us-east-1/tokyo/set", '{"delay_ms": 1}')
            await say("operator", "partition", '{"groups": [["tokyo"], ["eu-west"]]}')
            documented = block('-u operator -P "$PASSWORD"').partition("mosquitto_pub")[2].replace("\\\n", "")
            documented = documented.replace("broker.example", "127.0.0.1").replace("my-ca.pem", f"{tmp_path}/ca.pem")
            documented = documented.replace("-p 8883", "").replace("$PASSWORD", "operator-pw")
            await shell(f"mosquitto_pub {documented}", broker.port)
            await eventually(lambda: regions.revision > 0)
            assert regions.impairment(*TOKYO) == Impairment(delay_ms=180, loss_pct=0.2)
            assert (regions.revision, regions.groups) == (1, ())
            await asyncio.to_thread(_dashboard_reads, broker, tmp_path)


def _dashboard_reads(broker: Mosquitto, folder: Path) -> None:
    run(
        *("mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "--cafile", folder / "ca.pem"),
        *("-u", "dashboard", "-P", "dashboard-pw", "-t", "linkem/regions/status", "-C", "1", "-W", "20"),
    )
