"""The fixtures for pytest-asyncio: a set for every scope that an event loop can have."""

from __future__ import annotations

import functools
from typing import Any

import pytest_asyncio

from linkem_py.testing import loops

_SCOPES = ("function", "class", "module", "package", "session")


def fixtures() -> dict[str, Any]:
    """All of them by name."""
    return {
        name: fixture
        for scope in _SCOPES
        for name, fixture in loops.asynchronous(
            f"{loops.ASYNCIO}_{scope}", functools.partial(pytest_asyncio.fixture, loop_scope=scope)
        ).items()
    }
