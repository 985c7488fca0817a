from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.errors import CapabilityError, TopologyError
from linkem_py.kernel.fake import FakeDriver
from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.model.topology import MOST_PEERS
from linkem_py.plan import Operation, State, desired, handles, operations, show, translate
from linkem_py.plan.live import LiveChanges, Wish
from linkem_py.plan.objects import (
    HUB,
    TC_H_INGRESS_FILTERS,
    Class,
    Clsact,
    Fifo,
    Filter,
    Htb,
    HtbClass,
    Ifb,
    Netem,
    Qdisc,
    Redirect,
)
from linkem_py.plan.requirements import check_access, unmet
from linkem_py.plan.scope import part, scope
from linkem_py.plan.tree import Planner
from tests import strategies as own

ANY = Capabilities()


def pair(links: dict[str, Impairment] | None = None, **access: Any) -> Topology:
    """a with an access link, and links from it."""
    topology = Topology("t")
    topology.add_peer("a", **access)
    for name in "bc":
        topology.add_peer(name)
    for name, impairment in (links or {"b": Impairment(rate_kbit=5000), "c": Impairment()}).items():
        topology.add_link("a", name, impairment)
    return topology


def classes(state: State, ns: str, dev: str = "eth0") -> dict[int, tuple[int, HtbClass]]:
    """(parent, options) by classid."""
    found = [made for made in state.values() if isinstance(made, Class) and (made.ns, made.dev) == (ns, dev)]
    return {made.classid: (made.parent, made.options) for made in found}


def queues(state: State, ns: str, dev: str = "eth0") -> dict[int, Any]:
    """Options of the queues of destinations, by number."""
    found = [made for made in state.values() if isinstance(made, Qdisc) and (made.ns, made.dev) == (ns, dev)]
    numbers = {handles.destination_of(made.handle): made for made in found if isinstance(made.options, Fifo)}
    return {number: made.options for number, made in numbers.items() if number is not None}


def netem_of(state: State, number: int) -> Netem:
    made = state["qdisc", "a", "eth0", handles.netem(number)]
    assert isinstance(made, Qdisc)
    assert isinstance(made.options, Netem)
    return made.options


def steps_between(before: Topology, after: Topology) -> list[Operation]:
    """The operations of a change of structure, carried out on the whole."""
    about = scope(before, after, [])
    steps = operations(
        {made.key: made for made in part(Planner(before, ANY, None), (), about)},
        {made.key: made for made in part(Planner(after, ANY, None), (), about)},
    )
    driver = FakeDriver(ANY, state=desired(before, ANY))
    driver.apply(steps)
    assert driver.state == dict(desired(after, ANY))
    return steps


# --- upward ----------------------------------------------------------------------------------------


def test_the_groups_borrow_all_they_send_from_the_uplink() -> None:
    found = classes(desired(pair(uplink_kbit=4000), ANY), "a")
    assert found[handles.ACCESS_CLASS] == (handles.ROOT, HtbClass(500_000, 500_000, 1514, 1514, 1514))
    group = handles.access_group_class(0)
    assert found[group] == (handles.ACCESS_CLASS, translate.BORROWING_CLASS)
    # htb lets a class have its own rate even if that above it is used up: a byte a second is as good as none.
    assert found[group][1].rate == 1
    assert found[handles.member_class(2)][1].ceil == 625_000


def test_the_burst_of_a_fast_access_link_is_a_millisecond() -> None:
    assert translate.access_class(80_000).burst == 10_000
    assert translate.access_class(0.001) == HtbClass(1, 1, 1514, 1514, 1514)
    assert translate.access_class(None) == translate.UNLIMITED_CLASS


