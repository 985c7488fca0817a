"""The topologies that come with linkem_py. What they are is read from their text, without importing them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import attrs

# An installed package has them inside, a checkout beside.
_PACKAGE = Path(__file__).parent.parent
_PLACES = (_PACKAGE / "topologies", _PACKAGE.parent / "topologies")


@attrs.frozen
class Parameter:
    """A parameter of `topology()`: its name, annotation and default as written, empty where there is none."""

    name: str
    annotation: str = ""
    default: str = ""

    def __str__(self) -> str:
        return f"{self.name}={self.default}" if self.default else self.name


@attrs.frozen
class Shipped:
    """A topology that comes with linkem_py: its name, what it is in a line, its parameters."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return attrs.asdict(self)


def folder() -> Path | None:
    """Where the topologies are; None if there are none."""
    return next((place for place in _PLACES if any(place.glob("*.py"))), None)


def names() -> list[str]:
    """Names of the topologies, in alphabetical order."""
    return [topology.name for topology in find_shipped()]


def find_shipped(place: Path | None = None) -> list[Shipped]:
    """The topologies in a folder (that of linkem_py), in alphabetical order."""
    place = place or folder()
    if place is None:
        return []
    found = [describe(path) for path in sorted(place.glob("*.py")) if not path.name.startswith("_")]
    return [topology for topology in found if topology is not None]


def describe(path: Path) -> Shipped | None:
    """What a file defines; None if it has no `topology()`, or is not Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "topology":
            text = ast.get_docstring(tree) or ast.get_docstring(node) or ""
            return Shipped(path.stem, text.partition("\n")[0].strip(), tuple(_parameters(node.args)))
    return None


def _parameters(arguments: ast.arguments) -> list[Parameter]:
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults = [*missing, *arguments.defaults, *arguments.kw_defaults]
    return [
        Parameter(
            argument.arg,
            ast.unparse(argument.annotation) if argument.annotation else "",
            ast.unparse(default) if default else "",
        )
        for argument, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True)
    ]
