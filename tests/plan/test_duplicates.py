from __future__ import annotations

import pytest

from linkem_py.errors import DuplicateRestrictionError
from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan import desired
from linkem_py.plan.duplicates import check, isolates
from linkem_py.plan.objects import Ifb, Netem, Qdisc

DUPLICATING = Impairment(duplicate_pct=5, delay_ms=1)


@pytest.mark.parametrize(
    ("policy", "mixed", "isolated"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("isolate", True, True),
        ("isolate", False, True),
        ("strict", True, False),
        ("strict", False, False),
    ],
)
def test_duplication_is_isolated_where_the_policy_and_the_kernel_want_it(
    policy: str, mixed: bool, isolated: bool
) -> None:
    kernel = Capabilities(mixed_duplicate=mixed)
    topology = Topology("t", duplicates=policy)  # type: ignore[arg-type]
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", DUPLICATING)
    made = desired(topology, kernel).values()
    assert isolates(topology, kernel) is isolated
    assert any(isinstance(m, Ifb) for m in made) is isolated
    netems = {m.dev: m.options for m in made if isinstance(m, Qdisc) and isinstance(m.options, Netem)}
    assert (netems["eth0"].duplicate > 0) is not isolated
    assert sum(netem.duplicate > 0 for netem in netems.values()) == 1
    assert netems["eth0"].latency_ns == 1_000_000


def three(policy: str) -> Topology:
    topology = Topology("t", duplicates=policy)  # type: ignore[arg-type]
    for name in ("a", "b", "c"):
        topology.add_peer(name)
    topology.add_link("a", "b", DUPLICATING)
    topology.add_link("b", "c")
    topology.add_link("b", "a")
    return topology


def test_a_strict_topology_may_duplicate_on_a_peers_only_link() -> None:
    topology = three("strict")
    check(topology, topology.links.values())


def test_a_strict_topology_that_mixes_is_refused_with_the_peer_and_the_links() -> None:
    topology = three("strict")
    topology.add_link("a", "c")
    with pytest.raises(DuplicateRestrictionError) as caught:
        check(topology, topology.links.values())
    assert str(caught.value) == (
        "peer a: link a->b: duplicate_pct must not stand beside another link of the peer: "
        "some kernels refuse to mix duplicating netems with others: 5"
    )
    assert caught.value.peer == "a"
    assert caught.value.links == (("a", "b", "lan"),)
    assert caught.value.at("elsewhere") is caught.value


def test_an_error_of_the_rule_keeps_its_facts_when_it_is_placed() -> None:
    placed = DuplicateRestrictionError("f", "r", 1, peer="a", links=(("a", "b", "lan"),)).at("here")
    assert (placed.where, placed.peer, placed.links) == ("here", "a", (("a", "b", "lan"),))


def test_other_policies_allow_any_mixture() -> None:
    topology = three("auto")
    topology.add_link("a", "c", DUPLICATING)
    check(topology, topology.links.values())
