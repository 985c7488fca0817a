"""A few thousand messages that mean no good."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from typing import Any

from linkem_py.control.mqtt import MqttControl
from tests.control.mqtt.brokers import Mosquitto
from tests.control.mqtt.clients import Client
from tests.dry import DryNetwork

MESSAGES = 3000


def random_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(9 if depth < 20 else 6)
    if kind < 6:
        huge = "9" * chance.randrange(1, 400)
        choices = [None, True, chance.uniform(-1e9, 1e9), float("nan"), int(huge), chance.randbytes(20).hex()]
        return choices[kind]
    if kind == 6:
        return [random_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    names = ["id", "changes", "groups", "set", "src", "dst", "clear", "delay", "loss_pct ", "\ud800", "x" * 200]
    return {chance.choice(names): random_value(chance, depth + 1) for _ in range(chance.randrange(5))}


def random_payload(chance: random.Random) -> bytes:
    """Bytes, JSON of any shape, and commands with something wrong in them; none of them right."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(300))
    if kind == 1:
        return b"[" * chance.randrange(1, 5000)
    if kind == 2 and chance.random() < 0.4:
        return b'{"delay_ms": 1, "pad": "' + b"x" * chance.randrange(60_000, 90_000) + b'"}'
    if kind == 3:
        good = json.dumps({"id": "x", "delay_ms": 5}).encode()
        return good[: chance.randrange(len(good))]
    if kind == 4:
        field = chance.choice(["delay_ms", "loss_pct", "rate_kbit", "duplicate_pct", "jitter_ms", "reorder_gap"])
        wrong = chance.choice([-1, 1e300, "x", [], {}, True, float("inf")])
        return json.dumps({"id": str(chance.randrange(100)), field: wrong, "nonsense": None}).encode()
    if kind == 5:
        change = {"src": "a", "dst": "b", "set": {"delay_ms": 7}}
        bad = chance.choice([change, {"src": "a", "dst": "zz", "set": {"delay_ms": 1}}, {"src": "a"}, None, 5])
        return json.dumps({"changes": [change, bad]}).encode()
    return json.dumps({"not a field": random_value(chance)}).encode()


async def test_random_payloads_change_nothing_and_are_not_kept(broker: Mosquitto, net: DryNetwork) -> None:
    chance = random.Random(20)
    topics = [f"linkem/demo/{name}" for name in ("set", "partition", "link/lan/a/b/set", "link/lan/b/zz/set")]
    before, sent = net.topology.copy(), 0
    async with MqttControl(net, broker.url) as control, Client(broker.port, topics="linkem/demo/reply/+") as client:
        tracemalloc.start()
        try:
            for number in range(MESSAGES):
                payload = random_payload(chance)
                sent += len(payload)
                await client.publish(chance.choice(topics), payload, qos=0 if number % 10 else 1)
            assert (await client.ask("linkem/demo/heal", {}))["ok"]
            del payload
            client.forget()
            gc.collect()
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert control.connected
        assert control._session is not None
        assert control._session.connections == 1
        # Nothing of what came may stay. Replies and reports are a few hundred bytes each, and what is
        # remembered of them is bounded; the payloads were some 12 MB.
        assert sent > 8 << 20
        assert kept < sent / 10
        # Both ends of the connection are in this process: what the sender has not sent yet counts too.
        assert peak < sent
        assert (await client.ask("linkem/demo/link/lan/a/b/set", {"delay_ms": 6}))["ok"]
    assert [change.what for change in net.journal] in (["update"], ["heal", "update"])
    after = net.topology
    assert {key: link.impairment for key, link in after.links.items() if key != ("a", "b", "lan")} == {
        key: link.impairment for key, link in before.links.items() if key != ("a", "b", "lan")
    }
    assert after.links["a", "b", "lan"].impairment == before.links["a", "b", "lan"].impairment.evolve(delay_ms=6)
