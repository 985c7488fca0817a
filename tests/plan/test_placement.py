from __future__ import annotations

from typing import Any

import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import Capabilities, Impairment, Peer, Topology
from linkem_py.plan import desired, operations
from linkem_py.plan.live import LiveChanges, Wish
from linkem_py.plan.locate import link_of
from linkem_py.plan.objects import (
    HUB,
    TC_H_EGRESS_FILTERS,
    TC_H_INGRESS_FILTERS,
    Class,
    Filter,
    Ifb,
    Neighbour,
    Object,
    Qdisc,
    Redirect,
    Route,
)
from linkem_py.plan.placement import Place, approach, place, source_of
from linkem_py.plan.show import show
from linkem_py.plan.tree import Planner

ANY = Capabilities()
RULE = Capabilities(mixed_duplicate=False)


def topology(**settings: Any) -> Topology:
    """a's queues are in the hub, the others' with themselves."""
    made = Topology("t", **settings)
    made.add_peer("a", placement="hub")
    made.add_peer("b", placement="sender")
    made.connect("a", "b", Impairment(delay_ms=5, rate_kbit=1000, mtu=1400))
    made.connect("a", "b", Impairment(delay_ms=7), segment="lte")
    return made


def queueing(made: Topology, kernel: Capabilities = ANY) -> dict[tuple[str, str], list[Object]]:
    """Qdiscs, classes and filters by device."""
    found: dict[tuple[str, str], list[Object]] = {}
    for each in desired(made, kernel).values():
        if isinstance(each, Qdisc | Class | Filter):
            found.setdefault((each.ns, each.dev), []).append(each)
    return found


def test_a_peer_has_the_placement_of_the_topology_unless_it_has_its_own() -> None:
    made = Topology("t", placement="hub")
    assert made.add_peer("a") == Peer("a", 1, "hub")
    assert made.add_peer("b", placement="sender").placement == "sender"
    assert Topology("t").add_peer("a").placement == "sender"
    assert [made.graph.nodes[name]["placement"] for name in "ab"] == ["hub", "sender"]
    assert made.copy().peers == made.peers


def test_another_placement_is_refused() -> None:
    with pytest.raises(TopologyError, match=r"^placement must be one of sender, hub: 'modem'"):
        Topology("t", placement="modem")  # type: ignore[arg-type]
    made = Topology("t")
    with pytest.raises(TopologyError, match=r"^peer a: placement must be one of sender, hub: 'modem'"):
        made.add_peer("a", placement="modem")  # type: ignore[arg-type]
    assert not made.peers


def test_a_tree_stands_on_a_device_of_its_own_for_each_interface() -> None:
    made = topology()
    a, b = made.peer("a"), made.peer("b")
    lan, lte = made.segments.values()
    assert place(a, lan) == Place(HUB, "ifb1-1")
    assert place(a, lte) == Place(HUB, "ifb2-1")
    assert place(b, lte) == Place("b", "eth1")
    for peer in (a, b):
        for segment in (lan, lte):
            assert source_of(made, *place(peer, segment)) == (peer, segment)


@pytest.mark.parametrize(("ns", "device"), [(HUB, "ifb1-2"), (HUB, "lan.1"), ("z", "eth0"), ("a", "lo"), ("a", "eth9")])
def test_other_devices_are_nobodys_tree(ns: str, device: str) -> None:
    assert source_of(topology(), ns, device) is None


def test_nothing_is_queued_on_the_interface_of_a_peer_whose_queues_are_in_the_hub() -> None:
    found = queueing(topology())
    for device in ("eth0", "eth1"):
        (hook,) = found["a", device]  # where captures hang; it holds nothing back
        assert isinstance(hook, Qdisc)
        assert hook.kind == "clsact"
    assert len(found[HUB, "ifb1-1"]) == len(found["b", "eth0"]) - 1


def test_all_that_comes_in_by_the_port_is_sent_to_the_tree() -> None:
    made = topology()
    for segment, port, device in (("lan", "lan.1", "ifb1-1"), ("lte", "lte.1", "ifb2-1")):
        ifb, hook, entry = approach(made.peer("a"), made.segments[segment])
        assert ifb == Ifb(HUB, device, queue_packets=1000)
        assert isinstance(hook, Qdisc)
        assert (hook.dev, hook.kind) == (port, "clsact")
        assert isinstance(entry, Filter)
        assert (entry.dev, entry.parent, entry.options.action) == (port, TC_H_INGRESS_FILTERS, Redirect(device))  # type: ignore[union-attr]
    assert [*approach(made.peer("b"), made.segments["lan"])] == []


