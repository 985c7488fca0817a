"""What pytest sees: options, markers, fixtures and hooks."""

from __future__ import annotations

import os
import random
import sys
import types
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from linkem_py.testing.networks import Networks

_MARKERS = (
    "linkem(topology, **options): the test's network: a Topology, a file or a name, or topology=FUNCTION that returns "
    "a Topology (its parameters are fixtures); options of linkem_py.Network. Skipped where no network runs",
    "linkem_preset(*names): the test runs once with each link preset, as the argument `preset`",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and settings."""
    group = parser.getgroup("linkem_py", "networks (linkem_py)")
    group.addoption(
        "--linkem-kernel", metavar="auto|host|guest|PATH",
        help="where tests find their networks: this kernel, or the whole run in a guest kernel (auto: if it must be)",
    )  # fmt: skip
    group.addoption("--linkem-memory", metavar="SIZE", help="memory of a guest kernel (default 1G)")
    group.addoption(
        "--linkem-virtual-time", action="store_true", help="the whole run in a guest kernel where waiting takes no time"
    )
    group.addoption(
        "--linkem-default-rate", metavar="RATE", help="in virtual time: of links without a rate: 500M, or none (1G)"
    )
    group.addoption("--linkem-require", action="store_true", help="tests fail, not skip, where no network runs")
    group.addoption(
        "--linkem-capture", metavar="FOLDER", nargs="?", const="linkem-captures",
        help="keep captures of every peer (pcapng), in a folder for each failed test (default linkem-captures)",
    )  # fmt: skip
    parser.addini("linkem_kernel", "as --linkem-kernel", default="")
    parser.addini("linkem_memory", "as --linkem-memory", default="1G")
    parser.addini("linkem_virtual_time", "as --linkem-virtual-time", type="bool", default=False)
    parser.addini("linkem_default_rate", "as --linkem-default-rate", default="1G")
    parser.addini("linkem_leaks", "a test that leaves files or processes behind fails", type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, and the fixtures that make networks in each kind of test."""
    from linkem_py.testing import loops

    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    fixtures = loops.blocking() | loops.asynchronous(loops.ANYIO, pytest.fixture)
    if config.pluginmanager.has_plugin("asyncio"):
        from linkem_py.testing import with_asyncio

        fixtures |= with_asyncio.fixtures()
    homes = types.ModuleType("linkem_homes")  # pytest looks for fixtures in modules and classes
    vars(homes).update(fixtures)
    config.pluginmanager.register(homes, homes.__name__)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run everything elsewhere, if networks were asked for and do not run here."""
    if not _has_asked(config):
        return None
    from linkem_py.testing import rerun

    return rerun.elsewhere(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Where networks run, for a run that has asked."""
    if not _has_asked(config):
        return None
    where = ", a guest kernel" if os.environ.get("LINKEM_GUEST") else ""
    when = ", virtual time" if os.environ.get("LINKEM_VIRTUAL_TIME") else ""
    return f"linkem: Linux {os.uname().release}{where}{when}"


def _has_asked(config: pytest.Config) -> bool:
    if config.getoption("linkem_default_rate"):
        return True  # which alone is an error
    return any(config.getoption(name) or config.getini(name) for name in ("linkem_kernel", "linkem_virtual_time"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each preset."""
    names = [name for marker in metafunc.definition.iter_markers("linkem_preset") for name in marker.args]
    if not names:
        return
    from linkem_py.errors import TopologyError
    from linkem_py.model.presets import preset

    try:
        presets = [pytest.param(preset(name), id=name) for name in names]
    except TopologyError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: linkem_preset: {error}") from None
    if "preset" not in metafunc.fixturenames:
        metafunc.fixturenames.append("preset")  # a function that makes the topology may want it
    metafunc.parametrize("preset", presets)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what has the marker where no network runs, before any of its fixtures is made."""
    if os.environ.get("LINKEM_VIRTUAL_TIME"):
        random.seed(item.nodeid)  # so that it draws the same in every run, whichever tests run before it
    if item.get_closest_marker("linkem"):
        _need_networks(item.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a failed test's networks."""
    report = yield
    networks = _networks_of(item)
    if networks is not None and report.failed:
        networks.failed = True
        if call.when != "teardown":  # by then they are gone
            report.sections += networks.sections()
    return report


# ------------------------------------------------------------------------------------ fixtures


@pytest.fixture
def network(request: pytest.FixtureRequest, _linkem_networks: Networks) -> Any:
    """The network of `@pytest.mark.linkem(topology)`, or of a fixture `topology`, running.

    In an async test a `linkem_py.Network` in the test's event loop, otherwise a `BlockingNetwork`.
    """
    _linkem_networks.want(request)
    return _at_home(request, "network")


@pytest.fixture
def make_network(request: pytest.FixtureRequest, _linkem_networks: Networks) -> Callable[..., Any]:
    """Makes networks that run until the test ends: ``net = await make_network(topology, seed=7)``.

    In an ordinary test without ``await``.
    """
    made: Callable[..., Any] = _at_home(request, "make_network")
    return made


@pytest.fixture
def _linkem_networks(request: pytest.FixtureRequest) -> Iterator[Networks]:
    _need_networks(request.config)
    from linkem_py.testing import leaks, loops
    from linkem_py.testing.networks import NETWORKS, Networks

    loops.need_asyncio(request)
    _at_home(request, "loop")  # an event loop of the whole module, say, is not left by this test
    networks = request.node.stash[NETWORKS] = Networks(request.node)
    if not request.config.getini("linkem_leaks"):
        yield networks
        return
    # The names of namespaces are the whole machine's: those of other workers are not this test's.
    shared = set() if hasattr(request.config, "workerinput") else {"namespaces"}
    if leaks.MARK not in os.environ:
        leaks.mark_processes()
    before = leaks.Snapshot.take({"processes", "files"} | shared)
    yield networks
    if left := leaks.left_since(before):
        pytest.fail("\n  ".join(["left by the test:", *left]), pytrace=False)


def _at_home(request: pytest.FixtureRequest, what: str) -> Any:
    from linkem_py.testing import loops

    return request.getfixturevalue(loops.name(loops.home_of(request.node), what))


def _need_networks(config: pytest.Config) -> None:
    from linkem_py.testing import place

    if reason := place.obstacle(config):
        from linkem_py.testing.networks import refuse

        refuse(config, reason)


def _networks_of(item: pytest.Item) -> Networks | None:
    module = sys.modules.get("linkem_py.testing.networks")  # not loaded: no test has had any
    return None if module is None else item.stash.get(module.NETWORKS, None)
