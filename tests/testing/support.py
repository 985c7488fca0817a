"""A small project for pytest to run within a test."""

from __future__ import annotations

import pytest

TOPOLOGY = """
import pytest
from linkem_py import Impairment, Network, Topology

def pair(delay_ms=20):
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=delay_ms))
    return topology
"""


def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(pairs=TOPOLOGY)
    pytester.makeini("[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n")
    pytester.syspathinsert()
    return pytester
