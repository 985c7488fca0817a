from __future__ import annotations

from collections.abc import Iterable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.errors import DuplicateRestrictionError
from linkem_py.kernel.fake import FakeDriver
from linkem_py.model import Capabilities, Impairment, LinkKey, Topology
from linkem_py.model.topology import Placement
from linkem_py.plan import EMPTY, State, desired, operations, partition
from linkem_py.plan.desired import part_of_addresses, part_of_carrier, part_of_links, part_of_peer, state
from linkem_py.plan.objects import (
    HUB,
    TC_H_EGRESS_FILTERS,
    U32,
    Address,
    Bridge,
    Class,
    Drop,
    Filter,
    Forwarding,
    Key,
    Neighbour,
    Netem,
    Object,
    Qdisc,
    Route,
    Up,
    Veth,
)
from linkem_py.plan.partition import Groups
from linkem_py.plan.requirements import unmet_by_partition
from linkem_py.plan.scope import part, scope
from linkem_py.plan.tree import Planner
from tests import strategies as own

ANY = Capabilities()


class Running:
    """Changes made part by part, as a running network makes them."""

    def __init__(self, topology: Topology, kernel: Capabilities, seed: int | None, groups: Groups) -> None:
        self.topology, self.kernel, self.seed, self.groups = topology, kernel, seed, groups
        self.driver = FakeDriver(kernel, state=self.whole())

    def whole(self) -> State:
        return desired(self.topology, self.kernel, seed=self.seed, groups=self.groups)

    def restructure(self, after: Topology, keys: list[LinkKey], peer: str | None = None) -> None:
        groups = self.groups
        if peer is not None and peer not in after.peers:
            groups = partition.without(groups, peer)
        about = scope(self.topology, after, keys, peer)
        before = part(Planner(self.topology, self.kernel, self.seed), self.groups, about)
        self._apply(before, part(Planner(after, self.kernel, self.seed), groups, about))
        self.topology, self.groups = after, groups

    def readdress(self, after: Topology, name: str, segment: str) -> None:
        planners = [Planner(topology, self.kernel, self.seed) for topology in (self.topology, after)]
        before, then = (part_of_addresses(planner, name, segment) for planner in planners)
        self._apply(before, then)
        self.topology = after

    def update(self, impairments: dict[LinkKey, Impairment]) -> None:
        planner = Planner(self.topology, self.kernel, self.seed)
        old = [self.topology.links[key] for key in impairments]
        new = [own.changed(planner, link, impairments[link.key]) for link in old]
        after = self.topology.copy()
        for link in new:
            after.put_link(link)
        if any(planner.isolated(link) != planner.isolated(was) for link, was in zip(new, old, strict=True)):
            replanner = Planner(after, self.kernel, self.seed)
            self._apply(part_of_links(planner, impairments), part_of_links(replanner, impairments))
        else:
            self._apply(
                (made for link in old for made in planner.leaf(link)),
                (made for link in new for made in planner.leaf(link)),
            )
        self.topology = after

    def repartition(self, groups: Groups) -> None:
        if unmet_by_partition(self.kernel):
            return  # a network refuses it then
        self._apply(partition.cuts(self.topology, self.groups), partition.cuts(self.topology, groups))
        self.groups = groups

    def _apply(self, before: Iterable[Object], after: Iterable[Object]) -> None:
        self.driver.apply(operations(state(before), state(after)))


@st.composite
def partitions(draw: st.DrawFn, topology: Topology) -> Groups:
    group_of = {name: draw(st.integers(0, 3)) for name in topology.peers}
    return tuple(frozenset(name for name in group_of if group_of[name] == group) for group in (1, 2, 3))


# --- the part that changes, and the whole -------------------------------------------------------


