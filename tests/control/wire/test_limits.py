from __future__ import annotations

import json
import math
import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linkem_py.control.wire.limits import MOST_BYTES, MOST_DEPTH, brief, dump, parse
from linkem_py.errors import RequestError
from tests.control.wire.strategies import json_values


def rule_of(payload: bytes | str, **limits: int) -> tuple[str, Any]:
    with pytest.raises(RequestError) as caught:
        parse(payload, **limits)
    assert caught.value.field == "payload"
    dump(caught.value.value)
    return caught.value.rule, caught.value.value


def nested(depth: int) -> str:
    """An object so deep, with brackets in strings and escapes that do not count."""
    inner = '"]]][[[{{{"' + ',"\\"[\\\\"'
    for _ in range(depth - 1):
        inner = f"[{inner}, []]" if depth == 2 else f"[{inner}]"
    return f'{{"a":{inner if depth > 1 else 1}}}'


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"", "must be a JSON object, not empty"),
        (" \r\n\t", "must be a JSON object, not empty"),
        (b"\xff{}", "must be UTF-8 (byte 0 is not)"),
        (b'{"a":"\xed\xa0\x80"}', "must be UTF-8 (byte 6 is not)"),
        ('{"a":"\ud800"}', "must be UTF-8 (character 6 cannot be)"),
        ("\ufeff{}", "must not begin with a byte order mark"),
        ("{", "must be JSON (Expecting property name enclosed in double quotes: character 1)"),
        ("{}{}", "must be JSON (Extra data: character 2)"),
        ('{"a":"\0"}', "must be JSON (Invalid control character: character 6)"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("12", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ('{"a":NaN}', "must be JSON, which has neither NaN nor infinity"),
        ('{"a":[-Infinity]}', "must be JSON, which has neither NaN nor infinity"),
        ('{"a":1e999}', "must not hold a number beyond 1.8e308"),
        ('{"a":' + "9" * 33 + "}", "must not hold a whole number of more than 32 digits"),
        ('{"a":-' + "9" * 60_000 + "}", "must not hold a whole number of more than 32 digits"),
        ('{"a":1,"b":2,"a":1}', "must not name anything twice"),
        ('{"x":[{"a":1,"a":2}]}', "must not name anything twice"),
        ('{"a":"\\ud800"}', "must not hold half of a surrogate pair"),
        ('{"\\udc00":1}', "must not hold half of a surrogate pair"),
        ('{"a":' + "[" * 16 + "]" * 16 + "}", f"must not be nested deeper than {MOST_DEPTH}"),
        ("[" * 65_536, f"must not be nested deeper than {MOST_DEPTH}"),
        ('{"a":' * 10_000, f"must not be nested deeper than {MOST_DEPTH}"),
        ('{"b":"' + '\\"' * 30_000, "must be JSON (Unterminated string starting: character 5)"),
        ('{"a":' + '"[", ' * 10_000, "must be JSON (Expecting property name enclosed in double quotes: character 10)"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_not_a_harmless_object_is_refused_by_its_rule(payload: bytes | str, rule: str) -> None:
    # Python's own words for what is wrong differ a little between versions.
    assert rule_of(payload)[0].partition(" (")[0] == rule.partition(" (")[0]


@pytest.mark.parametrize("payload", ["{}" + " " * 9, b"{}" + b" " * 9, '{"a":"éé"}'], ids=["text", "bytes", "wide"])
def test_what_is_too_large_is_refused_with_its_length_and_how_large_it_may_be(payload: str | bytes) -> None:
    size = len(payload.encode() if isinstance(payload, str) else payload)
    assert parse(payload, most_bytes=size) is not None
    assert rule_of(payload, most_bytes=size - 1) == (f"must be at most {size - 1} bytes", size)


def test_64_kib_is_the_most_unless_told_otherwise() -> None:
    fits = '{"a":"' + "x" * (MOST_BYTES - 8) + '"}'
    assert len(parse(fits)["a"]) == MOST_BYTES - 8
    assert rule_of(fits + " ") == ("must be at most 65536 bytes", 65537)


@pytest.mark.parametrize("depth", range(1, MOST_DEPTH + 4))
def test_only_what_is_outside_strings_nests(depth: int) -> None:
    if depth <= MOST_DEPTH:
        assert parse(nested(depth)) == json.loads(nested(depth))
    else:
        assert rule_of(nested(depth))[0] == f"must not be nested deeper than {MOST_DEPTH}"


@given(json_values)
@example([[{"id": []}]])
def test_depth_is_counted_as_a_reader_would_count_it(value: Any) -> None:
    def depth(value: Any) -> int:
        if isinstance(value, dict):
            value = list(value.values())
        return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

    for _ in range(MOST_DEPTH - 4):
        value = [value]
    payload = json.dumps({"a": value})
    if depth({"a": value}) > MOST_DEPTH:
        assert rule_of(payload)[0] == f"must not be nested deeper than {MOST_DEPTH}"
    else:
        assert parse(payload) == {"a": value}


# --- whatever comes -----------------------------------------------------------------------------


@given(st.binary(max_size=200) | st.text(string.printable + '{}[]":,\\' * 5 + "\ud800é", max_size=200))
def test_no_bytes_do_anything_but_parse_or_be_refused(payload: bytes | str) -> None:
    try:
        assert isinstance(parse(payload), dict)
    except RequestError as error:
        dump(error.value)


@given(json_values)
def test_what_is_dumped_is_parsed_again(value: Any) -> None:
    payload = dump({"value": value})
    if "\\u" not in payload.decode():
        assert parse(payload) == {"value": value}
    assert json.loads(payload) == {"value": value}


def test_a_bytearray_is_a_payload_too() -> None:
    assert parse(bytearray(b'{"a":1}')) == {"a": 1}


# --- the other way ------------------------------------------------------------------------------


def test_what_is_dumped_is_compact_and_readable() -> None:
    assert dump({"a": [1, 2.5, "é", None, True]}) == '{"a":[1,2.5,"é",null,true]}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_never_dumped(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dump({"a": value})


def test_half_of_a_surrogate_pair_is_never_dumped() -> None:
    assert dump("\ud800") == b'"?"'


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (12, 12),
        (1.5, 1.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (10**32 - 1, 10**32 - 1),
        (10**10_000, "a number of 33220 bits"),
        ("a", "a"),
        ("x" * 201, "x" * 197 + "..."),
        ("\ud800", "\\ud800"),
        ([1, "a"], "[1, 'a']"),
        ({"a": "y" * 1000}, "{'a': '" + "y" * 190 + "..."),
        (Unspeakable(), "a Unspeakable"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_repeats_what_json_can_hold_and_not_much_of_it(value: Any, expected: Any) -> None:
    assert brief(value) == expected
    assert len(dump(brief(value))) < 250
