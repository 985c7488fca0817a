"""Raises one link's delay over MQTT while a ping runs, and shows the round trips before and after.

The network is started as anybody would start it (``linkem up --detach --mqtt embedded``), in this
kernel or in a guest; the change comes from `mosquitto_pub`, or from aiomqtt where that is missing,
and the network answers when its kernel has taken it.

    python examples/live_control.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiomqtt
from rich.console import Console
from rich.table import Table

LINKEM = str(Path(sys.executable).with_name("linkem"))
SOURCE, DESTINATION = "eu-west", "us-east-1"
_ANSWER = re.compile(r"\[(?P<at>[\d.]+)\].* time=(?P<ms>[\d.]+) ms")


class Answer(NamedTuple):
    """One answer to ping: when it came (seconds since the epoch), and its round trip in milliseconds."""

    at: float
    round_trip_ms: float

    @property
    def sent_at(self) -> float:
        return self.at - self.round_trip_ms / 1000


class Live(NamedTuple):
    """What was seen: the answers, what was asked, and the network's reply."""

    answers: list[Answer]
    asked: dict[str, float]
    reply: dict[str, Any]
    command: str

    @property
    def before(self) -> list[float]:
        return [answer.round_trip_ms for answer in self.answers if answer.at < self.reply["applied_at"]]

    @property
    def after(self) -> list[float]:
        return [answer.round_trip_ms for answer in self.answers if answer.sent_at > self.reply["applied_at"]]


async def linkem(*words: str) -> str:
    """What a command of linkem prints."""
    process = await asyncio.create_subprocess_exec(LINKEM, *words, stdout=subprocess.PIPE)
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"linkem {words[0]} ended with status {process.returncode}")
    return printed.decode()


async def publish(url: str, topic: str, message: str) -> str:
    """Publish one message. Returns the command that did."""
    broker = urlsplit(url)
    host, port = broker.hostname or "127.0.0.1", broker.port or 1883
    if shutil.which("mosquitto_pub") is None:
        async with aiomqtt.Client(host, port) as client:
            await client.publish(topic, message, qos=1)
        return f"aiomqtt: publish {topic} {message}"
    words = ["mosquitto_pub", "-h", host, "-p", str(port), "-q", "1", "-t", topic, "-m", message]
    process = await asyncio.create_subprocess_exec(*words)
    if await process.wait():
        raise RuntimeError(f"mosquitto_pub ended with status {process.returncode}")
    return " ".join(words[:-1]) + f" '{message}'"


async def measure(network: dict[str, Any], *, delay_ms: float, count: int) -> Live:
    """Ping so often, and raise the delay when a third of the answers are there."""
    url, topics = network["mqtt"][0], network["topics"]
    links = json.loads(await linkem("show", network["name"], "--json"))["links"]
    before = next(
        link["impairment"]["delay_ms"] for link in links if (link["src"], link["dst"]) == (SOURCE, DESTINATION)
    )
    words = ["exec", network["name"], SOURCE, "--", "ping", "-D", "-n", "-i", "0.1", "-c", str(count), DESTINATION]
    broker = urlsplit(url)
    async with aiomqtt.Client(broker.hostname or "127.0.0.1", broker.port or 1883) as client:
        await client.subscribe(f"{topics}/reply/example", qos=1)
        ping = await asyncio.create_subprocess_exec(LINKEM, *words, stdout=subprocess.PIPE)
        assert ping.stdout is not None
        answers, command = [], ""
        async for line in ping.stdout:
            if found := _ANSWER.search(line.decode()):
                answers.append(Answer(float(found["at"]), float(found["ms"])))
            if len(answers) >= count // 3 and not command:
                message = json.dumps({"id": "example", "delay_ms": delay_ms})
                command = await publish(url, f"{topics}/link/lan/{SOURCE}/{DESTINATION}/set", message)
        await ping.wait()
        reply = json.loads(bytes((await anext(aiter(client.messages))).payload))
    if not reply["ok"]:
        raise RuntimeError(reply["error"]["message"])
    return Live(answers, {"before": before, "after": delay_ms}, reply, command)


def table_of(live: Live) -> Table:
    """Asked and measured, before and after."""
    table = Table("when", "asked, one way", "round trip, median", "of", title=live.command, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for when, times in (("before", live.before), ("after", live.after)):
        table.add_row(when, f"{live.asked[when]:g} ms", f"{statistics.median(times):.2f} ms", f"{len(times)} answers")
    table.add_row("change", f"{live.asked['after'] - live.asked['before']:+g} ms", f"{difference_ms(live):+.2f} ms", "")
    return table


def difference_ms(live: Live) -> float:
    """By how much the median round trip has grown."""
    return statistics.median(live.after) - statistics.median(live.before)


async def run(*, delay_ms: float, count: int) -> Live:
    """Start a network, measure, and take it away."""
    name = f"live-control-{os.getpid()}"
    started = await linkem("up", "regions", "--name", name, "--detach", "--mqtt", "embedded", "--quiet", "--json")
    try:
        return await asyncio.wait_for(measure(json.loads(started), delay_ms=delay_ms, count=count), 60 + count)
    finally:
        await linkem("down", name, "--quiet")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=90, help="the link's new delay, one way, in ms (90)")
    parser.add_argument("--count", type=int, default=45, help="how many times to ping (45)")
    options = parser.parse_args()
    live = asyncio.run(run(delay_ms=options.delay, count=options.count))
    Console(soft_wrap=True).print(table_of(live))
    return 0


if __name__ == "__main__":
    sys.exit(main())