@given(st.data(), own.topologies(), own.kernels, own.seeds)
def test_changes_made_part_by_part_lead_to_the_state_of_the_whole(
    data: st.DataObject, topology: Topology, kernel: Capabilities, seed: int | None
) -> None:
    running = Running(topology, kernel, seed, data.draw(partitions(topology)))
    for _ in range(data.draw(st.integers(1, 4))):
        before = running.topology
        kind = data.draw(st.sampled_from(["edit", "edit", "update", "partition", "readdress"]))
        if kind == "partition":
            running.repartition(data.draw(partitions(before)))
        elif kind == "readdress":
            after = before.copy()
            end = own.readdress(data.draw, after)
            if end is not None:
                running.readdress(after, *end)
        elif kind == "update" and before.links:
            keys = data.draw(st.lists(st.sampled_from(list(before.links)), min_size=1, max_size=2, unique=True))
            after = before.copy()
            for key in keys:
                after.set_impairment(key[0], key[1], data.draw(own.impairments()), segment=key[2])
            own.allowed(after)
            running.update({key: after.links[key].impairment for key in keys})
        else:
            after = own.edited(data.draw, before)
            changed = [key for key in before.links if key in after.links and before.links[key] != after.links[key]]
            running.update({key: after.links[key].impairment for key in changed})
            # What was updated has its revision.
            for key in changed:
                after.put_link(running.topology.links[key])
            peer = next(iter(before.peers.keys() ^ after.peers.keys()), None)
            running.restructure(after, own.keys_between(before, after), peer)
        assert running.driver.state == running.whole()


@pytest.fixture
def pair() -> Topology:
    topology = Topology("t")
    for name in ("a", "b", "c"):
        topology.add_peer(name)
    topology.connect("a", "b")
    return topology


def test_one_direction_that_goes_leaves_the_pairs_neighbour_entries(pair: Topology) -> None:
    running = Running(pair, ANY, None, ())
    after = pair.copy()
    after.remove_link("a", "b")
    running.restructure(after, [("a", "b", "lan")])
    assert {made.ns for made in running.driver.state.values() if isinstance(made, Neighbour)} == {"a", "b"}
    assert running.driver.state == running.whole()


def test_a_change_of_a_link_concerns_nobody_else(pair: Topology) -> None:
    pair.add_link("a", "c")
    pair.add_link("c", "b")
    part = state(part_of_links(Planner(pair, ANY, None), [("a", "c", "lan")]))
    assert {made.ns for made in part.values()} == {"a", "c"}  # type: ignore[union-attr]
    netems = {made.handle for made in part.values() if isinstance(made, Qdisc) and made.kind == "netem"}
    assert netems == {0x10030000}


def test_links_can_be_given_once_only(pair: Topology) -> None:
    planner = Planner(pair, ANY, None)
    assert list(part_of_links(planner, iter([("a", "b", "lan")]))) == list(part_of_links(planner, [("a", "b", "lan")]))


def test_a_peer_that_is_not_there_needs_nothing(pair: Topology) -> None:
    assert list(part_of_peer(Planner(pair, ANY, None), "z", ())) == []


def test_links_of_a_peer_that_is_not_there_need_nothing_of_it(pair: Topology) -> None:
    planner = Planner(pair, ANY, None)
    assert all(made.ns == "a" for made in part_of_links(planner, [("a", "z", "lan")]))  # type: ignore[union-attr]


def test_a_peer_that_goes_takes_its_part_of_the_partition_along(pair: Topology) -> None:
    running = Running(pair, ANY, None, (frozenset({"a", "b"}), frozenset({"c"})))
    after = pair.copy()
    after.remove_peer("a")
    running.restructure(after, [], "a")
    assert running.groups == (frozenset({"b"}), frozenset({"c"}))
    assert running.driver.state == running.whole()


@pytest.mark.parametrize("kernel", [ANY, attrs.evolve(ANY, gact=False)], ids=["divisible", "not divisible"])
def test_a_peer_comes_and_goes_also_where_no_partition_is_possible(pair: Topology, kernel: Capabilities) -> None:
    running = Running(pair, kernel, None, ())
    for coming, peer in ((True, "d"), (False, "a")):
        after = running.topology.copy()
        if coming:
            after.add_peer(peer)
        else:
            after.remove_peer(peer)
        running.restructure(after, [], peer)
        assert running.driver.state == running.whole()
    hooks = [made for made in running.whole().values() if isinstance(made, Qdisc) and made.ns == HUB]
    assert bool(hooks) == (kernel is ANY)


def test_the_last_peer_of_a_further_bridge_takes_the_bridge_along() -> None:
    topology = Topology("t")
    for number in range(1, 1002):
        topology.add_peer(f"p{number}")
    topology.connect("p1", "p1000")
    for peer in ("p999", "p1001", "p1000"):
        running = Running(topology, ANY, None, ())
        after = topology.copy()
        after.remove_peer(peer)
        running.restructure(after, [], peer)
        assert running.driver.state == running.whole()
        topology = after
    assert [made.name for made in running.whole().values() if isinstance(made, Bridge)] == ["br-lan"]


