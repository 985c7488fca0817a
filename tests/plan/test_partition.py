from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.errors import RequestError
from linkem_py.kernel.fake import FakeDriver
from linkem_py.model import Capabilities, Topology
from linkem_py.plan import addressing, desired, operations, partition
from linkem_py.plan.desired import state
from linkem_py.plan.objects import HUB, TC_H_EGRESS_FILTERS, TC_H_INGRESS_FILTERS, U32, Drop, Filter, Mark, Object
from linkem_py.plan.scope import part, scope
from linkem_py.plan.tree import Planner
from tests.plan.test_tree import Packet

ANY = Capabilities()


@pytest.fixture
def topology() -> Topology:
    made = Topology("t")
    for name in ("a", "b", "c", "d"):
        made.add_peer(name)
    return made


def passes(objects: list[Object], source: str, destination: str, topology: Topology) -> bool:
    """Whether a packet gets from one port to another, worked out as the kernel walks the filters.

    What comes from a queue in the hub passed its port's entries at some other time: it has no mark.
    """
    frame = Packet(b"", 0x0800, source=addressing.packed_mac(1, topology.peer(source).number))
    tables: dict[tuple[str, int], dict[int, list[tuple[int, U32]]]] = defaultdict(lambda: defaultdict(list))
    for made in objects:
        if isinstance(made, Filter) and isinstance(made.options, U32):
            tables[made.dev, made.parent][made.handle >> 12].append((made.handle & 0xFFF, made.options))

    def walk(port: str, hook: int, mark: int) -> tuple[bool, int]:
        entries = sorted(tables[port, hook][0], key=lambda entry: entry[0])
        while entries:
            _, entry = entries.pop(0)
            if entry.mark is not None and mark & entry.mark[1] != entry.mark[0]:
                continue
            if any(frame.word(key.offset) & key.mask != key.value for key in entry.keys):
                continue
            if entry.link:
                bucket = frame.word(entry.hash_offset) & entry.hash_mask if entry.hash_mask else 0
                below = tables[port, hook][entry.link >> 12 | bucket]
                entries = sorted(below, key=lambda entry: entry[0]) + entries
            elif isinstance(entry.action, Drop):
                return False, mark
            elif isinstance(entry.action, Mark):
                mark = entry.action.mark
            else:
                return True, mark
        return True, mark

    ports = [addressing.port(topology.segments["lan"], topology.peer(name)) for name in (source, destination)]
    if topology.peer(source).placement == "hub":
        return walk(ports[1], TC_H_EGRESS_FILTERS, 0)[0]
    entered, mark = walk(ports[0], TC_H_INGRESS_FILTERS, 0)
    return entered and walk(ports[1], TC_H_EGRESS_FILTERS, mark)[0]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2)), st.sets(st.sampled_from("abcd")))
def test_exactly_the_packets_between_groups_are_cut(group_of: dict[str, int], in_hub: set[str]) -> None:
    topology = Topology("t")
    for name in "abcd":
        topology.add_peer(name, placement="hub" if name in in_hub else "sender")
    groups = tuple(frozenset(name for name in group_of if group_of[name] == group) for group in range(3))
    segment = topology.segments["lan"]
    hooks = [made for peer in topology.peers.values() for made in partition.hook(segment, peer)]
    objects = [*hooks, *partition.cuts(topology, groups)]
    for source in topology.peers:
        for destination in topology.peers:
            if source == destination:
                continue
            named = source in group_of and destination in group_of
            apart = named and group_of[source] != group_of[destination]
            assert passes(objects, source, destination, topology) is not apart


def test_a_partition_touches_nothing_but_the_ports_of_the_named_peers(topology: Topology) -> None:
    made = list(partition.cuts(topology, (frozenset("a"), frozenset("c"))))
    assert {(m.ns, m.dev) for m in made} == {(HUB, "lan.1"), (HUB, "lan.3")}  # type: ignore[union-attr]


def test_healing_leaves_nothing(topology: Topology) -> None:
    cut = desired(topology, ANY, groups=(frozenset("ab"), frozenset("c")))
    whole = desired(topology, ANY)
    steps = operations(cut, whole)
    driver = FakeDriver(state=cut)
    driver.apply(steps)
    assert driver.state == whole
    assert {type(step.object) for step in driver.log} == {Filter}  # the hooks stay: to take them away loses packets