def test_the_tree_without_an_uplink_is_as_it_was() -> None:
    plain = desired(pair(), ANY)
    down_only = desired(pair(downlink_kbit=100), ANY)
    assert {key: made for key, made in down_only.items() if key in plain} == plain
    assert {made.ns for key, made in down_only.items() if key not in plain} == {HUB}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("access", "limit"),
    [
        ({"uplink_kbit": 4000.0}, 50_000),
        ({"uplink_kbit": 4000.0, "queue_ms": 20}, 10_000),
        ({"uplink_kbit": 8.0}, 15_140),
        ({"uplink_kbit": 8.0, "queue_ms": 1}, 1514),
    ],
)
def test_a_link_without_a_rate_has_a_queue_for_the_uplink(access: dict[str, Any], limit: int) -> None:
    links = {"b": Impairment(), "c": Impairment(rate_kbit=5000)}
    state = desired(pair(links, **access), ANY)
    assert queues(state, "a") == {2: Fifo(limit), 3: Fifo(62_500)}
    # What waits must not be the sender's any more.
    assert netem_of(state, 2).latency_ns == translate.LEAST_LATENCY_NS


def test_where_netem_keeps_the_rate_what_waits_for_the_uplink_is_bounded_too() -> None:
    links = {"b": Impairment(rate_kbit=9000, shaper="netem")}
    assert queues(desired(pair(links, uplink_kbit=4000), ANY), "a") == {2: Fifo(50_000)}


def test_a_change_of_the_uplink_is_a_change_in_place_and_so_is_taking_it_away() -> None:
    topology = pair(uplink_kbit=4000)
    for fields, kinds in (
        ({"uplink_kbit": 8000}, ["htb", "bfifo"]),
        ({"queue_ms": 10}, ["bfifo"]),
        ({"uplink_kbit": None}, ["htb", "bfifo"]),
        ({"uplink_kbit": 100}, ["htb", "bfifo"]),
    ):
        after = topology.copy()
        after.set_access("a", **fields)
        steps = steps_between(topology, after)
        assert [(step.verb, step.object.kind) for step in steps] == [("change", kind) for kind in kinds]  # type: ignore[union-attr]
        topology = after


def test_the_first_uplink_makes_the_tree_anew() -> None:
    before = pair()
    after = before.copy()
    after.set_access("a", uplink_kbit=100)
    steps = steps_between(before, after)
    assert {step.verb for step in steps} == {"create", "delete"}
    assert {step.object.ns for step in steps} == {"a"}  # type: ignore[union-attr]


def test_a_change_elsewhere_does_not_touch_an_access_link() -> None:
    before = pair(uplink_kbit=100, downlink_kbit=100)
    assert scope(before, before.copy(), []).accesses == ()
    after = before.copy()
    after.set_access("b", uplink_kbit=5)
    assert {step.object.ns for step in steps_between(before, after)} == {"b"}  # type: ignore[union-attr]


def test_a_live_change_of_a_link_below_an_uplink_keeps_its_queue() -> None:
    topology = pair({"b": Impairment()}, uplink_kbit=4000)
    live = LiveChanges(Planner(topology, ANY, None))
    old = topology.link("a", "b")
    rated = Impairment(rate_kbit=100)
    (new,), steps = live.plan([Wish(old.key, old, rated, True)])
    topology.put_link(new)
    assert {step.verb for step in steps} == {"change"}
    (last,), steps = live.plan([Wish(new.key, new, Impairment(), True)])
    assert {step.verb for step in steps} == {"change"}
    assert [step.object.options for step in steps if isinstance(step.object, Qdisc)] == [Fifo(50_000)]
    assert last.revision == 0


# --- downward --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "ns", "dev"), [("hub", HUB, "lan.1"), ("peer", "a", "in-eth0")])
def test_everything_that_comes_waits_in_one_queue(place: Any, ns: str, dev: str) -> None:
    state = desired(pair(downlink_kbit=4000, downlink_at=place), ANY)
    root = state["qdisc", ns, dev, handles.ROOT]
    assert isinstance(root, Qdisc)
    assert root.options == Htb(default=0xFFF0)
    assert classes(state, ns, dev) == {handles.ACCESS_CLASS: (handles.ROOT, translate.access_class(4000))}
    queue = state["qdisc", ns, dev, handles.ACCESS_QUEUE]
    assert isinstance(queue, Qdisc)
    assert (queue.kind, queue.options, queue.parent) == ("bfifo", Fifo(50_000), handles.ACCESS_NETEM | 1)