# --- the whole ----------------------------------------------------------------------------------


def places(planner: Planner, key: LinkKey) -> set[Key]:
    """Keys of a link's class, netem and entry: what it has whatever its impairment."""
    made = planner.link(planner.topology.links[key])
    plain = [m for m in made if getattr(m, "dev", "") == "eth0" and getattr(m, "parent", 0) != TC_H_EGRESS_FILTERS]
    return {m.key for m in plain if not isinstance(m, Neighbour) and not (isinstance(m, Qdisc) and m.kind != "netem")}


@given(st.data(), own.topologies(), own.kernels, own.seeds)
def test_what_stays_keeps_every_address_class_and_handle(
    data: st.DataObject, before: Topology, kernel: Capabilities, seed: int | None
) -> None:
    # One edit, so that no link of both can have gone and come back, which would make it a new one.
    after = own.edited(data.draw, before)
    pair = before, after
    for key in before.links.keys() & after.links.keys():
        first, second = (places(Planner(topology, kernel, seed), key) for topology in pair)
        assert first == second
    states = [desired(topology, kernel, seed=seed) for topology in pair]
    addresses = [
        {(made.ns, made.dev, made.address) for made in objects.values() if isinstance(made, Address)}
        for objects in states
    ]
    # Who comes to a segment, or leaves it, gets or loses an interface; no other has another address.
    ends = [{place[:2] for place in found} for found in addresses]
    kept = ends[0] & ends[1]
    assert {a for a in addresses[0] if a[:2] in kept} == {a for a in addresses[1] if a[:2] in kept}


@given(own.pairs(), own.seeds.filter(lambda seed: seed is not None))
def test_a_link_draws_the_same_random_numbers_whatever_comes_and_goes_beside_it(
    pair: tuple[Topology, Topology], seed: int
) -> None:
    planners = [Planner(topology, ANY, seed) for topology in pair]
    for key, link in pair[0].links.items():
        if pair[1].links.get(key) == link:
            assert planners[0].netem(link).seed == planners[1].netem(link).seed


@given(own.topologies(), own.kernels)
def test_no_two_objects_of_a_device_share_a_handle(topology: Topology, kernel: Capabilities) -> None:
    made = list(desired(topology, kernel).values())
    qdiscs = [(q.ns, q.dev, q.handle >> 16) for q in made if isinstance(q, Qdisc)]
    places = [(q.ns, q.dev, q.parent) for q in made if isinstance(q, Qdisc)]
    classes = [(c.ns, c.dev, c.classid) for c in made if isinstance(c, Class)]
    macs = [v.mac for v in made if isinstance(v, Veth)] + [v.peer_mac for v in made if isinstance(v, Veth)]
    assert len({*qdiscs}) == len(qdiscs)
    assert len({*places}) == len(places)
    assert len({*classes}) == len(classes)
    assert len({*macs}) == len(macs)


@given(own.topologies(), own.kernels)
def test_names_of_devices_fit_into_what_the_kernel_has_for_them(topology: Topology, kernel: Capabilities) -> None:
    for made in desired(topology, kernel).values():
        for name in (getattr(made, "name", ""), getattr(made, "peer_name", "")):
            assert len(name) <= 15 or made.key[0] == "namespace"


@given(own.topologies(), own.kernels)
def test_every_link_has_one_netem_and_one_entry_that_leads_to_it(topology: Topology, kernel: Capabilities) -> None:
    made = desired(topology, kernel).values()
    leaves = [
        q for q in made if isinstance(q, Qdisc) and q.dev.startswith(("eth", "ifb")) and isinstance(q.options, Netem)
    ]
    assert len(leaves) == len(topology.links)
    for leaf in leaves:
        leading = [
            f
            for f in made
            if isinstance(f, Filter)
            and (f.ns, f.dev) == (leaf.ns, leaf.dev)
            and isinstance(f.options, U32)
            and f.options.classid == leaf.parent
        ]
        assert len(leading) == 1


def bonded() -> Topology:
    topology = Topology("t")
    for name in ("a", "b", "c"):
        topology.add_peer(name)
    topology.connect("a", "b", segment="lte")
    topology.connect("a", "b", segment="nr")
    topology.connect("a", "c", segment="nr")
    return topology


