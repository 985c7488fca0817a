# Networks in tests of other projects: the plugin that pytest finds by its entry point.
#
#   plugin        the options, markers, fixtures and hooks: what pytest sees
#   place         where a run's networks can be: this kernel, a user namespace, a guest; why not
#   rerun         the whole run again, in another place
#   networks      the networks of one test: made, watched, closed
#   loops         in which event loop a test wants them, and the fixtures for each
#   with_asyncio  those for pytest-asyncio (imported only where it is installed)
#   failure       what a failed test's report says of its networks
#   captures      a capture of every peer, kept for failed tests
#   leaks         what a test has left behind
#   orchestrator  scenarios behind ports of loopback, for harnesses of another kind
#   relay         what carries datagrams from those ports through the links
#
# pytest loads `plugin` in every project of an environment that has linkem_py: nothing here may import
# the rest of the package before a test asks for a network, or a setting for a kernel.
"""Networks in tests: a pytest plugin."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linkem_py.testing.orchestrator import (
        ActiveLink,
        NetworkOrchestrator,
        ScenarioHandle,
        TestScenario,
        run_test_with_network,
        setup_bonding_test,
    )

__all__ = [
    "ActiveLink",
    "NetworkOrchestrator",
    "ScenarioHandle",
    "TestScenario",
    "run_test_with_network",
    "setup_bonding_test",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("linkem_py.testing.orchestrator"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