def test_a_kernel_that_cannot_cut_sends_there_all_the_same() -> None:
    state = desired(topology(), Capabilities(u32_mark=False))
    on_port = [made for made in state.values() if getattr(made, "dev", "") == "lan.1" and isinstance(made, Filter)]
    assert [made.options.action for made in on_port] == [Redirect("ifb1-1")]  # type: ignore[union-attr]


def test_duplication_is_isolated_on_the_peers_own_interface() -> None:
    # What an ifb in the hub gave back is not asked again by the filters of the port.
    made = topology()
    made.set_impairment("a", "b", Impairment(delay_ms=5, duplicate_pct=3))
    state = desired(made, RULE)
    assert ("device", "a", "dup1-2") in state
    hook = [each for each in queueing(made, RULE)["a", "eth0"] if isinstance(each, Filter)]
    assert {each.parent for each in hook} == {TC_H_EGRESS_FILTERS}
    assert not any(each.options.duplicate for each in queueing(made, RULE)[HUB, "ifb1-1"] if _is_netem(each))  # type: ignore[union-attr]
    assert any(each.options.duplicate for each in queueing(made)[HUB, "ifb1-1"] if _is_netem(each))  # type: ignore[union-attr]


def _is_netem(made: Object) -> bool:
    return isinstance(made, Qdisc) and made.kind == "netem"


@pytest.mark.parametrize("classifier", ["htb", "prio"])
def test_what_belongs_to_a_link_leads_back_to_it_from_the_hub(classifier: str) -> None:
    made = Topology("t", classifier=classifier)  # type: ignore[arg-type]
    for name in "abc":
        made.add_peer(name, placement="hub")
    link = made.add_link("c", "b", Impairment(delay_ms=1, duplicate_pct=5, mtu=1400))
    for each in Planner(made, RULE, None).leaf(link):
        if not isinstance(each, Filter) or each.ns == HUB:
            assert link_of(made, each) == link.key or classifier == "prio"
    assert link_of(made, Ifb(HUB, "ifb1-3")) is None


def test_routes_and_neighbours_stay_with_the_sender() -> None:
    kept = [made for made in desired(topology(), ANY).values() if isinstance(made, Route | Neighbour)]
    assert {made.ns for made in kept} == {"a", "b"}


def test_a_live_change_is_made_in_place_in_the_hub() -> None:
    made = topology()
    old = made.link("a", "b")
    live = LiveChanges(Planner(made, ANY, 1))
    changes: list[dict[str, Any]] = [{"rate_kbit": 500}, {"loss_pct": 1}, {"mtu": 1300}]
    where = []
    for fields in changes:
        (old,), steps = live.plan([Wish(old.key, old, old.impairment.evolve(**fields), True)])
        assert {step.verb for step in steps} == {"change"}
        where.append({step.object.ns for step in steps})  # type: ignore[union-attr]
    assert where == [{HUB}, {HUB}, {"a"}]


def test_a_peer_that_goes_takes_its_device_along() -> None:
    before = topology()
    after = before.copy()
    after.remove_peer("a")
    steps = operations(desired(before, ANY), desired(after, ANY))
    sent = [step.object.key for step in steps if step.verb == "delete" and not step.implied]
    for key in (("device", HUB, "ifb1-1"), ("device", HUB, "ifb2-1"), ("device", HUB, "lan.1"), ("namespace", "a")):
        assert key in sent
    assert not any(isinstance(each, Ifb) for each in desired(after, ANY).values())


def test_the_plan_shows_where_the_queues_are() -> None:
    made = topology()
    lines = show(desired(made, ANY, groups=(frozenset("a"), frozenset("b"))), made).splitlines()
    assert "      filter ingress prio 2, 0:0:1 all, any packet -> out of ifb1-1" in lines
    first = lines.index("  ifb1-1: ifb, up, MTU 1500 bytes")
    assert lines[first + 1] == "    qdisc htb 1: root, what no filter matches passes at once"
    assert any(line.endswith(" -> a->b") for line in lines[first:])
    assert any("from a MAC that begins with 02:4c -> table 4:" in line for line in lines)
    assert any("from 02:4c:00:01:00:01 (a) -> drop" in line for line in lines)
