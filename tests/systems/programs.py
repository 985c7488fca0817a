"""Real systems: programs of Debian's that tests start in peers."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable

import pytest

PATIENCE_S = 60.0


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips, naming what is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


async def until(condition: Callable[[], Awaitable[bool]], *, every_s: float = 0.05) -> float:
    """Waits until a condition holds; the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - another program's state has no event
            await asyncio.sleep(every_s)
    return time.monotonic() - began
