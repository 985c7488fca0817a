"""From a message to a command, or to the reason why it is none."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from paho.mqtt.client import MQTTMessage

from linkem_py.control.wire import json
from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.replies import Problem
from linkem_py.control.wire.topics import Heard, Topics
from linkem_py.errors import LinkemError

_log = logging.getLogger("linkem_py.mqtt")

# Half of what a station lets wait, and less: so it is the broker that holds what is too much, not we.
MOST_COMMANDS = 5_000
MOST_BYTES = 4 << 20

_LONGEST_TOPIC = 1024
_COMMANDS = frozenset({"link_set", "link_schedule", "link_switch", *json.COMMAND_NAMES})  # kinds of topics


class Refusal(NamedTuple):
    """A message that is no command, with its id if one could be made out."""

    id: str | None
    error: Problem


def understand(topics: Topics, topic: str, payload: bytes) -> Command | Refusal | None:
    """The command in a message; None for a topic that is none of ours. Raises nothing, whatever comes."""
    heard = topics.parse(topic)
    if heard is None or heard.kind not in _COMMANDS:
        return None
    named: str | None = None
    try:
        ends = heard.kind == "link_schedule" and payload.strip() == b"null"
        data: dict[str, Any] = {"schedule": None} if ends else json.parse(payload)
        named = json.command_id(data)
        return _command(heard, data)
    except LinkemError as error:
        return Refusal(named, json.problem_of(error))
    except Exception as error:
        # A message that raises would come again with the next connection, and again.
        _log.exception("a message on %s could not be read", topic)
        return Refusal(named, json.problem_of(error))


def _command(heard: Heard, data: dict[str, Any]) -> Command:
    if heard.kind == "link_set" and heard.link is not None:
        return json.update_of_link(heard.link, data)
    if heard.kind == "link_schedule" and heard.link is not None:
        return json.schedule_of_link(heard.link, data)
    if heard.kind == "link_switch" and heard.link is not None:
        return json.switch_of_link(heard.link, data)
    return json.named_command(heard.kind, data)


class Answer(NamedTuple):
    """Where MQTT 5 wants the answer to a message, besides ``reply/<id>``."""

    topic: str
    correlation: bytes | None


def answer_to(message: MQTTMessage) -> Answer | None:
    """The response topic of a message, with its correlation data; None if it has no proper one."""
    properties = message.properties
    topic = getattr(properties, "ResponseTopic", None)
    if not isinstance(topic, str) or not 0 < len(topic) <= _LONGEST_TOPIC:
        return None
    if topic.startswith("$") or any(character in topic for character in "+#\0"):
        return None
    correlation = getattr(properties, "CorrelationData", None)
    return Answer(topic, bytes(correlation) if correlation is not None else None)


class Backlog:
    """Commands that came and were not answered yet.

    As long as they are few, the broker may forget each at once. Beyond that it keeps what it has given
    us with QoS 1, and with that stops giving, until enough is answered: the flood waits there, not here.

    Parameters
    ----------
    acknowledge : tells the broker that it may forget a message
    most_commands, most_bytes : what "few" is
    """

    def __init__(
        self,
        acknowledge: Callable[[MQTTMessage], None],
        *,
        most_commands: int = MOST_COMMANDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.commands = 0
        self.bytes = 0
        self._most_commands, self._most_bytes = most_commands, most_bytes
        self._acknowledge = acknowledge
        self._held: deque[MQTTMessage] = deque()

    def __len__(self) -> int:
        return self.commands

    def __repr__(self) -> str:
        return f"<Backlog: {self.commands} commands of {self.bytes} bytes, {len(self._held)} not acknowledged>"

    @property
    def held(self) -> int:
        """How many the broker has yet to keep."""
        return len(self._held)

    def passed(self, message: MQTTMessage) -> None:
        """It came, and nothing is left to do about it."""
        self._held.append(message)
        self._release()

    def entered(self, message: MQTTMessage) -> None:
        """It came, and waits for its reply."""
        self.commands += 1
        self.bytes += len(message.payload)
        self.passed(message)

    def left(self, message: MQTTMessage) -> None:
        """It has its reply."""
        self.commands -= 1
        self.bytes -= len(message.payload)
        self._release()

    def disconnected(self) -> None:
        """What was not acknowledged comes again by itself."""
        self._held.clear()

    def _release(self) -> None:
        # In the order in which they came (MQTT 5, 4.6).
        while self._held and self.commands <= self._most_commands and self.bytes <= self._most_bytes:
            self._acknowledge(self._held.popleft())
