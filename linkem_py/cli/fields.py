"""``field=value`` as people write it, as the fields of an update. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from linkem_py.cli.errors import UsageError

_WORDS: dict[str, Any] = {"none": None, "null": None, "": None, "true": True, "yes": True, "on": True}
_WORDS |= {"false": False, "no": False, "off": False}
# Loss models: their numbers in this order, as tc-netem(8) has them; the first so many are needed.
_MODELS: dict[str, tuple[int, tuple[str, ...]]] = {
    "gilbert_elliott": (2, ("p_pct", "r_pct", "bad_loss_pct", "good_loss_pct")),
    "four_state": (1, ("p13_pct", "p31_pct", "p32_pct", "p23_pct", "p14_pct")),
}


def is_setting(word: str) -> bool:
    """Whether a word sets a field, rather than names something."""
    return "=" in word


def parse_fields(settings: Iterable[str]) -> dict[str, Any]:
    """Fields by name, their values as JSON has them. Which fields there are, the network knows.

    A value is a number, ``true``, ``false``, ``none`` (takes the setting away), a name, a loss model such as
    ``gilbert_elliott:2,25`` (percent), or JSON. Raises `UsageError` for what is not ``field=value``,
    and for a name that comes twice.
    """
    fields: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"{setting}: must be field=value, such as delay_ms=80")
        if name in fields:
            raise UsageError(f"{setting}: the field {name} is named twice")
        fields[name] = parse_value(setting, text)
    return fields


def parse_value(setting: str, text: str) -> Any:
    """One value, as JSON has it. `setting` is for messages. Raises `UsageError`."""
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text[0] in "[{":
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f"{setting}: is not JSON: {error}") from None
    model, colon, numbers = text.partition(":")
    if colon and model in _MODELS:
        return _model(setting, model, numbers)
    number = _number(text)
    return text if number is None else number


def _model(setting: str, model: str, text: str) -> dict[str, Any]:
    least, names = _MODELS[model]
    numbers = [_number(part.strip()) for part in text.split(",")]
    if not least <= len(numbers) <= len(names) or None in numbers:
        optional = "".join(f"[,{name}]" for name in names[least:])
        raise UsageError(f"{setting}: must be {model}:{','.join(names[:least])}{optional}, all in percent")
    return {"model": model, **dict(zip(names, numbers, strict=False))}


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            value: int | float = kind(text)
        except (ValueError, OverflowError):
            continue
        # What JSON cannot hold stays text, and is refused as such.
        return value if math.isfinite(value) else None
    return None