def test_a_carrier_is_about_what_the_kernel_takes_away_with_it() -> None:
    planner = Planner(bonded(), ANY, None)
    made = list(part_of_carrier(planner, "a", "nr"))
    assert made[:2] == [Up(HUB, "nr.1"), Up("a", "eth2")]
    assert {each.dev for each in made[1:]} == {"eth2"}  # type: ignore[union-attr]
    kinds = {kind: [each for each in made if isinstance(each, kind)] for kind in (Address, Neighbour, Route)}
    assert [len(found) for found in kinds.values()] == [2, 4, 4]
    everything = desired(planner.topology, ANY)
    assert all(everything[each.key] == each for each in made)


def test_other_addresses_are_in_what_peers_know_of_each_other_and_in_no_queue() -> None:
    before = bonded()
    before.set_impairment("b", "a", Impairment(mtu=1300), segment="nr")
    after = before.copy()
    after.readdress("a", segment="nr")
    states = [desired(topology, ANY) for topology in (before, after)]
    parts = [state(part_of_addresses(Planner(topology, ANY, None), "a", "nr")) for topology in (before, after)]
    for one, other in ((0, 1), (1, 0)):
        changed = {key for key, made in states[one].items() if states[other].get(key) != made}
        assert changed == {key for key, made in parts[one].items() if parts[other].get(key) != made}
    steps = operations(*parts)
    assert {step.object.ns for step in steps} == {"a", "b", "c"}  # type: ignore[union-attr]
    assert {type(step.object).__name__ for step in steps} == {"Address", "Neighbour", "Route", "Rule"}


def test_an_address_goes_after_the_one_that_takes_its_place() -> None:
    after = bonded()
    after.readdress("a", segment="nr")
    steps = operations(desired(bonded(), ANY), desired(after, ANY))
    of_addresses = [(step.verb, step.object) for step in steps if isinstance(step.object, Address)]
    assert of_addresses == [
        ("create", Address("a", "eth2", "10.2.0.4", 16)),
        ("create", Address("a", "eth2", "fd00:3::4", 64)),
        ("delete", Address("a", "eth2", "fd00:3::1", 64)),
        ("delete", Address("a", "eth2", "10.2.0.1", 16)),
    ]
    assert [step.object for step in steps[-2:]] == [made for _, made in of_addresses[-2:]]


def test_a_carrier_brings_the_routes_of_an_mtu_back_in_both_tables() -> None:
    topology = bonded()
    topology.set_impairment("a", "b", Impairment(mtu=1300), segment="nr")
    topology.set_impairment("b", "a", Impairment(mtu=1400), segment="nr")
    made = list(part_of_carrier(Planner(topology, ANY, None), "a", "nr"))
    routes = [each for each in made if isinstance(each, Route)]
    whole = desired(topology, ANY).values()
    assert sorted(routes) == sorted(each for each in whole if isinstance(each, Route) and each[:2] == ("a", "eth2"))
    assert {route.mtu for route in routes} == {0, 1300}
    assert sorted({route.table for route in routes if route.mtu}) == [254, 1003]
    assert made.index(routes[0]) > made.index(Up("a", "eth2"))


def test_an_end_comes_with_the_first_link_and_goes_with_the_last() -> None:
    before = bonded()
    after = before.copy()
    after.disconnect("a", "b", segment="nr")
    about = scope(before, after, [("a", "b", "nr"), ("b", "a", "nr")])
    assert about.ends == (("b", "nr"),)
    assert set(about.routed) == {"a", "b"}
    assert scope(after, before, about.keys).ends == about.ends
    gone = before.copy()
    gone.remove_peer("c")
    about = scope(before, gone, [], "c")
    assert (about.ends, set(about.keys)) == ((("c", "nr"),), {("a", "c", "nr"), ("c", "a", "nr")})


@pytest.mark.parametrize("classifier", ["htb", "prio"])
def test_a_link_that_is_down_drops_in_front_of_its_queue(classifier: str) -> None:
    topology = Topology("t", classifier=classifier)  # type: ignore[arg-type]
    topology.add_peer("a")
    topology.add_peer("b")
    link = topology.add_link("a", "b", Impairment(delay_ms=5))
    planner = Planner(topology, ANY, None)
    (step,) = operations(state(planner.leaf(link)), state(planner.leaf(attrs.evolve(link, down=True))))
    assert step.verb == "change"
    assert isinstance(step.object, Filter)
    assert isinstance(step.object.options, U32)
    assert step.object.options.action == Drop()


