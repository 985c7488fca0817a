"""How far a measurement is: on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def shown_progress(*, off: bool = False) -> Iterator[Callable[[str, float], None]]:
    """A function to be told a stage's name and how much of it is done (0 to 1); nothing is left on the terminal."""
    if off or not sys.stderr.isatty():
        yield lambda _stage, _share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=1.0)

        def tell(stage: str, share: float) -> None:
            progress.update(task, description=stage, completed=share)

        yield tell
