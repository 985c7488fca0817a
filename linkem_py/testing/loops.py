"""In which event loop a test wants its networks, and the fixtures for each."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from linkem_py.runtime import BlockingNetwork, Network
    from linkem_py.testing.networks import Networks

BLOCKING, ANYIO, ASYNCIO = "blocking", "anyio", "asyncio"


def home_of(item: pytest.Item) -> str:
    """Which fixtures make the networks of a test: those that are called ``_linkem_<home>_...``.

    An asynchronous test has its networks in its own event loop, an ordinary one on a thread.
    """
    function = getattr(item, "obj", None)
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    if not inspect.iscoroutinefunction(function):
        return BLOCKING
    # Imported by whoever wants it, or not there at all.
    pytest_asyncio = sys.modules.get("pytest_asyncio")
    if pytest_asyncio is not None and pytest_asyncio.is_async_test(item):
        return f"{ASYNCIO}_{_loop_scope(item)}"
    if "anyio_backend" in getattr(item, "fixturenames", ()):
        return ANYIO
    pytest.fail("an async test that uses a network needs pytest-asyncio or anyio", pytrace=False)


def _loop_scope(item: pytest.Item) -> str:
    """The scope of the event loop in which pytest-asyncio runs a test."""
    marker = item.get_closest_marker("asyncio")
    named = marker and (marker.kwargs.get("loop_scope") or marker.kwargs.get("scope"))
    return str(named or item.config.getini("asyncio_default_test_loop_scope") or "function")


def asynchronous(home: str, fixture: Callable[..., Any]) -> dict[str, Any]:
    """The fixtures of a home by name, made by `fixture`, which is that of pytest or pytest-asyncio."""

    async def loop() -> AsyncIterator[None]:
        yield  # there is an event loop from here on

    async def network(_linkem_networks: Networks) -> AsyncIterator[Network]:
        async with contextlib.AsyncExitStack() as stack:
            yield await _linkem_networks.open(stack, _linkem_networks.topology, **_linkem_networks.options)

    async def make_network(_linkem_networks: Networks) -> AsyncIterator[Callable[..., Any]]:
        async with contextlib.AsyncExitStack() as stack:
            yield functools.partial(_linkem_networks.open, stack)

    return _fixtures(home, fixture, loop, network, make_network)


def need_asyncio(request: pytest.FixtureRequest) -> None:
    """Fail an anyio test that runs on anything else."""
    if home_of(request.node) == ANYIO and (backend := request.getfixturevalue("anyio_backend_name")) != ASYNCIO:
        pytest.fail(
            f"a network needs asyncio, not {backend}: have a fixture anyio_backend return 'asyncio'", pytrace=False
        )


def blocking() -> dict[str, Any]:
    """The fixtures of ordinary tests by name."""

    def loop() -> None:
        pass  # each network brings its own

    def network(_linkem_networks: Networks) -> Iterator[BlockingNetwork]:
        with contextlib.ExitStack() as stack:
            yield _linkem_networks.open_blocking(stack, _linkem_networks.topology, **_linkem_networks.options)

    def make_network(_linkem_networks: Networks) -> Iterator[Callable[..., Any]]:
        with contextlib.ExitStack() as stack:
            yield functools.partial(_linkem_networks.open_blocking, stack)

    return _fixtures(BLOCKING, pytest.fixture, loop, network, make_network)


def _fixtures(home: str, fixture: Callable[..., Any], *functions: Callable[..., Any]) -> dict[str, Any]:
    names = {name(home, function.__name__): function for function in functions}
    return {its_name: fixture(name=its_name)(function) for its_name, function in names.items()}


def name(home: str, what: str) -> str:
    """The fixture of a home for ``loop``, ``network`` or ``make_network``."""
    return f"_linkem_{home}_{what}"
