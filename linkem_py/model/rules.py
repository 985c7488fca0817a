"""Rules that one value must keep, as attrs validators; a broken one raises `TopologyError`."""

from __future__ import annotations

import math
import re
from numbers import Integral, Real
from typing import Any, SupportsFloat, SupportsIndex

import attrs

from linkem_py.errors import TopologyError

PEER_NAME_LENGTH = 63  # RFC 1035, 2.3.4: a label
SEGMENT_NAME_LENGTH = 9  # a port is named SEGMENT.NUMBER, an interface has at most 15 characters (IFNAMSIZ)
_PLAIN = frozenset({float, int, bool, type(None)})
_PEER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_SEGMENT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def plain(value: SupportsFloat | SupportsIndex | None) -> Any:
    """Other kinds of number, such as numpy's, as Python's own int or float; all else is left as it is."""
    if type(value) in _PLAIN or not isinstance(value, Real):
        return value
    try:
        return int(value) if isinstance(value, Integral) else float(value)
    except OverflowError:
        return value  # a fraction that no float holds: too large by any rule


@attrs.frozen(kw_only=True)
class Number:
    """A finite number from `least` to `most` and above `above`, optional (None passes)."""

    least: float = 0
    most: float
    above: float | None = None

    def __call__(self, _instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        """Check a field's value, as a validator."""
        if value is None or (type(value) is float and self.least <= value <= self.most and self.above is None):
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TopologyError(attribute.name, "must be a number", value)
        # A whole number is finite, and may be too large to be asked.
        if isinstance(value, float) and not math.isfinite(value):
            raise TopologyError(attribute.name, "must be a finite number", value)
        if self.above is not None and value <= self.above:
            raise TopologyError(attribute.name, f"must be above {self.above:g}", value)
        if not self.least <= value <= self.most:
            raise TopologyError(attribute.name, f"must be between {self.least:g} and {self.most:g}", value)


@attrs.frozen(kw_only=True)
class Whole:
    """A whole number from `least` to `most`, optional (None passes)."""

    least: int
    most: int

    def __call__(self, _instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        """Check a field's value, as a validator."""
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            raise TopologyError(attribute.name, "must be a whole number", value)
        if not self.least <= value <= self.most:
            raise TopologyError(attribute.name, f"must be between {self.least} and {self.most}", value)


def flag(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise TopologyError(attribute.name, "must be true or false", value)


percent = Number(least=0, most=100)


def check_peer_name(name: object) -> str:
    """`name` if it can be a host name: letters, digits, `-` and `_`, at most 63 of them.

    Raises `TopologyError` otherwise. (RFC 1035, 2.3.1 and 2.3.4, with the underscore that
    resolvers accept and generated names like to use.)
    """
    checked = _name("peer", name, PEER_NAME_LENGTH, _PEER_NAME, "letters, digits, '-' and '_'")
    if checked.lower() == "localhost":
        raise TopologyError("peer", "must not be named like the loopback", name)
    return checked


def check_segment_name(name: object) -> str:
    """`name` if a segment can have it: lower-case letters, digits and `-`, at most 9 of them.

    Raises `TopologyError` otherwise. It is part of the names of devices and of hosts (``studio.lte``).
    """
    return _name("segment", name, SEGMENT_NAME_LENGTH, _SEGMENT_NAME, "lower-case letters, digits and '-'")


def _name(field: str, name: object, most: int, pattern: re.Pattern[str], characters: str) -> str:
    if not isinstance(name, str):
        raise TopologyError(field, "must be named by a string", name)
    if not name:
        raise TopologyError(field, "must have a name", name)
    if len(name) > most:
        raise TopologyError(field, f"name must have at most {most} characters", name)
    if not pattern.fullmatch(name):
        raise TopologyError(field, f"name must be {characters}, beginning and ending with a letter or digit", name)
    return name