def test_at_the_peer_all_that_comes_in_goes_through_a_device_of_its_own() -> None:
    state = desired(pair(downlink_kbit=4000, downlink_at="peer"), ANY)
    assert Ifb("a", "in-eth0") in state.values()
    (entry,) = (m for m in state.values() if isinstance(m, Filter) and m.parent == TC_H_INGRESS_FILTERS and m.ns == "a")
    assert entry.options.action == Redirect("in-eth0")  # type: ignore[union-attr]
    assert list(state.values()).index(entry) > list(state).index(("qdisc", "a", "in-eth0", handles.ACCESS_QUEUE))


def test_a_downlink_moves_and_leaves_the_hook_to_whom_it_belongs() -> None:
    before = pair(downlink_kbit=4000, downlink_at="peer")
    after = before.copy()
    after.set_access("a", downlink_at="hub")
    steps = steps_between(before, after)
    assert any(step.verb == "create" and step.object.key == ("qdisc", HUB, "lan.1", handles.ROOT) for step in steps)
    hooks = [step for step in steps if isinstance(step.object, Qdisc) and isinstance(step.object.options, Clsact)]
    assert hooks == []
    steps_between(after, before)


def test_a_downlink_is_taken_away_in_place() -> None:
    before = pair(downlink_kbit=4000)
    after = before.copy()
    after.set_access("a", downlink_kbit=None)
    steps = steps_between(before, after)
    assert [step.verb for step in steps] == ["change", "change"]
    assert steps[1].object.options == Fifo(translate.UNLIMITED_QUEUE)  # type: ignore[union-attr]


# --- what it needs -----------------------------------------------------------------------------------


def test_the_prio_classifier_is_refused_by_name() -> None:
    topology = Topology("t", classifier="prio")
    topology.add_peer("a", uplink_kbit=1)
    with pytest.raises(
        TopologyError, match=r"access link of a: classifier must be 'htb'.*prio classifier has no rates"
    ):
        desired(topology, ANY)


def test_shaping_at_the_peer_needs_more_of_a_kernel() -> None:
    poor = Capabilities(release="6.0", mirred=False, ifb=False)
    topology = pair(downlink_kbit=5, downlink_at="peer")
    assert unmet(topology, poor) == ("ifb", "mirred")
    with pytest.raises(CapabilityError, match=r"access link of a: downlink_at: the kernel 6\.0 lacks ifb, mirred"):
        check_access(topology, topology.accesses, poor)
    topology.set_access("a", downlink_at="hub")
    assert unmet(topology, poor) == ()
    check_access(topology, [*topology.accesses, ("b", "lan")], poor)


# --- handles and words -------------------------------------------------------------------------------


def test_no_two_roles_share_a_class_of_the_root() -> None:
    ranges = sorted((first, first + count) for first, count in handles.MINORS.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert ranges[-1][1] <= 0x10000


@given(st.integers(1, MOST_PEERS))
def test_the_class_of_a_group_stays_within_the_range_of_its_role(number: int) -> None:
    group = handles.group_of(number)
    roles = {"group": handles.group_class(group), "group below an access link": handles.access_group_class(group)}
    for role, classid in roles.items():
        first, count = handles.MINORS[role]
        assert first <= classid & 0xFFFF < first + count
        assert handles.in_root(classid)
    assert not handles.in_root(handles.member_class(number))


@given(own.topologies())
def test_no_two_objects_have_one_key_and_no_handle_two_roles(topology: Topology) -> None:
    made = list(desired(topology, ANY).values())
    taken: dict[tuple[str, str, int], str] = {}
    for one in made:
        if isinstance(one, Qdisc):
            assert taken.setdefault((one.ns, one.dev, one.handle), one.kind) == one.kind
    assert len({one.key for one in made}) == len(made)


def test_a_plan_shows_the_access_link() -> None:
    topology = pair(uplink_kbit=4000, downlink_kbit=2000)
    text = show.show(desired(topology, ANY), topology)
    assert "class 1:fff0 rate 4 Mbit/s, burst 1.514 kB (the access link)" in text
    assert "class 1:1000 rate 8 bit/s, ceil unlimited, burst 1.514 kB (a group)" in text
    assert "class 1:fff0 rate 2 Mbit/s, burst 1.514 kB (the access link)" in text
    assert "qdisc bfifo 3: limit 25 kB" in text
