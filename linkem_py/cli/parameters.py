"""``--set name=value``, by the signature of `topology()`. Pure."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from linkem_py.cli.errors import UsageError

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
# A value that could be several things is taken as the first of these that it can be.
_ORDER = (type(None), int, float, bool, str)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parse_parameters(name: str, function: Callable[..., Any], settings: Iterable[str]) -> dict[str, Any]:
    """Arguments for a topology's function. `name` is the topology's, for messages.

    A value is read as the parameter's annotation says, or else its default's type. Raises
    `UsageError` for what is not ``name=value``, unknown, unreadable, or needed and not given.
    """
    signature = _signature(function)
    known = {key: parameter for key, parameter in signature.items() if parameter.kind not in _VARIABLE}
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature.values())
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting}: must be name=value")
        if key not in known and not open_ended:
            raise UsageError(f"{name} has no parameter {key!r}; {_what_it_has(known)}")
        given[key] = _parse(key, text, known.get(key))
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in given:
            raise UsageError(f"{name} needs the parameter {key!r}: --set {key}=...")
    return given


def _signature(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function, eval_str=True).parameters
    except Exception:  # an annotation may be text that means nothing at run time
        return inspect.signature(function).parameters


def _what_it_has(known: Mapping[str, inspect.Parameter]) -> str:
    described = [
        key if parameter.default is parameter.empty else f"{key}={parameter.default}"
        for key, parameter in known.items()
    ]
    return f"it has {', '.join(described)}" if described else "it has none"


def _parse(key: str, text: str, parameter: inspect.Parameter | None) -> Any:
    choices, kinds = _allowed(parameter)
    for choice in choices:
        if text == str(choice):
            return choice
    for kind in kinds:
        try:
            return _read(kind, text)
        except ValueError:
            continue
    allowed = [str(choice) for choice in choices] + [_KINDS[kind] for kind in kinds]
    raise UsageError(f"--set {key}={text}: must be {' or '.join(allowed)}")


def _allowed(parameter: inspect.Parameter | None) -> tuple[list[Any], list[type]]:
    """The values and the types that a parameter takes."""
    if parameter is None:
        return [], [kind for kind in _ORDER if kind is not type(None)]
    annotation = parameter.annotation
    if annotation is parameter.empty or isinstance(annotation, str):
        default = parameter.default
        annotation = Any if default is parameter.empty or default is None else type(default)
    choices: list[Any] = []
    kinds: list[type] = []
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            choices += get_args(part)
        elif part in _KINDS:
            kinds.append(part)
    if not choices and not kinds:
        kinds = list(_ORDER)
    return choices, sorted(kinds, key=_ORDER.index)


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _read(kind: type, text: str) -> Any:
    """The text as that type. Raises ValueError."""
    word = text.strip().lower()
    if kind is type(None):
        if word in ("none", ""):
            return None
        raise ValueError(text)
    if kind is bool:
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise ValueError(text)
    return kind(text)
