from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from linkem_py.control.mqtt.inbound import Answer, Backlog, Refusal, answer_to, understand
from linkem_py.control.wire.commands import Heal, LinkUpdate, Partition, Update
from linkem_py.control.wire.topics import Topics

TOPICS = Topics("linkem", "demo")
LINK = ("a", "b", "lan")
IN = (TOPICS.set, TOPICS.partition, TOPICS.heal, TOPICS.link_set(LINK))


def message(number: int = 0, payload: bytes = b"", **properties: Any) -> MQTTMessage:
    made = MQTTMessage(number, b"t")
    made.payload, made.qos = payload, 1
    made.properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for name, value in properties.items():
        setattr(made.properties, name, value)
    return made


@pytest.mark.parametrize(
    ("topic", "data", "command"),
    [
        (
            TOPICS.link_set(LINK),
            {"id": "1", "delay_ms": 80},
            Update(id="1", changes=(LinkUpdate(LINK, {"delay_ms": 80}),)),
        ),
        (TOPICS.link_set(LINK), {"clear": True}, Update(changes=(LinkUpdate(LINK, {}, clear=True),))),
        (
            TOPICS.set,
            {"id": 7, "changes": [{"src": "a", "dst": "b", "set": {"loss_pct": None}}]},
            Update(id="7", changes=(LinkUpdate(LINK, {"loss_pct": None}),)),
        ),
        (
            TOPICS.partition,
            {"groups": [["a"], ["b", "c"]]},
            Partition(groups=(frozenset("a"), frozenset("bc"))),
        ),
        (TOPICS.heal, {"id": "x"}, Heal(id="x")),
    ],
)
def test_what_is_right_is_a_command(topic: str, data: dict[str, Any], command: object) -> None:
    assert understand(TOPICS, topic, json.dumps(data).encode()) == command


@pytest.mark.parametrize("topic", ["linkem/other/set", "linkem/demo/status", "linkem/demo/link/lan/a/b", "x"])
def test_a_topic_that_takes_no_commands_is_none(topic: str) -> None:
    assert understand(TOPICS, topic, b"{}") is None


def test_a_broken_command_keeps_its_id() -> None:
    refusal = understand(TOPICS, TOPICS.set, b'{"id": "7", "changes": 5}')
    assert isinstance(refusal, Refusal)
    assert (refusal.id, refusal.error.field, refusal.error.value) == ("7", "changes", 5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "changes", "groups", "set", "src", "dst", "segment", "clear", "delay_ms", "loss"])
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(IN), st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_command_or_a_refusal(topic: str, payload: bytes) -> None:
    understood = understand(TOPICS, topic, payload)
    assert isinstance(understood, Update | Partition | Heal | Refusal)
    if isinstance(understood, Refusal):
        assert understood.error.kind != "InternalError"
        assert understood.error.message


@given(st.text(max_size=60), st.binary(max_size=30))
def test_whatever_topic_it_comes_on_raises_nothing(topic: str, payload: bytes) -> None:
    understand(TOPICS, topic, payload)
    understand(TOPICS, f"linkem/demo/{topic}", payload)


def test_answer_goes_to_the_response_topic() -> None:
    assert answer_to(message(ResponseTopic="my/answers", CorrelationData=b"\1")) == Answer("my/answers", b"\1")
    assert answer_to(message(ResponseTopic="my/answers")) == Answer("my/answers", None)
    assert answer_to(message()) is None


@pytest.mark.parametrize("topic", ["", "$SYS/x", "x\0y", "x" * 2000])
def test_a_response_topic_that_nobody_can_publish_to_is_passed_over(topic: str) -> None:
    assert answer_to(message(ResponseTopic=topic)) is None


def test_few_commands_are_acknowledged_at_once() -> None:
    acknowledged: list[int] = []
    backlog = Backlog(lambda passed: acknowledged.append(passed.mid), most_commands=3)
    messages = [message(number) for number in range(3)]
    for one in messages:
        backlog.entered(one)
    assert acknowledged == [0, 1, 2]


def test_a_flood_waits_at_the_broker_and_is_acknowledged_in_order() -> None:
    acknowledged: list[int] = []
    backlog = Backlog(lambda passed: acknowledged.append(passed.mid), most_commands=2)
    messages = [message(number) for number in range(5)]
    for one in messages:
        backlog.entered(one)
    backlog.passed(message(5))
    assert acknowledged == [0, 1]
    assert backlog.held == 4
    backlog.left(messages[0])
    backlog.left(messages[1])
    assert acknowledged == [0, 1]
    backlog.left(messages[2])
    # The rest is few, so nothing is held any more.
    assert acknowledged == [0, 1, 2, 3, 4, 5]
    assert len(backlog) == 2


def test_large_commands_are_many() -> None:
    acknowledged: list[int] = []
    backlog = Backlog(lambda passed: acknowledged.append(passed.mid), most_bytes=100)
    large = message(1, bytes(101))
    backlog.entered(large)
    assert acknowledged == []
    backlog.left(large)
    assert acknowledged == [1]


def test_what_another_connection_brought_is_not_acknowledged_on_this_one() -> None:
    acknowledged: list[int] = []
    backlog = Backlog(lambda passed: acknowledged.append(passed.mid), most_commands=0)
    old = message(1)
    backlog.entered(old)
    backlog.disconnected()
    backlog.left(old)
    assert acknowledged == []
