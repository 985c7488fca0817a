"""From a scenario's text to the object in it."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from typing import Any, Literal, NoReturn

from linkem_py.control.wire.shape import as_object
from linkem_py.errors import TopologyError

ScenarioFormat = Literal["toml", "json"]

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class ScenarioSyntaxError(TopologyError):
    """A text is no TOML or no JSON.

    Attributes
    ----------
    line, column : where, counted from 1
    """

    def __init__(self, rule: str, *, line: int, column: int) -> None:
        super().__init__("scenario", rule)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.rule}"


def parse_scenario(text: str, format: ScenarioFormat) -> dict[str, Any]:  # noqa: A002 - the word that users know
    """The object in a text of that format. Raises `ScenarioSyntaxError`, and `RequestError` if it is no object."""
    return _toml(text) if format == "toml" else as_object(_json(text), "scenario")


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _PLACE.search(message)
        if found is None or found[1] is None:
            _fail_at_end(text, _PLACE.sub("", message))
        rule = message[: found.start()]
        raise ScenarioSyntaxError(rule, line=int(found[1]), column=int(found[2])) from None
    except RecursionError:
        _fail_at_end(text, "must not be nested so deeply")


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ScenarioSyntaxError(error.msg, line=error.lineno, column=error.colno) from None
    except _UnfitError as error:
        line, column = _place_of(text, error.needle)
        raise ScenarioSyntaxError(str(error), line=line, column=column) from None
    except (RecursionError, ValueError) as error:  # nested too deeply, a number of thousands of digits
        _fail_at_end(text, "must not be nested so deeply" if isinstance(error, RecursionError) else str(error))


class _UnfitError(ValueError):
    """What JSON readers let pass and people do not mean. `needle` is where to look for it."""

    def __init__(self, text: str, needle: str) -> None:
        super().__init__(text)
        self.needle = needle


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = Counter(name for name, _ in pairs)
    for name, count in names.items():
        if count > 1:
            raise _UnfitError(f"the name {name!r} must not come twice in one object", f'"{name}"')
    return dict(pairs)


def _no_number(name: str) -> NoReturn:
    raise _UnfitError(f"{name} is no number", name)


def _place_of(text: str, needle: str) -> tuple[int, int]:
    """Line and column of the last time that the needle is there: of two, the second."""
    at = max(0, text.rfind(needle))
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _fail_at_end(text: str, rule: str) -> NoReturn:
    last = text.rpartition("\n")[2]
    raise ScenarioSyntaxError(rule, line=text.count("\n") + 1, column=len(last) + 1)
