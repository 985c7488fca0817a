"""How a name finds what it names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from linkem_py.errors import TopologyError

T = TypeVar("T")


def find(kind: str, name: Any, table: Mapping[str, T], aliases: Mapping[str, str] | None = None) -> T:
    """The entry of that name: ``-`` equals ``_``, upper case equals lower, and an alias its entry.

    Raises `TopologyError` (its field is `kind`) with the nearest name there is.
    """
    aliases = aliases or {}
    if isinstance(name, str):
        plain = name.strip().lower().replace("-", "_")
        plain = aliases.get(plain, plain)
        if plain in table:
            return table[plain]
        for close in difflib.get_close_matches(plain, [*table, *aliases], 1, 0.5):
            raise TopologyError(kind, f"is unknown (did you mean {close}?)", name)
    raise TopologyError(kind, f"must be one of {', '.join(table)}", name)
