"""Runs of pytest within a test, over networks without a kernel."""

from __future__ import annotations

import pytest

# Imported here, because pytester takes back what was imported within its runs, and numpy bears only one import.
import linkem_py.cli.load
import linkem_py.model.presets
import linkem_py.runtime.statistics  # noqa: F401
from linkem_py.testing import place
from tests.dry import DryNetwork
from tests.testing.support import project


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose networks run on any machine; its tests may import `pair` from `pairs`."""
    monkeypatch.setattr("linkem_py.runtime.Network", DryNetwork)
    monkeypatch.delenv("LINKEM_GUEST", raising=False)
    monkeypatch.setattr(place, "_find_obstacle", lambda text: "")
    return project(pytester)


@pytest.fixture
def without_kernel(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> pytest.Pytester:
    """A project on a machine where no network runs."""
    monkeypatch.delenv("LINKEM_GUEST", raising=False)
    monkeypatch.setattr(place, "_find_obstacle", lambda text: f"this kernel lacks netem: {place.remedy(text)}")
    return project(pytester)
