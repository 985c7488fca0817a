"""What captures hang on: a clsact at every interface from the start, and a filter that copies."""

from __future__ import annotations

import pytest

from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan import addressing, match, words
from linkem_py.plan.desired import desired
from linkem_py.plan.objects import TC_H_EGRESS_FILTERS, Filter, Mirror, Qdisc


def pair() -> Topology:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=5))
    return topology


@pytest.mark.parametrize("clsact", [True, False])
def test_a_peers_interface_has_a_clsact_without_filters_where_the_kernel_has_it(clsact: bool) -> None:
    made = desired(pair(), Capabilities(clsact=clsact)).values()
    found = [one.ns for one in made if isinstance(one, Qdisc) and one.kind == "clsact" and one.dev == "eth0"]
    assert found == (["a", "b"] if clsact else [])
    filters = [one for one in made if isinstance(one, Filter) and one.dev == "eth0"]
    assert [one for one in filters if one.parent == TC_H_EGRESS_FILTERS] == []


def test_copies_have_a_device_of_their_own_whose_name_the_kernel_takes() -> None:
    names = [addressing.copies(f"eth{number}") for number in range(1000)]
    assert len(set(names)) == 1000
    assert all(len(name) < 16 for name in names)


def test_a_copy_in_words() -> None:
    assert words._target(match.everything(action=Mirror("copy-eth0"))) == "a copy out of copy-eth0"
