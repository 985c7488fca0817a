from __future__ import annotations

from typing import Any

from aiomqtt import ProtocolVersion
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet  # the library's own reading of a packet, to compare with
from paho.mqtt.enums import MQTTProtocolVersion

from linkem_py.control.mqtt.connection import V5, V311, plain_publish

versions = st.sampled_from([V5, V311])


def publish(version: ProtocolVersion, topic: bytes, payload: bytes, qos: int, flags: int, properties: bytes) -> Any:
    number = b"\x12\x34" if qos else b""
    extra = bytes([len(properties)]) + properties if version is V5 else b""
    packet = bytearray(len(topic).to_bytes(2, "big") + topic + number + extra + payload)
    return {"command": 0x30 | qos << 1 | flags, "packet": packet}


@given(
    versions, st.text(min_size=1, max_size=40), st.binary(max_size=80), st.integers(0, 1), st.sampled_from([0, 1, 8, 9])
)
def test_a_message_is_read_as_the_library_reads_it(
    version: ProtocolVersion, topic: str, payload: bytes, qos: int, flags: int
) -> None:
    packet = publish(version, topic.encode(), payload, qos, flags, b"")
    message = plain_publish(packet, version)
    theirs = _packet.decode_publish(packet["command"], packet["packet"], MQTTProtocolVersion(int(version)))
    assert message is not None
    assert (message.topic, message.payload, message.qos) == (topic, payload, qos)
    assert (theirs.topic, bytes(theirs.payload), theirs.qos) == (topic.encode(), payload, qos)
    assert (message.mid, message.retain, message.dup) == (theirs.mid, theirs.retain, theirs.dup)
    assert message.properties is None


def test_a_message_with_properties_or_qos_2_is_left_to_the_library() -> None:
    assert plain_publish(publish(V5, b"t", b"x", 1, 0, b"\x01\x01"), V5) is None
    assert plain_publish(publish(V311, b"t", b"x", 2, 0, b""), V311) is None


@given(versions, st.integers(0x30, 0x3F), st.binary(max_size=12))
def test_whatever_the_packet_holds_raises_nothing(version: ProtocolVersion, command: int, data: bytes) -> None:
    plain_publish({"command": command, "packet": bytearray(data)}, version)