def test_a_kernel_that_cannot_cut_gets_no_hooks(topology: Topology) -> None:
    groups = (frozenset("a"), frozenset("b"))
    planned = desired(topology, Capabilities(u32_mark=False), groups=groups)
    assert not [made for made in planned.values() if getattr(made, "dev", "") == "lan.1" and isinstance(made, Filter)]


def test_a_peer_that_changes_its_group_keeps_what_stays_the_same(topology: Topology) -> None:
    first: partition.Groups = (frozenset("a"),)
    then: partition.Groups = (frozenset(), frozenset("a"))
    steps = operations(desired(topology, ANY, groups=first), desired(topology, ANY, groups=then))
    assert {s.object.options for s in steps} == {  # type: ignore[union-attr]
        U32(keys=((0, 0, 0),), classid=0x10001, mark=(1, 0xFFFF)),  # type: ignore[arg-type]
        U32(keys=((0, 0, 0),), classid=0x10001, mark=(2, 0xFFFF)),  # type: ignore[arg-type]
        U32(keys=((0, 0, 0),), action=Mark(1)),  # type: ignore[arg-type]
        U32(keys=((0, 0, 0),), action=Mark(2)),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "partition must have at least two groups: 0"),
        ([["a"]], "partition must have at least two groups: 1"),
        ([["a"], []], "partition must have groups of at least one peer name each: []"),
        (["a", "b"], "partition must have groups of at least one peer name each: 'a'"),
        ([["a"], 5], "partition must have groups of at least one peer name each: 5"),
        ([["a"], ["z"]], "partition: peer is not in the topology: 'z'"),
        ([["a"], [["b"]]], "partition: peer is not in the topology: ['b']"),
        ([["a", "b"], ["b"]], "partition: peer must not be in two groups: 'b'"),
    ],
    ids=str,
)
def test_groups_that_make_no_sense_are_refused(topology: Topology, groups: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        partition.check(topology, groups)
    assert str(caught.value) == message


def test_a_name_may_stand_twice_in_its_group(topology: Topology) -> None:
    groups = partition.check(topology, [["a", "a"], {"b"}])
    assert groups == (frozenset("a"), frozenset("b"))
    partition.check_peers(topology, groups)


def test_a_peer_that_has_gone_since_is_noticed(topology: Topology) -> None:
    groups = partition.check(topology, [["a"], ["b"]])
    topology.remove_peer("b")
    with pytest.raises(RequestError, match="partition: peer is not in the topology: 'b'"):
        partition.check_peers(topology, groups)


def test_groups_keep_their_numbers_when_a_peer_goes() -> None:
    assert partition.without((frozenset("a"), frozenset("bc")), "a") == (frozenset(), frozenset("bc"))


def test_a_port_in_front_of_queues_in_the_hub_marks_nothing() -> None:
    topology = Topology("t", placement="hub")
    for name in "ab":
        topology.add_peer(name)
    made = [*partition.cuts(topology, (frozenset("a"), frozenset("b")))]
    assert {each.parent for each in made if isinstance(each, Filter)} == {TC_H_EGRESS_FILTERS}


@pytest.mark.parametrize("kernel", [ANY, Capabilities(u32_mark=False)], ids=["can cut", "cannot cut"])
def test_a_peer_that_goes_takes_the_cuts_against_it_along(kernel: Capabilities) -> None:
    before = Topology("t")
    for name in "abcd":
        before.add_peer(name, placement="hub" if name in "ad" else "sender")
    after = before.copy()
    after.remove_peer("a")
    groups = (frozenset("ad"), frozenset("b"))
    states = desired(before, kernel, groups=groups), desired(after, kernel, groups=partition.without(groups, "a"))
    about = scope(before, after, [], "a")
    parts = [
        state(part(Planner(topology, kernel, None), its, about))
        for topology, its in ((before, groups), (after, partition.without(groups, "a")))
    ]
    driver = FakeDriver(kernel, state=states[0])
    driver.apply(operations(*parts))
    assert driver.state == states[1]


def test_nothing_is_cut_against_a_peer_that_is_marked_or_not_named() -> None:
    topology = Topology("t")
    for name, placement in (("a", "sender"), ("b", "hub"), ("c", "sender")):
        topology.add_peer(name, placement=placement)  # type: ignore[arg-type]
    assert [*partition.cuts_against(topology, "a", (frozenset("a"), frozenset("c")))] == []
    assert [*partition.cuts_against(topology, "b", (frozenset("a"), frozenset("c")))] == []
    assert len([*partition.cuts_against(topology, "b", (frozenset("b"), frozenset("ac")))]) == 2
