"""What a JSON value must be made of. What is not gets a `RequestError` that says where: ``changes[3].set``."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from typing import Any, NoReturn

from linkem_py.control.wire.limits import brief, cut
from linkem_py.errors import RequestError
from linkem_py.model.rules import PEER_NAME_LENGTH

# What an MQTT topic level can hold, without what brokers refuse: controls, and code points that
# are no characters (MQTT 5.0, 1.5.4). Written so that every dialect of regular expressions agrees.
ID_PATTERN = r"^[ !\x22$-*,-.0-~\u00a0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd]{1,128}$"
MOST_ID = 2**53 - 1  # whole numbers that every JSON reader can tell apart (RFC 8259, 6)

_ID = re.compile(ID_PATTERN)
_MISSING: Any = object()


def refuse(field: str, rule: str, value: Any = None, where: str = "") -> NoReturn:
    """Raise the `RequestError`, its value cut."""
    raise RequestError(field, rule, brief(value), where=where)


def check_names(data: dict[str, Any], known: Collection[str], path: str = "", where: str = "") -> None:
    """Every name in the object is one of the known ones."""
    for name, value in data.items():
        if name not in known:
            refuse(path + cut(name, 64), unknown(name, known), value, where)


def unknown(name: str, known: Collection[str]) -> str:
    """The rule that an unknown name breaks, with the name that may have been meant."""
    if not known:
        return "must not be given"
    near = difflib.get_close_matches(name[:64], known, n=1)
    return f"is unknown (did you mean {near[0]}?)" if near else f"is unknown; known are {', '.join(known)}"


def member(data: dict[str, Any], name: str, path: str = "") -> Any:
    """What the object has under that name."""
    value = data.get(name, _MISSING)
    if value is _MISSING:
        refuse(path + name, "must be given")
    return value


def as_object(value: Any, path: str) -> dict[str, Any]:
    """`value`, an object."""
    if not isinstance(value, dict):
        refuse(path, "must be an object", value)
    return value


def as_list(value: Any, path: str) -> list[Any]:
    """`value`, a list."""
    if not isinstance(value, list):
        refuse(path, "must be a list", value)
    return value


def as_text(value: Any, path: str) -> str:
    """`value`, a string."""
    if not isinstance(value, str):
        refuse(path, "must be a string", value)
    return value


def as_name(value: Any, path: str) -> str:
    """`value`, what a peer or a segment could be named."""
    if not isinstance(value, str):
        refuse(path, "must be a string", value)
    if not 0 < len(value) <= PEER_NAME_LENGTH:
        refuse(path, f"must have 1 to {PEER_NAME_LENGTH} characters", value)
    return value


def as_flag(value: Any, path: str) -> bool:
    """`value`, true or false."""
    if not isinstance(value, bool):
        refuse(path, "must be true or false", value)
    return value


def as_number(value: Any, path: str) -> float:
    """`value`, a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(path, "must be a number", value)
    if isinstance(value, float) and not math.isfinite(value):
        refuse(path, "must be a finite number", value)
    return value


def as_whole(value: Any, path: str, least: int | None = 0) -> int:
    """`value`, a whole number from `least` on (None: any). 5.0 is one: JSON does not tell it from 5."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(path, "must be a whole number", value)
    if least is not None and value < least:
        refuse(path, f"must be at least {least}", value)
    return value


def as_id(value: Any, path: str = "id") -> str | None:
    """The name of a command: a string that a topic can hold, or a whole number, as its decimal text; or None."""
    if isinstance(value, str):
        if _ID.fullmatch(value) is None:
            refuse(path, "must be 1 to 128 printable characters without '/', '+' and '#'", value)
        return value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        refuse(path, "must be a string or a whole number", value)
    if not -MOST_ID <= value <= MOST_ID:
        refuse(path, f"must be a whole number between {-MOST_ID} and {MOST_ID}, or a string", value)
    return str(int(value))
