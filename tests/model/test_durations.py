from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.errors import TopologyError
from linkem_py.model import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("90s", 90), (" 1.5 m ", 90), ("500ms", 0.5), ("1h", 3600), ("2d", 172800), ("1MIN", 60),
        (".5s", 0.5), ("2.", 2), (3, 3), (0.25, 0.25), (1e-5, 1e-5),
    ],
)  # fmt: skip
def test_a_duration_is_read_as_people_write_it(text: Any, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1",
        "0",
        "0s",
        "1 y",
        "1h30m",
        "1e3",
        "nan",
        None,
        True,
        0,
        -1,
        math.nan,
        math.inf,
        1e9,
        10**400,
        "1" * 400,
    ],
    ids=lambda text: str(text)[:10],
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(TopologyError) as caught:
        parse_duration(text, field="every")
    assert caught.value.field == "every"
    assert caught.value.rule == "must be a time above 0 such as 90, 90s, 500ms or 1h"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(90, "90 s"), (0.0015, "1.5 ms"), (3600, "1 h"), (5400, "5400 s"), (0, "0 s"), (1, "1 s"), (0.25, "250 ms")],
)
def test_a_duration_is_written_shortly(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(1, 10**6))
def test_what_is_written_is_read_again(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, rel=1e-5)
