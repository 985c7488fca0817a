"""What a failed test's report says of its networks."""

from __future__ import annotations

import pytest

from linkem_py import Impairment, Topology
from linkem_py.testing import failure
from tests.dry import DryNetwork

pytest_plugins = ["pytester"]

FAILING = """
from pairs import *

@pytest.mark.linkem(pair())
def test_ordinary(network):
    network.update("a", "b", delay_ms=50, loss_pct=1)
    assert not network

@pytest.mark.asyncio
@pytest.mark.linkem(pair())
async def test_async(network):
    await network.partition({"a"}, {"b"})
    assert not network

@pytest.fixture
def broken(network):
    raise OSError("no")

@pytest.mark.linkem(pair(33))
def test_setup(network, broken):
    pass

@pytest.mark.linkem(pair(44))
def test_good(network):
    pass
"""


def test_a_failure_tells_of_every_link_and_of_the_changes(dry: pytest.Pytester) -> None:
    dry.makepyfile(FAILING)
    result = dry.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=2, passed=1, errors=1)
    result.stdout.fnmatch_lines_random(
        [
            "*linkem network pair*",
            "a->b *0 * delay_ms=50, loss_pct=1",
            "b->a *0 * delay_ms=20",
            "  +*.* s  update a->b delay_ms=50 loss_pct=1",
            "  +*.* s  partition a | b",
            "partition: a | b",
            "a->b * delay_ms=33",
            "no change since it was built",
        ]
    )
    result.stdout.no_fnmatch_line("*delay_ms=44*")


def test_workers_of_xdist_tell_it_too(dry: pytest.Pytester) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    dry.makeconftest("""
import linkem_py.runtime
from linkem_py.testing import place
from tests.dry import DryNetwork
linkem_py.runtime.Network = DryNetwork
place._find_obstacle = lambda text: ""
""")
    dry.makepyfile(FAILING)
    result = dry.runpytest_subprocess("-n1", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=2, passed=1, errors=1)
    result.stdout.fnmatch_lines(["  +*.* s  update a->b delay_ms=50 loss_pct=1"])


async def test_of_many_links_and_changes_the_last_are_shown() -> None:
    topology = Topology("many")
    names = [f"p{number}" for number in range(9)]
    for name in names:
        topology.add_peer(name)
    for first, second in zip(names, names[1:] + names[:1], strict=True):
        topology.connect(first, second)
    for name in names[2:]:
        topology.connect(names[0], name) if name not in (names[1], names[-1]) else None
    async with DryNetwork(topology) as net:
        for number in range(failure.MOST + 5):
            await net.update("p0", "p1", delay_ms=number + 1)
        text = failure.describe(net, await net.stats())
    assert "... and 5 before them" in text
    assert f"delay_ms={failure.MOST + 5}" in text
    assert "delay_ms=5\n" not in text


async def test_a_network_that_is_closed_has_no_counters_but_a_journal() -> None:
    topology = Topology("t")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=5))
    async with DryNetwork(topology) as net:
        await net.clear("a", "b")
    text = failure.describe(net, None)
    assert "a->b        -" in text
    assert "clear a->b delay_ms=" in text
