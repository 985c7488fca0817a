from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Optional

import pytest

from linkem_py.cli.errors import UsageError
from linkem_py.cli.parameters import parse_parameters


def annotated(
    count: int = 1,
    share: float = 0.5,
    on: bool = False,
    name: str = "x",
    rate: float | None = None,
    old: Optional[int] = None,  # noqa: UP045 - people write it
    mode: Literal["open", "blocked"] = "open",
    level: Literal[1, 2] = 1,
    size: int | str = 1,
) -> None: ...


def defaulted(count=1, share=0.5, on=False, name="x", thing=None): ...  # type: ignore[no-untyped-def]


def odd(count: "NoSuchThing" = 3) -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037


@pytest.mark.parametrize(
    ("function", "setting", "value"),
    [
        (annotated, "count=20", 20),
        (annotated, "share=3", 3.0),
        (annotated, "share=1e-3", 0.001),
        (annotated, "on=1", True),
        (annotated, "on=No", False),
        (annotated, "name=7", "7"),
        (annotated, "name=", ""),
        (annotated, "name=a=b", "a=b"),
        (annotated, "rate=none", None),
        (annotated, "rate=5", 5.0),
        (annotated, "old=5", 5),
        (annotated, "mode=blocked", "blocked"),
        (annotated, "level=2", 2),
        (annotated, "size=3", 3),
        (annotated, "size=big", "big"),
        (defaulted, "count=2", 2),
        (defaulted, "share=2", 2.0),
        (defaulted, "on=true", True),
        (defaulted, "name=2", "2"),
        (defaulted, "thing=2", 2),
        (defaulted, "thing=2.5", 2.5),
        (defaulted, "thing=yes", True),
        (defaulted, "thing=text", "text"),
        (odd, "count=4", 4),
    ],
)
def test_a_value_is_read_as_its_parameter_says(function: Callable[..., Any], setting: str, value: Any) -> None:
    (found,) = parse_parameters("t", function, [setting]).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("count=2.5", "--set count=2.5: must be a whole number"),
        ("share=big", "--set share=big: must be a number"),
        ("on=maybe", "--set on=maybe: must be true or false"),
        ("rate=big", "--set rate=big: must be none or a number"),
        ("mode=closed", "--set mode=closed: must be open or blocked"),
        ("count", "--set count: must be name=value"),
        ("=3", "--set =3: must be name=value"),
        ("size_=3", "t has no parameter 'size_'; it has count=1, share=0.5, on=False, name=x, rate=None"),
    ],
)
def test_an_unreadable_value_is_named(setting: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_parameters("t", annotated, [setting])
    assert str(caught.value).startswith(said)


def test_a_function_may_take_anything() -> None:
    def open_ended(**anything: Any) -> None: ...

    assert parse_parameters("t", open_ended, ["a=1", "b=x"]) == {"a": 1, "b": "x"}


def test_what_is_needed_must_be_given() -> None:
    def needs(peers: int) -> None: ...

    with pytest.raises(UsageError, match="t needs the parameter 'peers': --set peers="):
        parse_parameters("t", needs, [])
    with pytest.raises(UsageError, match="t has no parameter 'x'; it has none"):
        parse_parameters("t", lambda: None, ["x=1"])
