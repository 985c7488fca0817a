"""What people see: colour where it can be shown, notices, aligned columns."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

_FILE_WIDTH = 160

GREEN, YELLOW, RED, BOLD, DIM = "32", "33", "31", "1", "2"


def wants_colour(stream: IO[str], env: Mapping[str, str]) -> bool:
    """Whether to use colour: on a terminal that knows any, unless NO_COLOR (no-color.org) is set."""
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


class Paint:
    """Puts text in colour, or does not."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, *codes: str) -> str:
        """The text in these colours."""
        return f"\033[{';'.join(codes)}m{text}\033[0m" if self.on and codes and text else text

    def __repr__(self) -> str:
        return f"<Paint {'on' if self.on else 'off'}>"


Cell = str | tuple[str, str]  # text, or text and colour


def columns(rows: Sequence[Sequence[Cell]], paint: Paint, *, indent: int = 2, gap: int = 2) -> list[str]:
    """Lines with the cells of all rows aligned on the left."""
    widths: list[int] = []
    for row in rows:
        widths += [0] * (len(row) - len(widths))
        for number, cell in enumerate(row):
            widths[number] = max(widths[number], len(_text(cell)))
    lines = []
    for row in rows:
        line, pending = " " * indent, 0
        for number, cell in enumerate(row):
            text = _text(cell)
            if text:
                line += " " * pending + (paint(text, cell[1]) if isinstance(cell, tuple) else text)
                pending = 0
            pending += widths[number] - len(text) + gap
        lines.append(line.rstrip())
    return lines


def notice(text: str, *, quiet: bool = False) -> None:
    """One line on standard error."""
    if not quiet:
        print(f"linkem: {text}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """For programs: one JSON value on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)


def print_rich(value: RenderableType) -> None:
    """A table for standard output: as wide as the terminal; wide enough not to wrap in a file or a pipe."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    console.print(value)


def paint_stdout() -> Paint:
    """Colour for standard output."""
    return Paint(wants_colour(sys.stdout, os.environ))


def _text(cell: Cell) -> str:
    return cell[0] if isinstance(cell, tuple) else cell
