"""What all tests share: the meaning of the markers, the check for leaks, and the record of a run.

`@pytest.mark.kernel("ifb", "clsact")` needs a kernel in which networks run, with the capabilities
named (fields of `linkem_py.model.Capabilities`); where one is missing, the test is skipped and the
reason says which. `make test` finds them by `--lacking=FILE` and runs them in a user-mode kernel: `--only=FILE`
takes the tests named in a file, `--record=FILE` writes down what became of each.

`@pytest.mark.virtual_time` boots a user-mode kernel that can run in virtual time, which has to be built
(`make kernel`); the test is skipped where there is none, and the record says that this is why.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from linkem_py.errors import LinkemError
from linkem_py.testing.leaks import Snapshot, left_since, mark_processes

if TYPE_CHECKING:
    from linkem_py.model import Capabilities

# No deadline: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("linkem_py", deadline=None, print_blob=True)
hypothesis.settings.load_profile("linkem_py")


@functools.cache
def capabilities(*, nat: bool = False) -> Capabilities:
    from linkem_py.kernel.probe import probe

    return probe(nat=nat)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("linkem_py")
    group.addoption("--record", type=Path, metavar="FILE", help="write a line for every finished test")
    group.addoption("--lacking", type=Path, metavar="FILE", help="write a line for every test that lacks something")
    group.addoption("--only", type=Path, metavar="FILE", help="only the tests named there, one a line")


def pytest_configure(config: pytest.Config) -> None:
    mark_processes()
    if record := config.getoption("record"):
        config.pluginmanager.register(Record(record))


# ------------------------------------------------------------------------------------- markers


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.get_closest_marker("netem"):
        item.add_marker(pytest.mark.kernel("netem"))
    if item.get_closest_marker("virtual_time"):
        item.add_marker(pytest.mark.guest)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if file := config.getoption("only"):
        wanted = set(file.read_text().splitlines())
        dropped = [item for item in items if item.nodeid not in wanted]
        items[:] = [item for item in items if item.nodeid in wanted]
        config.hook.pytest_deselected(items=dropped)


def pytest_collection_finish(session: pytest.Session) -> None:
    if file := session.config.getoption("lacking"):
        found = [(item.nodeid, lacking(item)) for item in session.items if item.get_closest_marker("kernel")]
        lines = [json.dumps({"test": test, "lacks": lacks}) for test, lacks in found if lacks]
        file.write_text("".join(f"{line}\n" for line in lines))


@functools.cache
def why_no_guest() -> str:
    """Why no user-mode kernel can be booted here; empty if one can."""
    from linkem_py.guest.kernels import find_kernel

    if os.environ.get("LINKEM_GUEST"):
        return "already in a user-mode kernel"
    try:
        find_kernel()
    except LinkemError as error:
        return str(error)
    return ""


@functools.cache
def why_no_virtual_time() -> str:
    """Why no user-mode kernel can run in virtual time here; empty if one can."""
    from linkem_py.guest.kernels import find_virtual_time_kernel

    try:
        find_virtual_time_kernel()
    except LinkemError as error:
        return str(error)
    return ""


def lacking(item: pytest.Item) -> list[str]:
    """The capabilities that a kernel test needs and this kernel does not have."""
    named = {name for marker in item.iter_markers("kernel") for name in marker.args}
    found = capabilities(nat="nat" in named)
    return sorted({*found.missing, *(name for name in named if not getattr(found, name))})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("guest") and (reason := why_no_guest()):
        pytest.skip(reason)
    if item.get_closest_marker("virtual_time") and (reason := why_no_virtual_time()):
        item.user_properties.append(("unbuilt", True))
        pytest.skip(reason)
    if item.get_closest_marker("kernel"):
        item.user_properties.append(("kernel", True))
        if lacks := lacking(item):
            item.user_properties.append(("lacks", lacks))
            pytest.skip(f"this kernel lacks: {', '.join(lacks)}")


# --------------------------------------------------------------------------------------- leaks


@pytest.fixture(scope="session", autouse=True)
def _reported_leaks(request: pytest.FixtureRequest) -> Iterator[set[str]]:
    """What tests were seen to leave. At the end, whatever else is left fails the run."""
    reported: set[str] = set()
    if not any(item.get_closest_marker("kernel") for item in request.session.items):
        yield reported
        return
    before = Snapshot.take()
    yield reported
    _fail_for(left_since(before, known=reported), "the whole run")


@pytest.fixture(autouse=True)
def _leaves_nothing(request: pytest.FixtureRequest, _reported_leaks: set[str]) -> Iterator[None]:
    if not request.node.get_closest_marker("kernel"):
        yield
        return
    before = Snapshot.take()
    yield
    left = left_since(before)
    _reported_leaks.update(left)
    _fail_for(left, "the test")


@pytest.fixture(autouse=True)
def _closed_fonts(_leaves_nothing: None) -> Iterator[None]:
    """matplotlib keeps the files of fonts open in a cache; the check for leaks would find them."""
    yield
    if "matplotlib.font_manager" in sys.modules:
        sys.modules["matplotlib.font_manager"]._get_font.cache_clear()
        gc.collect()


def _fail_for(left: list[str], whose: str) -> None:
    if left:
        pytest.fail("\n  ".join([f"left by {whose}:", *left]), pytrace=False)


# -------------------------------------------------------------------------------------- record


class Record:
    """Writes each test's end at once: what a crash of the kernel leaves is the tests before it."""

    def __init__(self, path: Path) -> None:
        self._outcomes: dict[str, str] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", buffering=1)

    def pytest_unconfigure(self) -> None:
        self._file.close()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(report.nodeid, "failed", {})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = report.outcome if before == "passed" else before
        if report.failed:
            self._outcomes[report.nodeid] = "failed"
        self._seconds[report.nodeid] += report.duration
        if report.when == "teardown":
            self._write(report.nodeid, self._outcomes.pop(report.nodeid), dict(report.user_properties))

    def _write(self, test: str, outcome: str, properties: dict[str, object]) -> None:
        entry = {
            "test": test,
            "outcome": outcome,
            "kernel": properties.get("kernel", False),
            "lacks": properties.get("lacks", []),
            "unbuilt": properties.get("unbuilt", False),
            "seconds": round(self._seconds.pop(test, 0), 3),
        }
        self._file.write(json.dumps(entry) + "\n")
