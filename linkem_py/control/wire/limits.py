"""From bytes to a JSON object that cannot do harm, and back.

Whoever can reach a surface can send it anything. What is read here is small, shallow, and means the
same to every reader: no NaN (RFC 8259, 6), no name twice (ibid., 4), no half of a surrogate pair (ibid., 8.2).
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from linkem_py.errors import RequestError

MOST_BYTES = 65_536
MOST_DEPTH = 16
MOST_DIGITS = 32  # of a whole number; what has a meaning fits 20
MOST_TEXT = 200  # characters of a value that an error repeats

_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_STRUCTURE = bytes(sorted(set(range(256)) - set(b'[]{}"\\')))
# A string, or an opening or closing bracket. Possessive, so that what never ends is read once.
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def parse(payload: bytes | bytearray | str, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The JSON object in a payload of at most `most_bytes` bytes of UTF-8.

    Raises `RequestError` about ``payload`` for anything else, and nothing but that.
    """
    if len(payload) > most_bytes:  # characters of text, but each takes at least a byte
        _refuse(f"must be at most {most_bytes} bytes", len(payload))
    data = _utf8(payload)
    if len(data) > most_bytes:
        _refuse(f"must be at most {most_bytes} bytes", len(data))
    if not data.strip(b" \t\r\n"):
        _refuse("must be a JSON object, not empty", brief(payload))
    if data.startswith(codecs.BOM_UTF8):
        _refuse("must not begin with a byte order mark", _excerpt(data))
    if _deeper_than(data, MOST_DEPTH):
        _refuse(f"must not be nested deeper than {MOST_DEPTH}", _excerpt(data))
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:  # the only way to write one
            _check_characters(value)
    except UnicodeDecodeError as error:
        _refuse(f"must be UTF-8 (byte {error.start} is not)", _excerpt(data))
    except json.JSONDecodeError as error:
        _refuse(f"must be JSON ({error.msg.removesuffix(' at')}: character {error.pos})", _excerpt(data))
    if not isinstance(value, dict):
        _refuse("must be a JSON object", brief(value))
    return value


def dump(value: Any) -> bytes:
    """Compact JSON in UTF-8. Raises ValueError for NaN and infinity, TypeError for what JSON cannot hold."""
    return _ENCODER.encode(value).encode("utf-8", "replace")


def brief(value: Any) -> Any:
    """`value` as an error may repeat it: something that JSON can hold, and not long."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, int):
        return int(value) if abs(value) < 10**MOST_DIGITS else f"a number of {value.bit_length()} bits"
    return cut(value if isinstance(value, str) else _repr(value))


def cut(text: str, most: int = MOST_TEXT) -> str:
    """The text, or its beginning; fit for printing and for JSON."""
    short = text if len(text) <= most else text[: most - 3] + "..."
    return short.encode("utf-8", "backslashreplace").decode()


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # an error's own text must not fail
        return f"a {type(value).__name__}"


def _utf8(payload: bytes | bytearray | str) -> bytes:
    if not isinstance(payload, str):
        return bytes(payload)
    try:
        return payload.encode()
    except UnicodeEncodeError as error:
        _refuse(f"must be UTF-8 (character {error.start} cannot be)", brief(payload))


def _deeper_than(data: bytes, most: int) -> bool:
    """Whether brackets outside strings nest deeper than `most`, in linear time and without recursion."""
    if data.count(b"{") + data.count(b"[") <= most:
        return False
    # Nearly always strings hold neither brackets nor escapes: then they leave pairs of quotes, and
    # every round takes the innermost level away, and no more.
    rest = data.translate(_SAME_BRACKETS, _ALL_BUT_STRUCTURE)
    if b"\\" not in rest:
        rest = rest.replace(b'""', b"")
        if b'"' not in rest:
            for _ in range(most):
                rest = rest.replace(b"[]", b"")
                if not rest:
                    return False
    return _count_depth(data, most)


def _count_depth(data: bytes, most: int) -> bool:
    depth = 0
    for match in _STRUCTURE.finditer(data):
        found = data[match.start()]
        if found in b"{[":
            depth += 1
            if depth > most:
                return True
        elif found in b"}]":
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        _refuse("must not name anything twice", cut(name))
    return found


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _refuse("must not hold a number beyond 1.8e308", cut(text))
    return value


def _int(text: str) -> int:
    if len(text) > MOST_DIGITS:
        _refuse(f"must not hold a whole number of more than {MOST_DIGITS} digits", cut(text, 40))
    return int(text)


def _constant(text: str) -> NoReturn:
    _refuse("must be JSON, which has neither NaN nor infinity", text)


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        _refuse("must not hold half of a surrogate pair", brief(value))


def _excerpt(data: bytes) -> str:
    return cut(data[: 4 * MOST_TEXT].decode("utf-8", "replace"))


def _refuse(rule: str, value: Any) -> NoReturn:
    raise RequestError("payload", rule, value) from None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant, strict=True
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)
