from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkem_py.errors import OperationError
from linkem_py.kernel.fake import FakeDriver
from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan import EMPTY, Operation, State, desired, inverse, operations
from linkem_py.plan.objects import (
    HUB,
    TC_H_ROOT,
    U32,
    Drop,
    Fifo,
    Filter,
    FilterOptions,
    Ifb,
    Mark,
    Namespace,
    Netem,
    Qdisc,
    Redirect,
    U32Key,
    U32Table,
    Up,
)
from linkem_py.plan.operations import contained
from tests import strategies as own

ANY = Capabilities()


def carried_out(before: State, steps: list[Operation], kernel: Capabilities = ANY) -> FakeDriver:
    driver = FakeDriver(kernel, state=before)
    driver.apply(steps)
    return driver


def example(**settings: str) -> Topology:
    """Peers with no, one and several links of every kind."""
    topology = Topology("t", **settings)  # type: ignore[arg-type]
    for name in "abcd":
        topology.add_peer(name)
    topology.connect("a", "b", Impairment(delay_ms=5, rate_kbit=1000), back=Impairment(duplicate_pct=1))
    topology.add_link("a", "c", Impairment(loss_pct=1))
    return topology


def changed_example(topology: Topology) -> Topology:
    """A peer and its links gone, one come in its place, a link changed, one new, one gone."""
    after = topology.copy()
    after.remove_link("a", "c")
    after.remove_peer("b")
    after.add_peer("e")
    after.connect("a", "e", Impairment(rate_kbit=500, queue_packets=3), back=Impairment())
    after.add_link("c", "a", Impairment(duplicate_pct=2))
    return after


# --- from one state to another ------------------------------------------------------------------


@given(own.topologies(), own.topologies(), own.kernels, own.seeds)
def test_the_operations_between_any_two_states_lead_from_one_to_the_other(
    a: Topology, b: Topology, kernel: Capabilities, seed: int | None
) -> None:
    before, after = desired(a, kernel, seed=seed), desired(b, kernel, seed=seed)
    assert carried_out(before, operations(before, after), kernel).state == after


@given(own.pairs(), own.kernels, own.seeds)
def test_the_operations_of_edits_lead_there(
    pair: tuple[Topology, Topology], kernel: Capabilities, seed: int | None
) -> None:
    before, after = (desired(topology, kernel, seed=seed) for topology in pair)
    assert carried_out(before, operations(before, after), kernel).state == after


@given(own.topologies(), own.kernels)
def test_a_state_is_in_an_order_in_which_it_can_be_made(topology: Topology, kernel: Capabilities) -> None:
    state = desired(topology, kernel)
    steps = operations(EMPTY, state)
    assert [step.object for step in steps] == list(state.values())
    assert carried_out(EMPTY, steps, kernel).state == state


@given(own.topologies(), own.kernels)
def test_nothing_is_to_be_done_between_equal_states(topology: Topology, kernel: Capabilities) -> None:
    assert operations(desired(topology, kernel), desired(topology.copy(), kernel)) == []


@given(own.topologies(), own.kernels)
def test_teardown_sends_only_the_deletion_of_namespaces(topology: Topology, kernel: Capabilities) -> None:
    before = desired(topology, kernel)
    driver = carried_out(before, operations(before, EMPTY), kernel)
    assert driver.state == {}
    assert {type(step.object) for step in driver.log} == {Namespace}
    assert len(driver.log) == len(topology.peers) + 1


@given(own.pairs(), st.sampled_from(["auto", "isolate", "strict"]))
def test_no_step_breaks_the_duplicate_rule_of_a_kernel_that_has_it(
    pair: tuple[Topology, Topology], policy: str
) -> None:
    for topology in pair:
        topology.duplicates = policy  # type: ignore[assignment]
        own.allowed(topology)
    before, after = (desired(topology, own.STRICT_KERNEL) for topology in pair)
    # The fake refuses a netem that would break the rule at any moment.
    assert carried_out(before, operations(before, after), own.STRICT_KERNEL).state == after


