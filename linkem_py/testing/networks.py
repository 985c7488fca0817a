"""The networks of one test: made from what the test says, watched, and closed after it."""

from __future__ import annotations

import contextlib
import inspect
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from linkem_py.errors import CapabilityError, LinkemError, PrivilegeError
from linkem_py.testing import failure, place
from linkem_py.testing.captures import Captures, folder_of

if TYPE_CHECKING:
    from linkem_py.model import Topology
    from linkem_py.runtime import BlockingNetwork, Network, NetworkStats

#: The networks of an item, from the first one on.
NETWORKS = pytest.StashKey["Networks"]()

_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

Read = Callable[[], "NetworkStats"]


def refuse(config: pytest.Config, reason: str) -> NoReturn:
    """Skip the test, or have it fail where the run requires networks."""
    if config.getoption("linkem_require"):
        pytest.fail(reason, pytrace=False)
    raise pytest.skip.Exception(reason, _use_item_location=True)


class Networks:
    """The networks of one test.

    Attributes
    ----------
    topology, options : of the fixture `network`, once it is wanted
    failed : whether the test has failed so far
    """

    topology: Topology
    options: dict[str, Any]

    def __init__(self, item: pytest.Item) -> None:
        self.failed = False
        self._item = item
        self._shown: list[tuple[Network, Read, Captures | None]] = []

    def want(self, request: pytest.FixtureRequest) -> None:
        """Find out which network the fixture `network` is to be."""
        self.options = {}
        sources: list[Any] = []
        for marker in self._item.iter_markers("linkem"):  # the closest first
            self.options = {**marker.kwargs, **self.options}
            sources += marker.args[:1]
        sources[:0] = [self.options.pop("topology")] if "topology" in self.options else []
        self.topology = self._found(sources[0] if sources else _topology_of(request), request)

    async def open(self, stack: contextlib.AsyncExitStack, topology: Any, **options: Any) -> Network:
        """A network that runs until the stack is left."""
        from linkem_py.runtime import Network

        network = Network(self._found(topology), **options)
        with self._refusing():
            await stack.enter_async_context(network)
        captures = self._captures()
        if captures is not None:
            stack.callback(self._put_away, captures)
            stack.push_async_callback(captures.stop)
            await captures.start(network)
        self._shown.append((network, lambda: _read(network), captures))
        return network

    def open_blocking(self, stack: contextlib.ExitStack, topology: Any, **options: Any) -> BlockingNetwork:
        """The same for a test that is an ordinary function."""
        from linkem_py.runtime import Network

        network = Network.blocking(self._found(topology), **options)
        with self._refusing():
            stack.enter_context(network)
        captures = self._captures()
        if captures is not None:
            stack.callback(self._put_away, captures)
            stack.callback(_unless_closed, network, captures)
            network.wait(captures.start(network.network))
        self._shown.append((network.network, network.stats, captures))
        return network

    def sections(self) -> list[tuple[str, str]]:
        """What to tell of a failure: a title and a text for each network."""
        return [(f"linkem network {shown[0].topology.name}", _words(*shown)) for shown in self._shown]

    def _found(self, source: Any, request: pytest.FixtureRequest | None = None) -> Topology:
        from linkem_py.model import Topology

        if isinstance(source, str | os.PathLike):
            return _loaded(os.fspath(source), self._item.path.parent)
        if callable(source):
            source = source(**_arguments(source, request))
        if not isinstance(source, Topology):
            pytest.fail(
                f"a topology is a Topology, a function that returns one, a file or a name: {source!r}", pytrace=False
            )
        return source

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (CapabilityError, PrivilegeError) as error:
            refuse(self._item.config, f"{error}; {place.remedy(place.asked(self._item.config))}")

    def _captures(self) -> Captures | None:
        base = self._item.config.getoption("linkem_capture")
        if base is None:
            return None
        base = self._item.config.invocation_params.dir / Path(base)
        return Captures(base, folder_of(base, self._item.nodeid, len(self._shown)))

    def _put_away(self, captures: Captures) -> None:
        if not self.failed:
            captures.discard()


def _topology_of(request: pytest.FixtureRequest) -> Any:
    try:
        return request.getfixturevalue("topology")
    except pytest.FixtureLookupError as error:
        if error.argname != "topology":
            raise
    pytest.fail(
        "the fixture network needs a topology: @pytest.mark.linkem(topology), or a fixture of the name topology",
        pytrace=False,
    )


def _loaded(text: str, folder: Path) -> Topology:
    """From a file beside the test, or whatever `linkem run` takes."""
    from linkem_py.cli.load import load_topology

    where, colon, function = text.rpartition(":")
    file = folder / (where if colon else text)
    try:
        return load_topology(f"{file}{colon}{function if colon else ''}" if file.is_file() else text)
    except LinkemError as error:
        pytest.fail(f"topology {text}: {error}", pytrace=False)


def _arguments(function: Callable[..., Any], request: pytest.FixtureRequest | None) -> dict[str, Any]:
    """Fixtures for the parameters of a function that have no default."""
    if request is None:
        return {}
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: request.getfixturevalue(parameter.name)
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind not in _ANY
    }


def _unless_closed(network: BlockingNetwork, captures: Captures) -> None:
    # The test may have closed it, and its captures with it.
    with contextlib.suppress(RuntimeError):
        network.wait(captures.stop())


def _read(network: Network) -> NetworkStats:
    """`Network.stats` while its event loop stands still, as it does between a test and its fixtures' ends."""
    from linkem_py.runtime import NetworkStats, statistics

    return NetworkStats(statistics.read(network.kernel, network.topology, network.cross_traffic), time.time())


def _words(network: Network, read: Read, captures: Captures | None) -> str:
    lines = []
    stats = None
    try:
        stats = read()
    except Exception as error:  # whatever it is must not hide why the test failed
        lines.append(f"no counters: {error}")
    lines.append(failure.describe(network, stats))
    if captures is not None:
        lines.append(f"captures: {captures.folder}")
    return "\n".join(lines)
