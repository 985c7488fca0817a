from __future__ import annotations

import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import Impairment, Steps, Topology
from linkem_py.model.default_rate import at_least_rated, give_rates


def make() -> Topology:
    topology = Topology("three")
    for name in ("a", "b", "c"):
        topology.add_peer(name)
    topology.connect("a", "b", Impairment(delay_ms=5, loss_pct=1))
    topology.add_link("a", "c", Impairment(rate_kbit=300), segment="lte")
    return topology


def test_a_link_without_a_rate_gets_one_and_keeps_the_rest() -> None:
    topology = make()
    give_rates(topology, 1e6)
    assert topology.link("a", "b").impairment == Impairment(delay_ms=5, loss_pct=1, rate_kbit=1e6)
    assert topology.link("b", "a").shaped
    assert topology.link("a", "c", segment="lte").impairment == Impairment(rate_kbit=300)


def test_without_a_rate_to_give_nothing_changes() -> None:
    topology = make()
    give_rates(topology, None)
    assert dict(topology.links) == dict(make().links)
    assert at_least_rated(Impairment(), None) == Impairment()


def test_a_schedule_goes_on_over_the_rate() -> None:
    topology = make()
    schedule = Steps([(1, {"delay_ms": 9}), (2, {"delay_ms": 1})])
    topology.connect("b", "c", schedule=schedule)
    give_rates(topology, 1e6)
    link = topology.link("b", "c")
    assert (link.impairment.rate_kbit, link.ceiling_kbit) == (1e6, 1e6)
    assert topology.schedules[link.key] is schedule


def test_what_cannot_be_a_rate_is_refused() -> None:
    with pytest.raises(TopologyError, match="rate_kbit"):
        give_rates(make(), 0)