def test_a_link_stops_duplicating_before_another_one_comes() -> None:
    before = Topology("t", duplicates="strict")
    for name in "abc":
        before.add_peer(name)
    before.add_link("a", "c", Impairment(duplicate_pct=5))
    after = before.copy()
    after.set_impairment("a", "c", Impairment())
    after.remove_link("a", "c")
    after.add_link("a", "b")
    after.add_link("a", "c")
    steps = operations(desired(before, own.STRICT_KERNEL), desired(after, own.STRICT_KERNEL))
    netems = [
        (s.verb, s.object.handle >> 16) for s in steps if isinstance(s.object, Qdisc) and s.object.kind == "netem"
    ]
    assert netems == [("change", 0x1003), ("create", 0x1002)]


def test_a_change_of_an_impairment_is_a_change_in_place() -> None:
    before = example()
    after = before.copy()
    after.set_impairment("a", "b", Impairment(delay_ms=50, rate_kbit=2000))
    steps = operations(desired(before, ANY), desired(after, ANY))
    assert {step.verb for step in steps} == {"change"}
    assert {getattr(step.object, "kind", None) for step in steps} == {"htb", "netem", "bfifo"}


def test_a_change_of_rate_sends_no_netem_message() -> None:
    before = example()
    after = before.copy()
    after.set_impairment("a", "b", Impairment(delay_ms=5, rate_kbit=2000))
    steps = operations(desired(before, ANY, seed=1), desired(after, ANY, seed=1))
    assert [step.object.kind for step in steps] == ["htb", "bfifo"]  # type: ignore[union-attr]


def test_taking_a_rate_away_keeps_the_queue() -> None:
    before = example()
    after = before.copy()
    after.set_impairment("a", "b", Impairment(delay_ms=5))
    steps = operations(desired(before, ANY), desired(after, ANY))
    assert all(step.verb == "change" for step in steps)


def test_another_kind_of_queue_is_a_queue_made_anew() -> None:
    before = example()
    after = before.copy()
    after.set_impairment("a", "b", Impairment(delay_ms=5, rate_kbit=1000, queue_packets=5))
    steps = operations(desired(before, ANY), desired(after, ANY))
    assert [(s.verb, s.object.kind) for s in steps] == [("delete", "bfifo"), ("create", "pfifo")]  # type: ignore[union-attr]
    assert steps[1].object.options == Fifo(5)  # type: ignore[union-attr]


def test_what_a_replaced_device_held_is_made_again_even_if_it_did_not_change() -> None:
    before = Topology("t")
    for name in "xyz":
        before.add_peer(name)
    after = Topology("t")
    for name in "yz":
        after.add_peer(name)
    states = [desired(topology, ANY) for topology in (before, after)]
    steps = operations(*states)
    # z's interface is another pair now, though its root qdisc and its being up look the same.
    remade = [s.object for s in steps if s.verb == "create" and isinstance(s.object, Up | Qdisc)]
    assert Up("z", "eth0") in remade
    assert any(isinstance(made, Qdisc) and made.ns == "z" and made.parent == TC_H_ROOT for made in remade)
    assert carried_out(states[0], steps).state == states[1]


def test_a_pair_between_hub_and_peer_is_deleted_by_name_when_the_peer_goes() -> None:
    before = example()
    after = before.copy()
    after.remove_peer("d")
    sent = [s.object.key for s in operations(desired(before, ANY), desired(after, ANY)) if not s.implied]
    assert sent == [("device", HUB, "lan.4"), ("namespace", "d")]


def test_nothing_is_redirected_to_a_device_that_is_gone() -> None:
    before = example(duplicates="isolate")
    after = before.copy()
    after.set_impairment("b", "a", Impairment())
    steps = operations(desired(before, ANY), desired(after, ANY))
    driver = FakeDriver(state=desired(before, ANY))
    for step in steps:
        driver.execute([step])
        devices = {made.name for made in driver.state.values() if isinstance(made, Ifb)}
        for made in driver.state.values():
            action = getattr(made.options, "action", None) if isinstance(made, Filter) else None
            assert not isinstance(action, Redirect) or action.device in devices
    assert any(step.object.key[-1] == "dup1-1" for step in steps)


def test_a_namespace_takes_the_pair_along_that_ends_in_it() -> None:
    state = desired(example(), ANY)
    gone = contained(state, [("namespace", "d")])
    assert ("device", HUB, "lan.4") in gone
    assert ("up", HUB, "lan.4") in gone
    assert ("up", HUB, "lan.3") not in gone


# --- and back -----------------------------------------------------------------------------------