def test_interfaces_come_up_when_all_else_is_in_place(pair: Topology) -> None:
    kinds = [type(made) for made in desired(pair, ANY, groups=(frozenset("a"), frozenset("b"))).values()]
    assert set(kinds[kinds.index(Up) :]) == {Up}


def test_a_link_one_way_makes_both_ends_know_each_other(pair: Topology) -> None:
    pair.add_link("c", "a")
    known = {(made.ns, made.address) for made in desired(pair, ANY).values() if isinstance(made, Neighbour)}
    assert ("a", bytes([10, 0, 0, 3])) in known
    assert ("c", bytes([10, 0, 0, 1])) in known


def test_without_ipv6_nothing_has_an_ipv6_address() -> None:
    topology = Topology("t", ipv6=None)
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b")
    made = desired(topology, ANY).values()
    assert {m.address for m in made if isinstance(m, Address)} == {"10.0.0.1", "10.0.0.2"}
    assert {len(m.address) for m in made if isinstance(m, Neighbour)} == {4}


def test_beyond_a_thousand_ports_there_are_further_bridges_joined_to_the_core() -> None:
    topology = Topology("t")
    for number in range(1, 2001):
        topology.add_peer(f"p{number}")
    made = desired(topology, ANY).values()
    bridges = [m.name for m in made if isinstance(m, Bridge)]
    assert bridges == ["br-lan", "br1-lan", "br2-lan"]
    pairs = {m.name: m for m in made if isinstance(m, Veth)}
    assert (pairs["t2-lan"].master, pairs["t2-lan"].peer_master) == ("br-lan", "br2-lan")
    assert pairs["t2-lan"].peer_flood
    assert pairs["lan.999"].master == "br-lan"
    assert pairs["lan.1000"].master == "br1-lan"
    ports = [m.master for m in pairs.values()] + [m.peer_master for m in pairs.values()]
    assert max(ports.count(name) for name in bridges) <= 1023
    behind = [m for m in made if isinstance(m, Forwarding) and m.dev == "t1-lan"]
    assert len(behind) == 1000


def test_a_strict_topology_that_mixes_is_refused_on_any_kernel(pair: Topology) -> None:
    pair.duplicates = "strict"
    pair.add_link("a", "c", Impairment(duplicate_pct=5))
    with pytest.raises(DuplicateRestrictionError):
        desired(pair, ANY)


def test_states_are_equal_however_often_they_are_planned(pair: Topology) -> None:
    assert desired(pair, ANY, seed=7) == desired(pair.copy(), ANY, seed=7)
    assert desired(pair, ANY, seed=7) != desired(pair, ANY, seed=8)
    assert desired(pair, attrs.evolve(ANY, seed=False), seed=7) == desired(pair, ANY)


def test_an_empty_topology_has_a_hub_and_its_bridge() -> None:
    assert list(desired(Topology("t"), ANY)) == [("namespace", HUB), ("device", HUB, "br-lan")]
    assert EMPTY == {}


@pytest.mark.parametrize("placement", ["sender", "hub"])
def test_a_peer_that_joins_brings_its_access_link_wherever_its_queues_stand(placement: Placement) -> None:
    before = bonded()
    before.add_peer("d", placement=placement)
    before.settle()
    after = before.copy()
    after.join("d", "nr", uplink_kbit=900, downlink_kbit=800, downlink_at="peer")
    about = scope(before, after, [], end=("d", "nr"))
    assert (about.ends, about.accesses) == ((("d", "nr"),), ())
    there, back = (
        operations(*(state(part(Planner(topology, ANY, None), (), about)) for topology in topologies))
        for topologies in ((before, after), (after, before))
    )
    driver = FakeDriver(ANY, state=desired(before, ANY))
    driver.apply(there)
    assert driver.state == desired(after, ANY)
    driver.apply(back)
    assert driver.state == desired(before, ANY)
    other = after.copy()
    other.readdress("d", segment="nr")
    changed = operations(desired(after, ANY), desired(other, ANY))
    assert {type(step.object) for step in changed} == {Address}
