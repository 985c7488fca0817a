"""MQTT topics of a network: ``linkem/<network>/...``.

| topic | direction |
|---|---|
| ``status``, ``topology``, ``event`` | out |
| ``link/<segment>/<src>/<dst>``, ``stats/<segment>/<src>/<dst>`` | out |
| ``reply/<id>`` | out |
| ``set``, ``schedule``, ``switch``, ``carrier``, ``readdress``, ``partition``, ``heal`` | in |
| ``link/<segment>/<src>/<dst>/set``, ``.../schedule``, ``.../switch`` | in |
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal, NamedTuple, TypeAlias

import attrs

from linkem_py.control.wire.limits import brief
from linkem_py.errors import RequestError
from linkem_py.model import LinkKey

PREFIX = "linkem"
MOST_NAME = 63
MOST_PREFIX = 200

Kind: TypeAlias = Literal[
    "status",
    "topology",
    "event",
    "set",
    "schedule",
    "switch",
    "carrier",
    "readdress",
    "partition",
    "heal",
    "link",
    "link_set",
    "link_schedule",
    "link_switch",
    "stats",
    "reply",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_PREFIX = re.compile(r"[^/+#$\x00-\x1f\x7f-\x9f\ud800-\udfff][^/+#\x00-\x1f\x7f-\x9f\ud800-\udfff]*")
_PLAIN: dict[str, Kind] = {
    "status": "status",
    "topology": "topology",
    "event": "event",
    "set": "set",
    "schedule": "schedule",
    "switch": "switch",
    "carrier": "carrier",
    "readdress": "readdress",
    "partition": "partition",
    "heal": "heal",
}


_OF_LINK: dict[str, Kind] = {"set": "link_set", "schedule": "link_schedule", "switch": "link_switch"}


class Heard(NamedTuple):
    """What a topic is: its kind, with the link if it is one of a link, and the id of ``reply``."""

    kind: Kind
    link: LinkKey | None = None
    id: str | None = None


def check_network_name(name: Any) -> str:
    """`name` if a network can have it: letters, digits, ``-``, ``_`` and ``.``, at most 63.

    It is a level of a topic, and part of the names of files and namespaces. Raises `RequestError`.
    """
    if not isinstance(name, str):
        raise RequestError("name", "must be a string", brief(name))
    if not name or len(name) > MOST_NAME:
        raise RequestError("name", f"must have 1 to {MOST_NAME} characters", brief(name))
    if not _NAME.fullmatch(name):
        rule = "must be letters, digits, '-', '_' and '.', beginning with a letter or digit"
        raise RequestError("name", rule, brief(name))
    return name


def network_name_of(text: str) -> str:
    """A name that a network can have, made from any text, such as a topology's name."""
    plain = unicodedata.normalize("NFKD", text[: 4 * MOST_NAME]).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", plain).lstrip("-_.")[:MOST_NAME].rstrip("-_.")
    return name or "network"


def check_prefix(prefix: Any) -> str:
    """`prefix` if topics can begin with it: levels with ``/`` between them. Raises `RequestError`."""
    if not isinstance(prefix, str) or not prefix or len(prefix) > MOST_PREFIX:
        raise RequestError("prefix", f"must be text of 1 to {MOST_PREFIX} characters", brief(prefix))
    if not all(_PREFIX.fullmatch(level) for level in prefix.split("/")):
        rule = "must be levels with '/' between them, none empty, none with '+', '#', controls or a leading '$'"
        raise RequestError("prefix", rule, brief(prefix))
    return prefix


def _prefix_is_legal(_instance: Any, _attribute: attrs.Attribute[Any], value: Any) -> None:
    check_prefix(value)


def _name_is_legal(_instance: Any, _attribute: attrs.Attribute[Any], value: Any) -> None:
    check_network_name(value)


@attrs.frozen
class Topics:
    """The topics of one network. Raises `RequestError` for a prefix or a name that topics cannot have."""

    prefix: str = attrs.field(validator=_prefix_is_legal)
    network: str = attrs.field(validator=_name_is_legal)
    _base: str = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_base", f"{self.prefix}/{self.network}/")

    @property
    def status(self) -> str:
        """``online`` or ``offline``, retained."""
        return f"{self._base}status"

    @property
    def topology(self) -> str:
        """Peers, addresses, segments, links, retained."""
        return f"{self._base}topology"

    @property
    def event(self) -> str:
        """What happens."""
        return f"{self._base}event"

    @property
    def set(self) -> str:
        """Changes of several links at once."""
        return f"{self._base}set"

    @property
    def schedule(self) -> str:
        """Schedules of several links at once."""
        return f"{self._base}schedule"

    @property
    def switch(self) -> str:
        """A link that goes down, or up again."""
        return f"{self._base}switch"

    @property
    def carrier(self) -> str:
        """The carrier of a peer's interface that goes, or comes back."""
        return f"{self._base}carrier"

    @property
    def readdress(self) -> str:
        """Other addresses for a peer."""
        return f"{self._base}readdress"

    @property
    def partition(self) -> str:
        """Groups of peers to cut from each other."""
        return f"{self._base}partition"

    @property
    def heal(self) -> str:
        """The end of the partition."""
        return f"{self._base}heal"

    @property
    def everything(self) -> str:
        """A filter: every topic of this network."""
        return f"{self._base}#"

    def link(self, key: LinkKey) -> str:
        """A link's state, retained."""
        return f"{self._base}link/{key[2]}/{key[0]}/{key[1]}"

    def link_set(self, key: LinkKey) -> str:
        """Changes of one link."""
        return f"{self._base}link/{key[2]}/{key[0]}/{key[1]}/set"

    def link_schedule(self, key: LinkKey) -> str:
        """The schedule of one link."""
        return f"{self.link(key)}/schedule"

    def link_switch(self, key: LinkKey) -> str:
        """One link that goes down, or up again."""
        return f"{self.link(key)}/switch"

    def stats(self, key: LinkKey) -> str:
        """A link's counters."""
        return f"{self._base}stats/{key[2]}/{key[0]}/{key[1]}"

    def reply(self, id: str) -> str:  # noqa: A002 - as the field is named
        """The reply to the command with this id."""
        return f"{self._base}reply/{id}"

    def subscriptions(self) -> tuple[str, ...]:
        """Filters for what comes in."""
        links = tuple(f"{self._base}link/+/+/+/{name}" for name in _OF_LINK)
        return (*links, self.set, self.schedule, self.switch, self.carrier, self.readdress, self.partition, self.heal)

    def parse(self, topic: str) -> Heard | None:
        """What a topic is; None if it is none of this network's."""
        if not topic.startswith(self._base):
            return None
        levels = topic[len(self._base) :].split("/", 5)
        kind, count = levels[0], len(levels)
        if kind == "link" and count == 5 and levels[4] in _OF_LINK:
            return Heard(_OF_LINK[levels[4]], (levels[2], levels[3], levels[1]))
        if kind == "link" and count == 4:
            return Heard("link", (levels[2], levels[3], levels[1]))
        if kind == "stats" and count == 4:
            return Heard("stats", (levels[2], levels[3], levels[1]))
        if kind == "reply" and count == 2:
            return Heard("reply", id=levels[1])
        return Heard(_PLAIN[kind]) if kind in _PLAIN and count == 1 else None