@given(own.topologies(), own.topologies(), own.kernels)
def test_the_inverse_undoes(a: Topology, b: Topology, kernel: Capabilities) -> None:
    before, after = desired(a, kernel), desired(b, kernel)
    steps = operations(before, after)
    driver = carried_out(before, steps, kernel)
    driver.apply(inverse(steps))
    assert driver.state == before


@given(own.pairs(), st.integers(0, 10**6), own.kernels)
@settings(max_examples=60)
def test_when_any_operation_of_an_update_fails_all_is_as_before(
    pair: tuple[Topology, Topology], position: int, kernel: Capabilities
) -> None:
    before, after = (desired(topology, kernel) for topology in pair)
    steps = operations(before, after)
    sent = [step for step in steps if not step.implied]
    if not sent:
        return
    driver = FakeDriver(kernel, state=before, fail_at=position % len(sent))
    with pytest.raises(OperationError) as caught:
        driver.apply(steps)
    assert driver.state == before
    assert caught.value.rolled_back


@pytest.mark.parametrize("kernel", [ANY, own.STRICT_KERNEL], ids=["any kernel", "duplicate rule"])
@pytest.mark.parametrize(
    "settings", [{}, {"classifier": "prio"}, {"unlinked": "blocked"}, {"duplicates": "isolate"}], ids=str
)
def test_when_any_single_operation_fails_all_is_as_before(settings: dict[str, str], kernel: Capabilities) -> None:
    topology = example(**settings)
    first, second = desired(topology, kernel), desired(changed_example(topology), kernel)
    for before, after in ((EMPTY, first), (first, second), (second, first), (first, EMPTY)):
        steps = operations(before, after)
        for position in range(sum(not step.implied for step in steps)):
            driver = FakeDriver(kernel, state=before, fail_at=position)
            with pytest.raises(OperationError) as caught:
                driver.apply(steps)
            assert driver.state == before
            assert caught.value.rolled_back


def test_rolling_a_build_back_sends_only_the_deletion_of_namespaces() -> None:
    # Entries of u32's own tables have no name that could be deleted.
    steps = operations(EMPTY, desired(example(unlinked="blocked"), ANY))
    driver = FakeDriver(fail_at=len(steps) - 1)
    with pytest.raises(OperationError):
        driver.apply(steps)
    undone = driver.log[len(steps) :]
    assert {(step.verb, type(step.object)) for step in undone} == {("delete", Namespace)}


def test_a_netem_that_stops_duplicating_comes_first_among_the_changes() -> None:
    quiet, loud = Netem(1), Netem(1, duplicate=5)

    def state(first: Netem, second: Netem) -> State:
        made = [Qdisc("a", "x", 1 << 16, 0x10001, "netem", first), Qdisc("a", "x", 2 << 16, 0x10002, "netem", second)]
        return {qdisc.key: qdisc for qdisc in made}

    steps = operations(state(quiet, loud), state(loud, quiet))
    assert [step.object.options for step in steps] == [quiet, loud]  # type: ignore[union-attr]


ENTRY = Filter("a", "eth0", 0x10000, 3, 3, 3 << 20 | 1, U32(keys=(U32Key(1, 1, 0),), classid=0x10001))


@pytest.mark.parametrize(
    ("before", "after", "verbs"),
    [
        (ENTRY.options, U32(keys=(U32Key(1, 1, 0),), classid=0x10001, action=Drop()), ["change"]),
        (ENTRY.options, U32(keys=(U32Key(2, 3, 0),), classid=0x10001, action=Drop()), ["delete", "create"]),
        (ENTRY.options, U32(keys=(U32Key(1, 1, 0),), classid=0x10002), ["delete", "create"]),
        (U32(action=Mark(1)), U32(action=Mark(2)), ["delete", "create"]),
        (ENTRY.options, U32Table(1), ["delete", "create"]),
        (U32Table(1), ENTRY.options, ["delete", "create"]),
    ],
    ids=str,
)
def test_only_the_action_of_an_entry_for_a_class_changes_in_place(
    before: FilterOptions, after: FilterOptions, verbs: list[str]
) -> None:
    first, second = ENTRY._replace(options=before), ENTRY._replace(options=after)
    steps = operations({first.key: first}, {second.key: second})
    assert [step.verb for step in steps] == verbs


def test_an_entry_for_another_protocol_is_another_entry() -> None:
    other = ENTRY._replace(protocol=8)
    assert [step.verb for step in operations({ENTRY.key: ENTRY}, {other.key: other})] == ["delete", "create"]
